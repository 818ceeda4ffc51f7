"""Lines of the log: what they say of the work in hand, as people and as machines read them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from farm import Settings
from farm.logs import InHand
from tests.conftest import ROOT, environment_of

CHUNK = InHand("20260101-000000-abcdef", "3", "2-9f31c0aa")
PREAMBLE = f"""
import logging, sys, threading, warnings
from farm.logs import InHand, log_to_stderr, take_in_hand
from farm.settings import Settings
log_to_stderr(Settings.load())
ours, foreign = logging.getLogger("workers.made_up"), logging.getLogger("torch.made_up")
CHUNK = {CHUNK!r}
"""


def said(code: str, log_format: str) -> list[str]:
    """What a process of its own logs: pytest has handlers too."""
    environment = environment_of(Settings(log_format=log_format))  # type: ignore[arg-type]
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == ""
    return done.stderr.splitlines()


def objects(code: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(code, "json")]


def test_a_line_of_text_names_job_chunk_and_attempt_where_there_are_such() -> None:
    code = (
        'ours.info("hello"); take_in_hand(CHUNK); ours.info("frame %d", 7)\n'
        'take_in_hand(InHand("j", "stitch")); ours.info("x")'
    )
    lines = said(code, "text")
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "", line) for line in lines] == [
        "INFO workers.made_up: hello",
        "INFO workers.made_up [20260101-000000-abcdef chunk 4 attempt 2-9f31c0aa]: frame 7",
        "INFO workers.made_up [j stitch]: x",
    ]


def test_a_line_of_json_has_a_field_for_each_of_them() -> None:
    before, during, after = objects(
        'ours.info("hello"); take_in_hand(CHUNK); ours.info("frame %d", 7); take_in_hand(InHand()); ours.info("x")'
    )
    assert {name: during[name] for name in ("level", "logger", "message", "job", "unit", "attempt")} == {
        "level": "INFO", "logger": "workers.made_up", "message": "frame 7",
        "job": CHUNK.job, "unit": "chunk 4", "attempt": CHUNK.attempt,
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", during["time"])
    assert before.keys() == after.keys() == {"time", "level", "logger", "message"}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lines_of_libraries_their_threads_and_pythons_warnings_name_the_work_too(log_format: str) -> None:
    lines = said(
        "take_in_hand(CHUNK)\n"
        'foreign.info("not told"); foreign.warning("low on memory")\n'
        'thread = threading.Thread(target=foreign.warning, args=("from a thread",)); thread.start(); thread.join()\n'
        'warnings.warn("old call", DeprecationWarning, stacklevel=1)',
        log_format,
    )
    text = "\n".join(lines)
    assert "not told" not in text
    for words in ("low on memory", "from a thread", "old call"):
        (line,) = [line for line in lines if words in line]
        assert CHUNK.job in line
        assert "chunk 4" in line
        assert CHUNK.attempt in line


def test_whatever_a_message_holds_it_is_one_line_of_json_with_its_traceback() -> None:
    (line,) = objects(
        "try: 1 / 0\n"
        'except ZeroDivisionError: ours.exception("two\\nlines, \\"quoted\\", Prüfung, half a letter \\udcff")'
    )
    assert line["message"].startswith('two\nlines, "quoted", Prüfung')
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_the_format_is_text_or_json() -> None:
    with pytest.raises(ValueError, match="'text' or 'json'"):
        Settings(log_format="xml")  # type: ignore[arg-type]


def test_nothing_in_hand_is_said_by_nothing() -> None:
    assert str(InHand()) == ""
