"""Whether the face in a frame is still the portrait's, without a trained model of faces.

The face is turned upright and scaled by its landmarks, and described by where its edges run: a histogram of oriented
gradients (Dalal and Triggs, 2005) on a 16x16 grid, less its mean in each direction. Edges do not care for light and
colour. Eyes, brows and nose count; the mouth hardly does, since it speaks, and neither do hair and background.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from engine.errors import PortraitError
from engine.media.face import NO_FACE, detect_faces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.media.face import Face, Landmarks
    from engine.renderer import Frame

    Look = NDArray[np.float32]
    # directions of the edges in a straightened face, [_DIRECTIONS, _CELLS, _CELLS]

SAME_FACE = 0.7
"""Likeness from which on a face counts as the portrait's."""

_SIDE = 64  # pixels of the straightened face
_CELLS = 16
_DIRECTIONS = 8
# eyes, nose and the middle of the mouth in the straightened face, and how much each counts; lips move
_PLACES = np.array([[0.3, 0.36], [0.7, 0.36], [0.5, 0.6], [0.5, 0.8]]) * _SIDE
_TRUST = np.array([1.0, 1.0, 0.5, 0.5])
_FACE_SEARCHED = 56  # pixels across that the face has where it is searched first; smaller ones are missed
_FAINT = 0.5  # of the median strength of edges: weaker ones count less


@dataclass(frozen=True)
class Seen:
    """The face in a frame that is most like the portrait's. likeness: up to 1, SAME_FACE or more for the same one."""

    face: Face
    likeness: float


@dataclass(frozen=True)
class PortraitFace:
    """The portrait's largest face. searched: pixels of a frame's longer side at which it is searched."""

    look: Look
    searched: int

    @classmethod
    def of(cls, photo: Frame) -> PortraitFace:
        """Raises PortraitError for a photo, [height, width, 3] RGB, without a face."""
        faces = detect_faces(photo)
        if not faces:
            raise PortraitError(f"the portrait {NO_FACE}")
        # a renderer may show less around the face, never more
        return cls(_look(photo, faces[0].landmarks), round(max(photo.shape[:2]) * _FACE_SEARCHED / faces[0].width))

    def seen_in(self, frame: Frame) -> Seen | None:
        """Where this face is in a [height, width, 3] RGB frame, or the one most like it; None without any."""
        small = _shrunk(frame, self.searched)
        seen = self._most_alike(small, frame)
        if small is not frame and (seen is None or seen.likeness < SAME_FACE):
            # a small frame costs a third, and now and then its face is missed or its eyes are taken for brows
            again = self._most_alike(frame, frame)
            seen = max((one for one in (seen, again) if one), key=lambda one: one.likeness, default=None)
        return seen

    def _most_alike(self, searched: Frame, frame: Frame) -> Seen | None:
        """The face in `searched`, which is `frame` or a smaller copy of it, that is most like the portrait's."""
        scale = frame.shape[1] / searched.shape[1]
        faces = [face.scaled(scale, scale) for face in detect_faces(searched)]
        seen = [Seen(face, self.likeness(frame, face.landmarks)) for face in faces]
        return max(seen, key=lambda one: one.likeness, default=None)

    def likeness(self, frame: Frame, landmarks: Landmarks) -> float:
        """Correlation of a face's edges with the portrait's."""
        return float((self.look * _look(frame, landmarks)).sum())


def _shrunk(frame: Frame, side: int) -> Frame:
    scale = side / max(frame.shape[:2])
    if scale >= 1:
        return frame
    size = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
    small: Frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small


def _look(image: Frame, landmarks: Landmarks) -> Look:
    """Cells of oriented edges, each of unit strength at most, weighted, less the mean of their direction; length 1."""
    grey = cv2.GaussianBlur(_straightened(image, landmarks), (0, 0), 1.2)
    right, down = (cv2.Sobel(grey, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    direction = np.arctan2(down, right) % np.pi * (_DIRECTIONS / np.pi)
    strength = np.hypot(right, down)
    cells = np.empty((_DIRECTIONS, _CELLS, _CELLS), np.float32)
    for number in range(_DIRECTIONS):
        apart = np.abs((direction - number + _DIRECTIONS / 2) % _DIRECTIONS - _DIRECTIONS / 2)
        plane = cv2.GaussianBlur(np.clip(1 - apart, 0, 1) * strength, (0, 0), _SIDE / _CELLS)
        cells[number] = cv2.resize(plane, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    whole = np.sqrt((cells**2).sum(axis=0))
    cells /= whole + _FAINT * np.median(whole) + np.float32(1e-3)
    mean = (_WEIGHT * cells).sum(axis=(1, 2), keepdims=True) / _WEIGHT.sum()
    look: Look = np.sqrt(_WEIGHT) * (cells - mean)
    return look / max(float(np.linalg.norm(look)), 1e-6)


def _straightened(image: Frame, landmarks: Landmarks) -> NDArray[np.float32]:
    """The face in grey, [_SIDE, _SIDE], its landmarks as near to _PLACES as turning and scaling brings them."""
    left, right = np.array(landmarks.mouth_left), np.array(landmarks.mouth_right)
    points = np.array([landmarks.left_eye, landmarks.right_eye, landmarks.nose, (left + right) / 2])
    weight = _TRUST / _TRUST.sum()
    centre, place = weight @ points, weight @ _PLACES
    # turning and scaling is one complex factor: the least squares of Umeyama (1991) in the plane
    source, target = ((each - middle) @ [1, 1j] for each, middle in ((points, centre), (_PLACES, place)))
    factor = (weight * source.conj() * target).sum() / (weight * np.abs(source) ** 2).sum()
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    # only the pixels around the face are averaged; sampling all of a large photo would flicker and cost
    shrink = min(1.0, float(abs(factor)))
    reach = 1.5 * _SIDE / abs(factor)
    (x0, y0), (x1, y1) = np.floor(centre - reach).astype(int).clip(0), np.ceil(centre + reach).astype(int)
    grey = cv2.cvtColor(image[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY)
    size = max(1, round(grey.shape[1] * shrink)), max(1, round(grey.shape[0] * shrink))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    ratio = np.array([grey.shape[1] / size[0], grey.shape[0] / size[1]])
    matrix = np.column_stack([turn * ratio, place - turn @ (centre - [x0, y0])])
    patch = cv2.warpAffine(small, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return patch.astype(np.float32)


def _weights() -> NDArray[np.float32]:
    """How much each cell counts: eyes and nose fully, the mouth by a fifth, what lies around not at all."""
    y, x = (np.mgrid[0:_CELLS, 0:_CELLS] + 0.5) / _CELLS
    face = np.exp(-(((x - 0.5) / 0.33) ** 6 + ((y - 0.42) / 0.35) ** 6))
    mouth = np.exp(-(((x - 0.5) / 0.28) ** 4 + ((y - 0.82) / 0.18) ** 4))
    weight: NDArray[np.float32] = (face * (1 - 0.8 * mouth)).astype(np.float32)
    return weight


_WEIGHT = _weights()
