"""From storage back to the books: all jobs and batches that they lost, as they stood; no finished chunk is made again.

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
from engine.spec import Redraw
from farm import decisions
from farm.batch.decided import restore_decisions, restore_releases
from farm.batch.kept import restore_batches
from farm.decisions import Decision
from farm.errors import NotFoundError, StorageError
from farm.jobs.model import PLAN, STITCH, JobState
from farm.jobs.redo import Drawn, Redo, decided_last
from farm.jobs.request import JobRequest
from farm.jobs.standing import Accepted, Published, Standing
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from farm.jobs.store import Books
    from farm.storage.keys import JobObject
    from farm.storage.s3 import ObjectInfo, Storage

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


def recover(
    books: Books, storage: Storage, *, who: str, on_step: Callable[[Recovered], None], prefix: str = keys.JOBS
) -> Recovered:
    """Enter every job of the storage that the books do not know. on_step: called after each job. prefix: of the keys
    that are looked at.

    A job whose objects cannot be read is named in `problems` and the others go on. Raises UnreachableError when Redis
    or storage does not answer; what came back by then stays.
    """
    so_far = Recovered()
    if prefix == keys.JOBS:
        for batch in restore_batches(books, storage):  # before their jobs: those of a paused one must not begin
            restore_decisions(books, storage, batch)
    for kept in _kept_jobs(storage, prefix):
        so_far = _recover_job(books, storage, kept, who, so_far)
        on_step(so_far)
    if prefix == keys.JOBS:
        restore_releases(books, storage)
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
    """What the listing tells of a job. segments: the finished attempts by chunk; tried: of each unit, the highest
    attempt that left anything; versions: when each result was published, in Unix seconds; redos: the keys of all;
    rollbacks: the number of each, when it was decided, its key.
    """

    job: str
    files: set[str] = field(default_factory=set)
    segments: dict[str, list[str]] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    versions: dict[int, float] = field(default_factory=dict)
    redos: list[str] = field(default_factory=list)
    rollbacks: list[tuple[int, float, str]] = field(default_factory=list)

    def note(self, found: JobObject, item: ObjectInfo) -> None:
        if found.version is not None:
            self._note_try(STITCH, found.version)
            if found.file == "report.json":
                self.versions[found.version] = item.modified
        elif found.redone is not None:
            self.redos.append(item.key)
        elif found.rollback is not None:
            self.rollbacks.append((found.rollback, item.modified, item.key))
        elif found.unit is None or found.attempt is None:
            self.files.add(found.file)
        else:
            self._note_try(found.unit, _number(found.attempt))
            if found.file == "segment.json":
                self.segments.setdefault(found.unit, []).append(found.attempt)

    @property
    def rollback(self) -> int:
        """The number of the last rollback, 0 for none."""
        return max(self.rollbacks)[0] if self.rollbacks else 0

    def finished(self, unit: str) -> list[str]:
        """A chunk's finished attempts, the newest first."""
        return sorted(self.segments.get(unit, ()), key=lambda attempt: (_number(attempt), attempt), reverse=True)

    def _note_try(self, unit: str, number: int) -> None:
        self.tried[unit] = max(number, self.tried.get(unit, 0))


def _number(attempt: str) -> int:
    return int(attempt.split("-")[0])


def _kept_jobs(storage: Storage, prefix: str) -> Iterator[Kept]:
    """Every job with a job.json, unless it is being removed; keys are listed in order, so a job's stand together."""
    named = ((keys.job_object(item.key), item) for item in storage.list(prefix))
    objects = ((found, item) for found, item in named if found is not None)
    for job, group in groupby(objects, key=lambda pair: pair[0].job):
        kept = Kept(job)
        for found, item in group:
            kept.note(found, item)
        if "job.json" in kept.files and keys.FORGOTTEN not in kept.files:
            yield kept


@dataclass(frozen=True)
class Past:
    """A job's results and redos. current: the result that counts. pending: by chunk, the redo that none of them has."""

    versions: tuple[Published, ...]
    current: Published | None
    pending: dict[str, Redo]
    drawn: dict[str, Drawn]
    stitches: int

    @classmethod
    def of(cls, storage: Storage, kept: Kept) -> Past:
        versions = tuple(_published(storage, kept, number) for number in sorted(kept.versions))
        redos = sorted(
            decided_last(_read(storage, key, Redo.from_dict) for key in kept.redos), key=lambda redo: redo.number
        )
        settled = max([kept.rollback, *kept.versions])
        pending = {str(redo.chunk): redo for redo in redos if redo.after >= settled}
        current = _current(storage, kept, versions)
        drawn = {str(redo.chunk): Drawn(redo.number, redo.left, redo.redraw) for redo in redos}
        for chunk, segment in enumerate(current.segments if current else ()):
            if (unit := str(chunk)) not in pending and (unit in drawn or segment.redraw):
                drawn[unit] = replace(drawn.get(unit, Drawn()), redraw=segment.redraw)
        stitches = max([kept.tried.get(STITCH, 0), settled, *(redo.after for redo in redos)])
        return cls(versions, current, pending, drawn, stitches)

    def attempt(self, storage: Storage, kept: Kept, unit: str) -> str | None:
        """The finished attempt of a chunk that counts; None where it must be rendered."""
        if (redo := self.pending.get(unit)) is not None:
            return next((one for one in kept.finished(unit) if _redraw(storage, kept, unit, one) == redo.redraw), None)
        if self.current is not None:
            return self.current.segments[int(unit)].attempt
        return next(iter(kept.finished(unit)), None)


