"""What a batch finds on the farm: chunks and jobs that are served before it, and limits that keep it from slots."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.jobs.load import open_lines, unplanned_jobs
from farm.jobs.policy import policy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.batch.check import Right
    from farm.jobs.load import Line
    from farm.jobs.store import Books


@dataclass(frozen=True)
class Limit:
    """At most so many slots at once for a share of the batch's work. whose: whom it is for, in words. waiting: chunks
    in line already that it holds for as well, by renderer.
    """

    whose: str
    slots: int
    share: float
    waiting: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What comes first. others, own: chunks in line, of other jobs and of the batch's own. unplanned, own_unplanned:
    jobs that wait for their plan, of which nobody knows the chunks yet.
    """

    others: int
    own: int
    unplanned: int
    own_unplanned: int
    limits: tuple[Limit, ...]

    def to_dict(self) -> dict[str, Any]:
        limits = [{"for": limit.whose, "slots": limit.slots} for limit in self.limits]
        told = {"ahead": self.others, "own_ahead": self.own}
        return {**told, "unplanned": self.unplanned, "own_unplanned": self.own_unplanned, "limits": limits}

    def words(self, *, slots: int) -> list[str]:
        """What a finish on so many slots rests on, a sentence each."""
        limits = [limit for limit in self.limits if limit.slots < slots]
        found = [f"{limit.whose} may have {limit.slots} of {slots} slots at once" for limit in limits]
        if self.own:
            found.append(f"{self.own} chunks of the batch itself wait already and come first")
        if self.others:
            found.append(f"{self.others} chunks of other jobs come first")
        if self.own_unplanned:
            found.append(f"{self.own_unplanned} jobs of the batch itself are not planned yet and not counted")
        if self.unplanned:
            found.append(f"{self.unplanned} other jobs are not planned yet: what comes first of them is not counted")
        return found


def ahead_of(
    books: Books, rights: Sequence[Right], *, last: Mapping[str, int], batch: str | None, limit: int | None
) -> Ahead:
    """Look at what these lessons of a batch find. last: the priority by renderer up to which others come first. batch:
    None for one that is new. limit: its slots.
    """
    lines = [line for line in open_lines(books) if line.priority <= last.get(line.renderer, -1)]
    own = [line for line in lines if line.batch == batch]
    unplanned = unplanned_jobs(books, priority=max(last.values(), default=-1))
    own_unplanned = unplanned[batch] if batch is not None else 0
    limits = [] if limit is None else [Limit("the batch", limit, 1.0, _by_renderer(own))]
    return Ahead(
        others=sum(line.chunks for line in lines) - sum(line.chunks for line in own),
        own=sum(line.chunks for line in own),
        unplanned=unplanned.total() - own_unplanned,
        own_unplanned=own_unplanned,
        limits=(*limits, *_of_owners(books, rights, lines)),
    )


def _of_owners(books: Books, rights: Sequence[Right], lines: Sequence[Line]) -> Iterable[Limit]:
    policy, frames25 = policy_of(books), Counter[str]()
    for right in rights:
        frames25[right.lesson.owner or ""] += right.checked.speech.frames25
    for owner, frames in sorted(frames25.items()):
        if (slots := policy.limit(owner)) is not None:
            own = [line for line in lines if line.owner == owner]
            yield Limit(f"owner {owner}", slots, frames / frames25.total(), _by_renderer(own))


def _by_renderer(lines: Iterable[Line]) -> Counter[str]:
    found = Counter[str]()
    for line in lines:
        found[line.renderer] += line.chunks
    return found
