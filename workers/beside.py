"""Work on what is drawn, beside its drawing: neither waits for the other as long as the belt between them has room."""

from __future__ import annotations

from concurrent.futures import Executor, Future, wait
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from enum import Enum
from queue import Empty, Queue
from threading import Event
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from farm.logs import for_same_hand

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

Belt: TypeAlias = "Queue[_Laid[Item] | _Nothing]"

AHEAD = 8
"""Items that may lie drawn and not yet worked on: a third of a second of frames."""


class CutOffError(Exception):
    """Raised inside the work when the drawing failed: no more comes, and what came is not all."""


@dataclass(frozen=True)
class _Laid(Generic[Item]):
    """An item on the belt. The last one says so itself: whoever laid it down has nothing more to do here."""

    item: Item
    is_last: bool


class _Nothing(Enum):
    """What lies on the belt where no item does."""

    DRAWN = "nothing was drawn"
    CUT_OFF = "no more will be drawn"


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
        belt: Belt[Item] = Queue(AHEAD)
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

    def _taken(self, belt: Belt[Item], all_drawn: Event) -> Iterator[Item]:
        gave_way = False
        while isinstance(laid := belt.get(), _Laid):
            if all_drawn.is_set() and not gave_way:
                gave_way = True
                self.give_way()
            yield laid.item
            if laid.is_last:
                return
        if laid is _Nothing.CUT_OFF:
            raise CutOffError(laid.value)


def _draw(drawn: Generator[Item], belt: Belt[Item], all_drawn: Event, working: Future[Result]) -> None:
    """Lay on the belt what is drawn: all, unless the work is over before."""
    end: _Laid[Item] | _Nothing = _Nothing.CUT_OFF
    try:
        with closing(drawn):
            kept: _Laid[Item] | None = (
                None  # one is kept back, so that it is known to be the last when it is given away
            )
            for item in drawn:
                if kept is not None:
                    belt.put(kept)
                if working.done():
                    return
                kept = _Laid(item, is_last=False)
        end = _Nothing.DRAWN if kept is None else replace(kept, is_last=True)
        all_drawn.set()
    finally:
        belt.put(end)
        if end is _Nothing.CUT_OFF:
            wait([working])


def _clear(belt: Belt[Item]) -> None:
    with suppress(Empty):
        while True:
            belt.get_nowait()