def _standing(storage: Storage, kept: Kept) -> Standing:
    request = _read(storage, keys.job_json(kept.job), JobRequest.from_dict)
    fields: dict[str, str | int | float] = {**request.book_fields(), "submitted": _ms(request.submitted)}
    past = Past.of(storage, kept)
    if past.versions:
        fields["versions"] = json.dumps([version.number for version in past.versions])
    if keys.CLEANED in kept.files:  # there is nothing left to render a redo into
        fields["cleaned"], past = 1, replace(past, pending={})
    if past.current is not None and not past.pending:  # it beats any decision to stop: what is done is not cancelled
        return _done(kept, past, past.current, fields)
    return _unfinished(storage, kept, past, fields)


def _unfinished(storage: Storage, kept: Kept, past: Past, fields: dict[str, str | int | float]) -> Standing:
    fields |= _decided(storage, kept)
    state, tried, units, done = JobState.PLANNING, kept.tried, [], {}
    if "plan.json" in kept.files:
        plan = _read(storage, keys.plan_json(kept.job), Plan.from_dict)
        fields |= {"frames25": plan.frames25, "chunks": len(plan.chunks)}
        units = [str(chunk) for chunk in range(len(plan.chunks))]
        done = {unit: attempt for unit in units if (attempt := past.attempt(storage, kept, unit)) is not None}
        state = JobState.STITCHING if len(done) == len(units) else JobState.QUEUED
        done[PLAN] = _by_recovery(kept.tried.get(PLAN, 1))
        # a result is written under its attempt's number: one that is still being written now must stay alone there
        tried = {**kept.tried, STITCH: past.stitches + 1}
    if "error_code" in fields:
        state = JobState.CANCELLED
    return Standing(
        job=kept.job,
        state=state,
        fields=fields,
        done=done,
        shown={unit: past.current.segments[int(unit)].attempt for unit in units} if past.current else {},
        tried=tried,
        drawn=past.drawn,
        versions=past.versions,
        current=past.current.number if past.current else None,
    )


def _done(kept: Kept, past: Past, current: Published, fields: dict[str, str | int | float]) -> Standing:
    """A job with a result: done are the attempts which it accepted, still there or removed since."""
    fields |= {"frames25": current.frames25, "chunks": len(current.segments), "ended": _ms(current.at)}
    done = {str(chunk): segment.attempt for chunk, segment in enumerate(current.segments)}
    done |= {PLAN: _by_recovery(kept.tried.get(PLAN, 1)), STITCH: _by_recovery(past.stitches)}
    return Standing(
        job=kept.job,
        state=JobState.DONE,
        fields=fields,
        done=done,
        tried=kept.tried,
        drawn=past.drawn,
        versions=past.versions,
        current=current.number,
    )


def _published(storage: Storage, kept: Kept, number: int) -> Published:
    def parse(report: dict[str, Any]) -> Published:
        return Published(
            number=number,
            at=kept.versions[number],
            result=keys.result(kept.job, number, "video.mp4"),
            digest=report["digest"],
            frames25=report["frames25"],
            segments=tuple(Accepted(found["attempt"], _redraw_of(found)) for found in report["segments"]),
            review=tuple(report.get("needs_review", ())),
        )

    return _read(storage, keys.result(kept.job, number, "report.json"), parse)


def _current(storage: Storage, kept: Kept, versions: tuple[Published, ...]) -> Published | None:
    """The newest version, unless an older one was made the current one after it.

    A rollback takes the number of an attempt at the stitch: with a version of that number, the books never heard of it.
    """
    if not versions or kept.rollback <= versions[-1].number:
        return versions[-1] if versions else None
    *_, key = max(kept.rollbacks)
    wanted = _read(storage, key, Decision.from_dict).value
    found = next((version for version in versions if version.number == wanted), None)
    if found is None:
        raise StorageError(f"{storage.address(key)} names version {wanted}, which is not there")
    return found


def _redraw(storage: Storage, kept: Kept, unit: str, attempt: str) -> Redraw | None:
    return _read(storage, keys.segment(kept.job, int(unit), attempt, "segment.json"), _redraw_of)


def _redraw_of(segment: dict[str, Any]) -> Redraw | None:
    return Redraw(**segment["redraw"]) if segment.get("redraw") else None


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
