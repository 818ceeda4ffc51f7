"""What becomes of a seam on which two sides disagree: cut hard, faded plainly, and as the farm makes it.

    python bench/seams.py [--preview-only] [--picture] [--json]

Preview: the shipped lesson at 512x512; from the cut on the later side's head lies 3 pixels to the right and all of it
is 8 levels brighter, over four cuts. Sonic: spans of tiny made-up weights, 4 steps, 128x128, on one side of each of
four cuts with the reach and on the other without; some minutes. Ordinary: the median step from frame to frame of either
side alone.

step: the largest from frame to frame over the seam, its borders included, in ordinary steps. excess: by how much the
step over the seam is larger than the sides' own in the same frame, at most, in ordinary steps. sharpness: least
gradient energy in the fade, of that of the sides in the same frame. truth: PSNR (dB) against what was really between
the sides (the head moved and lit in part), where that is known.
--picture draws docs/pictures/seam.png instead.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import cv2
import numpy as np
from preview import SAMPLES, LoopedSpeech, shipped_speech

from engine.media.align import Alignment, brought_together, thresholds
from engine.media.seam import mix
from engine.media.video import distance
from engine.plan import Geometry, fade_weight, gen_frames_of, plan_chunks
from engine.renderer import Inputs, load_renderer
from engine.spec import RenderSpec

if TYPE_CHECKING:
    from engine.renderer import Frame

OVERLAP, AROUND = 16, 8  # frames25 of the seam, and of each side beside it
SHIFT, LIFT = 3.0, 8.0
CUTS = (40, 65, 90, 115)
PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "seam.png"
HEAD = (250, 190, 150, 190)
"""Centre and half axes of the head in the shipped portrait at 512x512."""

Joiner = Callable[["Frame", "Frame", int], "Frame"]
"""Frame `position` of the overlap, from both sides."""


@dataclass(frozen=True)
class Sides:
    """Both sides' frames over a seam and AROUND on each side of it; what is really between them, where known."""

    old: list[Frame]
    new: list[Frame]
    ordinary: float
    truth: Callable[[int, float], Frame] | None = None


def hard(old: Frame, new: Frame, position: int) -> Frame:
    return old if position < OVERLAP // 2 else new


def faded(weight: Callable[[int], float]) -> Joiner:
    def join(old: Frame, new: Frame, position: int) -> Frame:
        return np.rint(old + (new.astype(np.float32) - old) * weight(position)).astype(np.uint8)

    return join


def farm(old: Frame, new: Frame, position: int) -> Frame:
    return mix(old, new, position, OVERLAP).frame


def farm_in_linear_light(old: Frame, new: Frame, position: int) -> Frame:
    """The farm's own alignment and weights, mixed as light adds up instead of as it is coded."""
    alignment = Alignment.of(old, new)
    even = (position + 1) / (OVERLAP + 1)
    weight = even + alignment.share * (fade_weight(position, OVERLAP) - even)
    earlier, later = brought_together(old, new, alignment, even)
    lit = [light(side + alignment.offset * even) for side in (earlier, later)]
    mixed = coded(lit[0] * (1 - weight) + lit[1] * weight) + thresholds(*old.shape[:2])
    return np.clip(np.floor(mixed), 0, 255).astype(np.uint8)


def light(code: np.ndarray) -> np.ndarray:
    part = np.clip(code / 255, 0, 1)
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def coded(part: np.ndarray) -> np.ndarray:
    return 255 * np.where(part <= 0.0031308, 12.92 * part, 1.055 * part ** (1 / 2.4) - 0.055)


JOINERS: dict[str, Joiner] = {
    "hard cut": hard,
    "linear fade": faded(lambda position: (position + 0.5) / OVERLAP),
    "raised cosine": faded(lambda position: fade_weight(position, OVERLAP)),
    "ours": farm,
    "ours, linear light": farm_in_linear_light,
}


def previewed() -> list[Frame]:
    """Six seconds of the shipped lesson."""
    frames25 = 150
    inputs = Inputs(
        SAMPLES / "portrait.png", LoopedSpeech(shipped_speech(), 6), RenderSpec(), frames25, gen_frames_of(frames25)
    )
    renderer = load_renderer("preview", "cpu")
    (chunk,) = plan_chunks(frames25, chunk_seconds=60, geometry=Geometry()).chunks
    return list(renderer.render(chunk, renderer.prepare(inputs), lambda _share: None))


