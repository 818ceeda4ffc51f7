"""The visible mark: there, legible, and nothing else touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from engine.media.mark import marked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.renderer import Frame

SIZES = [(512, 512), (720, 1280), (1080, 1920), (1920, 1080), (256, 256)]


def all_of(frame: Frame) -> tuple[int, int, int, int]:
    return 0, 0, frame.shape[1], frame.shape[0]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_the_label_is_small_in_its_corner_and_stands_out_from_any_ground(height: int, width: int, grey: int) -> None:
    frame = np.full((height, width, 3), grey, np.uint8)
    labelled = marked(frame, all_of(frame))
    assert (frame == grey).all()
    changed = labelled != grey if grey else labelled > 0
    rows, columns, _ = np.nonzero(changed)
    assert rows.min() > 0.85 * height
    assert columns.min() > 0.4 * width
    assert max(rows.max(), columns.max() - width + height) < height - 4
    assert changed.any(axis=2).mean() < 0.03
    plate = labelled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(int)
    assert plate.max() - plate.min() > 130
    assert ((plate > plate.min() + 20) & (plate < plate.max() - 20)).any()  # soft edges
    assert plate[:, :, 0].std(axis=0).max() > 40


def test_the_label_is_the_same_on_every_frame_of_a_size() -> None:
    one, other = (np.full((512, 512, 3), grey, np.uint8) for grey in (10, 200))
    assert np.array_equal(marked(one, all_of(one)) == 255, marked(other, all_of(other)) == 255)
    assert np.array_equal(marked(one, all_of(one)), marked(one, all_of(one)))


def ink(height: int, width: int) -> NDArray[np.uint8]:
    """The letters alone, cut out."""
    frame = np.zeros((height, width, 3), np.uint8)
    letters = marked(frame, all_of(frame))[:, :, 0]
    rows, columns = np.nonzero(letters)
    return letters[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 72), (52, 52), (20, 512)])
def test_a_picture_too_small_for_the_label_carries_all_of_it_in_smaller_letters(height: int, width: int) -> None:
    whole, small = (cv2.resize(letters, (96, 16)).ravel() for letters in (ink(512, 512), ink(height, width)))
    assert np.corrcoef(whole, small)[0, 1] > 0.55, "cut, it is less than 0.5"
