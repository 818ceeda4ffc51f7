"""Where a speaker pauses: what the detector and the level say of real speech with pauses put into it."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.media.audio import decode_speech
from engine.media.pauses import LEVEL_WEIGHT, listen, noise_of, voiced_pieces
from engine.plan import Geometry, gen_frames_of, plan_chunks

SAMPLES = Path(__file__).parents[3] / "samples"
RATE = 16_000
Sound = NDArray[np.int16]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Four seconds of the shipped lesson in which nobody pauses for long."""
    folder = tmp_path_factory.mktemp("spoken")
    pcm = folder / "speech.pcm"
    decode_speech(SAMPLES / "lesson.opus", pcm=pcm, m4a=folder / "speech.m4a", on_progress=lambda _share: None)
    return np.fromfile(pcm, "<i2")[round(4.8 * RATE) : round(8.8 * RATE)]


def written(folder: Path, *sounds: Sound) -> tuple[Path, int]:
    """A speech.pcm of all the sounds, and how many frames25 it gives."""
    pcm = folder / "speech.pcm"
    sound = np.concatenate(sounds).astype("<i2")
    sound.tofile(pcm)
    return pcm, round(len(sound) / 640)


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE), np.int16)


def hiss(seconds: float, level: float) -> Sound:
    return np.random.default_rng(1).normal(0, level, round(seconds * RATE)).astype(np.int16)


