"""What shows between parted lips: teeth, tongue and the dark behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.preview.lips import LipPose, LipWarp

    Plane = NDArray[np.float32]
    Colours = NDArray[np.float32]

# in parts of the colour of the skin around the mouth: teeth are lit as the face is
_DARK = np.array([0.17, 0.08, 0.075], np.float32)
_TONGUE = np.array([0.60, 0.34, 0.36], np.float32)
_LOWER_TEETH = 0.72  # as bright as upper teeth, in the shade of the upper lip
_TOOTH_WIDTHS = (0.2, 0.16, 0.17, 0.16, 0.16)  # from the middle out, in half widths of the mouth
_SEAM_DARK = 0.45  # how much darker the line between shut lips is


@dataclass(frozen=True)
class Cavity:
    """The colours of one mouth's inside, [3] RGB each, and where its upper teeth end (t in the middle)."""

    dark: Colours
    tongue: Colours
    ivory: Colours
    teeth_end: float

    @classmethod
    def of(cls, skin: NDArray[np.float64], *, teeth_end: float) -> Cavity:
        shade = skin.astype(np.float32)
        # ivory: the skin's lightness without most of its colour
        ivory = np.float32(shade.max() * 1.1) * np.array([1.0, 0.97, 0.91], np.float32) * 0.9 + 0.1 * shade
        # a photo without colour gets a mouth without colour
        colour = np.float32(min(1.0, float(shade.max() - shade.min()) / (0.15 * float(shade.max()) + 1)))
        dark, tongue, teeth = (
            part * colour + part.mean() * (1 - colour) for part in (shade * _DARK, shade * _TONGUE, ivory)
        )
        return cls(dark, tongue, np.minimum(teeth, 245), teeth_end)


def paint_cavity(
    cavity: Cavity, s: Plane, t: Plane, *, warp: LipWarp, pose: LipPose, photo_teeth: Colours | None
) -> Colours:
    """[height, width, 3] colours of the inside, everywhere; the lips' edges decide what of it is seen.

    photo_teeth: the photo's own upper teeth at these pixels, if it shows any.
    """
    from_lip, to_lip = t - warp.upper, warp.lower - t
    teeth_end = np.float32(cavity.teeth_end) * (1 - np.minimum(s * s, 1))
    colours = np.broadcast_to(cavity.dark, (*s.shape, 3)).copy()

    # the tongue lies on the floor of the mouth and goes back into the dark
    back = np.float32(0.75 * pose.height)
    tongue = np.clip((back - to_lip) * np.float32(1 / (back + 0.1)), 0, 1) * (1 - warp.inside)
    _blend(colours, cavity.tongue, tongue * np.float32(min(1.0, pose.height / 0.3) * (1 - pose.teeth)))

    gap = np.float32((1 - pose.teeth) * (0.02 + 0.9 * pose.height) + 0.012)
    lower_top = np.maximum(teeth_end + gap, warp.lower - np.float32(0.07 + 0.3 * pose.teeth))
    lower_teeth = _edge(t - lower_top, 0.05) * _rows_of_teeth(s, 0.6) * np.float32(_LOWER_TEETH)
    _blend(colours, cavity.ivory, lower_teeth * (1 - warp.inside))

    upper = cavity.ivory * _rows_of_teeth(s, 1.0)[..., None] if photo_teeth is None else photo_teeth
    _blend(colours, upper, _edge(teeth_end - t, 0.05) * np.minimum(np.float32(1.6) * (1 - warp.inside), 1))

    # under the upper lip and in the corners it is dark
    shade = np.float32(0.5) + np.float32(0.5) * _edge(from_lip - np.float32(0.03), 0.16)
    shade *= 1 - np.float32(0.7) * warp.inside**2
    shade *= np.float32(0.75) + np.float32(0.25) * _edge(to_lip, 0.08)
    colours *= shade[..., None]
    return colours


def opening_share(t: Plane, warp: LipWarp, pixels: float) -> Plane:
    """How much of each pixel lies between the lips, 0 to 1; `pixels` are in one unit of t."""
    inside = np.minimum(t - warp.upper, warp.lower - t) * np.float32(pixels)
    tall = np.minimum((warp.lower - warp.upper) * np.float32(pixels), 1)
    share: Plane = np.clip(inside + np.float32(0.5), 0, 1) * tall
    return share


def seam_light(t: Plane, warp: LipWarp) -> Plane:
    """Light left on lips that lie shut: a photo of an open mouth shows no line where they meet."""
    off = (t - np.float32(0.5) * (warp.upper + warp.lower)) * np.float32(1 / 0.055)
    shut = np.maximum(1 - (warp.lower - warp.upper) * 12, 0) * (1 - warp.inside * warp.inside)
    light: Plane = 1 - np.float32(_SEAM_DARK) * shut * np.maximum(1 - off * off, 0) ** 2
    return light


def _rows_of_teeth(s: Plane, scale: float) -> Plane:
    """Brightness of a row of teeth: a thin shadow between two neighbours, darker towards the sides."""
    out = np.abs(s) * np.float32(1 / scale)
    light = np.ones_like(s)
    border = 0.0
    for width in _TOOTH_WIDTHS:
        border += width
        light -= _between(np.abs(out - np.float32(border)))
    light -= _between(out)
    row: Plane = light * np.maximum(1 - np.float32(0.45) * out * out, np.float32(0.2))
    return row


def _between(away: Plane) -> Plane:
    shadow: Plane = np.float32(0.15) * np.maximum(1 - away * np.float32(1 / 0.03), 0)
    return shadow


def _edge(distance: Plane, soft: float) -> Plane:
    """0 to 1 across an edge that is `soft` wide."""
    clipped = np.clip(distance * np.float32(1 / soft) + np.float32(0.5), 0, 1)
    smooth: Plane = clipped * clipped * (3 - 2 * clipped)
    return smooth


def _blend(colours: Colours, over: Colours, share: Plane) -> None:
    colours += (over - colours) * share[..., None]
