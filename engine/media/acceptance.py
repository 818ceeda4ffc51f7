"""What is wrong with a chunk or a seam, told from its measures; docs/acceptance.md has the limits and their margins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from engine.media.likeness import SAME_FACE
from engine.media.seam import LEAST_STEP, NEARBY
from engine.timecode import timecode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from engine.media.measures import Measures
    from engine.media.seam import SeamNumbers, Segment

    Reals = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Spans = Sequence[tuple[int, int]]

BLACK = 16
"""Levels: a frame whose brightest part, a 256th of it, is darker shows nothing."""
STILL_STEP = 0.02
"""Levels around the face by which a living picture changes at least from frame to frame."""
STILL_FRAMES = 12
"""frames25 with a voice (half a second) in which nothing moves make a frozen picture; a pause may be still."""
MOUTH_MOVES = 0.0035
"""Eye distances between the 20th and the 80th percentile of a speaking mouth's opening, its slow part taken away."""
MOUTH_FRAMES = 50
"""frames25 with a voice (2 s) that are looked at together for that."""
JUMP = 3.0
"""A step this many times the ninth decile of those around it is no movement."""
JUMP_LEVELS = 1.0
"""Levels that such a step has at least: nobody sees less."""
BRIGHTNESS_LEVELS = 2.0
"""Levels by which the mean brightness of a steady picture changes from frame to frame at most."""
SEAM = 2.0
"""A seam's largest step, in the larger of its sides' own largest there, from which on it is seen."""
_AROUND = 12  # frames25 on each side that a step is compared with
_SLOW = 13  # frames25 of the running mean that is taken from the mouth: a head that moves carries its measure along
_FAINTEST = 1e-3  # levels; in a picture without any movement each step is a jump
_SPREAD = (20, 80)  # percentiles: a blink or a slip of the measure is neither


@dataclass(frozen=True)
class Problem:
    """What is wrong in frames25 [start, stop). kind: black, frozen, mouth, face, jump, brightness or seam.

    value: the worst that was measured there, None where nothing was to be measured; limit: what it should have kept to.
    """

    kind: str
    start: int
    stop: int
    value: float | None
    limit: float
    sentence: str


def problems_of(measures: Measures, *, voiced: Spans) -> list[Problem]:
    """What is wrong with a chunk, in order of time; `voiced` are the job's frames25 [start, stop) with a voice."""
    found: list[Problem] = []
    told = np.zeros(len(measures.luma) + 2, bool)  # one more on each side: what only touches is told as well
    # a black picture is also frozen and faceless, and begins with a jump: the first that touches a span tells of it
    for search in (_black, _frozen, _other_face, _still_mouth, _jumps):
        fresh = [one for one in search(measures, voiced) if not told[_place(one, measures, beside=1)].any()]
        for one in fresh:
            told[_place(one, measures, beside=0)] = True
        found += fresh
    return sorted(found, key=lambda problem: problem.start)


def movement(side: Segment, span: tuple[int, int]) -> float:
    """The largest step of a chunk's own frames25 [span), in medians of the steps up to NEARBY around it; 1 at least.

    What moves at a seam by itself: a blink is several ordinary steps, and is no seam.
    """
    steps, (start, stop) = side.files.steps, (edge - side.chunk.out[0] for edge in span)
    around = [step for step in steps[max(0, start - NEARBY) : stop + NEARBY] if step is not None]
    own = [step for step in steps[max(0, start) : stop + 1] if step is not None]
    ordinary = float(np.median(around)) if around else 0.0
    return max(1.0, max(own, default=0.0) / max(ordinary, LEAST_STEP))


def seam_problem(numbers: SeamNumbers, *, moved: float) -> Problem | None:
    """A seam that is seen: None where both sides are the same; `moved` is the larger `movement` of the two."""
    ratio = numbers.step_ratio / moved
    if numbers.difference == 0 or ratio <= SEAM:
        return None
    start, stop = numbers.frames25
    sentence = (
        f"the seam at {timecode(start)} is seen: it steps {numbers.step_ratio:.1f} times as far as frames do nearby, "
        f"its sides {moved:.1f} times, wanted at most {SEAM:g} times theirs"
    )
    return Problem("seam", start, stop, round(ratio, 2), SEAM, sentence)


def mouth_spreads(measures: Measures, voiced: Spans) -> tuple[NDArray[np.intp], Reals]:
    """The frames, counted from the chunk's first, that have a voice and a mouth; and how far the mouth moves in each
    MOUTH_FRAMES of them that follow each other: none where there are fewer.
    """
    openings = _filled(measures.mouth, np.nan)
    known = np.flatnonzero(_speaks(measures, voiced) & ~np.isnan(openings))
    if len(known) < MOUTH_FRAMES:
        return known, np.empty(0)
    low, high = np.percentile(sliding_window_view(_quick_part(openings)[known], MOUTH_FRAMES), _SPREAD, axis=1)
    return known, high - low


def step_times(measures: Measures) -> Reals:
    """How far each frame steps, in ordinary steps around it (see JUMP): in all of the picture or around the face."""
    return np.maximum(*(_times(_filled(steps, 0.0), JUMP_LEVELS) for steps in (measures.step, measures.face_step)))