def test_voices_are_found_to_a_tenth_of_a_second_and_a_cut_disturbs_least_between_them(
    spoken: Sound, tmp_path: Path
) -> None:
    pcm, frames25 = written(tmp_path, silence(1), spoken, silence(1), spoken, silence(1))
    heard = listen(pcm, frames25=frames25)
    edges = [0, *chain.from_iterable(heard.voiced), frames25]
    gaps = [(start / 25, stop / 25) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    for start, stop in ((0, 1), (5, 6), (10, 11)):
        assert any(abs(a - start) < 0.15 and abs(b - stop) < 0.15 for a, b in gaps), gaps
    assert len(heard.noise) == gen_frames_of(frames25)
    assert heard.noise[round(5.5 * 12.5)] == 0
    assert max(heard.noise[65:73]) < 0.5 < min(heard.noise[20:30])
    assert all(0 <= noise <= 1 + LEVEL_WEIGHT for noise in heard.noise)


def test_a_job_is_cut_in_the_pause_near_the_even_cut(spoken: Sound, tmp_path: Path) -> None:
    pcm, frames25 = written(tmp_path, spoken, spoken, spoken, silence(0.7), spoken, spoken)
    noise = listen(pcm, frames25=frames25).noise
    (even,) = plan_chunks(frames25, chunk_seconds=10, geometry=Geometry()).cuts
    (cut,) = plan_chunks(frames25, chunk_seconds=10, geometry=Geometry(), noise=noise).cuts
    assert 10.2 < even / 12.5 < 10.5
    assert 12.2 < cut / 12.5 < 12.5


def test_a_cut_disturbs_less_where_a_pause_is_quieter(spoken: Sound, tmp_path: Path) -> None:
    pcm, frames25 = written(tmp_path, spoken, hiss(1.2, 300), silence(1.2), spoken)
    noise = listen(pcm, frames25=frames25).noise
    breath, still = noise[round(4.6 * 12.5)], noise[round(5.8 * 12.5)]
    assert still == 0 < breath < 0.25


@pytest.mark.parametrize("sound", ["silence", "hiss", "tone"])
def test_what_is_no_voice_is_not_taken_for_one(sound: str, tmp_path: Path) -> None:
    time = np.arange(4 * RATE) / RATE
    tone = (8000 * np.sin(2 * np.pi * 220 * time)).astype(np.int16)
    pcm, frames25 = written(tmp_path, {"silence": silence(4), "hiss": hiss(4, 3000), "tone": tone}[sound])
    heard = listen(pcm, frames25=frames25)
    assert heard.voiced == ()
    assert max(heard.noise) <= LEVEL_WEIGHT
    assert sound != "silence" or max(heard.noise) == 0


@pytest.mark.parametrize("samples", [1, 639, 3200, 12_799, 12_801])
def test_a_speech_of_any_length_is_heard_to_its_end(spoken: Sound, tmp_path: Path, samples: int) -> None:
    told: list[float] = []
    (tmp_path / "speech.pcm").write_bytes(spoken[:samples].astype("<i2").tobytes())
    frames25 = max(1, round(samples / 640))
    heard = listen(tmp_path / "speech.pcm", frames25=frames25, on_progress=told.append)
    assert len(heard.noise) == gen_frames_of(frames25)
    assert told == sorted(told)
    assert told[-1] == 1
    assert all(0 <= start < stop <= frames25 for start, stop in heard.voiced)


def test_a_speech_says_the_same_however_often_it_is_heard(spoken: Sound, tmp_path: Path) -> None:
    pcm, frames25 = written(tmp_path, spoken, silence(0.5), spoken)
    assert listen(pcm, frames25=frames25) == listen(pcm, frames25=frames25)


@pytest.mark.parametrize(
    ("probabilities", "spans"),
    [
        pytest.param([0.6] * 10, [(0, 10)], id="speech to the end"),
        pytest.param([0.6] * 7 + [0] * 9, [], id="too short to be speech"),
        pytest.param([0.6] * 8 + [0] * 9, [(0, 8)], id="just long enough"),
        pytest.param([0.45] * 5 + [0.6] * 9 + [0.45] * 5 + [0] * 9, [(5, 19)], id="begins later than it goes on"),
        pytest.param([0.6] * 9 + [0] * 3 + [0.6] * 9, [(0, 21)], id="a short silence is none"),
        pytest.param([0.6] * 9 + [0] * 4 + [0.6] * 9 + [0], [(0, 9), (13, 22)], id="a long silence parts"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_speech_begins_surely_and_ends_after_a_silence(
    probabilities: list[float], spans: list[tuple[int, int]]
) -> None:
    assert list(voiced_pieces(probabilities)) == spans


@given(st.lists(st.sampled_from([0.1, 0.4, 0.9]), max_size=200))
def test_spans_are_in_order_and_a_silence_lies_between_two(probabilities: list[float]) -> None:
    spans = list(voiced_pieces(probabilities))
    assert all(stop - start >= 8 for start, stop in spans)
    assert all(later[0] - earlier[1] >= 4 for earlier, later in pairwise(spans))
    for start, stop in spans:
        assert probabilities[start] == 0.9
        assert probabilities[stop - 1] != 0.1


def test_the_voice_counts_most_where_both_sides_of_a_cut_are_mixed() -> None:
    powers = np.full(60, 0.01)
    middle = noise_of([(29, 31)], powers, fade=8)
    edge = noise_of([(23, 25)], powers, fade=8)
    level = LEVEL_WEIGHT  # the same everywhere
    assert middle[15] - level > 3 * (edge[15] - level) > 0
    assert noise_of([(40, 50)], powers, fade=8)[15] == pytest.approx(level)


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads where Linux lists them")
def test_the_detector_takes_one_thread_and_leaves_the_environment_as_it_was(spoken: Sound, tmp_path: Path) -> None:
    pcm, frames25 = written(tmp_path, spoken)
    code = (
        "import os, sys; from pathlib import Path; from engine.media.pauses import listen\n"
        "tasks = lambda: len(os.listdir('/proc/self/task'))\n"
        "import numpy as np; np.convolve(np.ones(9), np.ones(3)); before, had = tasks(), dict(os.environ)\n"
        f"listen(Path({str(pcm)!r}), frames25={frames25})\n"
        "print(tasks() - before, dict(os.environ) == had)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]
