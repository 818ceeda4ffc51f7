"""What a farm has in hand at one moment: the slots for a renderer, and what waits for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from farm.jobs import views

if TYPE_CHECKING:
    from farm.jobs.store import Books


AWAY = frozenset({"lost", "draining", "sick", "probing", "out"})
"""States of slots that no work can be planned for."""


@dataclass(frozen=True)
class Load:
    """devices: of each slot that offers the renderer. waiting: chunks that are served before a new job's own."""

    devices: tuple[str, ...]
    waiting: int


@dataclass(frozen=True)
class Line:
    """Jobs with waiting chunks that are alike in all that dispatch asks of them. chunks: that wait in it.

    pixels: of a rendered frame, 0 where nobody said. batch: empty for jobs of none.
    """

    renderer: str
    priority: int
    pixels: int
    batch: str
    owner: str
    chunks: int

    @property
    def key(self) -> str:
        """The jobs, by when they were submitted (Unix milliseconds)."""
        return f"farm:line:{self.renderer}:{self.priority}:{self.pixels}:{self.batch}:{self.owner}"


def load_of(books: Books, renderer: str, *, priority: int) -> Load:
    """The slots that render with `renderer` now or soon, and the chunks of jobs at this priority or before it."""
    slots = [slot for slot in views.slot_views(books) if slot.state not in AWAY]
    waiting = sum(line.chunks for line in open_lines(books) if line.renderer == renderer and line.priority <= priority)
    return Load(tuple(slot.device for slot in slots if renderer in slot.renderers), waiting)


def open_lines(books: Books) -> list[Line]:
    """The lines that chunks may leave: all but those of batches that are paused, stopped or cancelled."""
    lines = all_lines(books)
    batches = sorted({line.batch for line in lines if line.batch})
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for batch in batches:
            pipe.hget(f"farm:batch:{batch}", "state")
        shut = {batch for batch, state in zip(batches, pipe.execute(), strict=True) if state not in {None, "open"}}
    return [line for line in lines if line.batch not in shut]


def unplanned_jobs(books: Books) -> Counter[str]:
    """Jobs that wait for their plan, by batch, "" for those of none; of a batch that is not open none does."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        pipe.smembers("farm:planning")
        pipe.zrange("farm:outbox", 0, -1)
        lines, due = pipe.execute()
        batches = [line.partition("/")[0] for line in lines]
        for line, batch in zip(lines, batches, strict=True):
            pipe.hget(f"farm:batch:{batch}", "state")
            pipe.zcard(f"farm:plans:{line}")
        for job in (member.removeprefix("plan/") for member in due if member.startswith("plan/")):
            pipe.hget(f"farm:job:{job}", "batch")
        found = iter(pipe.execute())
    waiting = Counter[str]()
    for batch, state, jobs in zip(batches, found, found, strict=False):
        if state in {None, "open"}:
            waiting[batch] += jobs
    waiting.update(batch or "" for batch in found)
    return waiting


def all_lines(books: Books) -> list[Line]:
    """Every line that somebody stands in, in an order of their own: one read, however many jobs wait."""
    with books.reaching():
        depths = cast("dict[str, str]", books.client.hgetall("farm:depth"))
    return [_line(name, int(chunks)) for name, chunks in sorted(depths.items())]


def _line(name: str, chunks: int) -> Line:
    renderer, priority, pixels, batch, owner = name.split(":", 4)
    return Line(renderer, int(priority), int(pixels), batch, owner, chunks)
