"""What a farm has in hand at one moment: the slots for a renderer, and what waits for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from farm.jobs import views
from farm.jobs.policy import policy_of

if TYPE_CHECKING:
    from farm.jobs.store import Books


AWAY = frozenset({"lost", "draining", "sick", "probing", "out"})
"""States of slots that no work can be planned for."""
URGENCY = 2**42
"""What a priority weighs in the score of a job that waits for its plan, as plan_due in prelude.lua has it."""


@dataclass(frozen=True)
class Load:
    """What a new job finds. devices: of each slot that could render it. waiting: chunks that are served before its own,
    and of them `own` its owner's.

    in_hand: chunks that slots with its renderer have begun or take next. unplanned: other jobs that wait for their
    plan, of which nobody knows the chunks. limit: slots that its owner uses at once, None for all. too_small: devices
    of slots with its renderer that have no memory for its frames; what comes before it may go there.
    """

    devices: tuple[str, ...]
    waiting: int
    own: int = 0
    in_hand: int = 0
    unplanned: int = 0
    limit: int | None = None
    too_small: tuple[str, ...] = ()

    @property
    def usable(self) -> tuple[str, ...]:
        """Devices of the slots that render it at once: idle ones are chosen by name."""
        return self.devices[: self.limit]


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


def load_of(
    books: Books, renderer: str, *, priority: int, pixels: int = 0, owner: str | None = None, job: str = ""
) -> Load:
    """What a job finds: slots that render with `renderer` now or soon, chunks and jobs at its priority or before it.

    pixels: of a rendered frame, 0 where nobody said. owner: None for several. job: the one that asks, if it is in the
    books.
    """
    slots = [slot for slot in views.slot_views(books) if slot.state not in AWAY and renderer in slot.renderers]
    lines = [line for line in open_lines(books) if line.renderer == renderer and line.priority <= priority]
    return Load(
        devices=tuple(slot.device for slot in slots if slot.takes(pixels)),
        waiting=sum(line.chunks for line in lines),
        own=sum(line.chunks for line in lines if line.owner == owner),
        in_hand=sum(slot.in_hand for slot in slots),
        unplanned=unplanned_jobs(books, priority=priority, but=job).total(),
        limit=None if owner is None else policy_of(books).limit(owner),
        too_small=tuple(slot.device for slot in slots if not slot.takes(pixels)),
    )


def open_lines(books: Books) -> list[Line]:
    """The lines that chunks may leave: all but those of batches that are paused, stopped or cancelled."""
    lines = all_lines(books)
    batches = sorted({line.batch for line in lines if line.batch})
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for batch in batches:
            pipe.hget(f"farm:batch:{batch}", "state")
        shut = {batch for batch, state in zip(batches, pipe.execute(), strict=True) if state not in {None, "open"}}
    return [line for line in lines if line.batch not in shut]


def unplanned_jobs(books: Books, *, priority: int, but: str = "") -> Counter[str]:
    """Jobs at this priority or before it that wait for their plan, by batch, "" for those of none; of a batch that is
    not open none does, and none that was tried and put back: it may wait for ever. but: a job that does not count.
    """
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        pipe.smembers("farm:planning")
        pipe.zrange("farm:outbox", 0, -1)
        lines, due = pipe.execute()
        batches = [line.partition("/")[0] for line in lines]
        for line, batch in zip(lines, batches, strict=True):
            pipe.hget(f"farm:batch:{batch}", "state")
            pipe.zcount(f"farm:plans:{line}", "-inf", f"({(priority + 1) * URGENCY}")
        for job in (member.removeprefix("plan/") for member in due if member.startswith("plan/")):
            if job != but:
                pipe.hmget(f"farm:job:{job}", "batch", "priority")
                pipe.hget(f"farm:job:{job}:u:plan", "outages")
        found = iter(pipe.execute())
    waiting = Counter[str]()
    for batch, state, jobs in zip(batches, found, found, strict=False):
        if state in {None, "open"}:
            waiting[batch] += jobs
    waiting.update(
        batch or ""
        for (batch, of_job), outages in zip(found, found, strict=True)
        if of_job is not None and int(of_job) <= priority and not outages
    )
    return waiting


def all_lines(books: Books) -> list[Line]:
    """Every line that somebody stands in, in an order of their own: one read, however many jobs wait."""
    with books.reaching():
        depths = cast("dict[str, str]", books.client.hgetall("farm:depth"))
    return [line_of(name, int(chunks)) for name, chunks in sorted(depths.items())]


def line_of(name: str, chunks: int) -> Line:
    """A line by its name in the books, renderer:priority:pixels:batch:owner; only an owner may have a colon in it."""
    renderer, priority, pixels, batch, owner = name.split(":", 4)
    return Line(renderer, int(priority), int(pixels), batch, owner, chunks)