def _black(measures: Measures, _: Spans) -> Iterator[Problem]:
    brightest = np.array(measures.brightest)
    for first, last in _runs(brightest < BLACK):
        value = float(brightest[first:last].max())
        yield _problem("black", measures, (first, last), value, BLACK, "the picture is black {}")


def _frozen(measures: Measures, voiced: Spans) -> Iterator[Problem]:
    steps, speaks = _filled(measures.face_step, np.inf), _speaks(measures, voiced)
    for first, last in _runs(steps < STILL_STEP):
        if speaks[first:last].sum() >= STILL_FRAMES:
            value = float(steps[first:last].max())
            # the frame before the first that did not change shows the same
            yield _problem("frozen", measures, (first - 1, last), value, STILL_STEP, "the picture is frozen {}")


def _other_face(measures: Measures, _: Spans) -> Iterator[Problem]:
    bad = np.array([look.likeness is None or look.likeness < SAME_FACE for look in measures.faces], bool)
    for first, last in _runs(bad):
        looks = measures.faces[first:last]
        if len(looks) < 2 and len(measures.faces) > 1:
            continue  # once is a turn of the head or a slip of the detector; a look is repeated soon after
        likeness = min((look.likeness for look in looks if look.likeness is not None), default=None)
        said = "no face is to be found {}" if likeness is None else "the face is not the portrait's {}"
        span = looks[0].frame - measures.start, looks[-1].frame - measures.start + 1
        yield _problem("face", measures, span, likeness, SAME_FACE, said)


def _still_mouth(measures: Measures, voiced: Spans) -> Iterator[Problem]:
    known, spreads = mouth_spreads(measures, voiced)
    still = np.zeros(len(measures.mouth), bool)
    for first in np.flatnonzero(spreads < MOUTH_MOVES):
        still[known[first] : known[first + MOUTH_FRAMES - 1] + 1] = True
    told = "the mouth hardly moves while speech goes on {}"
    for span in _runs(still):
        yield _problem("mouth", measures, span, float(spreads.min()), MOUTH_MOVES, told)


def _jumps(measures: Measures, _: Spans) -> Iterator[Problem]:
    lights = np.abs(np.diff(measures.luma, prepend=measures.luma[0]))
    bright, times = _times(lights, BRIGHTNESS_LEVELS) > JUMP, step_times(measures)
    for place in np.flatnonzero(bright | (times > JUMP)).tolist():
        kind, values, limit, said = (
            ("brightness", lights, BRIGHTNESS_LEVELS, "the brightness jumps {}")
            if bright[place]
            else ("jump", times, JUMP, "the picture jumps {}")
        )
        yield _problem(kind, measures, (place, place + 1), float(values[place]), limit, said)


def _times(steps: Reals, seen: float) -> Reals:
    """Each step in ninth deciles of those around it, the largest left out; 0 for what is too small to be `seen`."""
    others = steps[1:]  # there is none to the first frame
    if len(others) < 2:
        return np.zeros(len(steps))
    width = min(2 * _AROUND + 1, len(others))
    ordinary = np.percentile(np.sort(sliding_window_view(others, width), axis=1)[:, :-1], 90, axis=1)
    window = np.clip(np.arange(len(others)) - _AROUND, 0, len(ordinary) - 1)
    times = others / np.maximum(ordinary[window], _FAINTEST)
    return np.concatenate([[0.0], np.where(others > seen, times, 0.0)])


def _speaks(measures: Measures, voiced: Spans) -> Flags:
    """Which of the chunk's frames have a voice."""
    speaks = np.zeros(len(measures.luma), bool)
    for start, stop in voiced:
        speaks[max(0, start - measures.start) : max(0, stop - measures.start)] = True
    return speaks


def _quick_part(openings: Reals) -> Reals:
    """Openings without their running mean over half a second."""
    known = ~np.isnan(openings)
    window = np.ones(_SLOW)
    count = np.convolve(known, window, "same")
    quick: Reals = openings - np.convolve(np.where(known, openings, 0), window, "same") / np.maximum(count, 1)
    return quick


def _problem(
    kind: str, measures: Measures, span: tuple[int, int], value: float | None, limit: float, said: str
) -> Problem:
    start, stop = (measures.start + int(edge) for edge in span)
    where = f"at {timecode(start)}" if stop - start == 1 else f"from {timecode(start)} to {timecode(stop)}"
    shown = "nothing was measured" if value is None else f"measured {value:.3g}"
    sentence = f"{said.format(where)}: {shown}, the limit is {limit:g}"
    return Problem(kind, start, stop, None if value is None else round(value, 4), limit, sentence)


def _place(one: Problem, measures: Measures, *, beside: int) -> slice:
    """A problem's frames in a row of the chunk's with one more on each side, and so many `beside` them."""
    return slice(max(0, one.start - measures.start + 1 - beside), one.stop - measures.start + 1 + beside)


def _filled(values: Iterable[float | None], gap: float) -> Reals:
    return np.array([gap if value is None else value for value in values], float)


def _runs(flags: Flags) -> Iterator[tuple[int, int]]:
    """[start, stop) of what is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
