"""Where lips and lids lie in a photo: the detector's five points, refined by looking at the pixels around them.

Lengths are in units of half a mouth (or half an eye), along (s) and across (t) the line of its corners.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.media.face import Landmarks, Point

_Real = TypeVar("_Real", np.float32, np.float64)

PATCH_STEP = 0.03
"""Distance of two samples in a patch, in units."""
_HALF_EYE = 0.27  # of the distance between the eyes
_FLESH_SCORE = 0.35  # what scores less belongs to lips and lids
_STRAY_COST = 0.25  # square units of fit that one unit away from the detector's corners must gain
_TEETH_LIGHT, _EYE_LIGHT = 1.03, 1.12  # lightness in parts of the skin's from which teeth and eyes stand out
_RIM = 0.035
_OPEN_AREA = 0.06  # square units of teeth or darkness that make a mouth count as open


@dataclass(frozen=True)
class Axes:
    """A place in the photo: `unit` pixels are 1, `angle` (radians) is where s points."""

    centre: Point
    unit: float
    angle: float

    def inverse(self) -> NDArray[np.float64]:
        """[2, 3]: photo pixels to (s, t)."""
        cos, sin = math.cos(self.angle) / self.unit, math.sin(self.angle) / self.unit
        x, y = self.centre
        return np.array([[cos, sin, -cos * x - sin * y], [-sin, cos, sin * x - cos * y]])

    def forward(self) -> NDArray[np.float64]:
        """[2, 3]: (s, t) to photo pixels."""
        cos, sin = math.cos(self.angle) * self.unit, math.sin(self.angle) * self.unit
        return np.array([[cos, -sin, self.centre[0]], [sin, cos, self.centre[1]]])

    def moved(self, s: float, t: float, scale: float) -> Axes:
        x, y = self.forward() @ np.array([s, t, 1.0])
        return Axes((float(x), float(y)), self.unit * scale, self.angle)


@dataclass(frozen=True)
class Slit:
    """The gap between two lips or lids, from corner to corner at t = 0.

    upper, lower: t of its edges in the middle. They are equal where it is shut.
    """

    axes: Axes
    upper: float
    lower: float

    @property
    def gap(self) -> float:
        return self.lower - self.upper

    def edges(self, bend: NDArray[_Real]) -> tuple[NDArray[_Real], NDArray[_Real]]:
        """Where, in t, the upper and the lower edge lie where 1 - s * s is `bend`."""
        upper, lower = bend.dtype.type(self.upper), bend.dtype.type(self.lower)
        # an open smile stays high beside its corners
        return (upper * bend * bend if self.upper > 0 and self.gap > 0 else upper * bend), lower * bend


@dataclass(frozen=True)
class Eye:
    slit: Slit
    skin: NDArray[np.float64]
    """Colour of the skin under the eye, [3] RGB."""


@dataclass(frozen=True)
class Anatomy:
    mouth: Slit
    skin: NDArray[np.float64]
    """Colour of the skin around the mouth, [3] RGB."""
    eyes: tuple[Eye, Eye]
    """Left and right as seen in the photo."""


def read_anatomy(photo: NDArray[np.uint8], landmarks: Landmarks) -> Anatomy:
    """Lips and lids of the face whose landmarks are given, in the pixels of `photo`."""
    tilt = math.radians(landmarks.tilt)
    mouth_axes = _axes(landmarks.mouth_left, landmarks.mouth_right, tilt)
    half_eye = landmarks.eye_distance * _HALF_EYE
    left, right = (_fit_eye(photo, Axes(at, half_eye, tilt)) for at in (landmarks.left_eye, landmarks.right_eye))
    return Anatomy(_fit_mouth(photo, mouth_axes), _skin(photo, mouth_axes), (left, right))


def _axes(left: Point, right: Point, tilt: float) -> Axes:
    centre = (left[0] + right[0]) / 2, (left[1] + right[1]) / 2
    # two noisy readings of one angle
    angle = (math.atan2(right[1] - left[1], right[0] - left[0]) + tilt) / 2
    return Axes(centre, math.dist(left, right) / 2, angle)


def _fit_mouth(photo: NDArray[np.uint8], axes: Axes) -> Slit:
    """The slit that holds most of what is neither lip nor skin; the darkest line where the mouth is shut."""
    patch = _Patch.of(photo, axes, (-1.5, 1.5), (-0.9, 1.4))
    skin = _lab(_skin(photo, axes)[None, None].astype(np.uint8))[0, 0]
    fitted = patch.best_slit(_not_flesh(patch.lab, skin, white=_TEETH_LIGHT), uppers=(-0.15, 0.4), gaps=(0.1, 0.7))
    if fitted.area >= _OPEN_AREA:
        # a little of the lips goes, so that no rim of teeth moves along with them
        return replace(fitted.slit, upper=fitted.slit.upper - _RIM, lower=fitted.slit.lower + _RIM)
    darkness = np.clip(1 - patch.lab[..., 0] / max(1.0, skin[0]), 0, 1)
    return patch.best_line(darkness, bends=(-0.15, 0.4))


def _fit_eye(photo: NDArray[np.uint8], axes: Axes) -> Eye:
    patch = _Patch.of(photo, axes, (-1.5, 1.5), (-0.9, 0.9))
    skin = _skin(photo, axes.moved(0, 1.2, 0.45))
    score = _not_flesh(patch.lab, _lab(skin[None, None].astype(np.uint8))[0, 0], white=_EYE_LIGHT)
    fitted = patch.best_slit(score, uppers=(-0.5, -0.15), gaps=(0.35, 0.9))
    # an eye that cannot be made out is taken to be of the usual shape
    return Eye(fitted.slit if fitted.area >= _OPEN_AREA else Slit(axes, -0.38, 0.3), skin)


def _skin(photo: NDArray[np.uint8], axes: Axes) -> NDArray[np.float64]:
    """The middle colour in a ring around a mouth, or of the place that is given."""
    matrix = axes.forward()
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ring = np.stack([1.5 * np.cos(angles), 0.95 * np.sin(angles), np.ones_like(angles)])
    x, y = np.rint(matrix @ ring).astype(int)
    inside = photo[y.clip(0, photo.shape[0] - 1), x.clip(0, photo.shape[1] - 1)]
    middle: NDArray[np.float64] = np.median(inside, axis=0)
    return middle


def _lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).astype(np.float32, copy=False)


def _not_flesh(lab: NDArray[np.float32], skin: NDArray[np.float32], *, white: float) -> NDArray[np.float64]:
    """1 for what is dark, or has little colour (teeth, the white of an eye); 0 for skin and lips."""
    light, red, colour = lab[..., 0], lab[..., 1], np.hypot(lab[..., 1], lab[..., 2])
    skin_colour = max(1.0, float(np.hypot(skin[1], skin[2])))
    dark = np.clip((0.62 * skin[0] - light) / (0.12 * skin[0]), 0, 1)
    pale = (
        (skin_colour >= 6) * np.clip((0.8 - colour / skin_colour) / 0.2, 0, 1) * np.clip((skin[1] + 3 - red) / 3, 0, 1)
    )
    pale = pale * np.clip((light - 0.6 * skin[0]) / (0.15 * skin[0]), 0, 1)
    # a grey photo has no colour to go by
    shining = np.clip((light - white * skin[0]) / (0.08 * skin[0]), 0, 1) if skin_colour < 6 else 0.0
    score: NDArray[np.float64] = np.maximum(np.maximum(dark, pale), shining).astype(np.float64)
    return score


@dataclass(frozen=True)
class _Fit:
    slit: Slit
    area: float


@dataclass(frozen=True)
class _Patch:
    """The photo around a slit, straightened: rows are t, columns s."""

    axes: Axes
    lab: NDArray[np.float32]
    along: tuple[float, float]
    across: tuple[float, float]

    @classmethod
    def of(
        cls, photo: NDArray[np.uint8], axes: Axes, along: tuple[float, float], across: tuple[float, float]
    ) -> _Patch:
        size = round((along[1] - along[0]) / PATCH_STEP) + 1, round((across[1] - across[0]) / PATCH_STEP) + 1
        to_units = np.array([[PATCH_STEP, 0, along[0]], [0, PATCH_STEP, across[0]], [0, 0, 1]])
        pixels = cv2.warpAffine(
            photo,
            axes.forward() @ to_units,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return cls(axes, _lab(cv2.GaussianBlur(pixels, (0, 0), 0.8).astype(np.uint8)), along, across)

    def best_slit(self, score: NDArray[np.float64], *, uppers: tuple[float, float], gaps: tuple[float, float]) -> _Fit:
        """The slit within which the sum of (score - _FLESH_SCORE) is largest, over all corners and bends in reach."""
        total = np.vstack([np.zeros(score.shape[1]), np.cumsum(score - _FLESH_SCORE, axis=0)])  # [rows + 1, columns]
        upper = np.linspace(*uppers, 12)
        gap = np.linspace(*gaps, 13)
        at = np.linspace(-0.9, 0.9, 37)
        bend = 1 - at**2
        tops_of = upper[:, None] * np.where(upper[:, None] > 0, bend, 1.0)  # as Slit.edges has it
        best, best_area = Slit(self.axes, 0.0, 0.0), -math.inf
        for shift, scale, corner in _corners():
            columns = self._columns(shift + scale * at)
            tops = self._rows(corner + scale * tops_of * bend)  # [uppers, 37]
            bottoms = self._rows(corner + scale * (upper[:, None] + gap)[:, :, None] * bend)  # [uppers, gaps, 37]
            areas = (total[bottoms, columns] - total[tops, columns][:, None]).sum(axis=2)
            areas = areas * (scale * 0.05 * PATCH_STEP) - _STRAY_COST * _strayed(shift, scale, corner)
            place = np.unravel_index(int(np.argmax(areas)), areas.shape)
            if areas[place] > best_area:
                best_area = float(areas[place])
                top = float(upper[place[0]])
                best = Slit(self.axes.moved(shift, corner, scale), top, top + float(gap[place[1]]))
        return _Fit(best, best_area)

    def best_line(self, darkness: NDArray[np.float64], *, bends: tuple[float, float]) -> Slit:
        """The shut slit along which it is darkest."""
        at = np.linspace(-0.9, 0.9, 37)
        bend = np.linspace(*bends, 24)
        best, best_dark = Slit(self.axes, 0.0, 0.0), -math.inf
        for shift, scale, corner in _corners():
            rows = self._rows(corner + scale * bend[:, None] * (1 - at**2))
            dark = darkness[rows, self._columns(shift + scale * at)].mean(axis=1)
            dark = dark - _STRAY_COST * _strayed(shift, scale, corner)
            place = int(np.argmax(dark))
            if dark[place] > best_dark:
                best_dark = float(dark[place])
                best = Slit(self.axes.moved(shift, corner, scale), float(bend[place]), float(bend[place]))
        return best

    def _columns(self, s: NDArray[np.float64]) -> NDArray[np.intp]:
        return np.rint((s - self.along[0]) / PATCH_STEP).astype(np.intp).clip(0, self.lab.shape[1] - 1)

    def _rows(self, t: NDArray[np.float64]) -> NDArray[np.intp]:
        return np.rint((t - self.across[0]) / PATCH_STEP).astype(np.intp).clip(0, self.lab.shape[0] - 1)


def _corners() -> list[tuple[float, float, float]]:
    """Shifts, scales and heights of the corners that are tried around the detector's."""
    return [
        (shift, scale, corner)
        for shift in (-0.1, -0.05, 0.0, 0.05, 0.1)
        for scale in (0.86, 0.93, 1.0, 1.07, 1.14)
        for corner in (-0.12, -0.06, 0.0, 0.06, 0.12)
    ]


def _strayed(shift: float, scale: float, corner: float) -> float:
    """How far corners lie from where the detector put them, in units."""
    return abs(shift) + abs(scale - 1) + abs(corner)
