"""Seams between two renders that differ: what the farm makes of them, a hard cut, and what acceptance says of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.acceptance_scenes import COLLINS, HOPPER, Frame, Scene, onto, rendered, with_a_shifted_head
from engine.media.acceptance import movement, seam_problem
from engine.media.image import load_portrait
from engine.media.seam import Segment, Tally, mix
from engine.media.video import SegmentFiles, distance
from engine.spec import ChunkSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.media.seam import Mixed

START, OVERLAP = 64, 16
STOP = START + OVERLAP


def shifted_and_brighter(scene: Scene) -> list[Frame]:
    moved = (with_a_shifted_head(scene, frame) for frame in scene.frames)
    return [np.clip(frame.astype(np.int16) + 8, 0, 255).astype(np.uint8) for frame in moved]


def of_another_seed(scene: Scene) -> list[Frame]:
    return rendered(scene.portrait, scene.speech, replace(scene.spec, seed=scene.spec.seed + 100))


def of_another_person(scene: Scene) -> list[Frame]:
    other = load_portrait(HOPPER if scene.name.startswith("Collins") else COLLINS)
    return rendered(onto(scene.portrait, other), scene.speech, scene.spec)


OTHER_SIDES: dict[str, Callable[[Scene], list[Frame]]] = {
    "head 3 pixels away, 8 levels brighter": shifted_and_brighter,
    "another seed": of_another_seed,
    "another person": of_another_person,
}
EITHER = {"another person"}
"""Other sides to which a good fade may pass as a seam: the chunk behind it is refused for its face."""


@dataclass(frozen=True)
class Joined:
    """How far a seam steps in its sides' own largest step, and whether it is refused."""

    ratio: float
    refused: bool


def joined(scene: Scene, other: list[Frame]) -> dict[str, Joined]:
    """Both ways to join a scene with what another side has behind it."""
    pairs = zip(scene.frames[START:STOP], other[START:STOP], strict=True)
    faded = [mix(old, new, place, OVERLAP) for place, (old, new) in enumerate(pairs)]
    half = OVERLAP // 2
    cut = [replace(one, frame=one.old if place < half else one.new) for place, one in enumerate(faded)]
    return {name: _judged(scene.frames, other, seam) for name, seam in (("ours", faded), ("hard cut", cut))}


def _judged(frames: list[Frame], other: list[Frame], seam: list[Mixed]) -> Joined:
    middle, stop = (START + OVERLAP // 2) // 2, len(frames) // 2
    before = _side(frames, ChunkSpec(0, (0, middle), (0, middle), (0, STOP), 0, OVERLAP))
    after = _side(other, ChunkSpec(1, (middle, stop), (middle, stop), (START, len(frames)), OVERLAP, 0))
    tally = Tally(before, after)
    for mixed in seam:
        tally.add(mixed)
    numbers = tally.numbers()
    moved = max(movement(side, numbers.frames25) for side in (before, after))
    return Joined(numbers.step_ratio / moved, seam_problem(numbers, moved=moved) is not None)


def _side(frames: list[Frame], chunk: ChunkSpec) -> Segment:
    """What a seam's numbers are told from: of its files only the steps."""
    height, width = frames[0].shape[:2]
    steps = [distance(*pair) for pair in pairwise(frames[slice(*chunk.out)])]
    return Segment(chunk, SegmentFiles(Path(), None, None, width, height, hashes=(), steps=(None, *steps)))


@dataclass(frozen=True)
class SeamRow:
    """Seams of one kind, joined in one way: the least and largest ratio, and how many were refused."""

    other_side: str
    way: str
    least: float
    largest: float
    refused: int
    count: int

    @property
    def wrong(self) -> str | None:
        """Hard cuts that passed, or mended seams that were refused."""
        if self.way == "hard cut" and self.refused < self.count:
            return f"{self.other_side}: {self.count - self.refused} of {self.count} hard cuts were accepted"
        if self.way != "hard cut" and self.refused and self.other_side not in EITHER:
            return f"{self.other_side}: {self.refused} of {self.count} mended seams were refused"
        return None


def seam_rows(scenes: list[Scene]) -> list[SeamRow]:
    found: dict[tuple[str, str], list[Joined]] = {}
    for scene in scenes:
        for kind, other_side in OTHER_SIDES.items():
            for way, one in joined(scene, other_side(scene)).items():
                found.setdefault((kind, way), []).append(one)
    rows = []
    for (kind, way), every in found.items():
        ratios = [one.ratio for one in every]
        refused = sum(one.refused for one in every)
        rows.append(SeamRow(kind, way, min(ratios), max(ratios), refused, len(every)))
    return rows
