"""The floor as dispatch sees it at one moment: the slots, who uses how many, and who comes before whom."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from farm.jobs.load import open_lines
from farm.jobs.policy import policy_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from farm.jobs.load import Line
    from farm.jobs.policy import Policy
    from farm.jobs.store import Books

SLOT_FACTS = ("state", "ttl_ms", "renderers", "most_pixels", "holds", "next", "why_out")
OWNER_FACTS = ("used", "at", "in_hand", "rendering", "began")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A slot that lives. most_pixels: of a frame that fits into its memory, None for any. whose: the owners and batches
    of the chunks that it renders and that wait for it there.
    """

    name: str
    state: str
    renderers: tuple[str, ...]
    most_pixels: int | None
    full: bool
    whose: frozenset[tuple[str, str]]
    why_out: str

    def takes(self, pixels: int) -> bool:
        """Whether frames of so many pixels fit into its memory."""
        return self.most_pixels is None or pixels <= self.most_pixels


@dataclass(frozen=True)
class Before:
    """What is served before a job: jobs of its own owner, and other owners."""

    jobs: int
    owners: int


def places(books: Books) -> list[Place]:
    """Every slot that lives, by name."""
    with books.reaching():
        seen = cast("list[tuple[str, float]]", books.client.zrange("farm:slots", 0, -1, withscores=True))
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for name, _ in seen:
            pipe.hmget(f"farm:slot:{name}", *SLOT_FACTS)
        pipe.time()
        *rows, (seconds, micros) = pipe.execute()
    now = 1000 * seconds + micros / 1000
    alive = [
        (name, dict(zip(SLOT_FACTS, row, strict=True)))
        for (name, at), row in zip(seen, rows, strict=True)
        if row[0] is not None and at + float(row[1]) > now
    ]
    whose = _whose(books, [member for _, row in alive for member in (row["holds"], row["next"]) if member])
    return sorted((_place(name, row, whose) for name, row in alive), key=lambda place: place.name)


def slots_used(floor: Sequence[Place], *, owner: str | None = None, batch: str | None = None) -> int:
    """Slots that work for this owner, or this batch, or will next."""
    return sum(any(owner == of_chunk or batch == of for of_chunk, of in place.whose) for place in floor)


def before(books: Books, fields: Mapping[str, str], renderers: Collection[str]) -> Before:
    """What comes before a job with these fields on slots with these renderers."""
    owner, priority = fields["owner"], int(fields["priority"])
    lines = [line for line in open_lines(books) if line.renderer in renderers and line.priority <= priority]
    own = [line for line in lines if line.owner == owner]
    others = {line.owner for line in lines} - {owner}
    first = {line.owner for line in lines if line.priority < priority}
    shares = _shares(books, [owner, *others], policy_of(books))
    return Before(
        jobs=_jobs_before(books, own, priority, fields["submitted"]),
        owners=sum(other in first or shares[other] < shares[owner] for other in others),
    )


def _jobs_before(books: Books, own: Sequence[Line], priority: int, submitted: str) -> int:
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for line in own:
            pipe.zcount(line.key, "-inf", "+inf" if line.priority < priority else f"({submitted}")
        return sum(pipe.execute())


def _shares(books: Books, owners: Sequence[str], policy: Policy) -> dict[str, float]:
    """Slot time used lately by owner, as dispatch.lua weighs it."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for owner in owners:
            pipe.hmget(f"farm:owner:{owner}", *OWNER_FACTS)
        pipe.get("farm:pace")
        pipe.time()
        *rows, pace, (seconds, micros) = pipe.execute()
    now = 1000 * seconds + micros / 1000
    shares = {}
    for owner, row in zip(owners, rows, strict=True):
        used, at, in_hand, rendering, began = (float(value or 0) for value in row)
        faded = used * 2 ** ((at - now) / 1000 / policy.half_life_seconds)
        shares[owner] = (faded + rendering * now - began + in_hand * float(pace or 1)) / policy.weights.get(owner, 1)
    return shares


def _whose(books: Books, members: Sequence[str]) -> dict[str, tuple[str, str]]:
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for member in members:
            pipe.hmget(f"farm:job:{member.partition('/')[0]}", "owner", "batch")
        return {member: (owner, batch or "") for member, (owner, batch) in zip(members, pipe.execute(), strict=True)}


def _place(name: str, row: Mapping[str, str | None], whose: Mapping[str, tuple[str, str]]) -> Place:
    most = row["most_pixels"]
    return Place(
        name=name,
        state=row["state"] or "",
        renderers=tuple(json.loads(row["renderers"] or "[]")),
        most_pixels=None if most is None else int(most),
        full=row["next"] is not None,
        whose=frozenset(whose[member] for member in (row["holds"], row["next"]) if member),
        why_out=row["why_out"] or "",
    )
