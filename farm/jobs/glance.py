"""A farm at one glance: slots, what waits and runs, how fast, what failed; from indexes, never job by job."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from farm.jobs.batches import batch_ids, batch_row
from farm.jobs.health import storage_pause
from farm.jobs.lately import in_hand, late_failures, rates
from farm.jobs.model import UnitState
from farm.jobs.tallies import tallies
from farm.jobs.views import cpu_workers, job_view, slot_views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.jobs.batches import BatchRow
    from farm.jobs.health import StoragePause
    from farm.jobs.lately import InHand, LateFailure, Rates
    from farm.jobs.model import JobView, SlotView
    from farm.jobs.store import Books
    from farm.jobs.tallies import Line

MOST_JOBS, MOST_BATCHES = 12, 8
"""That are shown: of each job in hand all chunks are read."""
BATCHES_LOOKED_AT = 50
"""The newest ones, of which those that go on are shown first."""


@dataclass(frozen=True)
class Queue:
    """Chunks of an owner that wait at a priority. oldest: seconds since the oldest of their jobs was submitted."""

    owner: str
    priority: int
    chunks: int
    oldest: float


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """A job of which something is in hand."""

    id: str
    name: str
    owner: str
    state: str
    percent: float
    done: int
    chunks: int
    seconds_left: float | None


@dataclass(frozen=True, kw_only=True)
class Glance:
    """All of it. at: the books' clock, Unix seconds. slots: each with what it has in hand. running: how many jobs have
    something in hand, of which jobs has the first. units: as tallies has them. sweeper_age: seconds, None before the
    first look. batches: those that go on before those that have ended.
    """

    at: float
    slots: tuple[tuple[SlotView, InHand], ...]
    cpu_workers: int
    rates: Rates
    queue: tuple[Queue, ...]
    units: Mapping[str, int]
    running: int
    jobs: tuple[RunningJob, ...]
    batches: tuple[BatchRow, ...]
    failures: tuple[LateFailure, ...]
    storage_paused: StoragePause | None
    sweeper_age: float | None

    def to_dict(self) -> dict[str, Any]:
        """What `farm top --json` prints."""
        batches = [row.to_dict() for row in self.batches]
        return {**asdict(self), "slots": [{**slot.to_dict(), **asdict(work)} for slot, work in self.slots]} | {
            "batches": batches
        }


def glance(books: Books) -> Glance:
    """Short questions about each slot, each line and what is shown; none about other jobs, however many there are."""
    counted, slots = tallies(books), slot_views(books)
    running = _running(books, slots)
    return Glance(
        at=counted.at,
        slots=tuple(zip(slots, in_hand(books, slots), strict=True)),
        cpu_workers=len(cpu_workers(books)),
        rates=rates(books),
        queue=_queue(counted.lines),
        units=counted.units,
        running=len(running),
        jobs=tuple(_job(job_view(books, job)) for job in running[:MOST_JOBS]),
        batches=_batches(books),
        failures=tuple(late_failures(books)),
        storage_paused=storage_pause(books),
        sweeper_age=counted.sweeper_age,
    )


def _queue(lines: Sequence[Line]) -> tuple[Queue, ...]:
    """By priority, then by what waits; an owner's lines of one priority in one."""
    alike: dict[tuple[str, int], list[Line]] = defaultdict(list)
    for line in lines:
        alike[line.owner, line.priority].append(line)
    rows = (
        Queue(owner, priority, sum(line.chunks for line in of), max(line.age for line in of))
        for (owner, priority), of in alike.items()
    )
    return tuple(sorted(rows, key=lambda row: (row.priority, -row.chunks, row.owner)))


def _running(books: Books, slots: Sequence[SlotView]) -> list[str]:
    """Jobs of which a slot or a cpu worker has something in hand, oldest first."""
    with books.reaching():
        leased = cast("list[str]", books.client.zrange("farm:leases", 0, -1))
    return sorted({member.partition("/")[0] for member in leased} | {slot.job for slot in slots if slot.job})


def _job(view: JobView) -> RunningJob:
    return RunningJob(
        id=view.id,
        name=view.name,
        owner=view.owner,
        state=view.state,
        percent=view.percent,
        done=sum(chunk.state is UnitState.DONE for chunk in view.chunks),
        chunks=len(view.chunks),
        seconds_left=view.seconds_left,
    )


def _batches(books: Books) -> tuple[BatchRow, ...]:
    rows = [batch_row(books, batch) for batch in batch_ids(books)[:BATCHES_LOOKED_AT]]
    return tuple(sorted(rows, key=lambda row: row.total == row.ended)[:MOST_BATCHES])
