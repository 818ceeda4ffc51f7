"""The command line as a process: live following, Ctrl-C, a reader that goes away, Tab, bugs."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, BinaryIO

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Answer, Hand

    Start = Callable[..., subprocess.Popen[str]]

DEADLINE_SECONDS = 30


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode, out, err


def test_following_in_a_pipe_prints_a_line_for_every_change(farm_process: Start, hand: Hand) -> None:
    job = hand.job(chunks=2)
    process = farm_process("job", "show", job, "--follow")
    assert "queued" in line_of(process)
    hand.render(job, 0)
    assert "1 done, 1 waiting" in line_of(process)
    hand.render(job, 1)
    hand.stitch(job)
    code, out, err = ended(process)
    assert (code, err) == (0, "")
    assert "done  100 %" in out.splitlines()[-1]


def test_following_as_json_prints_one_object_a_line_until_the_end(farm_process: Start, hand: Hand) -> None:
    job = hand.job(chunks=1)
    process = farm_process("job", "show", job, "--follow", "--json")
    assert json.loads(line_of(process))["state"] == "queued"
    hand.fail(job, 0, "the portrait turned away")
    code, out, err = ended(process)
    assert code == 3
    assert json.loads(out.splitlines()[-1])["state"] == "failed"
    assert json.loads(err)["error"]["code"] == "job_failed"


def test_following_on_a_terminal_redraws_one_card(environ: dict[str, str], hand: Hand) -> None:
    job = hand.job(chunks=2)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from farm.cli.main import main; main()", "job", "show", job, "--follow"]
    terminal = {**environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(command, env=terminal, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as screen:
        shown = read_until(screen, "2 waiting")
        hand.render(job, 0)
        shown += read_until(screen, "1 done, 1 waiting")
        hand.render(job, 1)
        hand.stitch(job)
        shown += read_until(screen, "d1ge57")
        assert process.wait(DEADLINE_SECONDS) == 0
    assert "\x1b[1A\x1b[2K" in shown, "a card is wiped before the next is drawn"


def read_until(screen: BinaryIO, words: str) -> str:
    """What a terminal received up to the words; the test's own time limit ends it if they never come."""
    seen = b""
    while words.encode() not in seen:
        seen += screen.read(65536)
    return seen.decode(errors="replace")


def test_ctrl_c_ends_the_waiting_not_the_job_and_says_how_to_come_back(
    farm_process: Start, hand: Hand, cli: Callable[..., Answer], tmp_path: Path
) -> None:
    job = hand.job()
    process = farm_process("job", "show", job, "--follow", "--dir", str(tmp_path))
    line_of(process)
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130
    assert f"farm job show {job} --follow --dir '{tmp_path}'" in err
    assert "Traceback" not in err
    assert cli("job", "show", job, "--json").json["state"] == "queued"


def test_ctrl_c_as_json_is_an_error_with_its_own_code(farm_process: Start, hand: Hand) -> None:
    job = hand.job()
    process = farm_process("job", "show", job, "--follow", "--json")
    line_of(process)
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert (code, json.loads(err)["error"]["code"]) == (130, "interrupted")


@pytest.mark.parametrize("arguments", [("job", "list"), ("job", "list", "--json"), ("settings", "show"), ("--help",)])
def test_a_reader_that_goes_away_gets_no_traceback(farm_process: Start, hand: Hand, arguments: tuple[str, ...]) -> None:
    hand.job()
    process = farm_process(*arguments)
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == ""
    assert process.wait(DEADLINE_SECONDS) == 1


def test_following_ends_when_its_reader_goes_away(farm_process: Start, hand: Hand) -> None:
    job = hand.job()
    process = farm_process("job", "show", job, "--follow", "--json")
    line_of(process)
    assert process.stdout
    process.stdout.close()
    hand.render(job, 0)
    assert process.wait(DEADLINE_SECONDS) == 1


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_farm_that_cannot_be_reached_exits_with_4_and_one_line(farm_process: Start, form: tuple[str, ...]) -> None:
    process = farm_process("job", "list", *form, FARM_REDIS_URL="redis://:hush@127.0.0.1:1/0")
    code, out, err = ended(process)
    assert (code, out, len(err.splitlines())) == (4, "", 1)
    assert "127.0.0.1:1" in err
    assert "hush" not in err
    if form:
        assert json.loads(err)["error"]["code"] == "unreachable"


def test_a_wrong_setting_exits_with_2_and_names_it(farm_process: Start) -> None:
    code, out, err = ended(farm_process("settings", "show", FARM_SLOTS="many"))
    assert (code, out) == (2, "")
    assert "FARM_SLOTS is 'many' (environment)" in err


def test_a_bug_keeps_its_traceback(farm_process: Start, hand: Hand) -> None:
    job = hand.job()
    hand.books.client.hset(f"farm:job:{job}", "submitted", "no time at all")
    code, _, err = ended(farm_process("job", "show", job))
    assert code == 1
    assert "Traceback" in err
    assert "no time at all" in err


def test_a_terminal_without_unicode_does_not_crash(farm_process: Start, hand: Hand) -> None:
    job = hand.job("Алгебра 03")
    code, out, err = ended(farm_process("job", "show", job, PYTHONIOENCODING="ascii"))
    assert (code, err) == (0, "")
    assert out.isascii()


def completed(start: Start, *words: str, **more: str) -> list[str]:
    """What bash would offer for the last word."""
    asked = {"_FARM_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    code, out, err = ended(start(**asked, **more))
    assert (code, err) == (0, "")
    return out.split()


def test_tab_completes_job_ids_from_the_books(farm_process: Start, hand: Hand) -> None:
    first, second = hand.job(), hand.job()
    assert completed(farm_process, "farm", "job", "show", "2026") == [second, first]
    assert completed(farm_process, "farm", "job", "show", second) == [second]
    assert completed(farm_process, "farm", "job", "show", "1999") == []


def test_tab_completes_renderers_that_slots_offer_and_framings(farm_process: Start, hand: Hand) -> None:
    hand.slot("gpu0", renderers=("sonic",))
    assert completed(farm_process, "farm", "submit", "--renderer", "so") == ["sonic"]
    assert completed(farm_process, "farm", "submit", "--framing", "f") == ["full", "face"]
    assert completed(farm_process, "farm", "job", "list", "--state", "st") == ["stitching"]


def test_tab_is_silent_when_the_farm_cannot_be_reached(farm_process: Start) -> None:
    away = {"FARM_REDIS_URL": "redis://127.0.0.1:1/0"}
    assert completed(farm_process, "farm", "job", "show", "2", **away) == []
    assert completed(farm_process, "farm", "submit", "--renderer", "p", **away) == ["preview"]


def test_completion_is_installed_for_the_shell(tmp_path: Path, environ: dict[str, str]) -> None:
    farm = f'"{sys.executable}" -c "from farm.cli.main import main; main()" --install-completion; true'
    command = ["bash", "--norc", "-c", farm]
    subprocess.run(command, env={**environ, "HOME": str(tmp_path)}, check=True, capture_output=True)
    assert "_FARM_COMPLETE" in (tmp_path / ".bash_completions" / "farm.sh").read_text()
