"""What the books must know before something of a job is removed from storage, and what they say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from farm.jobs.model import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.jobs.store import Books


@dataclass(frozen=True)
class Standing:
    """A job as far as its removal goes. ended: Unix seconds. current: the version that counts. cleaned: its segments
    were removed.
    """

    state: JobState
    ended: float
    current: int | None
    cleaned: bool


def job_count(books: Books) -> int:
    """Jobs in the books."""
    with books.reaching():
        return int(books.client.zcard("farm:jobs"))


def standings(books: Books, jobs: Sequence[str]) -> dict[str, Standing]:
    """The jobs among these that have ended; and, without a time, those that go on. Unknown ones are left out."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for job in jobs:
            pipe.hmget(f"farm:job:{job}", "state", "ended", "current", "cleaned")
        rows = pipe.execute()
    return {
        job: Standing(
            JobState(state),
            float(ended) / 1000 if ended is not None else 0.0,
            int(current) if current is not None else None,
            cleaned is not None,
        )
        for job, (state, ended, current, cleaned) in zip(jobs, rows, strict=True)
        if state is not None
    }


def is_being_edited(books: Books, job: str) -> bool:
    """Whether a job that has not ended keeps this one's cuts: it may not be planned yet."""
    with books.reaching():
        edits = cast("set[str]", books.client.smembers(f"farm:job:{job}:edits"))
    return any(not edit.state.ended for edit in standings(books, list(edits)).values())


def segments_removed(books: Books, job: str, *, before: float, who: str) -> bool:
    """Let nothing of a job be rendered again; False, and nothing changed, unless it is done since `before`."""
    return bool(books.run("segments_removed", job=job, before=round(1000 * before), who=who)["ok"])


def version_removed(books: Books, job: str, version: int, *, who: str) -> bool:
    """Forget a version; False, and nothing changed, for the current one and while the job goes on."""
    return bool(books.run("version_removed", job=job, version=version, who=who)["ok"])


def forget_job(books: Books, job: str, *, before: float) -> bool:
    """Forget a job, its history and its place in a batch; False, and nothing changed, unless it ended before then."""
    return bool(books.run("forget_job", job=job, before=round(1000 * before))["ok"])
