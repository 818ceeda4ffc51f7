"""Rendering chunks of a job again, for people and for the farm itself: stored first, then in the books."""

from __future__ import annotations

import secrets
import time
from bisect import bisect_right
from typing import TYPE_CHECKING

from engine.redraw import cut_beside
from engine.spec import RANGES
from engine.timecode import frame_at, timecode
from farm import decisions
from farm.errors import InputRefusedError, NotAllowedError
from farm.jobs.redo import ACCEPTANCE, Decided, Drawn, Redo, Wanted, decided_last, redos_of
from farm.jobs.views import drawn_anew, stitch_attempts
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.plan import Plan
    from farm.jobs.store import Books, Lease
    from farm.storage.s3 import Storage


def refuse(books: Books, storage: Storage, lease: Lease, wanted: Wanted, plan: Plan, *, seed: int) -> bool:
    """End the stitch attempt in hand, because chunks must be rendered again; False for a stale attempt.

    seed: the job's. Only chunks that may_be_redone names should be wanted.
    """
    decided = Decided(who=ACCEPTANCE, at=time.time(), after=int(lease.attempt.split("-")[0]))
    redos = redos_of(wanted, decided, plan, seed=seed, drawn=drawn_anew(books, lease.job, len(plan.chunks)))
    kept = _keep(storage, lease.job, redos)
    recorded = books.refuse(lease, redos, why=in_words(redos))
    if not recorded:
        storage.delete(*kept)
    return recorded


def may_be_redone(books: Books, job: str, chunks: int) -> list[int]:
    """The chunks that the farm may still render again by itself."""
    return [chunk for chunk, drawn in enumerate(drawn_anew(books, job, chunks)) if drawn.left > 0]


def wanted_by(plan: Plan, *, at: Sequence[str | float], chunks: Sequence[int], seed: int | None) -> Wanted:
    """What somebody wants drawn anew: the chunks at these timecodes (or seconds), and these (counted from 0).

    Beside a cut, where one chunk alone must stay as it is for its neighbour to fit, both are drawn anew together, and
    the seam with them. Raises InputRefusedError with everything that is wrong.
    """
    why: dict[int, list[str]] = {}
    across: set[int] = set()
    problems = []
    for place in at:
        try:
            frame25 = frame_of(place, plan.frames25)
        except InputRefusedError as refusal:
            problems += refusal.problems
            continue
        chunk = bisect_right(plan.cuts, frame25 // 2)
        cut = cut_beside(plan, chunk, frame25, frame25 + 1)
        if cut is None:
            why.setdefault(chunk, []).append(f"at {timecode(frame25)}")
            continue
        across.add(cut)
        for side in (cut, cut + 1):
            why.setdefault(side, []).append(f"at {timecode(frame25)}, beside a cut")
    for chunk in chunks:
        if 0 <= chunk < len(plan.chunks):
            why.setdefault(chunk, []).append("as asked")
        else:
            problems.append(f"there is no chunk {chunk + 1}, the job has {len(plan.chunks)}")
    if seed is not None and not (type(seed) is int and RANGES["seed"].allows(seed)):
        problems.append(f"seed is {seed!r}, wanted {RANGES['seed']}")
    if not why and not problems:
        problems.append("nothing is named to render again, wanted a timecode (--at) or a chunk (--chunk)")
    if problems:
        raise InputRefusedError(problems)
    reasons = {chunk: ", ".join(dict.fromkeys(said)) for chunk, said in why.items()}
    return Wanted(chunks=reasons, across=across, seed=seed)


def frame_of(place: str | float, frames25: int) -> int:
    """The frame25 at a timecode, or at so many seconds; raises InputRefusedError for one that the video lacks."""
    try:
        frame25 = frame_at(place if isinstance(place, str) else f"{place:.6f}")
    except ValueError as error:
        raise InputRefusedError([str(error)]) from None
    if frame25 >= frames25:
        raise InputRefusedError([f"there is nothing at {timecode(frame25)}: the video ends at {timecode(frames25)}"])
    return frame25


def redo(books: Books, storage: Storage, job: str, wanted: Wanted, plan: Plan, *, seed: int, who: str) -> list[Redo]:
    """Render chunks of a job that is done again, as somebody asks. seed: the job's.

    Raises NotAllowedError, and InputRefusedError for chunks that would only be drawn as they are.
    """
    decided = Decided(who=who, at=time.time(), after=stitch_attempts(books, job))
    drawn = drawn_anew(books, job, len(plan.chunks))
    redos = redos_of(wanted, decided, plan, seed=seed, drawn=drawn)
    if same := [redo for redo in redos if _is_as_it_is(redo, drawn[redo.chunk], seed)]:
        raise InputRefusedError(
            [f"chunk {one.chunk + 1} is drawn with seed {one.redraw.seed} already, wanted another" for one in same]
        )
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


def _is_as_it_is(redo: Redo, drawn: Drawn, seed: int) -> bool:
    """Whether a redo draws what its chunk shows already. seed: the job's."""
    return redo.redraw.seed == seed if drawn.redraw is None else redo.redraw == drawn.redraw


def stored(storage: Storage, job: str) -> list[Redo]:
    """Every redo of a job that was ever decided, oldest first."""
    return decided_last(Redo.from_dict(storage.get_json(item.key)) for item in storage.list(keys.redo_folder(job)))


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
