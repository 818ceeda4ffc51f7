"""A piece of a speech is what the speech holds there, and the loudest one is found."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from engine.errors import SpeechError
from engine.media.audio import decode_speech, inspect_speech
from engine.media.excerpt import cut_excerpt, loudest_start
from engine.media.level import as_float
from engine.media.sound_file import SoundFile

LESSON = Path(__file__).parents[3] / "samples" / "lesson.opus"


def samples_of(path: Path) -> np.ndarray:
    with SoundFile(path) as sound:
        return np.concatenate([as_float(frame) for frame in sound.frames()], axis=1)


def written(path: Path, sound: np.ndarray, *, rate: int) -> Path:
    """A 16-bit wav; sound: [channels, samples], full scale 1."""
    layout = {1: "mono", 2: "stereo"}[len(sound)]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=rate, layout=layout)
        packed = np.round(sound.T * 32767).astype("<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate = rate
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def test_an_excerpt_holds_sample_for_sample_what_the_speech_holds_there(tmp_path: Path) -> None:
    assert cut_excerpt(LESSON, tmp_path / "cut.wav", start=2.5, seconds=3) == 3
    rate = inspect_speech(LESSON).rate
    whole, cut = samples_of(LESSON), samples_of(tmp_path / "cut.wav")
    assert np.array_equal(cut, whole[:, round(2.5 * rate) : round(5.5 * rate)])


@pytest.mark.parametrize("rate", [44_100, 11_025])
def test_an_excerpt_keeps_rate_and_channels(tmp_path: Path, rate: int) -> None:
    noise = np.random.default_rng(7).uniform(-0.5, 0.5, (2, 3 * rate))
    source = written(tmp_path / "speech.wav", noise, rate=rate)
    cut_excerpt(source, tmp_path / "cut.wav", start=1.3, seconds=1)
    info = inspect_speech(tmp_path / "cut.wav")
    assert (info.rate, info.channels, info.samples) == (rate, 2, rate)
    assert np.array_equal(samples_of(tmp_path / "cut.wav"), samples_of(source)[:, round(1.3 * rate) :][:, :rate])


def test_a_speech_that_ends_sooner_gives_what_it_has(tmp_path: Path) -> None:
    source = written(tmp_path / "speech.wav", np.full((1, 24_000), 0.1), rate=16_000)
    assert cut_excerpt(source, tmp_path / "cut.wav", start=1, seconds=8) == 0.5
    with pytest.raises(SpeechError, match=r"speech\.wav has nothing at 2 s"):
        cut_excerpt(source, tmp_path / "none.wav", start=2, seconds=8)


def test_the_loudest_passage_is_found_to_a_frame(tmp_path: Path) -> None:
    rate = 44_100  # a frame is no whole number of its samples
    sound = np.full((1, 10 * rate), 0.05)
    sound[0, round(6.2 * rate) : round(8.2 * rate)] = 0.4
    source = written(tmp_path / "speech.wav", sound, rate=rate)
    assert loudest_start(source, seconds=2) == pytest.approx(6.2, abs=1e-6)


def test_a_speech_no_longer_than_what_is_wanted_begins_at_its_start(tmp_path: Path) -> None:
    source = written(tmp_path / "speech.wav", np.linspace(0, 0.5, 16_000)[None], rate=16_000)
    assert loudest_start(source, seconds=8) == 0


def test_an_excerpt_can_be_a_speech_of_its_own(tmp_path: Path) -> None:
    cut_excerpt(LESSON, tmp_path / "cut.wav", start=0, seconds=2)
    pcm = tmp_path / "speech.pcm"
    decode_speech(tmp_path / "cut.wav", pcm=pcm, m4a=tmp_path / "speech.m4a", on_progress=lambda _: None)
    assert pcm.stat().st_size == 2 * 16_000 * 2
