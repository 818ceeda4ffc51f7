"""Two renders of one moment, brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from lessons import SIDE, picture_of

from engine.media.align import SMALLEST_SIDE, Alignment, agreeing, offset_between, thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As when a seam is made."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def shifted(frame: NDArray[np.uint8], pixels: float) -> NDArray[np.uint8]:
    by = np.array([[1, 0, pixels], [0, 1, 0]], np.float32)
    moved = cv2.warpAffine(frame, by, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return moved.astype(np.uint8)


def test_a_shift_and_a_change_of_colour_are_told_apart() -> None:
    old = picture_of(10)
    new = (shifted(old, 3) + np.array([8, -5, 0])).clip(0, 255).astype(np.uint8)
    found = Alignment.of(old, new)
    assert found.offset == pytest.approx([8, -5, 0], abs=1)
    assert found.share == 1
    assert found.flow is not None
    assert np.median(found.flow, axis=(0, 1)) == pytest.approx([3, 0], abs=0.15)
    assert np.percentile(found.lengths, 95) == pytest.approx(3, abs=0.3)


def test_the_offset_of_a_part_is_not_hidden_by_the_part_that_agrees() -> None:
    old = picture_of(10)
    new = old.copy()
    new[:60, :60] += 6
    assert offset_between(old, new) == pytest.approx([6, 6, 6])
    assert not offset_between(old, old).any()
    assert not agreeing(old, new)[:60, :60].any()
    assert agreeing(old, new)[60:].all()
    assert agreeing(old, new)[:, 60:].all()


def test_pixels_that_are_alike_by_chance_do_not_agree() -> None:
    old = picture_of(10)
    new = np.where(old > 100, old + 1, old - 1)
    new[30:34, 30:34] = old[30:34, 30:34]
    assert not agreeing(old, new.astype(np.uint8)).any()


def test_a_flow_is_trusted_for_what_it_does_to_the_whole_picture() -> None:
    old = picture_of(10)
    new = shifted(old, 3)
    assert Alignment.of(old, new).share == 1
    new[SIDE // 2 :] = picture_of(3)[: SIDE // 2][::-1]
    assert Alignment.of(old, new).share < 0.1, "the upper half comes together, the lower one does not"


@pytest.mark.parametrize("what", ["another picture", "noise", "nothing to follow"])
def test_what_cannot_be_brought_together_is_not_moved(what: str) -> None:
    noise = np.random.default_rng(3)
    sides = {
        "another picture": (picture_of(3), picture_of(3)[::-1].copy()),
        "noise": tuple(noise.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(2)),
        "nothing to follow": (picture_of(3), picture_of(3) + np.uint8(0)),
    }
    found = Alignment.of(*sides[what])
    assert found.share < 0.1
    assert found.lengths.max() < 4


def test_pictures_too_small_for_a_flow_are_left_where_they_are() -> None:
    side = SMALLEST_SIDE - 2
    found = Alignment.of(picture_of(0)[:side, :64], picture_of(5)[:side, :64])
    assert found.flow is None
    assert Alignment.of(picture_of(0)[: side + 2, :64], picture_of(5)[: side + 2, :64]).lengths.size > 1


def test_thresholds_spread_evenly_between_none_and_all() -> None:
    found = thresholds(16, 20)[..., 0]
    assert found.shape == (16, 20)
    assert 0 < found.min() < found.max() < 1
    assert np.array_equal(np.sort(found[:8, :8].ravel()), (np.arange(64) + 0.5) / 64)
