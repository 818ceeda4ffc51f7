"""When a stack's slots have started."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest

from farm.jobs.store import AttemptFailure, Books
from farm.jobs.views import slot_views
from farm.local.supervisor import slots_are_ready
from tests.conftest import wait_until
from tests.farm.jobs.conftest import Desk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm import Settings

BUG = AttemptFailure(code="crash", message="the GPU has fallen off the bus")


@pytest.fixture
def launcher() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"]) as process:
        yield process
        for one in (*psutil.Process(process.pid).children(recursive=True), process):
            one.kill()


def test_a_slot_that_was_sick_when_the_stack_stopped_does_not_keep_it_from_starting(
    settings: Settings, launcher: subprocess.Popen[bytes]
) -> None:
    desk = Desk(Books.connect(settings))
    slots = SimpleNamespace(process=launcher)
    (worker,) = wait_until(psutil.Process(launcher.pid).children, what="a child")
    desk.slot("gpu0", pid=worker.pid, state="loading")
    assert not slots_are_ready(desk.books, slots, 1)  # type: ignore[arg-type]
    desk.slot("gpu0", pid=worker.pid)
    for owner in ("ann", "bob"):
        desk.books.fail(desk.claim(desk.planned(owner=owner), 0, slot="gpu0"), BUG)
    assert [view.state for view in slot_views(desk.books)] == ["sick"]
    assert slots_are_ready(desk.books, slots, 1)  # type: ignore[arg-type]
    desk.books.close()
