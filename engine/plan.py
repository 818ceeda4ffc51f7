"""Speech length to chunks: pure integer arithmetic, no media, no clock.

Frames are counted on two grids: frames25 (output) and gen_frames (12.5 a second, what Sonic generates). gen_frame g
lies under frames25 2g; frame25 2g + 1 is the middle between g and g + 1. Cuts lie on the gen_frame grid.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from engine.errors import PlanError
from engine.spec import FRAME_RATE, ChunkSpec

FADE = 8
"""frames25 on each side of a cut that both neighbours render."""
GEN_RATE = FRAME_RATE / 2
"""gen_frames a second."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What a renderer needs around the frames that it keeps.

    reach: gen_frames at each end of a span that are thrown away. window: gen_frames that are computed together; span
    ends are rounded out to multiples of it. radius: gen_frames that post-processes look at on each side.
    fade: frames25 of overlap on each side of a cut.
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
    def shortest_kept(self) -> int:
        """gen_frames that a chunk keeps at least: both fades and one frame of its own, never less than the reach."""
        return max(self.fade + 1, self.reach)


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


def plan_chunks(frames25: int, *, chunk_seconds: float, geometry: Geometry) -> Plan:
    """Cut a job of `frames25` frames into chunks that keep about `chunk_seconds` each.

    Raises PlanError for a job without frames or a chunk length that leaves no frame of a chunk's own.
    """
    if frames25 < 1:
        raise PlanError(f"the speech gives {frames25} frames, wanted at least 1")
    # rounded, for 2.32 s are 29 gen_frames and not 28.999999999999996
    wanted = round(chunk_seconds * GEN_RATE, 6)
    if not math.isfinite(wanted) or wanted < geometry.shortest_kept:
        shortest = math.ceil(geometry.shortest_kept / GEN_RATE * 100) / 100
        raise PlanError(f"chunk_seconds is {chunk_seconds:g}, wanted {shortest:g} or more for this renderer")
    gen_frames = gen_frames_of(frames25)
    count = max(1, min(round(gen_frames / wanted), gen_frames // geometry.shortest_kept))
    edges = [round(i * gen_frames / count) for i in range(count + 1)]
    chunks = tuple(
        _chunk(index, kept, frames25=frames25, gen_frames=gen_frames, geometry=geometry)
        for index, kept in enumerate(pairwise(edges))
    )
    return Plan(frames25, gen_frames, geometry, chunks)


def _chunk(index: int, kept: tuple[int, int], *, frames25: int, gen_frames: int, geometry: Geometry) -> ChunkSpec:
    a, b = kept
    first, last = a == 0, b == gen_frames
    head, tail = (0 if first else 2 * geometry.fade), (0 if last else 2 * geometry.fade)
    out_start = 0 if first else 2 * a - geometry.fade
    out_stop = frames25 if last else 2 * b + geometry.fade
    margin = geometry.reach + geometry.radius
    # the last frame25 of the overlap is a middle: it needs the gen_frame behind it as well
    start = (out_start // 2 - margin) // geometry.window * geometry.window
    stop = -(-(out_stop // 2 + 1 + margin) // geometry.window) * geometry.window
    return ChunkSpec(
        index=index,
        kept=kept,
        span=(max(0, start), min(gen_frames, stop)),
        out=(out_start, out_stop),
        head=head,
        tail=tail,
    )


def fade_weight(position: int, overlap: int) -> float:
    """Weight of the later side at frame `position` of an overlap of `overlap` frames: a raised cosine, never 0 or 1."""
    return 0.5 - 0.5 * math.cos(math.pi * (position + 0.5) / overlap)
