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

_NARROWEST, _WIDEST = 0.70, 1.12  # half width of a rounded and of a spread mouth
_DRAWN_IN = 0.12  # a mouth that opens wide draws its corners in by this
_UPPER_SHARE = 0.28  # of an opening is made by the upper lip; the jaw does the rest
_UPPER_REACH = 0.62  # to the foot of the nose
_LIP_REACH = 0.6  # below the lower lip's edge, from where on all moves with the jaw
_JAW_SHARE = 0.6  # of the lower lip's way is the jaw's
_CHIN, _NECK = 1.6, 3.0  # between these the jaw's movement fades
_SHUT_AT = 0.4  # an open mouth shuts this far from its upper to its lower edge


@dataclass(frozen=True)
class LipPose:
    """Edges of one frame's opening: upper(s), lower(s) = seam(s) -+ shares of height * round(s)."""

    height: float
    half_width: float
    teeth: float

    @classmethod
    def of(cls, opening: float, width: float, teeth: float) -> LipPose:
        half_width = 1 + width * ((_WIDEST - 1) if width > 0 else (1 - _NARROWEST)) - _DRAWN_IN * opening
        return cls(opening * TALLEST, half_width, teeth)


@dataclass(frozen=True)
class LipWarp:
    """Planes over the pixels around the mouth: ds, dt lead to where a pixel is taken from."""

    ds: Plane
    dt: Plane
    upper: Plane
    lower: Plane
    inside: Plane
    """(s / half_width) squared, up to 1: 0 in the middle, 1 at the corners and beyond."""


def warp_lips(s: Plane, t: Plane, *, mouth: Slit, pose: LipPose) -> LipWarp:
    """Where the lips' and the jaw's skin comes from in `pose`; s and t are the pixels' own places."""
    out = s * s
    inside = np.minimum(out * np.float32(1 / pose.half_width**2), 1)
    bend = 1 - inside
    seam = np.float32(_seam(mouth)) * bend
    opened = np.float32(pose.height) * bend * (np.float32(1.6) - np.float32(0.6) * bend)  # rounder than a parabola
    upper, lower = seam - np.float32(_UPPER_SHARE) * opened, seam + np.float32(1 - _UPPER_SHARE) * opened

    ds = s * _sideways(out, t, pose.half_width)
    source_bend = 1 - np.minimum((s + ds) ** 2, 1)
    below = np.maximum(t - lower, 0)
    lip = _smoothstep(below * np.float32(1 / _LIP_REACH))
    jaw = (
        np.float32(_JAW_SHARE * (1 - _UPPER_SHARE) * pose.height)
        * np.maximum(1 - out * np.float32(1 / REACH_S**2), 0) ** 2
    )
    jaw = jaw * (1 - _smoothstep((t - np.float32(_CHIN)) * np.float32(1 / (_NECK - _CHIN))))
    source_upper, source_lower = mouth.edges(source_bend)
    lower_moved = lower - source_lower
    down = lower_moved * (1 - lip) + jaw * lip

    above = np.maximum(upper - t, 0) * np.float32(1 / _UPPER_REACH)
    up = (upper - source_upper) * np.maximum(1 - above * above, 0) ** 2
    dt = -np.where(t + t > upper + lower, down, up)
    return LipWarp(ds, dt, upper, lower, inside)


def _seam(mouth: Slit) -> float:
    return mouth.upper + _SHUT_AT * mouth.gap


def _sideways(out: Plane, t: Plane, half_width: float) -> Plane:
    """How much further out, in parts of s, a pixel is taken from: the corners come to lie at `half_width`."""
    beside = np.maximum(1 - out * np.float32(1 / REACH_S**2), 0) ** 2
    level = np.maximum(1 - ((t - np.float32(0.1)) * np.float32(1 / 1.3)) ** 2, 0) ** 2
    at_corner = (1 - half_width**2 / REACH_S**2) ** 2
    sideways: Plane = np.float32((1 / half_width - 1) / at_corner) * beside * level
    return sideways


def _smoothstep(values: Plane) -> Plane:
    clipped = np.clip(values, 0, 1)
    smooth: Plane = clipped * clipped * (3 - 2 * clipped)
    return smooth
