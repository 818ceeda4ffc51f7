"""A talking crop put back into its photo: feathered, in the photo's colours, the rest of the photo untouched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from engine.errors import InputError
from engine.media.scale import resampled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.media.image import Box
    from engine.renderer import Frame

    Pixels = tuple[int, int, int, int]

FEATHER = 0.12
"""Sides of the crop over which it fades into the photo."""
MOST_OFFSET = 24
"""Levels by which a crop's colour is moved at most: what is further off is a defect, and is not painted over."""
_CELLS = 64  # on a side of the crop; colours are compared between the means of cells
_ROUNDED = 64  # parts of a level to which offsets are rounded, so that every machine has the same


@dataclass(frozen=True)
class Ring:
    """The crop's outermost cells, where it fades. photo: their colours in the photo, [n, 3]."""

    cells: NDArray[np.bool_]
    photo: NDArray[np.float32]

    @classmethod
    def of(cls, still: Frame, ends: Sequence[bool]) -> Ring:
        at = _shares((0, _CELLS), 0, _CELLS)
        cells = _weight(at, at, ends) < 1
        return cls(cells, _means(still)[cells])

    def offset(self, frame: Frame) -> NDArray[np.float64]:
        """What has to be added to a frame's red, green and blue so that its ring looks like the photo's.

        The mean of the middle half of all cells: hair that moves across the ring does not change it.
        """
        if not len(self.photo):
            return np.zeros(3)
        missing = np.sort(self.photo - _means(frame)[self.cells], axis=0)
        quarter = len(missing) // 4
        offset: NDArray[np.float64] = missing[quarter : len(missing) - quarter].mean(axis=0, dtype=np.float64)
        return np.clip(np.rint(offset * _ROUNDED) / _ROUNDED, -MOST_OFFSET, MOST_OFFSET)


@dataclass(frozen=True)
class Paste:
    """Lays frames over `base`, the photo as it lies in the output.

    rows, columns: the output's pixels that frames may change. box: the part of a frame that is seen there. weight:
    [h, w, 3], 1 where the frame alone is seen. under: what the photo gives to these pixels, and the dither.
    """

    base: Frame
    rows: slice
    columns: slice
    box: Box
    weight: NDArray[np.float32]
    under: NDArray[np.float32]
    ring: Ring

    @classmethod
    def of(cls, base: Frame, still: Frame, *, place: Box, seen: Pixels, ends: Sequence[bool]) -> Paste:
        """For frames that belong at `place` of `base`, as far as `seen` shows it.

        still: the photo's own crop at the size of the frames. ends: whether the photo ends with the crop at its left,
        top, right and bottom: it does not fade there. Raises InputError where not a pixel of the crop would be seen.
        """
        left, top = (math.ceil(max(edges)) for edges in zip(place[:2], seen[:2], strict=True))
        right, bottom = (math.floor(min(edges)) for edges in zip(place[2:], seen[2:], strict=True))
        if left >= right or top >= bottom:
            size = f"{base.shape[1]}x{base.shape[0]}"
            raise InputError(f"pasted back, the crop fills no pixel of a video of {size}: take a larger size")
        rows, columns = slice(top, bottom), slice(left, right)
        across, down = _shares((left, right), place[0], place[2]), _shares((top, bottom), place[1], place[3])
        weight = np.repeat(_weight(across, down, ends)[..., None], 3, axis=2)
        return cls(
            base,
            rows,
            columns,
            box=_within(place, (left, top, right, bottom), still),
            weight=weight,
            under=base[rows, columns] * (1 - weight) + _dither(bottom - top, right - left)[..., None],
            ring=Ring.of(still, ends),
        )

    def __call__(self, frame: Frame) -> Frame:
        """The photo with the frame in it."""
        height, width = self.weight.shape[:2]
        laid = resampled(frame, self.box, (width, height))
        output = self.base.copy()
        output[self.rows, self.columns] = self._blended(laid, self.ring.offset(frame))
        return output

    def _blended(self, laid: Frame, offset: NDArray[np.float64]) -> Frame:
        """(laid + offset) over the photo; what is not a whole level is dithered, so that no step shows in time."""
        levels = cv2.add(laid, np.append(offset, 0.0), dtype=cv2.CV_32F)  # four numbers are a colour to OpenCV
        levels = cv2.multiply(levels, self.weight, dst=levels)
        levels = cv2.add(levels, self.under, dst=levels)
        blended: Frame = np.clip(levels, 0, 255.5, out=levels).astype(np.uint8)
        return blended


def _within(place: Box, part: Pixels, frame: Frame) -> Box:
    """The part of the frame that is seen in `part` of the output, when all of it lies at `place`."""
    x, y = frame.shape[1] / (place[2] - place[0]), frame.shape[0] / (place[3] - place[1])
    left, top, right, bottom = part
    return (left - place[0]) * x, (top - place[1]) * y, (right - place[0]) * x, (bottom - place[1]) * y


def _shares(pixels: tuple[int, int], start: float, stop: float) -> NDArray[np.float64]:
    """Where between start and stop, 0 to 1, the middles of pixels lie."""
    shares: NDArray[np.float64] = (np.arange(*pixels, dtype=np.float64) + 0.5 - start) / (stop - start)
    return shares


def _weight(across: NDArray[np.float64], down: NDArray[np.float64], ends: Sequence[bool]) -> NDArray[np.float32]:
    """[down, across]: how much of the frame is seen at these shares of the crop's sides."""
    left, top, right, bottom = ends
    x = _rise(across, ends=left) * _rise(1 - across, ends=right)
    y = _rise(down, ends=top) * _rise(1 - down, ends=bottom)
    return (y[:, None] * x).astype(np.float32)


def _rise(at: NDArray[np.float64], *, ends: bool) -> NDArray[np.float64]:
    """A raised cosine from 0 at the crop's edge; 1 where the photo ends with it."""
    risen: NDArray[np.float64] = np.ones_like(at) if ends else 0.5 - 0.5 * np.cos(np.pi * np.clip(at / FEATHER, 0, 1))
    return risen


def _means(picture: Frame) -> NDArray[np.float32]:
    """Mean colours of cells, [cells, cells, 3]."""
    cells = cv2.resize(picture.astype(np.float32), (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return cells.astype(np.float32, copy=False)


def _dither(height: int, width: int) -> NDArray[np.float32]:
    """Interleaved gradient noise (Jimenez 2014), [height, width] in 0..1: neighbours are far apart."""
    y, x = np.mgrid[:height, :width]
    noise: NDArray[np.float64] = (52.9829189 * ((0.06711056 * x + 0.00583715 * y) % 1)) % 1
    return (0.999 * noise).astype(np.float32)  # never 1: a whole level stays as it is
