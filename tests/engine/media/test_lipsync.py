"""The lag between mouth and speech: recovered where it was injected, left alone where nothing shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from talking import PORTRAIT, VOICES, Sound, recoloured, talk, voice

from engine.media.lipsync import CONFIDENT, LagEstimator, Sync
from engine.media.mouth import MouthMeter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

LAGS_MS = [-80, -40, -20, 20, 40, 80]


@dataclass(frozen=True)
class Talk:
    """A speech, and the openings that were measured on a head that says it."""

    speech: Sound
    openings: list[float | None]


def mouth_of(speech: Sound, portrait: Path = PORTRAIT) -> list[float | None]:
    head = talk(speech, portrait, pixels=192)
    meter = MouthMeter(head.frames[0], head.landmarks())
    return [meter.add(frame) for frame in head.frames]


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Talk]:
    scratch = tmp_path_factory.mktemp("voices")
    speeches = {name: voice(path, scratch) for name, path in VOICES.items()}
    return {name: Talk(speech, mouth_of(speech)) for name, speech in speeches.items()}


def found(
    speech: Sound,
    openings: Sequence[float | None],
    *,
    voiced: Sequence[tuple[int, int]] | None = None,
    chunk: int = 300,
) -> Sync:
    estimator = LagEstimator(speech, [(0, speech.frames25)] if voiced is None else voiced)
    for start in range(0, len(openings), chunk):
        estimator.add(start, openings[start : start + chunk])
    return estimator.sync()


def noise_like(openings: Sequence[float | None], seed: int = 0) -> list[float | None]:
    """Something that moves as fast and as far as a mouth, and knows nothing of the speech."""
    noise: NDArray[np.float64] = np.random.default_rng(seed).normal(0, 0.08, len(openings) + 1)
    return list((noise[1:] + noise[:-1]) / 2)


@pytest.mark.parametrize("lag_ms", LAGS_MS)
@pytest.mark.parametrize("name", VOICES)
def test_an_injected_lag_is_recovered_within_10_ms(talks: dict[str, Talk], name: str, lag_ms: int) -> None:
    """A mouth that is late has heard its speech early."""
    sync = found(talks[name].speech.later(-lag_ms / 1000), talks[name].openings)
    assert sync.lag_s is not None
    assert abs(1000 * sync.lag_s - lag_ms) < 10
    assert sync.offset_s == sync.lag_s, "a late mouth wants its speech later"
    assert sync.confidence >= CONFIDENT
    assert ("behind" if lag_ms > 0 else "ahead of") in sync.reason


@pytest.mark.parametrize("lag_ms", [-40, 33])
def test_a_lag_that_was_drawn_into_the_frames_is_recovered(talks: dict[str, Talk], tmp_path: Path, lag_ms: int) -> None:
    """Rendered from a speech that is moved by no whole number of frames, on another portrait."""
    speech = talks["greeting"].speech
    photo = recoloured(PORTRAIT, tmp_path / "portrait.png", light=0.5, red=4, yellow=8)
    sync = found(speech, mouth_of(speech.later(lag_ms / 1000), photo))
    assert abs(1000 * sync.offset_s - lag_ms) < 10


@pytest.mark.parametrize("name", VOICES)
def test_the_previews_own_lag_is_too_little_to_correct(talks: dict[str, Talk], name: str) -> None:
    sync = found(talks[name].speech, talks[name].openings)
    assert sync.lag_s is not None
    assert abs(sync.lag_s) < 0.01
    assert (sync.offset_s, sync.confidence >= CONFIDENT) == (0, True)
    assert sync.reason.endswith("too little to correct")


def test_a_larger_lag_is_corrected_as_far_as_allowed(talks: dict[str, Talk]) -> None:
    lesson = talks["lesson"]
    sync = found(lesson.speech.later(-0.15), lesson.openings)
    assert sync.lag_s == pytest.approx(0.15, abs=0.01)
    assert sync.offset_s == 0.1
    assert sync.reason.endswith("corrected as far as allowed")


def test_chunks_of_any_length_order_and_zero_say_the_same(talks: dict[str, Talk]) -> None:
    lesson = talks["lesson"]
    speech = lesson.speech.later(-0.04)
    whole = found(speech, lesson.openings, chunk=len(lesson.openings))
    estimator = LagEstimator(speech, [(0, speech.frames25)])
    starts = list(range(0, len(lesson.openings), 117))
    for number, start in enumerate(reversed(starts)):
        part = lesson.openings[start : start + 117 + 16]  # neighbours share 16 frames
        estimator.add(start, [None if opening is None else opening + 0.1 * number for opening in part])
    parts = estimator.sync()
    assert parts.lag_s == pytest.approx(whole.lag_s, abs=0.002)
    assert parts.confidence == pytest.approx(whole.confidence, abs=0.1)


def test_frames_without_a_face_are_left_out(talks: dict[str, Talk]) -> None:
    lesson = talks["lesson"]
    hidden = [None if place % 100 < 40 else opening for place, opening in enumerate(lesson.openings)]
    sync = found(lesson.speech.later(-0.04), hidden)
    assert sync.offset_s == pytest.approx(0.04, abs=0.01)


def test_only_voiced_spans_are_compared(talks: dict[str, Talk]) -> None:
    """The second half of this mouth is noise: it matters only where somebody is said to speak."""
    lesson = talks["lesson"]
    speech, half, end = lesson.speech.later(-0.04), len(lesson.openings) // 2, len(lesson.openings)
    openings = lesson.openings[:half] + noise_like(lesson.openings[half:])
    spoken = [(0, 100), (110, half - 30)]
    assert found(speech, openings, voiced=spoken, chunk=end).offset_s == pytest.approx(0.04, abs=0.01)
    assert found(speech, openings, voiced=[(half + 10, end)], chunk=end).offset_s == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", VOICES)
def test_a_mouth_that_moves_by_chance_changes_nothing(talks: dict[str, Talk], name: str, seed: int) -> None:
    sync = found(talks[name].speech, noise_like(talks[name].openings, seed))
    assert (sync.offset_s, sync.confidence < CONFIDENT) == (0, True)
    assert sync.reason.startswith("mouth and speech do not show their lag: ")


def test_short_speech_is_not_believed_by_chance(talks: dict[str, Talk]) -> None:
    """Of some hundred mouths a few follow six seconds of speech by luck: more is asked of short ones."""
    greeting, noise = talks["greeting"], np.random.default_rng(1)
    for trial in range(300):
        width = 1 + trial % 4  # from jitter to slow chewing
        steps = noise.normal(0, 0.08, len(greeting.openings) + width - 1)
        sync = found(greeting.speech, np.convolve(steps, np.ones(width) / width, "valid").tolist())
        assert sync.confidence < CONFIDENT, f"trial {trial}: {sync}"


def test_even_syllables_do_not_say_which_belongs_to_which() -> None:
    """Five a second, all alike: a fifth of a second later they fit again."""
    moments = np.arange(20 * 16_000) / 16_000
    syllables = np.sin(2 * np.pi * 900 * moments) * np.clip(np.sin(2 * np.pi * 5 * moments), 0, 1)
    mouth = np.clip(np.sin(2 * np.pi * 5 * (np.arange(500) + 0.5 - 1) / 25), 0, 1) / 10
    sync = found(Sound((9000 * syllables).astype(np.int16)), mouth.tolist())
    assert (sync.offset_s, sync.confidence < CONFIDENT) == (0, True)


def test_parts_that_disagree_change_nothing(talks: dict[str, Talk]) -> None:
    """One second early, the next late: no offset is right for both."""
    quick = talks["quick"]
    ways = [2 if place // 25 % 2 else -2 for place in range(len(quick.openings))]
    openings = [quick.openings[(place + way) % len(ways)] for place, way in enumerate(ways)]
    sync = found(quick.speech, openings)
    assert sync.offset_s == 0
    assert sync.confidence < CONFIDENT


@pytest.mark.parametrize(("mouth", "sound"), [("lesson", "quick"), ("quick", "lesson"), ("lesson", "greeting")])
def test_a_mouth_that_says_something_else_changes_nothing(talks: dict[str, Talk], mouth: str, sound: str) -> None:
    sync = found(talks[sound].speech, talks[mouth].openings[: talks[sound].speech.frames25])
    assert sync.offset_s == 0
    assert sync.confidence < CONFIDENT


def test_music_changes_nothing(talks: dict[str, Talk]) -> None:
    """Chords of which each swells and fades, called voiced by mistake."""
    moments = np.arange(32 * 16_000) / 16_000
    swell = np.abs(np.sin(2 * np.pi * 1.9 * moments)) * np.exp(-2 * (moments * 1.9 % 1))
    chords = sum(np.sin(2 * np.pi * hertz * moments) for hertz in (220, 277, 330, 880, 1320))
    music = Sound((3000 * chords * swell).astype(np.int16))
    sync = found(music, talks["lesson"].openings)
    assert (sync.offset_s, sync.confidence < CONFIDENT) == (0, True)


@pytest.mark.parametrize(
    ("openings", "says"),
    [
        pytest.param([0.03] * 805, "the mouth moves by 0.0000 eye distances, wanted 0.004", id="still"),
        pytest.param([None] * 805, "the mouth is seen in 0.0 s of speech, wanted 4 s", id="no face"),
        pytest.param([0.1, 0.0] * 40, "a voice is heard in 3.2 s of the speech, wanted 4 s", id="short"),
        pytest.param([], "a voice is heard in 0.0 s of the speech, wanted 4 s", id="nothing"),
    ],
)
def test_what_cannot_be_compared_changes_nothing(
    talks: dict[str, Talk], openings: list[float | None], says: str
) -> None:
    assert found(talks["lesson"].speech, openings) == Sync(None, 0.0, 0.0, says)


def test_silence_changes_nothing(talks: dict[str, Talk]) -> None:
    lesson = talks["lesson"]
    unheard = found(lesson.speech, lesson.openings, voiced=[])
    assert unheard.reason == "a voice is heard in 0.0 s of the speech, wanted 4 s"
    silent = Sound(np.zeros_like(lesson.speech.data))
    sync = found(silent, lesson.openings)
    assert (sync.offset_s, sync.confidence) == (0, 0)
    assert "correlation 0.00" in sync.reason


def test_long_speech_is_read_by_range_and_about_once(talks: dict[str, Talk]) -> None:
    lesson = talks["lesson"]
    frames = lesson.speech.frames25
    long = Sound(np.tile(lesson.speech.data[: frames * 640], 12))  # six minutes
    estimator = LagEstimator(long, [(start, start + 100) for start in range(0, 12 * frames, 104)])
    estimator.add(0, lesson.openings * 12)
    assert estimator.sync().confidence == 1
    assert long.longest < 20 * 16_000
    assert long.read_samples < 2 * long.samples
