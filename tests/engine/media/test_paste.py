"""A talking crop lies in its photo as if it had never been cut out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from engine.media.form import Form, Shown
from engine.media.image import load_portrait, resize
from engine.media.paste import FEATHER, MOST_OFFSET
from engine.spec import OutputSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

PORTRAIT = Path(__file__).parents[3] / "samples" / "portrait.png"
CROP = 218, 122, 922, 826
SIDE = 512
PASTED = OutputSpec(paste_back=True)


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    return resize(load_portrait(PORTRAIT), (1152, 1152))


@pytest.fixture(scope="module")
def still(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a renderer shows that moves nothing."""
    x0, y0, x1, y1 = CROP
    return resize(np.ascontiguousarray(photo[y0:y1, x0:x1]), (SIDE, SIDE))


def outside(crop: tuple[int, int, int, int], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.ones(shape[:2], bool)
    mask[crop[1] : crop[3], crop[0] : crop[2]] = False
    return mask


def shifted(frame: NDArray[np.uint8], right: float, down: float) -> NDArray[np.uint8]:
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float64)
    return cv2.warpAffine(frame, matrix, frame.shape[1::-1], borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.abs(a.astype(np.float64) - b)


def test_outside_the_crop_the_photo_is_untouched_whatever_the_frame(photo: NDArray[np.uint8]) -> None:
    form = Form.of(PASTED, Shown(photo, CROP, (SIDE, SIDE)))
    frame = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    formed = form(frame)
    assert formed.shape == photo.shape
    mask = outside(CROP, photo.shape)
    assert np.array_equal(formed[mask], photo[mask])
    assert not np.array_equal(formed, photo)


def test_a_crop_that_does_not_move_comes_back_to_its_place(photo: NDArray[np.uint8], still: NDArray[np.uint8]) -> None:
    formed = Form.of(PASTED, Shown(photo, CROP, (SIDE, SIDE)))(still)
    grey, known = (picture.mean(axis=2, dtype=np.float32) for picture in (formed, photo))
    inner = slice(300, 700), slice(400, 750)
    (right, down), _ = cv2.phaseCorrelate(known[inner], grey[inner])
    assert abs(right) < 0.02
    assert abs(down) < 0.02
    assert difference(formed, photo).mean() < 0.5, "what is left is what 512 pixels cannot hold"


def test_at_its_own_size_an_unmoved_crop_is_bit_identical(photo: NDArray[np.uint8]) -> None:
    crop = 300, 200, 812, 712
    frame = np.ascontiguousarray(photo[200:712, 300:812])
    formed = Form.of(PASTED, Shown(photo, crop, (SIDE, SIDE)))(frame)
    assert np.array_equal(formed, photo)


def test_the_middle_shows_the_frame_alone(photo: NDArray[np.uint8], still: NDArray[np.uint8]) -> None:
    crop = 300, 200, 812, 712
    frame = shifted(np.ascontiguousarray(photo[200:712, 300:812]), 3, 2)
    form = Form.of(PASTED, Shown(photo, crop, (SIDE, SIDE)))
    inner = slice(round(FEATHER * SIDE) + 1, SIDE - round(FEATHER * SIDE) - 1)
    pasted = form(frame)[200:712, 300:812][inner, inner]
    assert difference(pasted, frame[inner, inner]).max() <= 1, "but for its colour, by less than a level"


@pytest.mark.parametrize("cast", [(8, -5, 3), (-10, -10, -10)])
def test_another_colour_of_the_renderer_is_taken_back(
    photo: NDArray[np.uint8], still: NDArray[np.uint8], cast: tuple[int, int, int]
) -> None:
    form = Form.of(PASTED, Shown(photo, CROP, (SIDE, SIDE)))
    tinted = np.clip(still.astype(int) + cast, 0, 255).astype(np.uint8)
    inner = slice(300, 700), slice(400, 750)
    left = (form(tinted)[inner].astype(float) - form(still)[inner]).mean(axis=(0, 1))
    assert np.abs(left).max() < 0.6


def test_a_crop_that_is_far_off_is_not_painted_over(photo: NDArray[np.uint8]) -> None:
    formed = Form.of(PASTED, Shown(photo, CROP, (SIDE, SIDE)))(np.zeros((SIDE, SIDE, 3), np.uint8))
    assert formed[400:600, 500:650].max() <= MOST_OFFSET + 1


def test_a_head_that_moves_does_not_make_the_colours_flicker(
    photo: NDArray[np.uint8], still: NDArray[np.uint8]
) -> None:
    form = Form.of(PASTED, Shown(photo, CROP, (SIDE, SIDE)))
    assert form.paste is not None
    swing = [(4 * np.sin(frame25 / 7), 3 * np.cos(frame25 / 5)) for frame25 in range(50)]
    offsets = np.array([form.paste.ring.offset(shifted(still, *by)) for by in swing])
    assert np.abs(np.diff(offsets, axis=0)).max() < 0.35


def test_a_colour_drift_below_a_level_shows_no_step(photo: NDArray[np.uint8], still: NDArray[np.uint8]) -> None:
    form = Form.of(PASTED, Shown(photo, CROP, (SIDE, SIDE)))
    assert form.paste is not None
    laid = np.full(form.paste.weight.shape, 100, np.uint8)
    inner = slice(200, 500)
    shown = [
        float(form.paste._blended(laid, np.full(3, offset))[inner, inner].mean())
        for offset in np.arange(0, 1.01, 0.125)
    ]
    assert shown[0] == 100
    assert np.diff(shown) == pytest.approx(0.125, abs=0.01)


def test_where_the_photo_ends_with_the_crop_it_does_not_fade(photo: NDArray[np.uint8]) -> None:
    crop = 218, 448, 922, 1152
    frame = np.full((SIDE, SIDE, 3), 255, np.uint8)
    formed = Form.of(PASTED, Shown(photo, crop, (SIDE, SIDE)))(frame)
    assert formed[1151, 500:600].min() >= 255 - MOST_OFFSET
    assert difference(formed[448, 500:600], photo[448, 500:600]).max() <= 1, "and at the top it does"


def test_the_crop_may_be_all_of_the_photo(photo: NDArray[np.uint8]) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)
    formed = Form.of(PASTED, Shown(photo, (0, 0, 1152, 1152), (256, 256)))(frame)
    assert np.array_equal(formed, resize(frame, (1152, 1152)))


