"""Seams between two renders that differ: what the farm makes of them, a hard cut, and what acceptance says of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from bench.acceptance_scenes import COLLINS, HOPPER, Frame, Scene, onto, rendered, with_a_shifted_head
from engine.media.acceptance import movement, seam_problem
from engine.media.image import load_portrait
from engine.media.seam import LEAST_STEP, NEARBY, SeamNumbers, distance, mix

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.media.measures import Measures

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


def joined(scene: Scene, other: list[Frame], measures: tuple[Measures, Measures]) -> dict[str, Joined]:
    """Both ways to join a scene with what another side has behind it."""
    pairs = list(zip(scene.frames[START:STOP], other[START:STOP], strict=True))
    faded = [mix(old, new, place, OVERLAP).frame for place, (old, new) in enumerate(pairs)]
    half = OVERLAP // 2
    cut = [old for old, _ in pairs[:half]] + [new for _, new in pairs[half:]]
    moved = max(movement(side, (START, STOP)) for side in measures)
    return {
        name: _judged(scene, other, frames, measures, moved) for name, frames in (("ours", faded), ("hard cut", cut))
    }


def _judged(
    scene: Scene, other: list[Frame], seam: list[Frame], measures: tuple[Measures, Measures], moved: float
) -> Joined:
    frames = [scene.frames[START - 1], *seam, other[STOP]]
    step = max(distance(one, two) for one, two in pairwise(frames))
    around = [*measures[0].step[max(0, START - NEARBY) : STOP], *measures[1].step[START : STOP + NEARBY]]
    ordinary = float(np.median([value for value in around if value is not None]))
    apart = [distance(old, new) for old, new in zip(scene.frames[START:STOP], other[START:STOP], strict=True)]
    numbers = SeamNumbers(
        cut=(START + OVERLAP // 2) // 2,
        frames25=(START, STOP),
        difference=float(np.mean(apart)),
        brightness=(0.0, 0.0, 0.0),
        flow_mean=0.0,
        flow_p95=0.0,
        step=step,
        ordinary=ordinary,
        step_ratio=step / max(ordinary, LEAST_STEP),
    )
    return Joined(numbers.step_ratio / moved, seam_problem(numbers, moved=moved) is not None)


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
        before = scene.measured()
        for kind, other_side in OTHER_SIDES.items():
            other = other_side(scene)
            for way, one in joined(scene, other, (before, scene.measured(other))).items():
                found.setdefault((kind, way), []).append(one)
    rows = []
    for (kind, way), every in found.items():
        ratios = [one.ratio for one in every]
        refused = sum(one.refused for one in every)
        rows.append(SeamRow(kind, way, min(ratios), max(ratios), refused, len(every)))
    return rows
