"""Work on what is drawn, beside its drawing: neither waits for the other as long as the belt between them has room."""

from __future__ import annotations

from concurrent.futures import Executor, Future, wait
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from queue import Empty, Queue
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from farm.logs import for_same_hand

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 8
"""Items that may lie drawn and not yet worked on: a third of a second of frames."""


class CutOffError(Exception):
    """Raised inside the work when the drawing failed: no more comes, and what came is not all."""


class _Last(Enum):
    END = "all is drawn"
    CUT_OFF = "no more will be"


@dataclass(frozen=True)
class Beside:
    """Threads for the work. give_way: called there once all is drawn, before what is left is worked on."""

    threads: Executor
    give_way: Callable[[], None] = lambda: None

    def run(self, drawn: Generator[Item], work: Callable[[Iterator[Item]], Result]) -> Future[Result]:
        """`work(drawn)` in one of the threads, the drawing in this one, at most AHEAD items before the work.

        Answers when all is drawn: the work may still be at the last items then. What the drawing raises is raised, once
        the work is over; so is what the work raises meanwhile, and then no more is drawn. However it ends, `drawn` is
        closed in this thread.
        """
        belt: Queue[Item | _Last] = Queue(AHEAD)
        all_drawn = Event()
        working = self.threads.submit(for_same_hand(work), self._taken(belt, all_drawn))
        # whoever waits for room on the belt finds some when nobody takes from it any more
        working.add_done_callback(lambda _: _clear(belt))
        try:
            _draw(drawn, belt, all_drawn, working)
            if working.done():
                working.result()
            return working
        finally:
            del working  # it may hold an error whose traceback holds this frame: a ring, and a GPU's memory in it

    def _taken(self, belt: Queue[Item | _Last], all_drawn: Event) -> Iterator[Item]:
        gave_way = False
        while not isinstance(item := belt.get(), _Last):
            if all_drawn.is_set() and not gave_way:
                gave_way = True
                self.give_way()
            yield item
        if item is _Last.CUT_OFF:
            raise CutOffError(item.value)


def _draw(drawn: Generator[Item], belt: Queue[Item | _Last], all_drawn: Event, working: Future[Result]) -> None:
    """Lay on the belt what is drawn: all, unless the work is over before."""
    last = _Last.CUT_OFF
    try:
        with closing(drawn):
            # one is kept back, so that it is known to be the last one when it is given away
            for item in _kept_back(drawn, all_drawn):
                if working.done():
                    return
                belt.put(item)
        last = _Last.END
    finally:
        belt.put(last)
        if last is _Last.CUT_OFF:
            wait([working])


def _kept_back(items: Iterable[Item], all_drawn: Event) -> Iterator[Item]:
    """Each when the next is there, the last when there is no other."""
    kept: list[Item] = []
    for item in items:
        yield from kept
        kept = [item]
    all_drawn.set()
    yield from kept


def _clear(belt: Queue[Item | _Last]) -> None:
    with suppress(Empty):
        while True:
            belt.get_nowait()
