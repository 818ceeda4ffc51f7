"""How the farm's slots are shared between owners: settings, which the sweeper writes to the books for dispatch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, cast

from farm.settings import amounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.jobs.store import Books
    from farm.settings import Settings

KEY = "farm:policy"
EVERYBODY = "*"
HALF_LIFE_SECONDS = 1800.0
"""After so long, slot time used counts half: long against a chunk, so that shares are even over many of them; short
against a working day, so that whoever comes after a pause has the slots for himself so long at most."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """weights: of slot time by owner, 1 for who is not named. limits: most slots at once by owner, "*" for the others.

    half_life_seconds: how fast slot time that was used is forgotten.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    half_life_seconds: float = HALF_LIFE_SECONDS

    @classmethod
    def of(cls, settings: Settings) -> Self:
        limits = amounts(settings.owner_limits, whole=True)
        return cls(
            weights=amounts(settings.owner_weights, whole=False),
            limits={owner: int(slots) for owner, slots in limits.items()},
        )

    def limit(self, owner: str) -> int | None:
        """Most slots that the owner uses at once; None for as many as there are."""
        return self.limits.get(owner, self.limits.get(EVERYBODY))


def write_policy(books: Books, policy: Policy) -> None:
    """From now on dispatch goes by this policy."""
    with books.reaching():
        books.client.hset(
            KEY,
            mapping={
                "weights": json.dumps(policy.weights),
                "limits": json.dumps(policy.limits),
                "half_life_ms": round(1000 * policy.half_life_seconds),
            },
        )


def policy_of(books: Books) -> Policy:
    """The policy that dispatch goes by."""
    with books.reaching():
        fields = cast("dict[str, str]", books.client.hgetall(KEY))
    if not fields:
        return Policy()
    return Policy(
        weights=json.loads(fields["weights"]),
        limits=json.loads(fields["limits"]),
        half_life_seconds=int(fields["half_life_ms"]) / 1000,
    )
