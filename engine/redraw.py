"""Which gen_frames get another chance when chunks are rendered again, and from which seed. Pure integers.

Noise is drawn per absolute gen_frame, so neighbours still fit as long as both draw the frames near their cut alike: a
redraw of one chunk stays `fade` gen_frames away from its cuts, one across a cut is given to both sides of it.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

from engine.spec import Redraw

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from engine.plan import Geometry, Plan
    from engine.spec import ChunkSpec


def derived_seed(seed: int, chunk: int, number: int) -> int:
    """The seed of a chunk's redo `number` (from 1) in a job of `seed`: the same on every machine, 0 to 2**32 - 1."""
    digest = hashlib.blake2b(f"{seed}/redo/{chunk}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def redraw_of(plan: Plan, chunks: range, seed: int) -> Redraw:
    """What neighbouring `chunks` draw anew together: all they keep, but for the frames near their outer cuts."""
    first, last = plan.chunks[chunks[0]], plan.chunks[chunks[-1]]
    start, stop = first.kept[0], last.kept[1]
    return Redraw(
        seed=seed,
        start=start + (_margin(first, plan.geometry) if first.head else 0),
        stop=stop - (_margin(last, plan.geometry) if last.tail else 0),
    )


def cut_beside(plan: Plan, chunk: int, start: int, stop: int) -> int | None:
    """The cut (k lies between chunks k and k + 1) so near to all of frames25 [start, stop) of a chunk that drawing the
    chunk anew alone would leave them as they are; None for frames that it reaches.
    """
    alone = redraw_of(plan, range(chunk, chunk + 1), seed=0)
    if stop <= 2 * alone.start:
        return chunk - 1
    return chunk if start >= 2 * alone.stop else None


def together(
    plan: Plan, wanted: Collection[int], *, across: Collection[int] = (), drawn: Mapping[int, Redraw] | None = None
) -> list[range]:
    """The chunks to render again, in runs that share one redraw.

    across: cuts (k lies between chunks k and k + 1) whose frames are to change as well. drawn: what each chunk has been
    drawn anew by now; two that were drawn across their cut are only ever drawn anew together.
    """
    joined = set(across)
    for chunk, redraw in (drawn or {}).items():
        for cut in (chunk - 1, chunk):
            if 0 <= cut < len(plan.cuts) and redraw.start < plan.cuts[cut] < redraw.stop:
                joined.add(cut)
    again = set(wanted) | {side for cut in across for side in (cut, cut + 1)}
    while more := {side for cut in joined if {cut, cut + 1} & again for side in (cut, cut + 1)} - again:
        again |= more
    order = sorted(again)
    breaks = [place for place, (one, other) in enumerate(pairwise(order), 1) if one not in joined or other != one + 1]
    edges = [0, *breaks, len(order)]
    return [range(order[a], order[b - 1] + 1) for a, b in pairwise(edges)] if order else []


def _margin(chunk: ChunkSpec, geometry: Geometry) -> int:
    """gen_frames next to a cut that are left alone: in a very short chunk what the overlap is made of, and no more."""
    margin = max(geometry.fade, geometry.margin)
    return margin if chunk.kept[1] - chunk.kept[0] > 2 * margin else geometry.margin