def test_an_odd_photo_loses_its_last_line_and_nothing_else(photo: NDArray[np.uint8]) -> None:
    odd = np.ascontiguousarray(photo[:1151, :1149])
    form = Form.of(PASTED, Shown(odd, CROP, (SIDE, SIDE)))
    formed = form(np.zeros((SIDE, SIDE, 3), np.uint8))
    assert form.size == (1148, 1150)
    mask = outside(CROP, formed.shape)
    assert np.array_equal(formed[mask], photo[:1150, :1148][mask])


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_in_another_size_the_crop_lies_where_the_photo_has_it(
    photo: NDArray[np.uint8], still: NDArray[np.uint8], fit: str
) -> None:
    form = Form.of(OutputSpec(paste_back=True, size="720p", fit=fit), Shown(photo, CROP, (SIDE, SIDE)))
    assert form.paste is not None
    formed = form(still)
    assert formed.shape == (720, 1280, 3)
    assert difference(formed, form.paste.base).mean() < 0.4
    moved = form(shifted(still, 6, 0))
    assert difference(moved, form.paste.base).mean() > 0.8, "a crop beside its place would be seen"


def test_every_chunk_pastes_alike(photo: NDArray[np.uint8], still: NDArray[np.uint8]) -> None:
    frames = [shifted(still, x, 0) for x in (0.0, 1.5, 3.0)]
    first, other = (Form.of(PASTED, Shown(photo, CROP, (SIDE, SIDE))) for _ in range(2))
    forward = [first(frame) for frame in frames]
    backward = [other(frame) for frame in reversed(frames)]
    assert all(np.array_equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))
