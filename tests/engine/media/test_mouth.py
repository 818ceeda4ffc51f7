"""How far a mouth is open, read from frames whose true opening is known."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from talking import PORTRAIT, VOICES, Head, Sound, photo_of, quick_part, recoloured, talk, voice

from engine.media.mouth import MouthMeter, rested

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.renderer import Frame

SPAN = (20, 120)


@pytest.fixture(scope="module")
def greeting(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return voice(VOICES["greeting"], tmp_path_factory.mktemp("voice"))


@pytest.fixture(scope="module")
def head(greeting: Sound) -> Head:
    return talk(greeting, span=SPAN)


def measured(head: Head, first: int = 0) -> NDArray[np.float64]:
    """Openings of all frames, against the frame `first`; not a number where there is none."""
    meter = MouthMeter(head.frames[first], head.landmarks(first))
    return np.array([meter.add(frame) for frame in head.frames], np.float64)


def agreement(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    return float(np.corrcoef(found, wanted)[0, 1])


def test_the_opening_that_was_drawn_is_measured(head: Head) -> None:
    assert agreement(measured(head), head.openings) > 0.93


@pytest.mark.parametrize("kind", ["mirrored", "dark skin", "dim", "grey", "red lips", "wide"])
def test_it_is_measured_on_other_portraits(greeting: Sound, tmp_path: Path, kind: str) -> None:
    photo = tmp_path / "portrait.png"
    if kind == "dark skin":
        recoloured(PORTRAIT, photo, light=0.5, red=4, yellow=8)
    else:
        cv2.imwrite(str(photo), _changed(photo_of(PORTRAIT), kind))
    other = talk(greeting, photo, span=SPAN)
    assert agreement(measured(other), other.openings) > 0.9


def _changed(photo: NDArray[np.uint8], kind: str) -> NDArray[np.uint8]:
    height, width = photo.shape[:2]
    if kind == "mirrored":
        return np.ascontiguousarray(photo[:, ::-1])
    if kind == "dim":
        return (photo * 0.4).astype(np.uint8)
    if kind == "grey":
        return np.dstack([cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)] * 3)
    if kind == "wide":
        return cv2.resize(photo, (width * 6 // 5, height)).astype(np.uint8)
    (left, top), (right, _) = _mouth_corners(photo)
    paint = photo.copy()
    cv2.ellipse(
        paint, (round((left + right) / 2), round(top)), (round((right - left) / 2), 9), 0, 0, 360, (60, 20, 200), -1
    )
    return cv2.addWeighted(photo, 0.5, paint, 0.5, 0).astype(np.uint8)


def _mouth_corners(photo: NDArray[np.uint8]) -> tuple[tuple[float, float], tuple[float, float]]:
    landmarks = Head([np.ascontiguousarray(photo[..., ::-1])], np.zeros(1)).landmarks()
    return landmarks.mouth_left, landmarks.mouth_right


@pytest.mark.parametrize("pixels", [192, 448])
def test_its_unit_is_the_eye_distance_whatever_the_size(greeting: Sound, head: Head, pixels: int) -> None:
    other = talk(greeting, pixels=pixels, span=SPAN)
    assert np.std(measured(other)) == pytest.approx(np.std(measured(head)), rel=0.2)


def test_a_head_that_sways_does_not_open_its_mouth(head: Head) -> None:
    still = Head([_swayed(index, head.frames[0]) for index in range(100)], head.openings)
    assert np.std(quick_part(measured(still))) < 0.1 * np.std(quick_part(measured(head)))


def test_speech_is_seen_in_a_head_that_sways(head: Head) -> None:
    swaying = Head([_swayed(index, frame) for index, frame in enumerate(head.frames)], head.openings)
    assert agreement(quick_part(measured(swaying)), quick_part(head.openings)) > 0.9


def _swayed(index: int, frame: Frame) -> Frame:
    """Moved by up to 12 pixels, rolled by 4 degrees, three percent nearer."""
    side = frame.shape[0]
    move = cv2.getRotationMatrix2D((side / 2, side / 2), 4 * np.sin(index / 15), 1 + 0.03 * np.sin(index / 20))
    move[:, 2] += [10 * np.sin(index / 9), 6 * np.cos(index / 11)]
    return cv2.warpAffine(frame, move, (side, side), borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def test_a_head_that_wanders_is_followed(head: Head) -> None:
    """By an eye distance, in steps of a pixel."""
    wandered = [_moved(frame, index - 50, (50 - index) / 2) for index, frame in enumerate(head.frames)]
    assert agreement(measured(Head(wandered, head.openings)), head.openings) > 0.9


def test_a_head_that_leaves_the_picture_has_no_opening(head: Head) -> None:
    meter = MouthMeter(head.frames[0], head.landmarks())
    openings = [meter.add(_moved(head.frames[0], 4 * index, 0)) for index in range(60)]
    assert openings[0] is not None
    assert openings[-1] is None


def _moved(frame: Frame, right: float, down: float) -> Frame:
    move = np.array([[1.0, 0, right], [0, 1, down]])
    return cv2.warpAffine(frame, move, frame.shape[1::-1], borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def test_grain_does_not_hide_it(head: Head) -> None:
    noise = np.random.default_rng(0)
    grainy = [np.clip(frame + noise.normal(0, 8, frame.shape), 0, 255).astype(np.uint8) for frame in head.frames]
    assert agreement(measured(Head(grainy, head.openings)), head.openings) > 0.9


def test_chunks_measured_from_unlike_frames_agree(head: Head) -> None:
    """One starts with a shut mouth, one with the widest; in the frames of both they say the same."""
    shut, wide = int(np.argmin(head.openings)), int(np.argmax(head.openings))
    ones, others = (np.array(rested(measured(head, first).tolist()), np.float64) for first in (shut, wide))
    assert agreement(others, head.openings) > 0.9
    assert np.abs(ones - others).mean() < 0.1 * (ones.max() - ones.min())


def test_a_still_mouth_measures_still(head: Head) -> None:
    meter = MouthMeter(head.frames[0], head.landmarks())
    assert np.ptp([meter.add(head.frames[0]) for _ in range(20)]) < 0.001


def test_frames_without_the_face_have_no_opening(head: Head) -> None:
    meter = MouthMeter(head.frames[0], head.landmarks())
    noise = np.random.default_rng(0).integers(0, 256, head.frames[0].shape).astype(np.uint8)
    assert [meter.add(np.zeros_like(noise)), meter.add(noise)] == [None, None]
    assert meter.add(head.frames[1]) is not None, "it is found again"


def test_a_head_that_jumped_is_found_again(head: Head) -> None:
    meter = MouthMeter(head.frames[0], head.landmarks())
    before = meter.add(head.frames[1])
    reach = round(0.35 * head.landmarks().eye_distance)
    jumped = np.roll(head.frames[1], reach, axis=1)
    meter.add(jumped)
    assert meter.add(jumped) == pytest.approx(before, abs=0.02)


def test_a_frame_costs_about_a_millisecond(greeting: Sound) -> None:
    large = talk(greeting, pixels=512, span=(20, 60))
    meter = MouthMeter(large.frames[0], large.landmarks())
    costs = []
    for frame in large.frames:
        start = time.thread_time()
        meter.add(frame)
        costs.append(time.thread_time() - start)
    assert sorted(costs)[len(costs) // 4] < 0.002, "1 ms is wanted; the rest is for a busy machine"


def test_openings_of_a_chunk_are_counted_from_its_shut_mouth() -> None:
    assert rested([None, 0.3, 0.3, 0.3, 0.5]) == pytest.approx([None, 0.0, 0.0, 0.0, 0.2])
    assert rested([None, None]) == [None, None]
    assert rested([]) == []
