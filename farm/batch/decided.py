"""What people decided about a batch, as small objects in storage: it holds even when the books are lost."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, get_args

from farm.decisions import Decision
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.storage.s3 import Storage

KINDS: tuple[keys.BatchDecision, ...] = get_args(keys.BatchDecision)


def keep(storage: Storage, batch: str, what: keys.BatchDecision, *, who: str, value: int | None = None) -> None:
    """Store a decision about a batch."""
    storage.put_json(keys.batch_decision(batch, what), {"version": 1, **asdict(Decision(who, time.time(), value))})


def lift(storage: Storage, batch: str, *what: keys.BatchDecision) -> None:
    """Remove decisions that no longer hold."""
    storage.delete(*(keys.batch_decision(batch, kind) for kind in what))


def keep_release(storage: Storage, batch: str, jobs: Sequence[str], *, who: str) -> None:
    """Store that jobs which were held are let go."""
    found = {"version": 1, "who": who, "at": time.time(), "jobs": list(jobs)}
    storage.put_json(keys.released(batch, secrets.token_hex(4)), found)


def stored(storage: Storage, batch: str) -> dict[keys.BatchDecision, Decision]:
    """The decisions about a batch that hold."""
    there = {item.key for item in storage.list(keys.batch_folder(batch))}
    return {
        kind: Decision.from_dict(storage.get_json(key))
        for kind in KINDS
        if (key := keys.batch_decision(batch, kind)) in there
    }


def released(storage: Storage, batch: str) -> Iterator[list[str]]:
    """The jobs of a batch that were let go, a release at a time."""
    for item in storage.list(keys.released_folder(batch)):
        yield list(storage.get_json(item.key)["jobs"])
