"""How much waits and what happened how often, as the books count it: from counters and indexes, never job by job."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from farm.jobs.load import line_of
from farm.jobs.views import slot_state
from farm.messages import CPU_LISTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from farm.jobs.store import Books

TALLY, DEPTH, PAUSED = "farm:tally", "farm:depth", "farm:storage:paused"


@dataclass(frozen=True)
class Line:
    """Jobs that wait for slots and are alike. chunks: that wait. age: seconds since its oldest job was submitted."""

    priority: int
    owner: str
    chunks: int
    age: float


@dataclass(frozen=True, kw_only=True)
class Tallies:
    """What a dashboard asks of the books.

    at: the books' clock, Unix seconds. happened: kind -> what -> how often since the books began. units: where units
    stand that do not just wait in line. cpu_messages: that no cpu worker has taken yet. slots: how many do what.
    sweeper_age: seconds since a sweeper looked, None before the first look.
    """

    at: float
    happened: Mapping[str, Mapping[str, int]]
    lines: tuple[Line, ...]
    units: Mapping[str, int]
    cpu_messages: int
    slots: Mapping[str, int]
    sweeper_age: float | None
    storage_paused: bool


def tallies(books: Books) -> Tallies:
    """Two round trips, whatever the number of jobs."""
    with books.reaching("tallies"), books.client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hgetall(TALLY)
        pipe.hgetall(DEPTH)
        pipe.get("farm:swept")
        pipe.exists(PAUSED)
        pipe.smembers("farm:planning")
        pipe.zrange("farm:slots", 0, -1, withscores=True)
        for key in ("farm:outbox", "farm:sent", "farm:leases", "farm:later"):
            pipe.zcard(key)
        (seconds, micros), tally, depth, swept, paused, plans, seen, *units = pipe.execute()
        lines = [line_of(name, int(chunks)) for name, chunks in depth.items()]
        for line in lines:
            pipe.zrange(line.key, 0, 0, withscores=True)
            pipe.hget(f"farm:batch:{line.batch}", "state")
        for line_of_plans in plans:
            pipe.zcard(f"farm:plans:{line_of_plans}")
        for queue in CPU_LISTS:
            pipe.llen(queue)
        for slot, _ in seen:
            pipe.hmget(f"farm:slot:{slot}", "state", "holds", "ttl_ms")
        found = iter(pipe.execute())
    now = seconds + micros / 1e6
    oldest = [(next(found), next(found)) for _ in lines]
    unplanned, rung = sum(islice(found, len(plans))), sum(islice(found, len(CPU_LISTS)))
    return Tallies(
        at=now,
        happened=_by_kind(tally),
        lines=tuple(
            # between two looks at the books its last job may have left
            Line(line.priority, line.owner, line.chunks, now - first[0][1] / 1000 if first else 0.0)
            for line, (first, batch) in zip(lines, oldest, strict=True)
            if batch in {None, "open"}  # dispatch passes over the lines of a batch that is paused or was stopped
        ),
        units=dict(zip(("due", "sent", "in_hand", "delayed"), units, strict=True)) | {"unplanned": unplanned},
        cpu_messages=rung,
        slots=Counter(_slot_states(seen, found, now)),
        sweeper_age=None if swept is None else now - float(swept) / 1000,
        storage_paused=bool(paused),
    )


def _by_kind(tally: dict[str, str]) -> dict[str, dict[str, int]]:
    happened: dict[str, dict[str, int]] = defaultdict(dict)
    for field, count in tally.items():
        kind, _, what = field.partition("/")
        happened[kind][what] = int(count)
    return dict(happened)


def _slot_states(seen: Iterable[tuple[str, float]], rows: Iterable[list[str]], now: float) -> Iterator[str]:
    for (_, at_ms), (said, holds, ttl_ms) in zip(seen, rows, strict=True):
        if said is not None:  # between the two looks a slot may have left
            yield slot_state(said, holds, silent_ms=now * 1000 - at_ms, ttl_ms=float(ttl_ms))
