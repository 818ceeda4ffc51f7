"""Speech length to chunks: pure integer arithmetic, no media, no clock.

Frames are counted on two grids: frames25 (output) and gen_frames (12.5 a second, what Sonic generates). gen_frame g
lies under frames25 2g; frame25 2g + 1 is the middle between g and g + 1. Cuts lie on the gen_frame grid.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from engine.cuts import TOLERANCE_SECONDS, Fit, best_cuts
from engine.errors import PlanError
from engine.spec import FRAME_RATE, ChunkSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

FADE = 8
"""frames25 on each side of a cut that both neighbours render."""
GEN_RATE = FRAME_RATE / 2
"""gen_frames a second."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What a renderer needs around the frames that it keeps.

    reach: gen_frames at each end of a span that are thrown away. window: gen_frames that are computed together; a span
    is a whole number of them long. radius: gen_frames that post-processes look at on each side. fade: frames25 of
    overlap on each side of a cut.
    """

    reach: int = 0
    window: int = 1
    radius: int = 0
    fade: int = FADE

    def __post_init__(self) -> None:
        if self.fade < 2 or self.fade % 2:
            raise PlanError(f"fade is {self.fade} frames, wanted an even number of 2 or more")
        for name, least in (("reach", 0), ("window", 1), ("radius", 0)):
            if getattr(self, name) < least:
                raise PlanError(f"{name} is {getattr(self, name)}, wanted {least} or more")

    @property
    def agrees(self) -> bool:
        """Whether neighbours render the very same where they overlap: each frame is decided by itself."""
        return not self.reach and self.window == 1

    @property
    def margin(self) -> int:
        """gen_frames next to a cut that the overlap is made of: those under it, and what is filtered into them."""
        return self.fade // 2 + self.radius

    @property
    def shortest_kept(self) -> int:
        """gen_frames that a chunk keeps at least: both margins and one frame of its own, never less than the reach."""
        return max(2 * self.margin + 1, self.reach)

    @property
    def before(self) -> int:
        """gen_frames that a chunk computes in front of its kept part, where it has a neighbour there."""
        return self.margin + self.reach

    @property
    def after(self) -> int:
        """The same behind it: the last frame25 of the overlap is a middle, and needs the gen_frame behind it too."""
        return self.before + 1

    @property
    def wrap(self) -> int:
        """gen_frames computed beyond each end of the job: windows close it into a ring (docs/sonic.md#windows)."""
        return self.window if self.window > 1 else 0


@dataclass(frozen=True)
class Plan:
    """A job cut into chunks; plan.json holds it, written once."""

    frames25: int
    gen_frames: int
    geometry: Geometry
    chunks: tuple[ChunkSpec, ...]

    @property
    def cuts(self) -> tuple[int, ...]:
        """gen_frames at which one chunk's kept part ends and the next one's begins."""
        return tuple(chunk.kept[0] for chunk in self.chunks[1:])

    @property
    def seams(self) -> tuple[tuple[int, int], ...]:
        """frames25 [start, stop) around each cut that both neighbours render."""
        fade = self.geometry.fade
        return tuple((2 * cut - fade, 2 * cut + fade) for cut in self.cuts)

    def windows(self, chunk: ChunkSpec) -> int:
        """Windows that a chunk's renderer computes at each step; gen_frames for one without windows."""
        ends = (chunk.span[0] == 0) + (chunk.span[1] == self.gen_frames)
        computed = min(self.gen_frames, chunk.span[1] - chunk.span[0] + ends * self.geometry.wrap)
        return -(-computed // self.geometry.window)

    @property
    def computed(self) -> int:
        """gen_frames that all chunks together compute, counted in whole windows."""
        return sum(map(self.windows, self.chunks)) * self.geometry.window

    @property
    def waste(self) -> float:
        """Share computed beyond what is kept: windows * window / gen_frames - 1."""
        return self.computed / self.gen_frames - 1

    @property
    def wasted_windows(self) -> int:
        """Windows that the same job uncut would not compute."""
        return self.computed // self.geometry.window - -(-self.gen_frames // self.geometry.window)

    def to_dict(self) -> dict[str, Any]:
        return {
            "frames25": self.frames25,
            "gen_frames": self.gen_frames,
            "geometry": asdict(self.geometry),
            "chunks": [chunk.to_dict() for chunk in self.chunks],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Plan:
        return cls(
            frames25=data["frames25"],
            gen_frames=data["gen_frames"],
            geometry=Geometry(**data["geometry"]),
            chunks=tuple(ChunkSpec.from_dict(chunk) for chunk in data["chunks"]),
        )


def frames25_of(samples: int, rate: int) -> int:
    """Output frames of a speech: floor(25 * samples / rate + 1/2), in exact integers."""
    return (2 * FRAME_RATE * samples + rate) // (2 * rate)


def gen_frames_of(frames25: int) -> int:
    """gen_frames that give at least `frames25` frames once the middles are put between them (2n - 1 >= F)."""
    return frames25 // 2 + 1


def plan_chunks(
    frames25: int,
    *,
    chunk_seconds: float,
    geometry: Geometry,
    noise: Sequence[float] = (),
    tolerance_seconds: float = TOLERANCE_SECONDS,
    keep: Sequence[tuple[int, int]] = (),
) -> Plan:
    """Cut a job of `frames25` frames into chunks that keep about `chunk_seconds` each.

    noise: for every gen_frame of the job what a cut before it would disturb, 0 in a pause to about 1 in open speech
    (engine.media.pauses); empty where nobody listened. tolerance_seconds: how far a cut may move for it, and for whole
    windows. keep: gen_frames [a, b), in order, that are a chunk each, as in an earlier plan; what lies between is cut
    as if it were a job. Those that leave less than a chunk beside them are given up.

    Raises PlanError for a job without frames or a chunk length that leaves no frame of a chunk's own.
    """
    if frames25 < 1:
        raise PlanError(f"the speech gives {frames25} frames, wanted at least 1")
    # rounded, for 2.32 s are 29 gen_frames and not 28.999999999999996
    wanted = round(chunk_seconds * GEN_RATE, 6)
    if not math.isfinite(wanted) or wanted < geometry.shortest_kept:
        shortest = math.ceil(geometry.shortest_kept / GEN_RATE * 100) / 100
        raise PlanError(
            f"chunk_seconds is {chunk_seconds:g}, wanted {shortest:g} or more for this renderer and smoothing"
        )
    gen_frames = gen_frames_of(frames25)
    if noise and len(noise) != gen_frames:
        raise PlanError(f"noise is given for {len(noise)} gen_frames, wanted {gen_frames}")
    fit = Fit(
        window=geometry.window,
        before=geometry.before,
        after=geometry.after,
        shortest_kept=geometry.shortest_kept,
        tolerance=max(0, int(round(tolerance_seconds * GEN_RATE, 6))),
    )
    filling, edges = _filling(wanted, geometry), [0]
    for start, stop in (*_kept(keep, gen_frames, fit.shortest_kept), (gen_frames, gen_frames)):
        at, length = edges[-1], start - edges[-1]
        if length:
            count = max(1, min(round(length / filling), length // fit.shortest_kept))
            edges += [*(at + cut for cut in best_cuts(length, count, fit, noise[at:start])), start]
        if stop > start:
            edges.append(stop)
    chunks = tuple(
        _chunk(index, kept, frames25=frames25, gen_frames=gen_frames, geometry=geometry)
        for index, kept in enumerate(pairwise(edges))
    )
    return Plan(frames25, gen_frames, geometry, chunks)


def _kept(keep: Sequence[tuple[int, int]], gen_frames: int, shortest: int) -> list[tuple[int, int]]:
    """Those of `keep` that are long enough, and beside which nothing too short to be a chunk is left."""
    kept: list[tuple[int, int]] = []
    for start, stop in keep:
        gap = start - (kept[-1][1] if kept else 0)
        if stop <= gen_frames and stop - start >= shortest and (gap == 0 or gap >= shortest):
            kept.append((start, stop))
    while kept and 0 < gen_frames - kept[-1][1] < shortest:
        kept.pop()
    return kept


def _filling(wanted: float, geometry: Geometry) -> float:
    """The shortest kept length from `wanted` on, in gen_frames, whose span between two cuts is all whole windows."""
    if geometry.window == 1:
        return wanted
    beyond = geometry.before + geometry.after
    return math.ceil((wanted + beyond) / geometry.window) * geometry.window - beyond


def _chunk(index: int, kept: tuple[int, int], *, frames25: int, gen_frames: int, geometry: Geometry) -> ChunkSpec:
    a, b = kept
    first, last = a == 0, b == gen_frames
    return ChunkSpec(
        index=index,
        kept=kept,
        span=_span(kept, gen_frames, geometry),
        out=(0 if first else 2 * a - geometry.fade, frames25 if last else 2 * b + geometry.fade),
        head=0 if first else 2 * geometry.fade,
        tail=0 if last else 2 * geometry.fade,
    )


def _span(kept: tuple[int, int], gen_frames: int, geometry: Geometry) -> tuple[int, int]:
    """What must be computed for a kept part, and as much more as makes whole windows of it."""
    first, last = kept[0] == 0, kept[1] == gen_frames
    start = 0 if first else max(0, kept[0] - geometry.before)
    stop = gen_frames if last else min(gen_frames, kept[1] + geometry.after)
    ends = (start == 0) + (stop == gen_frames)
    length = stop - start
    length += -(length + ends * geometry.wrap) % geometry.window
    if length + ends * geometry.wrap >= gen_frames or ends == 2:  # on the ring it would meet itself
        return 0, gen_frames
    if start == 0:
        return 0, length
    if stop == gen_frames:
        return gen_frames - length, gen_frames
    start -= (length - (stop - start)) // 2
    # short of the job's own ends, at which another window would be due
    start = min(max(start, 1), gen_frames - 1 - length)
    return (start, start + length) if start > 0 else (0, gen_frames)


def fade_weight(position: int, overlap: int) -> float:
    """Weight of the later side at frame `position` of an overlap of `overlap` frames: a raised cosine, never 0 or 1."""
    return 0.5 - 0.5 * math.cos(math.pi * (position + 0.5) / overlap)
