"""A few frames made small, to be kept and compared: coarse enough for any machine, fine enough for a sick one."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np

from engine.errors import RenderError
from engine.media.video import size_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from engine.renderer import Frame

SIDE = 16
"""Cells along each side of a frame."""
MOST_OF_A_FRAME = 3.0
"""Levels of 255 that a frame's cells may be off, in the mean."""
MOST_OF_A_CELL = 24.0
"""Levels that a single cell may be off."""


@dataclass(frozen=True)
class Look:
    """cells: [frames, SIDE, SIDE, 3], the mean colour of each, 0 to 255. size: width and height of the frames."""

    cells: NDArray[np.uint8]
    size: tuple[int, int]

    @classmethod
    def of(cls, frames: Iterable[Frame]) -> Self:
        """Raises RenderError for frames that are no pictures of one size, and for none at all."""
        cells, size = [], None
        for number, frame in enumerate(frames):
            size = size_of(frame, like=size, where=f"frame {number} of the probe")
            cells.append(cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
        if size is None:
            raise RenderError("the probe has no frames")
        return cls(np.stack(cells), size)

    def differs(self, expected: Look) -> str | None:
        """Where these frames are not the expected ones, in a sentence; None where they are."""
        if (len(self.cells), self.size) != (len(expected.cells), expected.size):
            return f"{_shape(self)} came, expected were {_shape(expected)}"
        off = np.abs(self.cells.astype(np.float32) - expected.cells)  # [frames, SIDE, SIDE, 3]
        means, most = off.mean(axis=(1, 2, 3)), off.max(axis=(1, 2, 3))
        worst = int((means / MOST_OF_A_FRAME + most / MOST_OF_A_CELL).argmax())
        if means.max() <= MOST_OF_A_FRAME and most.max() <= MOST_OF_A_CELL:
            return None
        return f"frame {worst} is {means[worst]:.1f} levels of 255 off in the mean and {most[worst]:.0f} at one place"

    def to_dict(self) -> dict[str, Any]:
        return {"size": list(self.size), "cells": base64.b64encode(self.cells.tobytes()).decode()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        cells = np.frombuffer(base64.b64decode(data["cells"]), np.uint8).reshape(-1, SIDE, SIDE, 3)
        return cls(cells, (data["size"][0], data["size"][1]))


def _shape(look: Look) -> str:
    return f"{len(look.cells)} frames of {look.size[0]}x{look.size[1]}"
