"""Lips and lids found in the photo, however it was taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from looking import CLOSE_UP, PORTRAIT, job, rendered

from engine.media.face import detect_faces
from engine.media.image import load_portrait
from engine.preview.anatomy import Anatomy, Slit, read_anatomy

if TYPE_CHECKING:
    from numpy.typing import NDArray

# read off the shipped portrait at eight times its size, in its pixels
LEFT_CORNER, RIGHT_CORNER = (120.5, 140.0), (161.0, 141.2)
UPPER_LIP, LOWER_LIP = (139.4, 143.7), (139.4, 149.0)
LEFT_EYE, RIGHT_EYE = (120.6, 101.0), (164.0, 103.5)


def read(photo: NDArray[np.uint8]) -> Anatomy:
    return read_anatomy(photo, detect_faces(photo)[0].landmarks)


def place(slit: Slit, s: float, t: float) -> NDArray[np.float64]:
    found: NDArray[np.float64] = slit.axes.forward() @ np.array([s, t, 1.0])
    return found


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return load_portrait(PORTRAIT)


def grey(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param(lambda photo: photo, id="as it is"),
        pytest.param(lambda photo: (photo * 0.45).astype(np.uint8), id="dark"),
        pytest.param(grey, id="without colour"),
        pytest.param(lambda photo: np.roll(photo, (5, -9), (0, 1)), id="shifted"),
    ],
)
def test_the_open_smile_is_found(taken, photo: NDArray[np.uint8]) -> None:  # type: ignore[no-untyped-def]
    seen = taken(photo)
    moved = np.array([-9, 5]) if np.array_equal(seen, np.roll(photo, (5, -9), (0, 1))) else np.zeros(2)
    found = read(seen)
    assert found.mouth.gap > 0
    for expected, at in (
        (LEFT_CORNER, (-1, 0)),
        (RIGHT_CORNER, (1, 0)),
        (UPPER_LIP, (0, found.mouth.upper)),
        (LOWER_LIP, (0, found.mouth.lower)),
    ):
        assert place(found.mouth, *at) - moved == pytest.approx(expected, abs=3)
    for expected, eye in zip((LEFT_EYE, RIGHT_EYE), (eye.slit for eye in found.eyes), strict=True):
        assert place(eye, 0, (eye.upper + eye.lower) / 2) - moved == pytest.approx(expected, abs=3)
        assert eye.upper < -0.15 < 0.1 < eye.lower


def test_a_mirrored_photo_gives_mirrored_lips(photo: NDArray[np.uint8]) -> None:
    found = read(np.ascontiguousarray(photo[:, ::-1]))
    mirrored = 287 - place(found.mouth, 0, 0)[0]
    assert mirrored == pytest.approx(place(read(photo).mouth, 0, 0)[0], abs=2.5)


def test_shut_lips_are_found_shut() -> None:
    (frame,) = rendered(job(np.zeros(640, np.int16), spec=CLOSE_UP))
    found = read(frame)
    assert found.mouth.gap == 0
    marks = detect_faces(frame)[0].landmarks
    middle = (np.array(marks.mouth_left) + np.array(marks.mouth_right)) / 2
    assert place(found.mouth, 0, 0) == pytest.approx(middle, abs=4)
