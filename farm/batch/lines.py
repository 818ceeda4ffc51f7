"""The rows of a batch, read from the books a page at a time."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from engine.spec import FRAME_RATE
from farm.jobs import views
from farm.jobs.batches import batch_jobs
from farm.jobs.model import Finding, JobState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.jobs.batches import BatchRow
    from farm.jobs.store import Books

_FIELDS = (
    "name", "state", "row", "held", "paused", "frames25", "chunks", "done", "needs_review", "current", "result",
    "error_message", "taken",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RowView:
    """A row that is a job. seconds: of video, None until it is planned. taken: chunks that were rendered before.
    reason: why it failed or was cancelled.
    """

    row: int
    job: str
    name: str
    state: JobState
    held: bool
    paused: bool
    percent: float
    seconds: float | None
    taken: int
    result: str | None
    review: tuple[Finding, ...]
    reason: str | None

    @property
    def wrong(self) -> bool:
        """Whether a person should look at it."""
        return self.state is JobState.FAILED or bool(self.review)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def row_views(books: Books, jobs: Sequence[str]) -> tuple[RowView, ...]:
    """Rows by their jobs' ids, in two questions however many there are; those that are gone are left out."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for job in jobs:
            pipe.hmget(f"farm:job:{job}", *_FIELDS)
        found = [dict(zip(_FIELDS, values, strict=True)) for values in pipe.execute()]
        for job, fields in zip(jobs, found, strict=True):
            if fields["needs_review"] == "1":
                pipe.hget(f"farm:job:{job}:v:{fields['current']}", "review")
        reviews = iter(pipe.execute())
    return tuple(
        _row_view(job, fields, next(reviews) if fields["needs_review"] == "1" else None)
        for job, fields in zip(jobs, found, strict=True)
        if fields["state"]
    )


@dataclass(frozen=True)
class Fact:
    """What decisions about many rows need to know of each."""

    job: str
    row: int
    state: JobState
    held: bool


def facts(books: Books, batch: str) -> Iterator[Fact]:
    """Every row that is a job, in order; read a page at a time."""
    for page in _pages(batch_jobs(books, batch)):
        with books.reaching(), books.client.pipeline(transaction=False) as pipe:
            for job in page:
                pipe.hmget(f"farm:job:{job}", "row", "state", "held")
            found = pipe.execute()
        for job, (row, state, held) in zip(page, found, strict=True):
            if state:
                yield Fact(job, int(row or 0), JobState(state), held == "1")


def jobs_of_rows(books: Books, batch: str, first: int, last: int) -> list[str]:
    """The jobs of rows numbered from `first` to `last`, both in, in order."""
    with books.reaching():
        return cast("list[str]", books.client.zrangebyscore(f"farm:batch:{batch}:jobs", first, last))


def all_rows(books: Books, batch: str) -> Iterator[RowView]:
    """Every row that is a job, in order, read a page at a time."""
    for page in _pages(batch_jobs(books, batch)):
        yield from row_views(books, page)


_WRONG = """
local found = {}
for _, job in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2])) do
  local fields = redis.call('HMGET', 'farm:job:' .. job, 'state', 'needs_review')
  if fields[1] == 'failed' or fields[2] == '1' then found[#found + 1] = job end
end
return found
"""
"""Jobs of a page that failed or need review: found where they are, so that a batch of thousands is not read for ten."""


def wrong_rows(books: Books, row: BatchRow, *, most: int) -> tuple[RowView, ...]:
    """The first rows that failed or need review; nothing is looked for where the counters name none."""
    wanted = min(most, row.counts[JobState.FAILED] + row.needs_review)
    found: list[str] = []
    for start in range(0, row.total, views.PAGE):
        if len(found) >= wanted:
            break
        with books.reaching():
            key, stop = f"farm:batch:{row.id}:jobs", start + views.PAGE - 1
            found += cast("list[str]", books.client.eval(_WRONG, 1, key, str(start), str(stop)))
    return row_views(books, found[:wanted])


def spread_rows(books: Books, row: BatchRow, *, most: int) -> tuple[RowView, ...]:
    """At most so many rows, evenly spread over the batch; all of a smaller one."""
    step = max(1, -(-row.total // most))
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for place in range(0, row.total, step):
            pipe.zrange(f"farm:batch:{row.id}:jobs", place, place)
        return row_views(books, [job for page in pipe.execute() for job in page])


def _pages(jobs: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(jobs), views.PAGE):
        yield jobs[start : start + views.PAGE]


def _row_view(job: str, fields: dict[str, str | None], review: str | None) -> RowView:
    frames25, chunks = fields["frames25"], int(fields["chunks"] or 0)
    state = JobState(fields["state"] or "")
    done = int(fields["done"] or 0) / chunks if chunks else 0.0
    return RowView(
        row=int(fields["row"] or 0),
        job=job,
        name=fields["name"] or "",
        state=state,
        held=fields["held"] == "1",
        paused=fields["paused"] == "1",
        percent=100.0 if state is JobState.DONE else round(100 * done * views.RENDERED_SHARE, 1),
        seconds=int(frames25) / FRAME_RATE if frames25 else None,
        taken=int(fields["taken"] or 0),
        result=fields["result"],
        review=tuple(Finding(**one) for one in json.loads(review or "[]")),
        reason=fields["error_message"],
    )
