"""Rendering chunks of a job again, for people and for the farm itself: stored first, then in the books."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from farm import decisions
from farm.errors import NotAllowedError
from farm.jobs.redo import ACCEPTANCE, Decided, Redo, redos_of
from farm.jobs.views import drawn_anew, stitch_attempts
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.plan import Plan
    from farm.jobs.redo import Wanted
    from farm.jobs.store import Books, Lease
    from farm.storage.s3 import Storage


def refuse(books: Books, storage: Storage, lease: Lease, wanted: Wanted, plan: Plan, *, seed: int) -> bool:
    """End the stitch attempt in hand, because chunks must be rendered again; False for a stale attempt.

    seed: the job's. Only chunks that may_be_redone names should be wanted.
    """
    decided = Decided(who=ACCEPTANCE, at=time.time(), after=int(lease.attempt.split("-")[0]))
    redos = redos_of(wanted, decided, plan, seed=seed, drawn=drawn_anew(books, lease.job, len(plan.chunks)))
    _keep(storage, lease.job, redos)
    return books.refuse(lease, redos, why=in_words(redos))


def may_be_redone(books: Books, job: str, chunks: int) -> list[int]:
    """The chunks that the farm may still render again by itself."""
    return [chunk for chunk, drawn in enumerate(drawn_anew(books, job, chunks)) if drawn.left > 0]


def redo(books: Books, storage: Storage, job: str, wanted: Wanted, plan: Plan, *, seed: int, who: str) -> list[Redo]:
    """Render chunks of a job that is done again, as somebody asks. seed: the job's. Raises NotAllowedError."""
    decided = Decided(who=who, at=time.time(), after=stitch_attempts(books, job))
    redos = redos_of(wanted, decided, plan, seed=seed, drawn=drawn_anew(books, job, len(plan.chunks)))
    # what was decided about the job while it was rendered came too late, and must not hold it now
    decisions.lift(storage, job, "retry")
    decisions.lift(storage, job, "resume")
    kept = _keep(storage, job, redos)
    try:
        books.redo(job, redos, who=who, why=in_words(redos))
    except NotAllowedError:
        storage.delete(*kept)
        raise
    return redos


def stored(storage: Storage, job: str) -> list[Redo]:
    """Every redo of a job that was ever decided, oldest first."""
    found = [Redo.from_dict(storage.get_json(item.key)) for item in storage.list(keys.redo_folder(job))]
    return sorted(found, key=lambda redo: (redo.after, redo.at, redo.chunk))


def in_words(redos: Sequence[Redo]) -> str:
    """'chunks 3 and 4 with seed 77 (at 0:03:12)', those that share a seed and a reason together."""
    groups: dict[tuple[int, str], list[str]] = {}
    for redo in redos:
        groups.setdefault((redo.redraw.seed, redo.why), []).append(str(redo.chunk + 1))
    return ", ".join(
        f"{'chunks' if len(chunks) > 1 else 'chunk'} {' and '.join(chunks)} with seed {seed} ({why})"
        for (seed, why), chunks in groups.items()
    )


def _keep(storage: Storage, job: str, redos: Sequence[Redo]) -> list[str]:
    suffix = secrets.token_hex(4)
    kept = [keys.redo(job, redo.chunk, f"{redo.number}-{suffix}") for redo in redos]
    for key, redo in zip(kept, redos, strict=True):
        storage.put_json(key, redo.to_dict())
    return kept
