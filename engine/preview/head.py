"""How the photo moves with the head: a smooth field around the face that fades to nothing further out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.preview.motion import HeadPose

GRID = 8
"""Pixels between two nodes of the field: it is smooth enough to be drawn up from a coarse one."""
_CORE = (0.8, 0.85)  # half axes, in widths and heights of the face, inside which all moves as one head, hair included
_DEEP = (0.62, 0.72)  # half axes of the part that turns ahead of the rim


@dataclass(frozen=True)
class HeadField:
    """The pixels that move, and at each node how much of each movement it takes part in.

    rows, columns: where in the picture. rest_x, rest_y: [height, width], each pixel's own place.
    weight, depth, x, y: [nodes, nodes]; x and y are distances from the neck, times weight.
    """

    rows: slice
    columns: slice
    rest_x: NDArray[np.float32]
    rest_y: NDArray[np.float32]
    weight: NDArray[np.float32]
    depth: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    face_width: float

    def source(self, pose: HeadPose) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The photo's x and y, each [height, width], that are seen at each pixel when the head is in `pose`."""
        roll, nearer = np.float32(math.radians(pose.roll)), np.float32(pose.nearer)
        right, down, turn, nod = (
            np.float32(part * self.face_width) for part in (pose.right, pose.down, pose.turn, pose.nod)
        )
        moved_x = self.weight * right + self.depth * turn + self.x * nearer - self.y * roll
        moved_y = self.weight * down + self.depth * nod + self.y * nearer + self.x * roll
        return self._less(self.rest_x, moved_x), self._less(self.rest_y, moved_y)

    def _less(self, rest: NDArray[np.float32], moved: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = moved.shape
        pixels = cv2.resize(moved, (width * GRID, height * GRID), interpolation=cv2.INTER_LINEAR)
        return rest - pixels[: rest.shape[0], : rest.shape[1]].astype(np.float32, copy=False)


def head_field(size: tuple[int, int], box: tuple[float, float, float, float]) -> HeadField:
    """The field for a face `box` in a picture of `size` (width, height)."""
    x0, y0, x1, y1 = box
    face_width, face_height = x1 - x0, y1 - y0
    centre_x, centre_y = (x0 + x1) / 2, (y0 + y1) / 2 - 0.1 * face_height
    half_x, half_y = _CORE[0] * face_width, _CORE[1] * face_height
    columns = slice(max(0, int(centre_x - 2 * half_x)), min(size[0], int(centre_x + 2 * half_x) + 1))
    rows = slice(max(0, int(centre_y - 2 * half_y)), min(size[1], int(centre_y + 2 * half_y) + 1))

    y, x = np.meshgrid(_nodes(rows), _nodes(columns), indexing="ij")
    away = np.hypot((x - centre_x) / half_x, (y - centre_y) / half_y)
    weight = 1 - _smoothstep(away - 1)
    deep = np.hypot((x - centre_x) / (_DEEP[0] * face_width), (y - (y0 + y1) / 2) / (_DEEP[1] * face_height))
    rest_y, rest_x = np.mgrid[rows, columns].astype(np.float32)
    return HeadField(
        rows=rows,
        columns=columns,
        rest_x=rest_x,
        rest_y=rest_y,
        weight=weight.astype(np.float32),
        depth=(np.clip(1 - deep**2, 0, 1) ** 2).astype(np.float32),
        x=(weight * (x - centre_x)).astype(np.float32),
        y=(weight * (y - y1)).astype(np.float32),
        face_width=face_width,
    )


def _nodes(pixels: slice) -> NDArray[np.float64]:
    # cv2.resize puts node k at the middle of the GRID pixels it is drawn up to
    count = -(-(pixels.stop - pixels.start) // GRID)
    nodes: NDArray[np.float64] = pixels.start + GRID * np.arange(count) + (GRID - 1) / 2
    return nodes


def _smoothstep(values: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped: NDArray[np.float64] = np.clip(values, 0, 1)
    smooth: NDArray[np.float64] = clipped * clipped * (3 - 2 * clipped)
    return smooth
