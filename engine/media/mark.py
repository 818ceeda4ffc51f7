"""The visible mark: a small label in the lower right corner of the picture, the same on every frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.renderer import Frame

LABEL = "AI-generated"
_HEIGHT = 1 / 18  # of the plate, in parts of the shorter side
_LEAST = 16  # pixels that the plate is high where it fits: smaller is hard to read
_TINIEST = 3  # pixels that it is high in a picture that has hardly room for it: below, there is no ink
_PLATE = 0.6  # how dark it makes what lies under it
_FONT, _WEIGHT = "sans", 600


@dataclass(frozen=True)
class _Plate:
    """Where the label lies, what is left of the picture there and what is added: [height, width, 1] each."""

    rows: slice
    columns: slice
    left: NDArray[np.float32]
    added: NDArray[np.float32]


def marked(frame: Frame, picture: tuple[int, int, int, int]) -> Frame:
    """A copy of the frame, [height, width, 3] RGB, with the label on it.

    picture: the pixels (x0, y0, x1, y1), half open, that are no border: a label there is cut off with it.
    """
    left, top, right, bottom = picture
    plate = _plate(bottom - top, right - left)
    labelled = frame.copy()
    under = labelled[top:bottom, left:right][plate.rows, plate.columns]
    under[:] = np.rint(under * plate.left + plate.added)
    return labelled


@cache
def _plate(height: int, width: int) -> _Plate:
    """White on a dark plate, as large as a picture of this size has room for; drawn once."""
    for tall in range(max(_LEAST, round(min(height, width) * _HEIGHT)), _TINIEST - 1, -1):
        letters = _letters(round(tall * 0.62))
        wide, gap = letters.shape[1] + tall // 2 * 2, tall // 2
        if wide + gap <= width and tall + gap <= height:
            break
    text = np.zeros((tall, wide), np.float32)
    top = (tall - letters.shape[0]) // 2
    text[top : top + letters.shape[0], tall // 2 : tall // 2 + letters.shape[1]] = letters
    gap = min(gap, height - 1, width - 1)
    rows, columns = slice(max(0, height - gap - tall), height - gap), slice(max(0, width - gap - wide), width - gap)
    shown = text[-(rows.stop - rows.start) :, -(columns.stop - columns.start) :, None]
    return _Plate(rows, columns, left=(1 - shown) * np.float32(1 - _PLATE), added=shown * np.float32(255))


def _letters(size: int) -> NDArray[np.float32]:
    """The label in letters of `size` pixels, 0 to 1, cut to where there is ink."""
    font = cv2.FontFace(_FONT)
    paper = np.zeros((2 * size, len(LABEL) * size, 3), np.uint8)
    cv2.putText(paper, LABEL, (size // 2, size * 3 // 2), (255, 255, 255), font, size, _WEIGHT)
    rows, columns = np.nonzero(paper[:, :, 0])
    inked = paper[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1, 0]
    return inked.astype(np.float32) / np.float32(255)
