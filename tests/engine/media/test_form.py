"""Frames leave in exactly the size that was asked for, and nothing else happens to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError, RenderError
from engine.media.face import detect_faces
from engine.media.form import LARGEST_PHOTO, Form, Placement, Shown
from engine.media.image import load_portrait, resize
from engine.media.scale import resampled
from engine.spec import OutputSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

PORTRAIT = Path(__file__).parents[3] / "samples" / "portrait.png"


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return load_portrait(PORTRAIT)


def whole(photo: NDArray[np.uint8], size: tuple[int, int]) -> Shown:
    return Shown(photo, (0, 0, photo.shape[1], photo.shape[0]), size)


def test_source_hands_on_the_very_pixels(photo: NDArray[np.uint8]) -> None:
    frame = resize(photo, (512, 448))
    form = Form.of(OutputSpec(), whole(photo, (512, 448)))
    assert form.size == (512, 448)
    formed = form(frame)
    assert np.shares_memory(formed, frame), "a frame that needs nothing is not even copied"
    assert np.array_equal(formed, frame)


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("size", ["720p", "1080p", "4096x64", "64x4096", "512x512", "500x282"])
def test_any_size_is_met_exactly(photo: NDArray[np.uint8], size: str, fit: str) -> None:
    output = OutputSpec(size=size, fit=fit)
    form = Form.of(output, whole(photo, (448, 512)))
    assert output.pixels is not None
    width, height = output.pixels
    assert form.size == (width, height)
    assert form(resize(photo, (448, 512))).shape == (height, width, 3)


def test_borders_are_black_even_and_alike_and_the_picture_keeps_its_shape(photo: NDArray[np.uint8]) -> None:
    white = np.full((512, 448, 3), 255, np.uint8)
    formed = Form.of(OutputSpec(size="1080p"), whole(photo, (448, 512)))(white)
    columns = np.flatnonzero(formed.any(axis=(0, 2)))
    left, right = int(columns[0]), 1920 - int(columns[-1]) - 1
    assert abs(left - right) <= 2
    assert left % 2 == 0
    assert len(columns) == pytest.approx(1080 * 448 / 512, abs=1)
    assert set(np.unique(formed)) == {0, 255}, "nothing rings into the borders"


def test_cutting_a_portrait_to_wide_keeps_the_head_in_the_middle() -> None:
    photo = cv2.copyMakeBorder(load_portrait(PORTRAIT), 0, 420, 0, 0, cv2.BORDER_REPLICATE).astype(np.uint8)
    frame = resize(photo, (512, 1280))
    formed = Form.of(OutputSpec(size="720p", fit="crop"), whole(photo, (512, 1280)))(frame)
    face = detect_faces(formed)[0]
    assert abs((face.box[0] + face.box[2]) / 2 - 640) < 60
    assert 300 < (face.box[1] + face.box[3]) / 2 < 480
    middle = resize(frame[496:784], (1280, 720))
    assert not detect_faces(middle), "cut in the middle of the picture, this photo has no face"


def test_a_face_crop_is_cut_around_the_face_too(photo: NDArray[np.uint8]) -> None:
    big = resize(photo, (1152, 1152))
    crop = 218, 122, 923, 828
    frame = resize(np.ascontiguousarray(big[122:828, 218:923]), (512, 512))
    formed = Form.of(OutputSpec(size="720p", fit="crop"), Shown(big, crop, (512, 512)))(frame)
    marks = detect_faces(formed)[0].landmarks
    assert 100 < marks.left_eye[1] < marks.mouth_left[1] < 620
    formed = Form.of(OutputSpec(size="400x720", fit="crop"), Shown(big, crop, (512, 512)))(frame)
    face = detect_faces(formed)[0]
    assert abs((face.box[0] + face.box[2]) / 2 - 200) < 40


def test_a_photo_without_a_face_is_cut_in_its_middle() -> None:
    flat = np.zeros((400, 200, 3), np.uint8)
    flat[180:220] = 255
    formed = Form.of(OutputSpec(size="200x100", fit="crop"), whole(flat, (200, 400)))(flat)
    rows = np.flatnonzero(formed.any(axis=(1, 2)))
    assert (int(rows[0]), int(rows[-1])) == (30, 69)


def test_reducing_averages_instead_of_aliasing() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    reduced = resampled(stripes, (0, 0, 512, 512), (200, 200))[:, 8:-8]
    assert reduced.std() < 4, "stripes finer than a pixel are an even grey"
    aliased = cv2.resize(stripes, (200, 200), interpolation=cv2.INTER_LANCZOS4)[:, 8:-8]
    assert aliased.std() > 20, "as one would see them without averaging"


@given(
    picture=st.tuples(st.integers(16, 4096), st.integers(16, 4096)),
    size=st.tuples(st.integers(32, 2048), st.integers(32, 2048)).map(lambda size: (2 * size[0], 2 * size[1])),
    centre=st.tuples(st.floats(-100, 5000), st.floats(-100, 5000)),
)
def test_placements_stay_inside_picture_and_output(
    picture: tuple[int, int], size: tuple[int, int], centre: tuple[float, float]
) -> None:
    padded = Placement.padded(picture, size)
    left, top, right, bottom = padded.target
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    assert right - left == size[0] or bottom - top == size[1]
    assert not [edge for edge in padded.target if edge % 2]
    x0, y0, x1, y1 = Placement.cut(picture, size, centre=centre).seen
    assert -1e-6 <= x0 < x1 <= picture[0] + 1e-6
    assert -1e-6 <= y0 < y1 <= picture[1] + 1e-6
    assert (x1 - x0) / (y1 - y0) == pytest.approx(size[0] / size[1])


def test_a_large_odd_photo_gets_even_sides_within_the_limit() -> None:
    photo = np.zeros((2001, 3333, 3), np.uint8)
    form = Form.of(OutputSpec(paste_back=True), Shown(photo, (10, 10, 500, 500), (256, 256)))
    assert form.size[0] == LARGEST_PHOTO
    assert form.size[1] % 2 == 0
    assert form.size[1] == pytest.approx(LARGEST_PHOTO * 2001 / 3333, abs=2)


def test_a_frame_of_another_size_is_refused(photo: NDArray[np.uint8]) -> None:
    with pytest.raises(RenderError, match="a frame is 512x448 pixels, wanted 512x512"):
        Form.of(OutputSpec(), whole(photo, (512, 512)))(np.zeros((448, 512, 3), np.uint8))


@pytest.mark.parametrize("crop", [(1250, 66, 1297, 113), (0, 0, 10, 10)])
def test_a_crop_too_small_to_be_seen_in_the_photo_is_refused_in_plain_words(crop: tuple[int, int, int, int]) -> None:
    wide = np.full((600, 4000, 3), 128, np.uint8)
    with pytest.raises(InputError, match="fills no pixel of a video of 64x64: take a larger size"):
        Form.of(OutputSpec(size="64x64", paste_back=True), Shown(wide, crop, (128, 128)))
