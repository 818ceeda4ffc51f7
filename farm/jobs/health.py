"""What is not well: slots that are out until they render a known-good probe right, storage that nothing is begun on."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from farm.jobs.store import Books

ANSWER_SECONDS = 30.0
"""How long a slot may leave the call for its probe unanswered before it is called again."""
PROBE_SECONDS = 900.0
"""How long a probe may take, and telling of it: a process that hangs in one shows that it lives all the while."""
CHECK_SECONDS, LONGEST_CHECK_SECONDS = 2.0, 60.0
"""Pause between two tries of storage while it is paused: the first, and the longest it grows to."""

Verdict = Literal["right", "wrong", "unknown"]
"""What a probe says: unknown where storage did not give what it is compared with."""


Cause = Literal["failures", "disk", "storage"]
"""Why a slot is out."""


@dataclass(frozen=True)
class Probe:
    """What a slot that is out must show: room on its disk, that it reaches storage, or else a known-good render by what
    it failed with.
    """

    cause: Cause
    renderers: tuple[str, ...]


@dataclass(frozen=True)
class CalledSlot:
    """A slot that is called to its probe, and why it is out."""

    name: str
    why: str


@dataclass(frozen=True)
class StoragePause:
    """Nothing is begun, for storage failed. since, until (the next try): Unix seconds."""

    reason: str
    since: float
    until: float


def slots_to_probe(books: Books) -> list[CalledSlot]:
    """Slots that must show now whether they are well; each is noted as called."""
    found = books.run("probes_due", ring_ms=round(1000 * ANSWER_SECONDS))
    return [CalledSlot(row["slot"], row["why"]) for row in found["due"] or ()]


def begin_probe(books: Books, slot: str) -> Probe | None:
    """What the slot must show; None where nobody wants to see anything."""
    found = books.run("probe", slot=slot, call=secrets.token_hex(8), most_ms=round(1000 * PROBE_SECONDS))
    if "refused" in found:
        return None
    return Probe(found["cause"], tuple(sorted(set(found["renderers"]))))


def end_probe(books: Books, slot: str, verdict: Verdict, *, why: str = "") -> bool:
    """The slot gets work again, or stays out and is called later; False when nobody waits for its probe any more."""
    return bool(books.run("probed", slot=slot, verdict=verdict, why=why)["recorded"])


def take_proof(books: Books, slot: str) -> bool:
    """Whether a video with a chunk of this slot was accepted since this was asked last."""
    with books.reaching():
        return bool(books.client.hdel(f"farm:slot:{slot}", "proven"))


def storage_pause(books: Books) -> StoragePause | None:
    """Why nothing is begun, None while storage works."""
    with books.reaching():
        row = cast("dict[str, str]", books.client.hgetall("farm:storage:paused"))
    return StoragePause(row["reason"], int(row["since"]) / 1000, int(row["until"]) / 1000) if row else None


def storage_check_due(books: Books) -> bool:
    """Whether storage is paused and should be tried now; whoever hears yes tries it."""
    return bool(books.run("storage", what="due", check_ms=round(1000 * CHECK_SECONDS))["due"])


def storage_works(books: Books) -> None:
    """Work goes on, and what was put off is due."""
    books.run("storage", what="works")


def storage_fails(books: Books, why: str) -> None:
    """The pause lasts; the next try is later."""
    books.run(
        "storage",
        what="fails",
        why=why,
        check_ms=round(1000 * CHECK_SECONDS),
        longest_ms=round(1000 * LONGEST_CHECK_SECONDS),
    )


def terminated(books: Books, job: str, unit: str, *, slot: str, launcher: str) -> bool:
    """A person ended the process that has this unit in hand: it waits again, and the attempt does not count.

    launcher: whose process it was; what else it had in hand waits again too.
    """
    return bool(books.run("terminated", job=job, unit=unit, slot=slot, launcher=launcher)["recorded"])
