"""What people decided about a batch, as small objects in storage: it holds even when the books are lost."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, get_args

from farm.batch.jobless import jobless_rows
from farm.batch.pilot import pilot_of
from farm.decisions import Decision
from farm.jobs.batches import MOST_AT_ONCE, decide_batch, hold_jobs, note_batch
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.jobs.store import Books
    from farm.storage.s3 import Storage

KINDS: tuple[keys.BatchDecision, ...] = get_args(keys.BatchDecision)


def keep(storage: Storage, batch: str, what: keys.BatchDecision, *, who: str) -> None:
    """Store a decision about a batch."""
    storage.put_json(keys.batch_decision(batch, what), {"version": 1, **asdict(Decision(who, time.time()))})


def lift(storage: Storage, batch: str) -> None:
    """Remove every decision that stops a batch."""
    storage.delete(*(keys.batch_decision(batch, kind) for kind in KINDS))


def release(books: Books, storage: Storage, batch: str, jobs: Sequence[str], *, who: str) -> int:
    """Let jobs go that are held, in storage and then in the books; how many that changed."""
    found = {"version": 1, "who": who, "at": time.time(), "jobs": list(jobs)}
    storage.put_json(keys.released(batch, secrets.token_hex(4)), found)
    return _let_go(books, jobs, who=who)


def restore_decisions(books: Books, storage: Storage, batch: str) -> None:
    """Tell books that had lost a batch what was decided about it, and what is shown of it."""
    kept, refused = pilot_of(storage, batch), sum(bool(row.problems) for row in jobless_rows(storage, batch))
    note_batch(books, batch, refused=refused, pilot=kept.batch if kept else "")
    there = {item.key for item in storage.list(keys.batch_folder(batch))}
    for kind in KINDS:
        if (key := keys.batch_decision(batch, kind)) in there:
            decide_batch(books, batch, kind, who=Decision.from_dict(storage.get_json(key)).who)


def restore_releases(books: Books, storage: Storage) -> None:
    """Let go all that came back held and was released; what the books know as let go stays so."""
    for item in storage.list(keys.BATCHES):
        if keys.is_release(item.key):
            found = storage.get_json(item.key)
            _let_go(books, found["jobs"], who=found["who"])


def _let_go(books: Books, jobs: Sequence[str], *, who: str) -> int:
    return sum(
        hold_jobs(books, jobs[start : start + MOST_AT_ONCE], held=False, who=who)
        for start in range(0, len(jobs), MOST_AT_ONCE)
    )
