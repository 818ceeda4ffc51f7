"""What a farm has in hand at one moment: the slots for a renderer, and what waits for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.jobs import views

if TYPE_CHECKING:
    from farm.jobs.store import Books


@dataclass(frozen=True)
class Load:
    """devices: of each slot that offers the renderer. waiting: chunks that are served before a new job's own."""

    devices: tuple[str, ...]
    waiting: int


def load_of(books: Books, renderer: str, *, priority: int) -> Load:
    """The slots that render with `renderer` now or soon, and the chunks of jobs at this priority or before it."""
    slots = [slot for slot in views.slot_views(books) if slot.state not in {"lost", "draining"}]
    lines = _lines(books, renderer, priority)
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for line in lines:
            pipe.zrange(line, 0, -1)
        jobs = [job for line in pipe.execute() for job in line]
        for job in jobs:
            pipe.zcard(f"farm:job:{job}:waiting")
        waiting = sum(pipe.execute())
    return Load(tuple(slot.device for slot in slots if renderer in slot.renderers), waiting)


def _lines(books: Books, renderer: str, priority: int) -> list[str]:
    """Keys of the lines that jobs with waiting chunks stand in, one for each priority and owner."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for ahead in range(priority + 1):
            pipe.smembers(f"farm:owners:{renderer}:{ahead}")
        return [
            f"farm:runnable:{renderer}:{ahead}:{owner}"
            for ahead, owners in enumerate(pipe.execute())
            for owner in sorted(owners)
        ]
