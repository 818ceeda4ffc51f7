"""Work on what is drawn, beside its drawing: neither waits for the other as long as the belt between them has room."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from enum import Enum
from queue import Empty, Queue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 8
"""Items that may lie drawn and not yet worked on: a third of a second of frames."""


class CutOffError(Exception):
    """Raised inside the work when the drawing failed: no more comes, and what came is not all."""


class _Last(Enum):
    END = "all is drawn"
    CUT_OFF = "no more will be"


def beside(drawn: Generator[Item], work: Callable[[Iterator[Item]], Result]) -> Result:
    """`work(drawn)` in a thread of its own, the drawing in this one, at most AHEAD items before the work.

    What the drawing raises is raised; else what the work raises, and then no more is drawn. However it ends, `drawn` is
    closed in this thread.
    """
    belt: Queue[Item | _Last] = Queue(AHEAD)
    with closing(drawn), ThreadPoolExecutor(1, "beside") as aside:
        working = aside.submit(work, _taken(belt))
        # whoever waits for room on the belt finds some when nobody takes from it any more
        working.add_done_callback(lambda _: _clear(belt))
        last = _Last.CUT_OFF
        try:
            for item in drawn:
                if working.done():
                    break
                belt.put(item)
            last = _Last.END
        finally:
            belt.put(last)
    try:
        return working.result()
    finally:
        del working  # it holds an error whose traceback holds this frame: a ring, and a GPU's memory in it


def _taken(belt: Queue[Item | _Last]) -> Iterator[Item]:
    while not isinstance(item := belt.get(), _Last):
        yield item
    if item is _Last.CUT_OFF:
        raise CutOffError(item.value)


def _clear(belt: Queue[Item | _Last]) -> None:
    with suppress(Empty):
        while True:
            belt.get_nowait()
