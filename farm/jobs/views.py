"""What the books say, read and never written: jobs, slots, history."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from engine.renderer import BUILT_IN
from engine.spec import FRAME_RATE
from farm.errors import NotFoundError
from farm.jobs import speeds
from farm.jobs.model import (
    STITCH,
    AttemptView,
    ChunkView,
    Event,
    Failure,
    Finding,
    JobState,
    JobView,
    SlotView,
    UnitState,
    VersionView,
)
from farm.jobs.redo import AUTOMATIC_REDOS, Drawn, redraw_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from farm.jobs.store import Books

PAGE = 500
"""Jobs that are read in one go."""
STITCHING = speeds.Work(STITCH, "cpu")
LEAST_RENDERED = 0.02
"""Chunks that must be rendered before their speed says anything."""
PLANNED_SHARE, RENDERED_SHARE = 0.02, 0.95
"""Shares of a job's progress that lie before rendering begins and before stitching begins."""


def job_ids(books: Books, *, owner: str | None = None, state: str | None = None) -> Iterator[str]:
    """Job ids, newest first, read a page at a time."""
    for start in count(0, PAGE):
        with books.reaching(), books.client.pipeline(transaction=False) as pipe:
            page = cast("list[str]", books.client.zrevrange("farm:jobs", start, start + PAGE - 1))
            for job in page:
                pipe.hmget(f"farm:job:{job}", "owner", "state")
            facts = pipe.execute()
        for job, (of_owner, of_state) in zip(page, facts, strict=True):
            if owner in {None, of_owner} and state in {None, of_state}:
                yield job
        if len(page) < PAGE:
            return


def job_fields(books: Books, job: str) -> dict[str, str]:
    """A job's own row in the books; raises NotFoundError."""
    with books.reaching():
        fields = cast("dict[str, str]", books.client.hgetall(f"farm:job:{job}"))
    if not fields:
        raise NotFoundError(f"job {job!r} is not in the books")
    return fields


def warnings_of(fields: dict[str, str]) -> tuple[str, ...]:
    """What preflight warned of."""
    return tuple(json.loads(fields.get("warnings", "[]")))


def job_view(books: Books, job: str) -> JobView:
    """A job with its chunks and attempts, as people see it."""
    fields = job_fields(books, job)
    count, current = int(fields.get("chunks", 0)), fields.get("current")
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for unit in ("plan", "stitch", *range(count)):
            pipe.hgetall(f"farm:job:{job}:u:{unit}")
        pipe.hget(f"farm:job:{job}:v:{current}", "review")
        pipe.hget(speeds.KEY, speeds.field_of(STITCHING))
        pipe.lrange(f"farm:job:{job}:attempts", 0, -1)
        pipe.time()
        *units, review, stitching, attempts, (seconds, micros) = pipe.execute()
    now = seconds + micros / 1e6
    ended = tuple(map(_ended, attempts))
    taken = {(attempt.unit, attempt.number): attempt.taken_from for attempt in ended if attempt.taken_from}
    chunks = tuple(_chunk_view(index, unit, taken) for index, unit in enumerate(units[2:]))
    running = tuple(
        _running(name, unit)
        for name, unit in zip(("plan", "stitch", *map(str, range(count))), units, strict=True)
        if unit.get("state") == UnitState.RENDERING
    )
    state = JobState(fields["state"])
    planned, stitched = (float(unit.get("percent", 0)) / 100 for unit in units[:2])
    share = _share(state, chunks, planned, stitched)
    frames25 = int(fields["frames25"]) if "frames25" in fields else None
    stitch_seconds = None
    if frames25 is not None and stitching is not None and not state.ended:
        stitch_seconds = round(speeds.speed_from(stitching).pace * frames25 / FRAME_RATE * (1 - stitched), 1)
    paused, renderer = fields.get("paused") == "1", fields["renderer"]
    return JobView(
        id=job,
        state=state,
        name=fields["name"],
        owner=fields["owner"],
        renderer=renderer,
        priority=int(fields["priority"]),
        paused=paused,
        needs_review=fields.get("needs_review") == "1",
        submitted=float(fields["submitted"]) / 1000,
        started=_seconds(fields.get("started")),
        ended=_seconds(fields.get("ended")),
        frames25=frames25,
        percent=round(100 * share, 1),
        seconds_left=None if state.ended or paused else _seconds_left(chunks, ended + running, stitch_seconds, now),
        chunks=chunks,
        attempts=ended + running,
        versions=tuple(json.loads(fields.get("versions", "[]"))),
        result=fields.get("result"),
        digest=fields.get("digest"),
        error=Failure(fields["error_code"], fields["error_message"]) if "error_code" in fields else None,
        current=int(current) if current is not None else None,
        review=_findings(review),
        licence=BUILT_IN[renderer].licence if renderer in BUILT_IN else "",
        warnings=warnings_of(fields),
        rendered=int(fields.get("rendered", 0)),
        stitch_seconds=stitch_seconds,
    )


