"""From speech to mouth: what is heard decides, near the frame and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from looking import Samples, vowel

from engine.preview.mouth import CONTEXT, CONTEXT_SAMPLES, MouthTrack, mouth_track

if TYPE_CHECKING:
    from numpy.typing import NDArray

SILENCE = np.zeros(8_000, np.int16)


def same(one: MouthTrack, other: MouthTrack, part: slice = slice(None)) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)[part]) for name in ("opening", "width", "teeth"))


@pytest.mark.parametrize(("start", "stop"), [(0, 40), (3, 4), (200, 333), (795, 805)])
def test_a_range_has_the_numbers_of_the_whole(start: int, stop: int, lesson: NDArray[np.int16]) -> None:
    whole = mouth_track(Samples(lesson), 0, 805)
    assert same(mouth_track(Samples(lesson), start, stop), whole, slice(start, stop))


def test_only_the_speech_around_the_range_is_read(lesson: NDArray[np.int16]) -> None:
    speech = Samples(lesson)
    mouth_track(speech, 300, 310)
    assert min(start for start, _ in speech.ranges) >= 300 * 640 - CONTEXT_SAMPLES
    assert max(stop for _, stop in speech.ranges) <= 310 * 640 + CONTEXT_SAMPLES


def test_speech_far_away_changes_nothing(lesson: NDArray[np.int16]) -> None:
    louder = lesson.copy()
    louder[: (400 - CONTEXT - 1) * 640] //= 4
    louder[(410 + CONTEXT + 1) * 640 :] //= 4
    assert same(mouth_track(Samples(louder), 400, 410), mouth_track(Samples(lesson), 400, 410))


def test_a_recording_of_half_the_level_opens_the_mouth_as_far(lesson: NDArray[np.int16]) -> None:
    usual = mouth_track(Samples(lesson), 0, 805).opening
    quiet = mouth_track(Samples(lesson // 2), 0, 805).opening
    assert np.abs(usual - quiet).mean() < 0.03


def test_silence_hiss_and_hum_far_below_speech_keep_it_shut() -> None:
    noise = np.random.default_rng(0).normal(0, 20, 32_000).astype(np.int16)  # -64 dB of full scale
    hum = np.rint(60 * np.sin(2 * np.pi * 50 * np.arange(32_000) / 16_000)).astype(np.int16)
    for quiet in (np.zeros(32_000, np.int16), noise, hum):
        assert mouth_track(Samples(quiet), 0, 50).opening.max() < 0.02


@pytest.mark.parametrize("pitch", [100.0, 130.0, 210.0])
def test_vowels_of_equal_loudness_have_their_own_shapes(pitch: float) -> None:
    shapes = {}
    for name, formants in VOWELS.items():
        track = mouth_track(Samples(np.concatenate([SILENCE, vowel(formants, pitch=pitch), SILENCE])), 18, 30)
        shapes[name] = track.opening.mean(), track.width.mean()
    assert shapes["a"][0] > 2 * shapes["i"][0]
    assert shapes["a"][0] > 1.5 * shapes["u"][0]
    assert shapes["i"][1] > 0.4
    assert abs(shapes["a"][1]) < 0.3
    assert shapes["u"][1] < -0.6


def test_a_fricative_shows_teeth_behind_narrow_lips() -> None:
    white = np.random.default_rng(1).normal(0, 1, 8_000)
    hiss = np.rint(400 * np.diff(np.diff(white, prepend=0), prepend=0)).astype(np.int16)
    speech = np.concatenate([vowel(VOWELS["a"], seconds=0.5), hiss, vowel(VOWELS["a"], seconds=0.5)])
    track = mouth_track(Samples(speech), 15, 22)
    assert track.teeth.min() > 0.8
    assert track.opening.max() < 0.35
    assert track.opening.min() > 0.05


def test_gain_opens_further_and_never_without_end(lesson: NDArray[np.int16]) -> None:
    half, usual, double = (mouth_track(Samples(lesson), 60, 160, gain).opening for gain in (0.5, 1.0, 2.0))
    assert np.allclose(half, usual / 2)
    assert double.mean() > 1.5 * usual.mean()
    assert double.max() <= 1.5


VOWELS = {"a": (750, 1200, 2500, 3500), "i": (280, 2250, 2900, 3500), "u": (310, 800, 2250, 3300)}
"""Formants in Hz of a grown-up speaker."""