def injected(frame: Frame, way: float, *, shift: float = SHIFT, lift: float = LIFT) -> Frame:
    """The head moved and everything lit, `way` 0 to 1 of all of it."""
    height, width = frame.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    outside = ((x - HEAD[0]) / HEAD[2]) ** 2 + ((y - HEAD[1]) / HEAD[3]) ** 2
    head = cv2.GaussianBlur(np.clip(1.6 - outside, 0, 1), (0, 0), 12)
    moved = cv2.remap(
        frame.astype(np.float32), x - way * shift * head, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.rint(np.clip(moved + way * lift, 0, 255)).astype(np.uint8)


def preview_sides(frames: list[Frame], *, shift: float, lift: float) -> list[Sides]:
    ordinary = ordinary_step(frames)
    found = []
    for cut in CUTS:
        part = frames[cut - OVERLAP // 2 - AROUND : cut + OVERLAP // 2 + AROUND]

        def truth(place: int, way: float, part: list[Frame] = part) -> Frame:
            return injected(part[place], way, shift=shift, lift=lift)

        found.append(Sides(part, [truth(place, 1.0) for place in range(len(part))], ordinary, truth))
    return found


def sonic_sides() -> list[Sides]:
    """Neighbours of a job by tiny weights: of each two the earlier with Sonic's reach, the later without any."""
    from engine.sonic.renderer import SonicRenderer
    from engine.sonic.weights.tiny import write_tiny

    frames25 = 640
    spec = RenderSpec(renderer="sonic", steps=4, min_resolution=128)
    speech = LoopedSpeech(shipped_speech(), frames25 / 25)
    inputs = Inputs(SAMPLES / "portrait.png", speech, spec, frames25, gen_frames_of(frames25))
    with TemporaryDirectory() as folder:
        write_tiny(Path(folder))
        os.environ["FARM_WEIGHTS"] = folder
        renderer = SonicRenderer()
        renderer.load("cpu")
        features = renderer.prepare(inputs)
        reaching, bare = (
            plan_chunks(frames25, chunk_seconds=5, geometry=Geometry(reach=reach, window=25)).chunks
            for reach in (SonicRenderer.geometry.reach, 0)
        )
        return [
            beside(*(list(renderer.render(chunk, features, lambda _share: None)) for chunk in neighbours))
            for neighbours in zip(reaching[:-1], bare[1:], strict=True)
        ]


def beside(before: list[Frame], after: list[Frame]) -> Sides:
    """Beyond the overlap only one side was rendered, and stands for both."""
    return Sides(
        before[-OVERLAP - AROUND :] + after[OVERLAP : OVERLAP + AROUND],
        before[-OVERLAP - AROUND : -OVERLAP] + after[: OVERLAP + AROUND],
        ordinary_step(before),
    )


def ordinary_step(frames: list[Frame]) -> float:
    return float(np.median([distance(*pair) for pair in pairwise(frames)]))


def joined(sides: Sides, join: Joiner) -> list[Frame]:
    seam = range(AROUND, AROUND + OVERLAP)
    middle = [join(sides.old[place], sides.new[place], place - AROUND) for place in seam]
    return [*sides.old[:AROUND], *middle, *sides.new[AROUND + OVERLAP :]]


def energy(frame: Frame) -> float:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(sum(np.square(np.diff(grey, axis=axis)).mean() for axis in (0, 1)))


def measured(sides: Sides, join: Joiner) -> dict[str, float]:
    frames = joined(sides, join)
    steps, own = [], []
    for place in range(AROUND, AROUND + OVERLAP + 1):
        steps.append(distance(frames[place - 1], frames[place]))
        own.append(np.mean([distance(side[place - 1], side[place]) for side in (sides.old, sides.new)]))
    seam = range(AROUND, AROUND + OVERLAP)
    sharpness = [
        energy(frames[place]) / np.mean([energy(side[place]) for side in (sides.old, sides.new)]) for place in seam
    ]
    found = {
        "step": max(steps) / sides.ordinary,
        "excess": float(np.max(np.subtract(steps, own))) / sides.ordinary,
        "sharpness": min(sharpness),
    }
    if sides.truth is not None:
        errors = []
        for place in seam:
            truth = sides.truth(place, (place - AROUND + 1) / (OVERLAP + 1))
            errors.append(np.square(frames[place].astype(np.float32) - truth).mean())
        found["truth"] = 10 * math.log10(255**2 / np.mean(errors))
    return found


def table(sides: list[Sides]) -> dict[str, dict[str, float]]:
    """Joiner -> its measures, means over the seams."""
    rows = {}
    for name, join in JOINERS.items():
        each = [measured(seam, join) for seam in sides]
        rows[name] = {measure: float(np.mean([one[measure] for one in each])) for measure in each[0]}
    return rows


def materials(frames: list[Frame], *, preview_only: bool) -> dict[str, list[Sides]]:
    found = {
        f"preview, head {SHIFT:g} pixels aside and {LIFT:g} levels brighter": (SHIFT, LIFT),
        f"preview, head {SHIFT:g} pixels aside": (SHIFT, 0.0),
        f"preview, {LIFT:g} levels brighter": (0.0, LIFT),
    }
    made = {name: preview_sides(frames, shift=shift, lift=lift) for name, (shift, lift) in found.items()}
    return made if preview_only else {**made, "tiny Sonic, a reach of 25 and one of 0": sonic_sides()}


def trust(frame: Frame) -> dict[str, dict[str, float]]:
    """How far the flow is followed between sides that are more and less alike, and what half-way then looks like."""
    chance = np.random.default_rng(0)

    def grainy(picture: Frame, strength: float) -> Frame:
        return np.clip(np.rint(picture + chance.normal(0, strength, picture.shape)), 0, 255).astype(np.uint8)

    pairs = {
        f"head {shift:g} pixels aside": (frame, injected(frame, 1, shift=shift), injected(frame, 0.5, shift=shift))
        for shift in (1, 3, 12, 40)
    }
    pairs |= {
        f"grain of {strength} levels, head 3 aside": (
            grainy(frame, strength),
            grainy(injected(frame, 1), strength),
            injected(frame, 0.5),
        )
        for strength in (2, 5)
    }
    found = {}
    for name, (old, new, truth) in pairs.items():
        # a seam of one frame is half-way
        halves = {"fade": np.rint((old.astype(np.float32) + new) / 2), "ours": mix(old, new, 0, 1).frame}
        errors = {f"{way} truth": psnr(picture, truth) for way, picture in halves.items()}
        found[name] = {"followed": Alignment.of(old, new).share, **errors}
    noise = (chance.integers(0, 256, frame.shape, np.uint8) for _ in range(2))
    for name, (old, new) in {"picture upside down": (frame, frame[::-1].copy()), "noise": tuple(noise)}.items():
        found[name] = {"followed": Alignment.of(old, new).share}
    return found


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.square(one.astype(np.float32) - other).mean())


def show_trust(found: dict[str, dict[str, float]]) -> None:
    print("\nhow much of the flow is followed, and half-way against the truth (dB)")
    for name, row in found.items():
        print(f"{name:36}" + "   ".join(f"{measure} {value:.2f}" for measure, value in row.items()))


def show(name: str, rows: dict[str, dict[str, float]]) -> None:
    measures = list(rows["ours"])
    print(f"\n{name}\n{'':20}" + "".join(f"{measure:>14}" for measure in measures))
    for joiner, row in rows.items():
        print(f"{joiner:20}" + "".join(f"{row[measure]:14.4f}" for measure in measures))
    for measure in ("step", "excess"):
        others = {other: rows[other][measure] for other in ("hard cut", "linear fade")}
        if rows["ours"][measure] > 0:  # a fade of what moves by itself can make steps smaller than the sides' own
            factors = [
                f"the {other}'s is {value / rows['ours'][measure]:.4f} times ours" for other, value in others.items()
            ]
            print(f"{measure}: {', '.join(factors)}")


def draw() -> None:
    """Frames around a seam, one row a way to join them."""
    (sides, *_) = preview_sides(previewed(), shift=SHIFT, lift=LIFT)
    shown = (AROUND - 1, AROUND + 3, AROUND + 7, AROUND + 8, AROUND + OVERLAP)
    rows = []
    for name in ("hard cut", "linear fade", "ours"):
        frames = joined(sides, JOINERS[name])
        cells = []
        for place in shown:
            eyes = frames[place][140:220, 175:285]
            cell = cv2.resize(eyes, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            cells.append(cv2.copyMakeBorder(cell, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)))
        row = np.hstack(cells)
        title = np.full((34, row.shape[1], 3), 255, np.uint8)
        numbers = measured(sides, JOINERS[name])
        text = (
            f"{name}: step {numbers['step']:.1f}, excess {numbers['excess']:.1f}, sharpness {numbers['sharpness']:.2f}"
        )
        cv2.putText(title, text, (6, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (20, 20, 20), 1, cv2.LINE_AA)
        rows += [title, row]
    foot = np.full((30, rows[1].shape[1], 3), 255, np.uint8)
    for column, place in enumerate(shown):
        at = place - AROUND
        words = "before" if at < 0 else "behind" if at >= OVERLAP else f"frame {at + 1} of {OVERLAP}"
        where = (column * rows[1].shape[1] // len(shown) + 8, 20)
        cv2.putText(foot, words, where, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (90, 90, 90), 1, cv2.LINE_AA)
    cv2.imwrite(str(PICTURE), cv2.cvtColor(np.vstack([*rows, foot]), cv2.COLOR_RGB2BGR))
    print(f"drawn: {PICTURE.relative_to(Path.cwd()) if PICTURE.is_relative_to(Path.cwd()) else PICTURE}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preview-only", action="store_true", help="leave Sonic out: no torch, half a minute")
    parser.add_argument("--picture", action="store_true", help="draw docs/pictures/seam.png and measure nothing else")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args()
    if options.picture:
        draw()
        return
    frames = previewed()
    found = {name: table(sides) for name, sides in materials(frames, preview_only=options.preview_only).items()}
    trusted = trust(frames[CUTS[0]])
    if options.json:
        print(json.dumps({"seams": found, "trust": trusted}))
        return
    for name, rows in found.items():
        show(name, rows)
    show_trust(trusted)


if __name__ == "__main__":
    main()
