"""What a mouth needs to know of 40 ms of speech: how loud, and where in the spectrum.

Every number of frame f is computed from f's own samples alone and in the same steps, so that no chunking changes a bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.spec import SAMPLES_PER_FRAME, SPEECH_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.renderer import SpeechReader

QUIETEST_DB = -100.0
"""What digital silence measures; dB of full scale."""
MARGIN = 120
"""Samples before and behind a frame that its numbers look at."""

_WINDOW = 400  # samples, 25 ms: longer than two pitch periods of a deep voice, shorter than a plosive's closure
_STARTS = (0, (SAMPLES_PER_FRAME + 2 * MARGIN - _WINDOW) // 2, SAMPLES_PER_FRAME + 2 * MARGIN - _WINDOW)
_FFT = 512
# Hz; low holds the voice and F1 of closed vowels, open F1 of open ones, back F2 of rounded ones, front F2 of spread
# ones, hiss the fricatives
_BANDS = {
    "low": (100, 450),
    "open": (550, 1150),
    "back": (600, 1300),
    "mid": (1350, 1950),
    "front": (2050, 3300),
    "hiss": (3800, 7900),
}
_HANN = np.hanning(_WINDOW + 2)[1:-1]
_HANN_POWER = float(np.sum(_HANN**2))


@dataclass(frozen=True)
class Sound:
    """One frame of speech, in dB of full scale. `dip` is the quietest, `level` the mean of three looks of 25 ms."""

    level: float
    dip: float
    low: float
    open: float
    back: float
    mid: float
    front: float
    hiss: float


def sound_of(speech: SpeechReader, frame: int) -> Sound:
    """The numbers of frame25 `frame`; reads its 640 samples and MARGIN on each side."""
    start = frame * SAMPLES_PER_FRAME
    samples = speech.read(start - MARGIN, start + SAMPLES_PER_FRAME + MARGIN)
    if not samples.any():
        return _SILENT
    return _measure(samples.astype(np.float64) / 32768.0)


def _measure(samples: NDArray[np.float64]) -> Sound:
    looks = np.stack([samples[start : start + _WINDOW] for start in _STARTS])  # [3, 400]
    spectrum = np.abs(np.fft.rfft((looks - looks.mean(axis=1, keepdims=True)) * _HANN, _FFT)) ** 2
    power = spectrum * (2.0 / _FFT / _HANN_POWER)
    # a voice says as much between 300 and 4000 Hz; below lie hum and the murmur of closed lips
    voice = power[:, _bins(300, 4000)].sum(axis=1)
    mean = power.mean(axis=0)
    bands = {name: _db(float(mean[_bins(*hertz)].sum())) for name, hertz in _BANDS.items()}
    return Sound(level=_db(float(mean[_bins(80, 7900)].sum())), dip=_db(float(voice.min())), **bands)


def _bins(low: int, high: int) -> slice:
    return slice(round(low * _FFT / SPEECH_RATE), round(high * _FFT / SPEECH_RATE))


def _db(power: float) -> float:
    return max(QUIETEST_DB, 10 * math.log10(power + 1e-12))


_SILENT = Sound(*(QUIETEST_DB for _ in range(8)))
