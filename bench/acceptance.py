"""Acceptance of chunks: what it finds in clean renders, and in the same renders spoilt on purpose.

    python -m bench.acceptance [--clean 20] [--json]

The preview's renders of unlike portraits, voices and parameters, six seconds each, and every defect put into each of
them; then seams between renders that differ. Fails where a defect is missed or a clean render is refused, a hard cut
accepted or a mended seam of the same person refused. About four minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from bench.acceptance_scenes import DEFECTS, VOICES, Defect, Scene, clean_names, portraits, scene
from bench.acceptance_seams import seam_rows
from engine.media import acceptance
from engine.media.acceptance import Problem, problems_of
from engine.media.likeness import SAME_FACE
from engine.media.measures import Measures

SECONDS = 6
WITH_SEAMS = 5
"""Scenes between which and others seams are made."""
Margin = Callable[[Measures, Scene, Defect | None], float]


@dataclass(frozen=True)
class Row:
    """A limit: what clean renders measured nearest to it, and what the defects measured nearest to it."""

    what: str
    limit: float
    clean: float
    spoilt: float
    spoilt_by: str


def found(problems: list[Problem], defect: Defect) -> bool:
    return any(one.kind in defect.kinds and one.start < defect.stop and defect.start < one.stop for one in problems)


def brightest(measures: Measures, _: Scene, defect: Defect | None) -> float:
    return min(measures.brightest) if defect is None else max(measures.brightest[defect.start : defect.stop])


def face_step(measures: Measures, _: Scene, defect: Defect | None) -> float:
    """The most that a half second keeps below while the head moves, or the most inside a frozen span."""
    steps = np.array(measures.face_step[1:], float)
    if defect is None:
        return float(np.lib.stride_tricks.sliding_window_view(steps, acceptance.STILL_FRAMES).max(axis=1).min())
    return float(steps[defect.start : defect.stop - 1].max())


def mouth_spread(measures: Measures, scene: Scene, _: Defect | None) -> float:
    return float(acceptance.mouth_spreads(measures, scene.voiced)[1].min())


def likeness(measures: Measures, _: Scene, defect: Defect | None) -> float:
    looks = [look for look in measures.faces if defect is None or defect.start <= look.frame < defect.stop]
    values = [-1.0 if look.likeness is None else look.likeness for look in looks]
    return min(values) if defect is None else max(values)


def jump(measures: Measures, _: Scene, defect: Defect | None) -> float:
    times = acceptance.step_times(measures)
    return float(times.max() if defect is None else times[defect.start])


def brightness(measures: Measures, _: Scene, defect: Defect | None) -> float:
    steps = np.abs(np.diff(measures.luma))
    return float(steps.max() if defect is None else steps[defect.start - 1])


MARGINS: tuple[tuple[str, float, Margin, bool, tuple[str, ...]], ...] = (
    ("brightest cell, levels", acceptance.BLACK, brightest, True, ("black span, 1 s", "one black frame")),
    ("step around the face, levels", acceptance.STILL_STEP, face_step, True, ("frozen span, 2 s",)),
    ("mouth's spread, eye distances", acceptance.MOUTH_MOVES, mouth_spread, True, ("still mouth, 4 s",)),
    (
        "likeness",
        SAME_FACE,
        likeness,
        True,
        ("swapped face, 2 s", "face gone, 2 s", "face swapped for a half-alike one"),
    ),
    ("step, of the ninth decile around", acceptance.JUMP, jump, False, ("head shifted by 3 pixels",)),
    ("brightness step, levels", acceptance.BRIGHTNESS_LEVELS, brightness, False, ("8 levels brighter",)),
)
"""What is measured, its limit, how, whether clean renders lie above it, and the defects on its other side."""


def look_at(count: int) -> tuple[dict[str, list[int]], list[str], list[Row]]:
    """How often each defect was found, and put in; what went wrong; the margins."""
    counts: dict[str, list[int]] = {name: [0, 0] for name in DEFECTS}
    wrong: list[str] = []
    near: dict[tuple[str, str], list[float]] = {}
    faces = portraits()
    for number, (portrait, voice, spec) in enumerate(clean_names(count), 1):
        clean = scene(f"{portrait} / {voice}", faces[portrait], VOICES[voice](SECONDS), spec)
        print(f"... {number}/{count} {clean.name}", file=sys.stderr, flush=True)
        measures = clean.measured()
        wrong += [f"{clean.name}, clean: {one.sentence}" for one in problems_of(measures, voiced=clean.voiced)]
        for what, _, margin, _, _ in MARGINS:
            near.setdefault((what, "clean"), []).append(margin(measures, clean, None))
        for name, defect in DEFECTS.items():
            if not defect.of(clean):
                continue
            counts[name][1] += 1
            spoilt = clean.measured(defect.spoil(clean))
            if found(problems_of(spoilt, voiced=clean.voiced), defect):
                counts[name][0] += 1
            elif defect.required:
                wrong.append(f"{clean.name}: {name} was missed")
            for what, _, margin, _, names in MARGINS:
                if name in names:
                    near.setdefault((what, name), []).append(margin(spoilt, clean, defect))
    rows = [
        Row(what, limit, (min if above else max)(near[what, "clean"]), (max if above else min)(near[what, name]), name)
        for what, limit, _, above, names in MARGINS
        for name in names
        if counts[name][1]
    ]
    return counts, wrong, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=int, default=20, help="renders to look at")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    counts, wrong, rows = look_at(args.clean)
    faces = portraits()
    named = clean_names(min(WITH_SEAMS, args.clean))
    seams = seam_rows([scene(f"{who} / {said}", faces[who], VOICES[said](SECONDS), spec) for who, said, spec in named])
    wrong += [seam.wrong for seam in seams if seam.wrong]
    if args.json:
        print(
            json.dumps(
                {
                    "renders": args.clean,
                    "found": counts,
                    "wrong": wrong,
                    "margins": [vars(row) for row in rows],
                    "seams": [vars(row) for row in seams],
                }
            )
        )
        sys.exit(1 if wrong else 0)
    print(f"\n{args.clean} clean renders, {sum('clean:' in line for line in wrong)} problems found in them\n")
    print("| defect | found |\n|---|---|")
    for name, (times, of) in counts.items():
        print(f"| {name} | {times} of {of}{'' if DEFECTS[name].required else ', known not to be told apart'} |")
    print("\n| measure | limit | clean, nearest | spoilt, nearest | by |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.limit:g} | {row.clean:.3g} | {row.spoilt:.3g} | {row.spoilt_by} |")
    print("\n| seam to | joined by | step, in its sides' own | refused |\n|---|---|---|---|")
    for seam in seams:
        span = f"{seam.least:.2f} to {seam.largest:.2f}"
        print(f"| {seam.other_side} | {seam.way} | {span} | {seam.refused} of {seam.count} |")
    print("", *wrong, sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
