"""From storage back to the books: every job that they have lost, as it stood, and no finished chunk rendered again.

Segments and results count by their commit, the object written last. Storage is listed once, as a stream, so the number
of jobs does not matter; what the books know is left alone, so it may run at any time, twice, and beside workers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import EngineError
from engine.plan import Plan
from farm import decisions
from farm.decisions import Decision
from farm.errors import NotFoundError, StorageError
from farm.jobs.model import PLAN, STITCH, JobState
from farm.jobs.request import JobRequest
from farm.jobs.standing import Standing
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from farm.jobs.store import Books
    from farm.storage.keys import JobObject
    from farm.storage.s3 import Storage

T = TypeVar("T")


@dataclass(frozen=True)
class Recovered:
    """What a recovery did. known: jobs that the books had; back: jobs that came back, by state; chunks: how many of
    their chunks need not be rendered again; problems: job -> why it could not come back.
    """

    known: int = 0
    back: Mapping[JobState, int] = field(default_factory=dict)
    chunks: int = 0
    problems: Mapping[str, str] = field(default_factory=dict)

    @property
    def jobs(self) -> int:
        """Jobs looked at."""
        return self.known + sum(self.back.values()) + len(self.problems)

    def to_dict(self) -> dict[str, Any]:
        return {
            "jobs": self.jobs,
            "known": self.known,
            "back": dict(self.back),
            "chunks": self.chunks,
            "problems": dict(self.problems),
        }

    def with_back(self, standing: Standing) -> Recovered:
        back = {**self.back, standing.state: self.back.get(standing.state, 0) + 1}
        return replace(self, back=back, chunks=self.chunks + standing.chunks_done)


def recover(books: Books, storage: Storage, *, who: str, on_step: Callable[[Recovered], None]) -> Recovered:
    """Enter every job of the storage that the books do not know. on_step: called after each job.

    A job whose objects cannot be read is named in `problems` and the others go on. Raises UnreachableError when Redis
    or storage does not answer; what came back by then stays.
    """
    so_far = Recovered()
    for kept in _kept_jobs(storage):
        so_far = _recover_job(books, storage, kept, who, so_far)
        on_step(so_far)
    return so_far


def _recover_job(books: Books, storage: Storage, kept: Kept, who: str, so_far: Recovered) -> Recovered:
    if books.knows(kept.job):
        return replace(so_far, known=so_far.known + 1)
    try:
        standing = _standing(storage, kept)
    except (StorageError, NotFoundError, EngineError) as error:
        return replace(so_far, problems={**so_far.problems, kept.job: str(error)})
    if not books.restore(standing, who=who):  # somebody else was quicker
        return replace(so_far, known=so_far.known + 1)
    return so_far.with_back(standing)


@dataclass
class Kept:
    """What the listing tells of a job. segments: the highest finished attempt by chunk; tried: of each unit, the
    highest attempt that left anything; versions: when each result was published, in Unix seconds.
    """

    job: str
    files: set[str] = field(default_factory=set)
    segments: dict[str, str] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    versions: dict[int, float] = field(default_factory=dict)

    def note(self, found: JobObject, modified: float) -> None:
        if found.version is not None:
            self._note_try(STITCH, found.version)
            if found.file == "report.json":
                self.versions[found.version] = modified
        elif found.unit is None or found.attempt is None:
            self.files.add(found.file)
        else:
            self._note_try(found.unit, _number(found.attempt))
            if found.file == "segment.json":
                best = self.segments.get(found.unit, found.attempt)
                self.segments[found.unit] = max(best, found.attempt, key=lambda one: (_number(one), one))

    def _note_try(self, unit: str, number: int) -> None:
        self.tried[unit] = max(number, self.tried.get(unit, 0))


def _number(attempt: str) -> int:
    return int(attempt.split("-")[0])


def _kept_jobs(storage: Storage) -> Iterator[Kept]:
    """Every job with a job.json, by id; keys are listed in order, so a job's stand together."""
    named = ((keys.job_object(item.key), item.modified) for item in storage.list(keys.JOBS))
    objects = ((found, modified) for found, modified in named if found is not None)
    for job, group in groupby(objects, key=lambda pair: pair[0].job):
        kept = Kept(job)
        for found, modified in group:
            kept.note(found, modified)
        if "job.json" in kept.files:
            yield kept


def _standing(storage: Storage, kept: Kept) -> Standing:
    request = _read(storage, keys.job_json(kept.job), JobRequest.from_dict)
    fields: dict[str, str | int | float] = {**request.book_fields(), "submitted": _ms(request.submitted)}
    if kept.versions:  # a result beats any decision: what is done cannot be cancelled
        return _done(storage, kept, fields)
    fields |= _decided(storage, kept)
    tried = kept.tried
    done: dict[str, str] = {}
    state = JobState.PLANNING
    if "plan.json" in kept.files:
        plan = _read(storage, keys.plan_json(kept.job), Plan.from_dict)
        fields |= {"frames25": plan.frames25, "chunks": len(plan.chunks)}
        done = {unit: kept.segments[unit] for unit in map(str, range(len(plan.chunks))) if unit in kept.segments}
        state = JobState.STITCHING if len(done) == len(plan.chunks) else JobState.QUEUED
        done[PLAN] = _by_recovery(tried.get(PLAN, 1))
        # a result is written under its attempt's number: one that is still being written now must stay alone there
        tried = {**tried, STITCH: tried.get(STITCH, 0) + 1}
    if "error_code" in fields:
        state = JobState.CANCELLED
    return Standing(job=kept.job, state=state, fields=fields, done=done, tried=tried)


def _done(storage: Storage, kept: Kept, fields: dict[str, str | int | float]) -> Standing:
    """A job with a result: done are the attempts which the newest result accepted, still there or removed since."""
    version = max(kept.versions)
    facts, done = _read(storage, keys.result(kept.job, version, "report.json"), _reported)
    fields |= facts | {
        "versions": json.dumps(sorted(kept.versions)),
        "result": keys.result(kept.job, version, "video.mp4"),
        "ended": _ms(kept.versions[version]),
    }
    done |= {PLAN: _by_recovery(kept.tried.get(PLAN, 1)), STITCH: _by_recovery(version)}
    return Standing(job=kept.job, state=JobState.DONE, fields=fields, done=done, tried=kept.tried)


def _reported(report: dict[str, Any]) -> tuple[dict[str, str | int], dict[str, str]]:
    """A report's facts for the books, and the attempt it accepted of each chunk."""
    segments = report["segments"]
    facts = {"frames25": report["frames25"], "chunks": len(segments), "digest": report["digest"]}
    return facts, {str(accepted["chunk"]): accepted["attempt"] for accepted in segments}


def _decided(storage: Storage, kept: Kept) -> dict[str, str | int]:
    """What people decided about the job, as fields of the books."""
    fields: dict[str, str | int] = {}
    for name in decisions.KINDS:
        if f"{name}.json" not in kept.files:
            continue
        found = _read(storage, keys.decision(kept.job, name), Decision.from_dict)
        if name == "pause":
            fields["paused"] = 1
        elif name == "priority" and found.value is not None:
            fields["priority"] = found.value
        elif name == "cancel":
            fields |= {"error_code": "cancelled", "error_message": f"cancelled by {found.who}", "ended": _ms(found.at)}
    return fields


def _read(storage: Storage, key: str, parse: Callable[[dict[str, Any]], T]) -> T:
    data = storage.get_json(key)
    try:
        return parse(data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{storage.address(key)} is not what the farm writes there: {error!r}") from error


def _by_recovery(number: int) -> str:
    return f"{number}-recovered"


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
