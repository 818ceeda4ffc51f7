"""How loud a speech is: peak, loudest moment, share of clipped samples."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import SpeechError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

BLOCKS_A_SECOND = 10
LOUD_BLOCKS = 4
"""Blocks of 100 ms whose mean power is the loudness of a moment (400 ms)."""


def as_float(frame: AudioFrame) -> NDArray[np.float32]:
    """A frame's samples as float32 [channels, samples], full scale at 1.

    Raises SpeechError for NaN and infinities.
    """
    data = frame.to_ndarray()
    if not frame.format.is_planar:  # [1, samples * channels] -> [channels, samples]
        data = data.reshape(-1, frame.layout.nb_channels).T
    if data.dtype == np.uint8:
        return (data.astype(np.float32) - np.float32(128)) / np.float32(128)
    if data.dtype.kind == "i":
        return data.astype(np.float32) / np.float32(1 << (8 * data.dtype.itemsize - 1))
    with np.errstate(over="ignore"):
        sound = data.astype(np.float32)
    if not np.isfinite(sound).all():
        raise SpeechError("the speech holds samples that are no numbers (NaN or infinite)")
    return sound


def full_scale(frame: AudioFrame) -> float:
    """The value from which a sample counts as clipped: the largest that the format, or 16 bits, can hold."""
    bits = min(8 * frame.format.bytes, 16)
    return 1 - 2.0 ** (1 - bits)


class LevelMeter:
    """Fed with the speech piece by piece; keeps one number for each 100 ms."""

    def __init__(self, rate: int, clip_at: float) -> None:
        self._block = max(1, rate // BLOCKS_A_SECOND)
        self._clip_at = clip_at
        self._powers = array("d")
        self._rest = np.empty(0, np.float64)
        self._peak = 0.0
        self._clipped = 0
        self._samples = 0

    def add(self, sound: NDArray[np.float32]) -> None:
        """Take the next samples, float32 [channels, samples]."""
        size = np.abs(sound)
        self._peak = max(self._peak, float(size.max(initial=0)))
        self._clipped += int(np.count_nonzero(size >= self._clip_at))
        self._samples += sound.size
        power = np.concatenate([self._rest, np.square(sound, dtype=np.float64).mean(axis=0)])
        whole = len(power) // self._block * self._block
        self._powers.extend(power[:whole].reshape(-1, self._block).mean(axis=1).tolist())
        self._rest = power[whole:]

    @property
    def peak_dbfs(self) -> float:
        return _decibels(self._peak)

    @property
    def loudness_dbfs(self) -> float:
        """RMS of the loudest 400 ms, or of all there is where that is shorter."""
        powers = np.asarray(self._powers)
        if len(powers) < LOUD_BLOCKS:
            held = np.append(powers.repeat(self._block), self._rest)
            return _decibels(math.sqrt(float(held.mean())) if held.size else 0.0)
        sums = np.convolve(powers, np.ones(LOUD_BLOCKS), "valid")
        return _decibels(math.sqrt(float(sums.max()) / LOUD_BLOCKS))

    @property
    def clipped(self) -> float:
        """Share of all samples at full scale."""
        return self._clipped / max(1, self._samples)


def _decibels(value: float) -> float:
    return 20 * math.log10(value) if value > 0 else -math.inf
