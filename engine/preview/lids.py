"""Blinks: an eyelid in the colour of the skin around the eye, painted down over it.

Stretching the photo's own skin from above the eye looks better on an open brow and smears the brow of all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.preview.anatomy import Slit

    Plane = NDArray[np.float32]

REACH_S, REACH_UP, REACH_DOWN = 1.3, 0.9, 0.8
"""Nothing is painted further out than this, in half widths of the eye."""
_WIDER = 1.12  # a lid covers more than the fitted eye
_BEYOND = 0.1
_SOFT = 0.4  # across which the lid's rim turns into the skin around it
_LASHES = 0.16  # thickness of the line of lashes
_LASH_DARK = 0.42


def paint_lid(
    frame: NDArray[np.uint8], s: Plane, t: Plane, *, eye: Slit, skin: NDArray[np.float64], shut: float
) -> None:
    """Draw the lid of `eye` over `frame`, whose pixels lie at (s, t), as far down as `shut` says (0 to 1)."""
    bend = 1 - s * s * np.float32(1 / _WIDER**2)
    top = np.float32(eye.upper) * bend - np.float32(0.5 * _SOFT)
    edge = np.float32(eye.upper + shut * (eye.gap + _BEYOND)) * bend
    lid = _rise(t - top, _SOFT) * _rise(edge - t, 0.1) * np.clip(bend * np.float32(2.5), 0, 1)

    # rounded over the eyeball: lightest a little above the middle, darker in the fold and beside
    down = np.clip((t - top) / np.maximum(edge - top, np.float32(0.05)), 0, 1)
    light = np.float32(0.89) + np.float32(0.36) * down * (1 - down) - np.float32(0.12) * s * s
    lashes = np.maximum(1 - np.abs(t - edge) * np.float32(2 / _LASHES), 0) * np.clip(bend * np.float32(2), 0, 1)

    colours = skin.astype(np.float32) * light[..., None]
    painted = frame + (colours - frame) * lid[..., None]
    painted *= (1 - np.float32(_LASH_DARK * min(1.0, 2 * shut)) * lashes)[..., None]
    frame[:] = np.clip(painted + np.float32(0.5), 0, 255).astype(np.uint8)


def _rise(distance: Plane, soft: float) -> Plane:
    """0 to 1 over a distance of `soft` from the edge inwards."""
    clipped = np.clip(distance * np.float32(1 / soft), 0, 1)
    smooth: Plane = clipped * clipped * (3 - 2 * clipped)
    return smooth
