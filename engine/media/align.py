"""Two renders of one moment brought together: their colour offset, the flow from one to the other, their middle.

Every choice here was measured by bench/seams.py; docs/seams.md says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.renderer import Frame

    Floats = NDArray[np.float32]

AGREEMENT = 7
"""Pixels that sides must have in common each way to agree there: single ones are alike by chance."""
SMALLEST_SIDE = 24
"""Pixels; the flow between smaller pictures is not looked for, DIS cannot."""
TRUSTED, REFUSED = 0.55, 0.65
"""Difference left when the flow is followed, as a part of the difference before: up to the first the flow is followed
whole, from the second on not at all, between them in part. A moved head leaves 0.05 to 0.55 even under grain, pictures
of two things 0.75 and more, noise of single pixels 0.6 to 0.75."""

_HALF = 2  # the flow is looked for at half the size: as good, a quarter of the time
_FINENESS = 16  # parts of a pixel to which the flow is rounded, so that the last bits of a processor matter less
_ROUNDS = 2  # of the search for the flow that passes through a pixel half-way
_BAYER = np.array([[0, 2], [3, 1]])


@dataclass(frozen=True)
class Alignment:
    """How `new` lies to `old`. offset: levels by which it is brighter, [3] RGB.

    flow: pixels from old to new, [h / 2, w / 2, 2], None where there is none to follow. share: how much of it is
    followed, 0 to 1.
    """

    offset: Floats
    flow: Floats | None
    share: float

    @classmethod
    def of(cls, old: Frame, new: Frame) -> Alignment:
        offset = offset_between(old, new)
        if min(old.shape[:2]) < SMALLEST_SIDE:
            return cls(offset, None, 0.0)
        old_grey, new_grey = _grey(old), _grey(new)
        levelled = _levelled(old_grey, new_grey, offset)
        # a fixed preset; its result does not depend on the number of threads
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        found = search.calc(old_grey, levelled, None)  # type: ignore[call-overload]  # None: no first guess
        flow = (np.rint(np.asarray(found) * _FINENESS) / _FINENESS).astype(np.float32)
        share = _share(old_grey, levelled, flow)
        return cls(offset, flow * np.float32(_HALF) if share else None, share)

    @property
    def lengths(self) -> Floats:
        """Pixels that the picture moves where the flow is followed, one for each value of the flow."""
        if self.flow is None:
            return np.zeros(1, np.float32)
        return np.hypot(self.flow[..., 0], self.flow[..., 1]) * np.float32(self.share)


def offset_between(old: Frame, new: Frame) -> Floats:
    """Levels by which `new` is brighter, [3] RGB: the median over the pixels that differ at all; 0 where none do."""
    # every second pixel each way: a median needs no more
    step = new[::2, ::2].astype(np.int16) - old[::2, ::2]
    differing = step[(step != 0).any(2)]
    if not len(differing):
        return np.zeros(3, np.float32)
    counts = [np.bincount(differing[:, channel] + 255, minlength=511) for channel in range(3)]
    return np.array([np.searchsorted(count.cumsum(), (len(differing) + 1) // 2) - 255 for count in counts], np.float32)


def agreeing(old: Frame, new: Frame) -> NDArray[np.bool_]:
    """[h, w]: where the sides show the very same, over AGREEMENT pixels each way at least."""
    same = cv2.inRange(cv2.absdiff(old, new), (0, 0, 0), (0, 0, 0))
    square = np.ones((AGREEMENT, AGREEMENT), np.uint8)
    found: NDArray[np.bool_] = cv2.morphologyEx(same, cv2.MORPH_OPEN, square) > 0
    return found


def brought_together(old: Frame, new: Frame, alignment: Alignment, position: float) -> tuple[Floats, Floats]:
    """Both sides as float32, moved to `position` of the way from old to new, in old's colours."""
    earlier, later = old.astype(np.float32), new.astype(np.float32)
    if alignment.flow is not None:
        flow = _upon(alignment.flow * np.float32(alignment.share / _HALF), position)
        flow = cv2.resize(flow, (old.shape[1], old.shape[0]), interpolation=cv2.INTER_LINEAR) * np.float32(_HALF)
        earlier = _moved(earlier, flow * np.float32(-position), cv2.INTER_CUBIC)
        later = _moved(later, flow * np.float32(1 - position), cv2.INTER_CUBIC)
    later -= alignment.offset
    return earlier, later


@lru_cache(maxsize=2)
def thresholds(height: int, width: int) -> Floats:
    """[h, w, 1]: what is added before rounding down, 0 to 1 by turns, so that a slow change of brightness reaches each
    pixel at its own time instead of all at once.
    """
    pattern = np.zeros((1, 1), np.int64)
    while len(pattern) < 8:
        pattern = np.block([[4 * pattern + start for start in row] for row in _BAYER])
    rows, columns = -(-height // 8), -(-width // 8)
    tiled = np.tile((pattern + 0.5) / pattern.size, (rows, columns))[:height, :width, None]
    return tiled.astype(np.float32)


def _grey(frame: Frame) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (frame.shape[1] // _HALF, frame.shape[0] // _HALF), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8)


def _levelled(old: NDArray[np.uint8], new: NDArray[np.uint8], offset: Floats) -> NDArray[np.uint8]:
    """`new` in the brightness of `old` where they differ."""
    lift = round(float(offset @ np.array([0.299, 0.587, 0.114], np.float32)))  # as OpenCV weighs grey
    return np.where(old == new, new, np.clip(new.astype(np.int16) - lift, 0, 255)).astype(np.uint8)


def _share(old: NDArray[np.uint8], new: NDArray[np.uint8], flow: Floats) -> float:
    """How far the flow can be trusted: by how much closer it brings the sides half-way."""
    before = float(cv2.norm(old, new, cv2.NORM_L1))
    if not before:
        return 0.0
    middle = _upon(flow, 0.5) * np.float32(0.5)
    after = cv2.norm(_moved(old, -middle, cv2.INTER_LINEAR), _moved(new, middle, cv2.INTER_LINEAR), cv2.NORM_L1)
    return float(np.clip((REFUSED - after / before) / (REFUSED - TRUSTED), 0, 1))


def _upon(flow: Floats, position: float) -> Floats:
    """The flow through each pixel of the picture at `position`, from the flow that starts at each pixel of old."""
    passing = flow
    for _ in range(_ROUNDS):
        passing = _moved(flow, passing * np.float32(-position), cv2.INTER_LINEAR)
    return passing


def _moved(picture: Any, by: Floats, interpolation: int) -> Any:
    """Each pixel taken from where `by` points, edges going on beyond the picture."""
    grid = _grid(*by.shape[:2])
    # both coordinates are in the first map. The second must be None: OpenCV 5 reads an empty array as if it were one,
    # which is whatever lies behind it in memory
    return cv2.remap(picture, grid + by, None, interpolation, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> Floats:
    """[h, w, 2]: each pixel's own x and y."""
    return np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
