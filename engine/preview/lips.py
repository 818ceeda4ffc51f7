"""Lips and jaw: where each pixel around the mouth is taken from, and what shows between the lips.

All positions are (s, t): s along the line of the corners, t down, in half widths of the mouth at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.preview.anatomy import Slit

    Plane = NDArray[np.float32]

REACH_S = 2.2
"""Nothing moves further out than this on either side,"""
REACH_UP, REACH_DOWN = 1.0, 3.0
"""further up or further down."""
TALLEST = 0.62
"""Height of an opening of 1."""

_NARROWEST, _WIDEST = 0.74, 1.12  # half width of a rounded and of a spread mouth
_DRAWN_IN = 0.12  # a mouth that opens wide draws its corners in by this
_AROUND_S = 1.75  # the corners' movement fades out to here
_UPPER_SHARE = 0.28  # of an opening is made by the upper lip; the jaw does the rest
_UPPER_REACH = 0.62  # to the foot of the nose
_LIP_REACH = 0.6  # below the lower lip's edge, from where on all moves with the jaw
_JAW_SHARE = 0.6  # of the lower lip's way is the jaw's
_JAW_RISE, _LIPS_ALONE = 0.8, 0.1  # the same when an open mouth shuts, and how far lips go by themselves
_CHIN, _NECK = 1.6, 3.0  # between these the jaw's movement fades
_SHUT_AT = 0.4  # an open mouth shuts this far from its upper to its lower edge


@dataclass(frozen=True)
class LipPose:
    """The lips of one frame.

    height: of the opening. half_width: of the mouth. teeth: 1 where the jaw is shut behind parted lips.
    relaxed: how far a smile's corners come down, 1 to the level of the middle; speaking lips do not hold a smile.
    """

    height: float
    half_width: float
    teeth: float
    relaxed: float

    @classmethod
    def of(cls, opening: float, width: float, teeth: float) -> LipPose:
        return cls(
            height=opening * TALLEST,
            half_width=1 + width * ((_WIDEST - 1) if width > 0 else (1 - _NARROWEST)) - _DRAWN_IN * opening,
            teeth=teeth,
            relaxed=min(0.9, 0.6 * min(1.0, 1.5 * opening) + 0.5 * max(0.0, -width)),
        )


@dataclass(frozen=True)
class LipWarp:
    """Planes over the pixels around the mouth: ds, dt lead to where a pixel is taken from."""

    ds: Plane
    dt: Plane
    upper: Plane
    lower: Plane
    inside: Plane
    """(s / half_width) squared, up to 1: 0 in the middle, 1 at the corners and beyond."""

    def within(self, part: tuple[slice, slice]) -> LipWarp:
        return LipWarp(*(plane[part] for plane in (self.ds, self.dt, self.upper, self.lower, self.inside)))


def warp_lips(s: Plane, t: Plane, *, mouth: Slit, pose: LipPose) -> LipWarp:
    """Where the lips' and the jaw's skin comes from in `pose`; s and t are the pixels' own places."""
    out = s * s
    inside = np.minimum(out * np.float32(1 / pose.half_width**2), 1)
    bend = 1 - inside
    seam = mouth.upper + _SHUT_AT * mouth.gap
    opened = np.float32(pose.height) * bend * (np.float32(1.6) - np.float32(0.6) * bend)  # rounder than a parabola
    upper = np.float32(seam) * bend - np.float32(_UPPER_SHARE) * opened
    lower = upper + opened
    lower_middle = seam + (1 - _UPPER_SHARE) * pose.height

    around = _around(out, t)
    at_corner = (1 - pose.half_width**2 / _AROUND_S**2) ** 2
    ds = s * (np.float32((1 / pose.half_width - 1) / at_corner) * around)
    sunk = np.float32(pose.relaxed * max(0.0, seam)) * inside * around
    level = t - sunk

    source_upper, source_lower = mouth.edges(1 - np.minimum((s + ds) ** 2, 1))
    down = _lower_lip_way(out, level, edge=lower, way=lower - source_lower, jaw_way=_jaw_way(mouth, lower_middle))
    above = np.maximum(upper - level, 0) * np.float32(1 / _UPPER_REACH)
    up = (upper - source_upper) * np.maximum(1 - above * above, 0) ** 2
    dt = -sunk - np.where(level + level > upper + lower, down, up)
    return LipWarp(ds, dt, upper + sunk, lower + sunk, inside)


def _around(out: Plane, t: Plane) -> Plane:
    """1 at the mouth, fading to 0 on the cheeks, under the nose and on the chin."""
    beside = np.maximum(1 - out * np.float32(1 / _AROUND_S**2), 0)
    level = np.maximum(1 - (t - np.float32(0.15)) ** 2, 0)
    around: Plane = (beside * level) ** 2
    return around


def _lower_lip_way(out: Plane, t: Plane, *, edge: Plane, way: Plane, jaw_way: float) -> Plane:
    """How far down the skin below the mouth has moved: as far as the lip's edge at the lip, as far as the jaw below."""
    jaw = np.float32(jaw_way) * np.maximum(1 - out * np.float32(1 / REACH_S**2), 0) ** 2
    jaw = jaw * (1 - _smoothstep((t - np.float32(_CHIN)) * np.float32(1 / (_NECK - _CHIN))))
    from_lip = _smoothstep((t - edge) * np.float32(1 / _LIP_REACH))
    moved: Plane = way + (jaw - way) * from_lip
    return moved


def _jaw_way(mouth: Slit, lower_middle: float) -> float:
    """How far the jaw moves when the middle of the lower lip's edge comes to lie at `lower_middle`."""
    way = lower_middle - mouth.lower
    # a smile is shut by the lips, a mouth that was photographed wide open by the jaw as well
    return _JAW_SHARE * way if way > 0 else _JAW_RISE * min(0.0, way + _LIPS_ALONE)


def _smoothstep(values: Plane) -> Plane:
    clipped = np.clip(values, 0, 1)
    smooth: Plane = clipped * clipped * (3 - 2 * clipped)
    return smooth
