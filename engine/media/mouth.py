"""How far a mouth is open in each frame of a talking head, whoever drew it.

Two readings of one length are added: how far the chin has gone down against the nose since the first frame, and how
tall the darkness between the lips is. A jaw moves in every renderer, a dark mouth stays true where the jaw is drawn
too stiff; both count in eye distances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.media.face import Landmarks
    from engine.renderer import Frame

    Plane = NDArray[np.uint8]
    Box = tuple[slice, slice]

_UNIT = 40
"""Pixels of an eye distance in the straightened patch: the lips' way is then some ten pixels."""
_NEAR, _FAR = 8, 20  # patch pixels that the head may have moved since the last frame, and after it was lost
_JAW_RISES, _JAW_FALLS = 20, 26  # patch pixels from where it was in the first frame
_SAME_HEAD, _SAME_JAW = 0.4, 0.4  # correlation; blinks leave 0.55, noise and another face less than this
_DARK, _DARK_RANGE = 0.62, 0.2  # lightness in parts of the skin's: where a shadow starts, and how soon it is full
_RESTING_SHARE = 10  # percentile of a chunk's openings that counts as shut


class MouthMeter:
    """Measures a face's mouth, frame by frame; `landmarks` were found on `frame`, to which the rest is compared.

    The face may move by a fifth of the eye distance from one frame to the next. Under a millisecond a frame.
    """

    def __init__(self, frame: Frame, landmarks: Landmarks) -> None:
        self._patch = _Patch.of(landmarks)
        self._at = np.zeros(2)  # eye distances that the head has moved, along and across the line of the eyes
        self._lost = False
        look = self._patch.cut(frame, self._at)
        nose, mouth, middle = self._patch.nose, self._patch.mouth, self._patch.middle
        head = -0.7, -0.25, 0.7, nose
        # the chin, not the lip: a first frame with an open mouth would have teeth in the template
        jaw = middle - 0.4, mouth + 0.35, middle + 0.4, mouth + 0.85
        self._head = _Template.of(look, self._patch.box(*head))
        self._jaw = _Template.of(look, self._patch.box(*jaw))
        self._lips = (middle - 0.2, mouth - 0.3, middle + 0.2, mouth + 0.6)
        self._skin = float(np.median(look[self._patch.box(-0.6, nose - 0.1, 0.6, nose + 0.1)]))

    def add(self, frame: Frame) -> float | None:
        """The opening in one [height, width, 3] RGB frame, in eye distances; None where the face is not to be found.

        It grows with the opening; where it starts depends on the first frame (see `rested`).
        """
        look = self._patch.cut(frame, self._at)
        reach = _FAR if self._lost else _NEAR
        head = self._head.found(look, aside=reach, up=reach, down=reach)
        self._lost = head.score < _SAME_HEAD
        if self._lost:
            return None
        self._at += np.array([head.right, head.down]) / _UNIT
        jaw = self._jaw.found(look, aside=_NEAR, up=_JAW_RISES, down=_JAW_FALLS)
        if jaw.score < _SAME_JAW:
            return None
        dark = self._darkness(look, (head.right + jaw.right) / 2, head.down)
        return float(jaw.down - head.down) / _UNIT + dark

    def _darkness(self, look: Plane, right: float, down: float) -> float:
        """Height of what is much darker than skin, in eye distances, averaged over the middle of the mouth."""
        rows, columns = self._patch.box(*self._lips)
        shape = columns.stop - columns.start, rows.stop - rows.start
        moved = np.array([[1, 0, columns.start + right], [0, 1, rows.start + down]])
        lips = cv2.warpAffine(look, moved, shape, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        dark = np.clip((_DARK * self._skin - lips) / (_DARK_RANGE * self._skin + 1), 0, 1)
        return float(dark.sum() / shape[0] / _UNIT)


def rested(openings: Sequence[float | None]) -> list[float | None]:
    """A chunk's openings counted from its shut mouth, so that chunks measured from unlike first frames agree."""
    known = [opening for opening in openings if opening is not None]
    shut = float(np.percentile(known, _RESTING_SHARE)) if known else 0.0
    return [None if opening is None else opening - shut for opening in openings]


@dataclass(frozen=True)
class _Patch:
    """Eyes to chin, upright and in grey, _UNIT pixels to the eye distance.

    Places in it are (along, across) the line of the eyes from the middle between them, in eye distances: nose, mouth
    across; middle (of the mouth) along. shrink: from the frame to the patch's scale.
    """

    shrink: float
    axes: NDArray[np.float64]
    origin: NDArray[np.float64]
    nose: float
    mouth: float
    middle: float

    left, top = -1.15, -0.6

    @classmethod
    def of(cls, landmarks: Landmarks) -> _Patch:
        unit, angle = landmarks.eye_distance, math.radians(landmarks.tilt)
        axes = unit * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        origin = (np.array(landmarks.left_eye) + landmarks.right_eye) / 2
        nose, corner, other = np.linalg.solve(
            axes, (np.array([landmarks.nose, landmarks.mouth_left, landmarks.mouth_right]) - origin).T
        ).T
        mouth, middle = (corner + other)[::-1] / 2
        return cls(min(1.0, _UNIT / unit), axes, origin, float(nose[1]), float(mouth), float(middle))

    def box(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Rows and columns of the patch."""
        rows = slice(round((top - self.top) * _UNIT), round((bottom - self.top) * _UNIT))
        return rows, slice(round((left - self.left) * _UNIT), round((right - self.left) * _UNIT))

    def cut(self, frame: Frame, at: NDArray[np.float64]) -> Plane:
        """The patch of a frame whose head has moved by `at`, [rows, columns]."""
        corner = self.origin + self.axes @ (at + np.array([self.left, self.top]))
        columns, rows = self._seen(corner, frame)
        grey = cv2.cvtColor(frame[rows, columns], cv2.COLOR_RGB2GRAY)
        size = max(1, round(grey.shape[1] * self.shrink)), max(1, round(grey.shape[0] * self.shrink))
        # averaged, not sampled: hair and grain of a large frame would flicker
        small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if self.shrink < 1 else grey
        scale = np.array([size[0] / grey.shape[1], size[1] / grey.shape[0]])
        start = corner - [columns.start, rows.start]
        matrix = np.column_stack([self.axes / _UNIT * scale[:, None], (start + 0.5) * scale - 0.5])
        shape = round(-2 * self.left * _UNIT), round(self._height * _UNIT)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        patch = cv2.warpAffine(small, matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return patch.astype(np.uint8, copy=False)

    @property
    def _height(self) -> float:
        return self.mouth + 1.3 - self.top

    def _seen(self, corner: NDArray[np.float64], frame: Frame) -> Box:
        """Columns and rows of the frame under a patch that begins at `corner`; one of each where it lies outside."""
        right, down = -2 * self.left, self._height
        corners = corner + np.array([[0, 0], [right, 0], [0, down], [right, down]]) @ self.axes.T
        low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int) + 1
        sides = []
        for first, stop, side in zip(low.tolist(), high.tolist(), frame.shape[1::-1], strict=True):
            start = min(max(first, 0), side - 1)
            sides.append(slice(start, min(max(stop, start + 1), side)))
        return sides[0], sides[1]


@dataclass(frozen=True)
class _Found:
    """Where a template lies, in patch pixels from its own place, to fractions of one; and how alike it is, up to 1."""

    right: float
    down: float
    score: float


@dataclass(frozen=True)
class _Template:
    """A part of the first frame's patch, to be found again."""

    pixels: Plane
    box: Box

    @classmethod
    def of(cls, look: Plane, box: Box) -> _Template:
        rows, columns = (
            slice(max(0, part.start), min(part.stop, side)) for part, side in zip(box, look.shape, strict=True)
        )
        return cls(look[rows, columns].copy(), (rows, columns))

    def found(self, look: Plane, *, aside: int, up: int, down: int) -> _Found:
        rows, columns = self.box
        top, left = max(0, rows.start - up), max(0, columns.start - aside)
        scores = cv2.matchTemplate(
            look[top : rows.stop + down, left : columns.stop + aside], self.pixels, cv2.TM_CCOEFF_NORMED
        )
        _, score, _, (x, y) = cv2.minMaxLoc(scores)
        right = x + _summit(scores[y], x) + left - columns.start
        return _Found(right, y + _summit(scores[:, x], y) + top - rows.start, score)


def _summit(values: NDArray[Any], place: int) -> float:
    """How far beside the largest value the parabola through its neighbours has its summit."""
    if not 0 < place < len(values) - 1:
        return 0.0
    before, at, behind = (float(value) for value in values[place - 1 : place + 2])
    bend = before - 2 * at + behind
    return (before - behind) / (2 * bend) if bend < 0 else 0.0
