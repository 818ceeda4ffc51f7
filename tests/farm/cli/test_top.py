"""`farm top`: one look for pipes and programs, and a screen that q or Ctrl-C ends."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from farm.cli.topview import TopView, rooms
from farm.jobs.glance import glance
from farm.jobs.store import AttemptFailure
from tests.conftest import wait_until
from tests.farm.jobs.conftest import Desk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.farm.cli.conftest import Answer, Hand

BUG = AttemptFailure(code="crash", message="the GPU has fallen off the bus")


@pytest.fixture
def desk(hand: Hand) -> Desk:
    """Two slots, of which one is sick; a lesson of ann's in hand, others of two owners wait."""
    desk = Desk(hand.books)
    for slot in ("gpu0", "gpu1"):
        desk.slot(slot, device="NVIDIA H100")
    for owner in ("ann", "bob"):
        hand.books.fail(desk.claim(desk.planned(owner=owner), 0, slot="gpu1"), BUG)
    lease = desk.claim(desk.planned(21), 3, slot="gpu0")
    hand.books.renew(lease, percent=42.0, lease_seconds=60)
    return desk


def test_one_look_shows_slots_queue_jobs_and_failures(cli: Callable[..., Answer], desk: Desk) -> None:
    shown = cli("top", "--once").out
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert any(re.match(r"\d\d:\d\d:\d\d slots: 1 busy, 1 sick cpu workers: 0$", line) for line in lines)
    assert any(line.startswith("waiting: 26 chunks, oldest ") for line in lines)
    sick, busy = (next(line for line in lines if line.startswith(f"{slot} ")) for slot in ("gpu1", "gpu0"))
    assert "failed for 2 owners in a row, at last: the GPU has fallen off the bus" in sick
    assert re.search(r"42 % Lesson 3, chunk 4 of 21 NVIDIA H100$", busy)
    assert lines.index(sick) < lines.index(busy), "what is wrong comes first"
    assert any(line.startswith("ann 5 23 ") for line in lines)
    assert any(line.startswith("bob 5 3 ") for line in lines)
    assert any(re.match(r"\d+ s ago gpu1 Lesson 2, chunk 1 the GPU has fallen off the bus$", line) for line in lines)
    assert "no sweeper has looked yet" in lines
    assert "\x1b" not in shown


def test_a_program_gets_the_same_as_json(cli: Callable[..., Answer], desk: Desk) -> None:
    found = cli("top", "--json").json
    by_name = {slot["name"]: slot for slot in found["slots"]}
    assert by_name["gpu0"]["title"] == "Lesson 3"
    assert (by_name["gpu0"]["chunk"], by_name["gpu0"]["chunks"], by_name["gpu0"]["percent"]) == (3, 21, 42.0)
    assert by_name["gpu1"]["why_out"].startswith("failed for 2 owners")
    assert [(row["owner"], row["chunks"]) for row in found["queue"]] == [("ann", 23), ("bob", 3)]
    assert set(found["rates"]) == {"chunks_per_minute", "video_per_minute", "work_per_video"}
    assert len(found["failures"]) == 2


@pytest.mark.parametrize("columns", [20, 40, 80, 120])
def test_it_is_no_wider_than_the_terminal(
    cli: Callable[..., Answer], desk: Desk, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = cli("top", "--once").out.splitlines()
    assert max(map(len, shown)) <= columns
    assert any("gpu0" in line for line in shown)


@pytest.mark.parametrize("height", [8, 24, 50])
def test_a_live_look_is_no_higher_than_the_terminal_and_says_what_it_leaves_out(desk: Desk, height: int) -> None:
    for number in range(40):
        desk.slot(f"many{number}")
        desk.planned(owner=f"owner {number}")
    screen = Console(file=io.StringIO(), width=80, height=height, force_terminal=True, color_system=None)
    screen.print(TopView(glance(desk.books), live=True))
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= height
    assert any(re.match(r"and \d+ more", line) for line in lines)


def test_room_is_shared_out_a_line_each_in_turn() -> None:
    assert rooms([5, 1, 3], 7) == [3, 1, 3]
    assert rooms([5, 1, 3], 100) == [5, 1, 3]
    assert rooms([5, 1, 3], -2) == [0, 0, 0]


def test_a_name_cannot_drive_the_terminal(cli: Callable[..., Answer], desk: Desk, hand: Hand) -> None:
    job = hand.job("\x1b[2JAlgebra\r\n03", owner="e\x07ve")
    hand.books.fail(desk.claim(job, 0, slot="gpu0"), AttemptFailure(code="crash", message="bad\x1b[31m\nline"))
    shown = cli("top", "--once").out
    assert "Algebra" in shown
    assert not set(shown) & set("\x1b\x07\r")


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "Ctrl-C"])
def test_on_a_terminal_it_stays_until_a_key_ends_it_and_leaves_the_terminal_as_it_was(
    environ: dict[str, str], desk: Desk, key: bytes
) -> None:
    ours, its = pty.openpty()
    before = termios.tcgetattr(its)
    command = [sys.executable, "-c", "from farm.cli.main import main; main()", "top"]
    seen = b""

    def shown(what: bytes) -> bool:
        nonlocal seen
        seen += os.read(ours, 65536)
        return what in seen

    process = subprocess.Popen(
        command,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        env={**environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        preexec_fn=_take_terminal,
    )
    try:
        wait_until(lambda: shown(b"Lesson 3, chunk 4 of 21"), what="the first look")
        desk.books.decide("20260101-000000-000003", "cancel", who="ann")
        wait_until(lambda: shown(b"waiting: 6 chunks"), what="another look")
        os.write(ours, key)
        assert process.wait(20) == 0
        assert termios.tcgetattr(its) == before
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        os.close(ours)
        os.close(its)


def _take_terminal() -> None:
    """Ctrl-C on a terminal is for whoever it belongs to."""
    import fcntl
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_without_redis_it_says_so_and_ends(cli: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_REDIS_URL", "redis://127.0.0.1:1/0")
    answer = cli("top", "--once")
    assert answer.code == 4
    assert "does not answer" in answer.err