def accepted_attempts(books: Books, job: str, chunks: int) -> list[str]:
    """For each chunk the attempt whose segment counts: the one recorded last, or that of the version rolled back to."""
    return [cast("str", accepted) for (accepted,) in _of_chunks(books, job, chunks, "accepted")]


def done_attempts(books: Books, job: str, chunks: Iterable[int]) -> dict[int, str]:
    """Of these chunks those that are done, with the attempt whose segment counts; none where no more are to come."""
    asked = list(chunks)
    with books.reaching(), books.client.pipeline() as pipe:  # one moment: the last chunk ends the rendering
        pipe.hget(f"farm:job:{job}", "state")
        for chunk in asked:
            pipe.hmget(f"farm:job:{job}:u:{chunk}", "state", "accepted")
        of_job, *found = pipe.execute()
    if of_job not in {JobState.QUEUED, JobState.RENDERING}:
        return {}
    return {chunk: accepted for chunk, (state, accepted) in zip(asked, found, strict=True) if state == UnitState.DONE}


def drawn_anew(books: Books, job: str, chunks: int) -> list[Drawn]:
    """For each chunk how often it was redone and what it is drawn anew by."""
    return [
        Drawn(int(number or 0), AUTOMATIC_REDOS if left is None else int(left), redraw_from(redraw))
        for number, left, redraw in _of_chunks(books, job, chunks, "redo", "left", "redraw")
    ]


def stitch_attempts(books: Books, job: str) -> int:
    """The number of the job's last stitch attempt, 0 where there was none."""
    with books.reaching():
        return int(cast("str | None", books.client.hget(f"farm:job:{job}:u:stitch", "attempt")) or 0)


def versions(books: Books, job: str) -> list[VersionView]:
    """A job's results, oldest first."""
    fields = job_fields(books, job)
    numbers = json.loads(fields.get("versions", "[]"))
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for number in numbers:
            pipe.hmget(f"farm:job:{job}:v:{number}", "at", "result", "digest", "review")
        rows = pipe.execute()
    return [
        VersionView(
            number=number,
            at=float(at) / 1000,
            current=str(number) == fields["current"],
            result=result,
            digest=digest,
            review=_findings(review),
        )
        for number, (at, result, digest, review) in zip(numbers, rows, strict=True)
    ]


def _of_chunks(books: Books, job: str, chunks: int, *fields: str) -> list[list[str | None]]:
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for chunk in range(chunks):
            pipe.hmget(f"farm:job:{job}:u:{chunk}", *fields)
        return pipe.execute()


def _findings(review: str | None) -> tuple[Finding, ...]:
    return tuple(Finding(**found) for found in json.loads(review or "[]"))


def events(books: Books, job: str) -> list[Event]:
    """A job's history, oldest first."""
    job_fields(books, job)
    with books.reaching():
        lines = cast("list[str]", books.client.lrange(f"farm:job:{job}:events", 0, -1))
    return [Event(*json.loads(line)) for line in lines]


def slot_views(books: Books) -> list[SlotView]:
    """Every slot that the books list, by name: one that went silent is lost, and after an hour forgotten."""
    with books.reaching():
        seen = cast("list[tuple[str, float]]", books.client.zrange("farm:slots", 0, -1, withscores=True))
        with books.client.pipeline(transaction=False) as pipe:
            for name, _ in seen:
                pipe.hgetall(f"farm:slot:{name}")
            pipe.time()
            *rows, (seconds, micros) = pipe.execute()
    now_ms = seconds * 1000 + micros / 1000
    return sorted(
        (_slot_view(name, at, row, now_ms) for (name, at), row in zip(seen, rows, strict=True)),
        key=lambda slot: slot.name,
    )


