"""Where a job is cut: near even cuts, where it disturbs least, for the fewest windows. Pure, no clock.

What is weighed, in cuts through open speech (docs/geometry.md#where-to-cut):

    noise of the cut              0 in a pause, about 1 in open speech
    (distance / EVEN) ** 2        from the even cut, in gen_frames
    WINDOW * padding / window     of each chunk: what is computed only to make whole windows
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TOLERANCE_SECONDS = 4.0
"""How far from an even cut a pause is looked for."""
EVEN = 100
"""gen_frames from the even cut that weigh as much as a cut in open speech; the tolerance is half of it."""
WINDOW = 0.5
"""What it weighs to compute one window more: two of them are worth a pause."""
LEAST_SHARE = 4
"""A cut moves by no more than this part of a chunk: a quarter, so that lengths stay balanced."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What the cuts must fit, in gen_frames. before, after: what a chunk computes beyond its kept part at a cut."""

    window: int
    before: int
    after: int
    shortest_kept: int
    tolerance: int


@dataclass(frozen=True)
class _Way:
    """The cheapest way to a cut: what it costs so far, and the way to the cut before."""

    cost: float
    cut: int
    back: _Way | None


def best_cuts(gen_frames: int, count: int, fit: Fit, noise: Sequence[float]) -> list[int]:
    """The count - 1 cuts of a job, each within the tolerance of the even one, that cost least together.

    noise: of a cut before each gen_frame, empty for none. Time grows with count alone: the padding of a chunk depends
    on where in a window its first cut lies, and on nothing else of what came before.
    """
    shortest = gen_frames // count
    room = max(0, min(fit.tolerance, shortest // LEAST_SHARE, (shortest - fit.shortest_kept) // 2))
    # a chunk at an end of the job needs nothing beyond it
    ways = {fit.before % fit.window: _Way(0.0, 0, None)}
    for index in range(1, count):
        even = round(index * gen_frames / count)
        found: dict[int, _Way] = {}
        for cut in range(even - room, even + room + 1):
            paid, way = _cheapest(ways, cut + fit.before + fit.after, fit.window)
            cost = paid + ((cut - even) / EVEN) ** 2 + (noise[cut] if noise else 0.0)
            place = cut % fit.window
            if place not in found or cost < found[place].cost:
                found[place] = _Way(cost, cut, way)
        ways = found
    _, last = _cheapest(ways, gen_frames + fit.before, fit.window)
    cuts = []
    while last.back is not None:
        cuts.append(last.cut)
        last = last.back
    return cuts[::-1]


def _cheapest(ways: dict[int, _Way], stop: int, window: int) -> tuple[float, _Way]:
    """Which of the ways so far a chunk whose span ends at `stop` should go on from, its padding paid."""
    share = WINDOW / window
    paid = ((way.cost + share * (-(stop - place) % window), way) for place, way in ways.items())
    return min(paid, key=lambda pair: pair[0])
