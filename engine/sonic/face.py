"""Faces in a portrait, found by the released detector (docs/sonic.md#portrait).

The detector is TorchScript, called as `detector(image, grids)`; its raw answer is [1, candidates, 16]: centre x, y,
width, height, objectness, five landmarks (x, y), class score, in pixels of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SHORTER_SIDE = 416
"""Pixels of the shorter side that the network sees (docs/sonic.md#portrait)."""
SIDE_STEP = 32
"""Pixels: both sides of the network's input are a multiple (docs/sonic.md#portrait)."""
STRIDES = (8, 16, 32)
"""Pixels between neighbouring cells of the three grids (docs/sonic.md#portrait)."""
LEAST_SCORE = 0.5
"""What objectness, and objectness times class, are above (docs/sonic.md#portrait)."""
MOST_OVERLAP = 0.45
"""Intersection over union above which the less sure of two boxes goes (docs/sonic.md#portrait)."""

_OBJECTNESS, _LANDMARKS, _CLASS = 4, slice(5, 15), 15  # columns of the raw answer


class Detector(Protocol):
    """The released TorchScript file, or another in its place."""

    def __call__(self, image: Tensor, grids: list[Tensor]) -> Tensor:
        """Candidates [1, N, 16] for an image [1, 3, height, width] in 0..1."""
        ...


@dataclass(frozen=True)
class FoundFace:
    """A face in source pixels: left, top, width and height, how sure the detector is, landmarks as five (x, y)."""

    xywh: tuple[float, float, float, float]
    score: float
    landmarks: tuple[tuple[float, float], ...]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1), which may reach beyond the picture."""
        x, y, width, height = self.xywh
        return x, y, x + width, y + height

    @property
    def area(self) -> float:
        return self.xywh[2] * self.xywh[3]

    def moved(self, x: float, y: float) -> FoundFace:
        """The same face in a picture whose origin lies at (-x, -y) of this one."""
        left, top, width, height = self.xywh
        landmarks = tuple((px + x, py + y) for px, py in self.landmarks)
        return replace(self, xywh=(left + x, top + y, width, height), landmarks=landmarks)


@dataclass(frozen=True)
class Seen:
    """(height, width) of a picture, and of the network's input made from it."""

    image_hw: tuple[int, ...]
    input_hw: tuple[int, ...]


@torch.inference_mode()
def detect_faces(detector: Detector, image: NDArray[np.uint8]) -> list[FoundFace]:
    """Faces in a [height, width, 3] RGB picture, surest first."""
    network_input, grids = detector_input(image)
    prediction = detector(network_input, grids)
    seen = Seen(image.shape[:2], tuple(network_input.shape[-2:]))
    return faces_of(prediction, seen, least_score=LEAST_SCORE, most_overlap=MOST_OVERLAP)


def detector_input(image: NDArray[np.uint8]) -> tuple[Tensor, list[Tensor]]:
    """The picture as the network sees it, [1, 3, h, w] in 0..1 and not of its own shape, and a grid for each stride."""
    height, width = image.shape[:2]
    ratio = SHORTER_SIDE / min(height, width)
    input_height, input_width = (int(side * ratio + SIDE_STEP - 1) // SIDE_STEP * SIDE_STEP for side in (height, width))
    resized = cv2.resize(image, (input_width, input_height), interpolation=cv2.INTER_LINEAR)
    network_input = torch.from_numpy(resized).permute(2, 0, 1)[None].float() / 255
    return network_input, [_grid(input_height // stride, input_width // stride) for stride in STRIDES]


def faces_of(prediction: Tensor, seen: Seen, *, least_score: float, most_overlap: float) -> list[FoundFace]:
    """What the raw answer says in source pixels: sure enough, and each face once; surest first."""
    found = prediction[0].cpu().numpy()  # [candidates, 16]
    sure = found[:, _OBJECTNESS] * found[:, _CLASS]
    kept = (found[:, _OBJECTNESS] > least_score) & (sure > least_score)
    found, sure = found[kept], sure[kept]
    order = np.argsort(-sure, kind="stable")
    found, sure = found[order], sure[order]
    source, shown = (np.array(size[::-1], np.float64) for size in (seen.image_hw, seen.input_hw))  # (width, height)
    half = found[:, 2:4] / 2
    corners = [corner.astype(np.float64) * source / shown for corner in (found[:, :2] - half, found[:, :2] + half)]
    xywh = np.concatenate((corners[0], corners[1] - corners[0]), axis=1)
    landmarks = found[:, _LANDMARKS].reshape(-1, 5, 2) * (source / shown)
    return [_found(xywh[i], float(sure[i]), landmarks[i]) for i in distinct(xywh, most_overlap)]


def distinct(xywh: NDArray[np.float64], most_overlap: float) -> list[int]:
    """Which boxes stay, of boxes sorted surest first: those that overlap no surer one that stays by more than that."""
    start, stop = xywh[:, :2], xywh[:, :2] + xywh[:, 2:]
    areas = xywh[:, 2:].prod(axis=1)
    kept: list[int] = []
    for one in range(len(xywh)):
        shared = (np.minimum(stop[one], stop[kept]) - np.maximum(start[one], start[kept])).clip(0).prod(axis=1)
        overlaps = shared / (areas[one] + areas[kept] - shared)
        if not (overlaps > most_overlap).any():
            kept.append(one)
    return kept


def _found(xywh: NDArray[np.float64], score: float, landmarks: NDArray[np.float64]) -> FoundFace:
    x, y, width, height = (float(value) for value in xywh)
    return FoundFace((x, y, width, height), score, tuple((float(px), float(py)) for px, py in landmarks))


def _grid(rows: int, columns: int) -> Tensor:
    """(x, y) of every cell, [1, 1, rows, columns, 2]."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack((x, y), -1)[None, None].float()
