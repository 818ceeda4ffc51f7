"""Blinks: the skin above an eye drawn down over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.preview.anatomy import Slit

    Plane = NDArray[np.float32]

REACH_S, REACH_UP, REACH_DOWN = 1.15, 1.8, 0.7
"""Nothing moves further out than this, in half widths of the eye."""
_WIDER = 1.1  # a lid covers more than the fitted eye
_BEYOND = 0.1
_LID_REACH = 1.3  # above the lid's edge, up to under the brow


def lower_lids(s: Plane, t: Plane, *, eye: Slit, shut: float) -> Plane:
    """How far above itself each pixel is taken from when the lid is `shut` (0 to 1)."""
    bend = np.maximum(1 - s * s * np.float32(1 / _WIDER**2), 0)
    way = np.float32(shut * (eye.gap + _BEYOND)) * bend
    edge = np.float32(eye.upper) * bend + way
    above = np.maximum(edge - t, 0) * np.float32(1 / _LID_REACH)
    moved: Plane = np.where(t < edge, -way * np.maximum(1 - above * above, 0) ** 2, np.float32(0))
    return moved