def cpu_workers(books: Books, *, within_seconds: float = 30) -> list[str]:
    """Names of the cpu workers that showed themselves lately."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        pipe.zrange("farm:cpus", 0, -1, withscores=True)
        pipe.time()
        seen, (seconds, _) = pipe.execute()
    return [name for name, at in seen if at > (seconds - within_seconds) * 1000]


def slot_state(said: str, holds: str | None, *, silent_ms: float, ttl_ms: float) -> str:
    """What a slot does. said: what it reported. ttl_ms: how long it may be silent."""
    if silent_ms >= ttl_ms:
        return "lost"
    if said == "ready":
        return "busy" if holds else "idle"
    return said


def _slot_view(name: str, seen_ms: float, row: dict[str, Any], now_ms: float) -> SlotView:
    job, _, chunk = row.get("holds", "").partition("/")
    return SlotView(
        name=name,
        host=row["host"],
        device=row["device"],
        visible_devices=row["visible_devices"],
        memory_mb=int(row["memory_mb"]) if "memory_mb" in row else None,
        renderers=tuple(json.loads(row["renderers"])),
        state=slot_state(row["state"], row.get("holds"), silent_ms=now_ms - seen_ms, ttl_ms=float(row["ttl_ms"])),
        pid=int(row["pid"]),
        seen=seen_ms / 1000,
        job=job or None,
        chunk=int(chunk) if chunk else None,
        loads=int(row.get("loads", 0)),
        load_seconds=float(row.get("load_seconds", 0)),
        makers=json.loads(row.get("makers", "{}")),
        why_out=row.get("why_out"),
        most_pixels=int(row["most_pixels"]) if "most_pixels" in row else None,
        in_hand=sum(place in row for place in ("holds", "next")),
    )


def _chunk_view(index: int, unit: dict[str, str], taken: Mapping[tuple[str, int], str]) -> ChunkView:
    accepted = int(unit.get("accepted", "0").partition("-")[0])
    return ChunkView(
        index=index,
        state=UnitState(unit.get("state", UnitState.WAITING)),
        slot=unit.get("slot"),
        percent=float(unit.get("percent", 0)),
        attempts=int(unit.get("attempt", 0)),
        taken_from=taken.get((str(index), accepted)),
    )


def _ended(line: str) -> AttemptView:
    unit, number, slot, started, ended, outcome, reason, taken_from = json.loads(line)
    return AttemptView(unit, number, slot, started, ended, outcome, reason or None, taken_from or None)


def _running(name: str, unit: dict[str, str]) -> AttemptView:
    return AttemptView(unit=name, number=int(unit["attempt"]), slot=unit["slot"], started=float(unit["started"]) / 1000)


def _share(state: JobState, chunks: tuple[ChunkView, ...], planned: float, stitched: float) -> float:
    if state == JobState.DONE:
        return 1.0
    if not chunks:
        return PLANNED_SHARE * planned
    rendered = sum(1.0 if c.state == UnitState.DONE else c.percent / 100 for c in chunks) / len(chunks)
    return PLANNED_SHARE + (RENDERED_SHARE - PLANNED_SHARE) * rendered + (1 - RENDERED_SHARE) * stitched


def _seconds_left(
    chunks: tuple[ChunkView, ...], attempts: tuple[AttemptView, ...], stitch: float | None, now: float
) -> float | None:
    """Time left at the speed at which this job's chunks came so far, and for the stitch; None before there is one.

    Only time in which chunks that count were rendered is looked at: pauses, stops and lost attempts say nothing.
    """
    if chunks and all(chunk.state is UnitState.DONE for chunk in chunks):
        return stitch
    percent = {str(chunk.index): 100 if chunk.state is UnitState.DONE else chunk.percent for chunk in chunks}
    counted = [attempt for attempt in attempts if attempt.unit in percent and attempt.outcome in {None, "done"}]
    rendered = sum(percent[attempt.unit] if attempt.outcome is None else 100 for attempt in counted) / 100
    if rendered < LEAST_RENDERED:
        return None
    spent = sum((now if attempt.ended is None else attempt.ended) - attempt.started for attempt in counted)
    lanes = max(1, sum(attempt.ended is None for attempt in counted))
    left = len(chunks) - sum(percent.values()) / 100  # a chunk that is drawn anew was rendered more than once
    return round(left * spent / rendered / lanes + (stitch or 0), 1)


def _seconds(milliseconds: str | None) -> float | None:
    return None if milliseconds is None else float(milliseconds) / 1000
