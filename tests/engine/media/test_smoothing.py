"""Less jitter, the same lips, and the same frames on both sides of a cut."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from bench.smoothing import Material, Ruler, material, rms
from engine.errors import RenderError, SpecError
from engine.media.smoothing import RADIUS, grown, smoothed
from engine.plan import Geometry, plan_chunks
from engine.renderer import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.renderer import Frame

FRAMES = 60
GENTLE = BUILT_IN["sonic"].smoothing
INNER = slice(RADIUS, -RADIUS)
"""Frames that have all their neighbours."""


@pytest.fixture(scope="module", params=["full", "face"])
def given(request: pytest.FixtureRequest) -> Material:
    return material(frames=FRAMES, seed=2, framing=request.param)


@pytest.fixture(scope="module")
def shut(given: Material) -> Frame:
    return given.clean[int(np.argmin(given.loudness))]


@pytest.fixture(scope="module")
def ruler(shut: Frame) -> Ruler:
    return Ruler.of(shut)


@pytest.fixture(scope="module")
def steadied(given: Material) -> list[Frame]:
    return list(smoothed(given.shaken, GENTLE))


def test_jitter_of_a_pixel_falls_by_half_or_more(given: Material, ruler: Ruler, steadied: list[Frame]) -> None:
    before = ruler.shifts(given.shaken[INNER], given.clean[INNER])
    left = ruler.shifts(steadied[INNER], given.clean[INNER])
    assert rms(before) == pytest.approx(1, abs=0.1)
    assert rms(left) < 0.5 * rms(before)
    assert rms(np.diff(left, axis=0)) < 0.25 * rms(np.diff(before, axis=0))


def test_jitter_of_generated_frames_falls_less_but_hardly_trembles() -> None:
    given = material(frames=FRAMES, seed=2, every=2)
    assert np.allclose(given.injected[1:-1:2], (given.injected[:-2:2] + given.injected[2::2]) / 2)
    ruler = Ruler.of(given.clean[int(np.argmin(given.loudness))])
    steadied = list(smoothed(given.shaken, GENTLE))
    before, left = (ruler.shifts(frames[INNER], given.clean[INNER]) for frames in (given.shaken, steadied))
    assert rms(left) < 0.75 * rms(before)
    assert rms(np.diff(left, axis=0)) < 0.5 * rms(np.diff(before, axis=0))


def test_the_lips_open_as_far_and_at_the_same_moment(
    given: Material, ruler: Ruler, shut: Frame, steadied: list[Frame]
) -> None:
    meant, before, seen = (ruler.openings(frames, shut) for frames in (given.clean, given.shaken, steadied))
    heard = [np.corrcoef(openings, given.loudness)[0, 1] for openings in (before, seen)]
    assert heard[1] > heard[0] - 0.02
    assert seen.std() == pytest.approx(meant.std(), rel=0.03)
    shifted = [np.corrcoef(seen[5 + lag : FRAMES - 5 + lag], meant[5:-5])[0, 1] for lag in range(-2, 3)]
    assert int(np.argmax(shifted)) == 2
    assert shifted[2] > 0.98
    assert shifted[1] == pytest.approx(shifted[3], abs=0.05)


def test_what_was_steady_stays_where_it_is_and_as_sharp(given: Material, ruler: Ruler, steadied: list[Frame]) -> None:
    untouched = list(smoothed(given.clean, GENTLE))
    assert rms(ruler.shifts(untouched[INNER], given.clean[INNER])) < 0.15
    assert ruler.sharpness(steadied) > 0.98 * ruler.sharpness(given.clean)


def test_both_sides_of_a_cut_get_the_same_frames_bit_for_bit(given: Material, steadied: list[Frame]) -> None:
    plan = plan_chunks(FRAMES, chunk_seconds=0.9, geometry=Geometry(fade=4, radius=RADIUS // 2))
    assert len(plan.chunks) == 3
    for chunk in plan.chunks:
        wide = grown(chunk, FRAMES)
        before, after = chunk.out[0] - wide.out[0], wide.out[1] - chunk.out[1]
        assert wide.out[0] >= 2 * wide.span[0]
        assert wide.out[1] <= 2 * wide.span[1]
        part = list(smoothed(given.shaken[slice(*wide.out)], GENTLE, before=before, after=after))
        assert len(part) == chunk.frames25
        for frame, whole in zip(part, steadied[slice(*chunk.out)], strict=True):
            assert np.array_equal(frame, whole)


def test_the_number_of_threads_changes_nothing(given: Material, steadied: list[Frame]) -> None:
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(threads % 2 + 1)
        again = list(smoothed(given.shaken[:12], GENTLE))
    finally:
        cv2.setNumThreads(threads)
    assert all(np.array_equal(one, other) for one, other in zip(again[:8], steadied, strict=False))


def moving(frames: int, size: tuple[int, int] = (96, 128)) -> list[Frame]:
    """A texture that moves to the right by a pixel and a half in each frame."""
    height, width = size
    noise = np.random.default_rng(5).integers(0, 256, (height // 4, width // 4 + frames, 3)).astype(np.uint8)
    strip = cv2.resize(noise, (width + 4 * frames, height), interpolation=cv2.INTER_CUBIC)
    moves = (np.array([[1, 0, 1.5 * number - 2 * frames], [0, 1, 0]]) for number in range(frames))
    return [np.asarray(cv2.warpAffine(strip, move, (width, height)), np.uint8) for move in moves]


def test_a_strength_of_nothing_gives_back_the_very_frames() -> None:
    frames = moving(15)
    assert all(one is other for one, other in zip(smoothed(iter(frames), 0.0), frames, strict=True))
    kept = list(smoothed(iter(frames), 0.0, before=4, after=2))
    assert all(one is other for one, other in zip(kept, frames[4:-2], strict=True))


def test_a_still_picture_stays_the_very_frame() -> None:
    frames = [moving(1)[0]] * 12
    assert all(one is frames[0] for one in smoothed(frames, 1.0))


def test_a_steady_movement_is_neither_delayed_nor_pulled_back_at_the_ends() -> None:
    frames = moving(14)
    for one, other in zip(smoothed(frames, 1.0), frames, strict=True):
        inside = slice(16, -16)
        assert np.abs(one[inside, inside].astype(int) - other[inside, inside]).mean() < 2


@pytest.mark.parametrize("count", [0, 1, 2, RADIUS, RADIUS + 1, 2 * RADIUS + 1, 2 * RADIUS + 2])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (0, 1), (RADIUS, RADIUS)])
def test_as_many_frames_come_back_as_are_kept(count: int, before: int, after: int) -> None:
    frames = moving(count) if count else []
    whole = list(smoothed(frames, 0.5))
    assert len(whole) == count
    kept = list(smoothed(frames, 0.5, before=before, after=after))
    wanted = whole[before : max(before, count - after)]
    assert all(np.array_equal(one, other) for one, other in zip(kept, wanted, strict=True))


def test_frames_are_taken_one_by_one_and_few_are_held() -> None:
    taken = 0

    def endless() -> Iterator[Frame]:
        nonlocal taken
        frame = moving(1)[0]
        while True:
            taken += 1
            yield frame

    assert len(list(islice(smoothed(endless(), 0.3), 20))) == 20
    assert taken == 20 + RADIUS


def test_wrong_strengths_neighbours_and_sizes_are_named() -> None:
    with pytest.raises(SpecError, match=r"smoothing is 1\.5, wanted 0 to 1"):
        list(smoothed([], 1.5))
    with pytest.raises(SpecError, match="5 and 0 neighbours, wanted 0 to 4"):
        list(smoothed([], 1.0, before=5))
    with pytest.raises(RenderError, match=r"a frame is \(64, 64, 3\), the ones before \(96, 128, 3\)"):
        list(smoothed([*moving(2), moving(1, (64, 64))[0]], 0.5))
