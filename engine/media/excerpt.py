"""A short piece of a speech as a file of its own, sample by sample what the speech holds there."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

import av
import numpy as np

from engine.errors import SpeechError
from engine.media.level import as_float
from engine.media.sound_file import SoundFile
from engine.spec import FRAME_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

STEP_SECONDS = 1 / FRAME_RATE
"""What a loud passage is found in steps of."""


def cut_excerpt(source: Path, target: Path, *, start: float, seconds: float) -> float:
    """Write `seconds` of a speech from second `start` as a WAV of 32-bit floats at its own rate and channels.

    Nothing is resampled or encoded with a loss: a sample is the one that the source decodes to. Answers the seconds
    written, fewer where the speech ends before. Raises SpeechError for a file that is no usable sound, and where
    nothing is left behind `start`.
    """
    with SoundFile(source) as sound:
        frames = sound.frames()
        first = next(frames)
        rate = first.sample_rate
        begin, end = round(start * rate), round((start + seconds) * rate)
        written = 0
        with closing(_Wav(target, first)) as wav:
            for piece in _between(chain([first], frames), begin, end):
                wav.add(piece)
                written += piece.shape[1]
            wav.finish()
    if not written:
        raise SpeechError(f"{source.name} has nothing at {start:g} s: it ends before")
    return written / rate


def loudest_start(source: Path, *, seconds: float) -> float:
    """Second at which the `seconds` with the most power begin, to a frame; 0 for a speech that is no longer."""
    with SoundFile(source) as sound:
        powers = _powers(sound.frames())
    width = round(seconds * FRAME_RATE)
    if len(powers) <= width:
        return 0.0
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    return int(np.argmax(sums[width:] - sums[:-width])) * STEP_SECONDS


def _between(frames: Iterator[AudioFrame], begin: int, end: int) -> Iterator[NDArray[np.float32]]:
    """Samples [begin, end) of a stream, piece by piece, float32 [channels, samples]; decoding stops behind them."""
    place = 0
    for frame in frames:
        if place >= end:
            return
        if place + frame.samples > begin:
            yield as_float(frame)[:, max(0, begin - place) : end - place]
        place += frame.samples


def _powers(frames: Iterator[AudioFrame]) -> list[float]:
    """Summed squares of each STEP_SECONDS of a speech."""
    powers: list[float] = []
    place = 0
    for frame in frames:
        squares = np.square(as_float(frame), dtype=np.float64).mean(axis=0)
        steps = np.arange(place, place + frame.samples) * FRAME_RATE // frame.sample_rate
        sums = np.bincount(steps - steps[0], weights=squares).tolist()
        if len(powers) > steps[0]:  # the step in which the frame before ended
            powers[-1] += sums.pop(0)
        powers += sums
        place += frame.samples
    return powers


class _Wav:
    """Writes float32 [channels, samples] as a WAV; `like`: a frame of the source, for rate and channels."""

    def __init__(self, path: Path, like: AudioFrame) -> None:
        self._layout, self._rate = like.layout.name, like.sample_rate
        self._file = av.open(str(path), "w", format="wav")
        self._stream = self._file.add_stream("pcm_f32le", rate=self._rate, layout=self._layout)
        self._written = 0

    def add(self, sound: NDArray[np.float32]) -> None:
        packed = np.ascontiguousarray(sound.T).reshape(1, -1)  # [channels, samples] -> [1, samples * channels]
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._written, Fraction(1, self._rate)
        self._written += sound.shape[1]
        self._file.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._file.mux(self._stream.encode(None))

    def close(self) -> None:
        self._file.close()
