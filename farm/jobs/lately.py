"""What the farm did lately and what failed last, as lately.lua notes it: sums that fade with their age."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any, cast

from engine.spec import FRAME_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.jobs.model import SlotView
    from farm.jobs.store import Books

LATELY_SECONDS = 300.0
"""After so long, what was done counts half."""


@dataclass(frozen=True)
class Rates:
    """What all slots did lately. video_per_minute: seconds of video. work_per_video: seconds of slots for a second of
    video, None where none was made.
    """

    chunks_per_minute: float
    video_per_minute: float
    work_per_video: float | None


@dataclass(frozen=True)
class InHand:
    """What a slot has in hand, by its name: the job's title, its chunks, how far the chunk is; None where nothing is.

    busy: the share of its time lately, 0 to 1; None for a slot that has just come.
    """

    title: str | None
    chunks: int | None
    percent: float | None
    busy: float | None


@dataclass(frozen=True)
class LateFailure:
    """An attempt that failed. at: Unix seconds. title: of its job, None once that is gone. over: the job failed."""

    at: float
    job: str
    title: str | None
    unit: str
    slot: str
    reason: str
    over: bool


def lasted(seconds: float) -> float:
    """So many seconds until now, those that are over counting less the older they are."""
    return float(LATELY_SECONDS / log(2) * (1 - 2 ** (-max(0.0, seconds) / LATELY_SECONDS)))


def rates(books: Books) -> Rates:
    """How fast the farm is; nothing of it before the first chunk is done."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        pipe.hgetall("farm:lately")
        pipe.time()
        row, (seconds, micros) = pipe.execute()
    if not row:
        return Rates(0.0, 0.0, None)
    now = seconds + micros / 1e6
    fading = 2 ** ((float(row["at"]) / 1000 - now) / LATELY_SECONDS)
    chunks, work, video = (
        fading * float(row[name]) / per for name, per in (("chunks", 1), ("work_ms", 1000), ("frames25", FRAME_RATE))
    )
    minutes = lasted(now - float(row["since"]) / 1000) / 60
    return Rates(chunks / minutes, video / minutes, work / video)


def in_hand(books: Books, slots: Sequence[SlotView]) -> list[InHand]:
    """What each of these slots has in hand and how busy it was, in two round trips."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for slot in slots:
            pipe.hmget(f"farm:slot:{slot.name}", "busy", "busy_at", "since")
            pipe.hmget(f"farm:job:{slot.job}", "name", "chunks")
            pipe.hmget(f"farm:job:{slot.job}:u:{slot.chunk}", "percent", "started")
        pipe.time()
        *rows, (seconds, micros) = pipe.execute()
    now, found = seconds + micros / 1e6, iter(rows)
    return [_in_hand(slot, next(found), next(found), next(found), now) for slot in slots]


def _in_hand(
    slot: SlotView, worked: list[str | None], job: list[str | None], chunk: list[str | None], now: float
) -> InHand:
    since = float(worked[2]) / 1000 if worked[2] else now
    busy = 0.0
    if worked[0] and worked[1]:
        busy = float(worked[0]) / 1000 * 2 ** ((float(worked[1]) / 1000 - now) / LATELY_SECONDS)
    title, chunks = job
    percent, started = chunk
    if slot.chunk is None or title is None or chunks is None:
        return InHand(None, None, None, _share(busy, since, now))
    busy += lasted(now - float(started) / 1000) if started else 0.0
    return InHand(title, int(chunks), float(percent or 0), _share(busy, since, now))


def _share(busy: float, since: float, now: float) -> float | None:
    """Of the time since `since`; a slot that just came may have been handed its first chunk before it was noted."""
    whole = lasted(now - since)
    return min(1.0, busy / whole) if whole >= 1 else None


def late_failures(books: Books) -> list[LateFailure]:
    """The attempts that failed last, newest first."""
    with books.reaching():
        lines = [json.loads(line) for line in cast("list[str]", books.client.lrange("farm:failures", 0, -1))]
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for _, job, *_ in lines:
            pipe.hget(f"farm:job:{job}", "name")
        return list(_with_titles(lines, pipe.execute()))


def _with_titles(lines: list[list[Any]], titles: list[str | None]) -> Iterator[LateFailure]:
    for (at, job, unit, slot, reason, over), title in zip(lines, titles, strict=True):
        yield LateFailure(at, job, title, unit, slot, reason, over)
