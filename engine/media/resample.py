"""Sound at another rate, aligned to the first sample and of exactly the length that the rates give."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from av import AudioFormat, AudioLayout, AudioResampler

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

OPTIONS = {"filter_size": "64", "cutoff": "0.97", "rematrix_maxval": "1"}
"""Twice libswresample's usual filter: aliases under -100 dB. rematrix_maxval keeps a mix-down from clipping."""
HELD_BACK = 256
"""Output samples kept until the end, when the exact length is known; the resampler is off by a few at most."""


def resampled_length(samples: int, rate: int, to_rate: int) -> int:
    """How many samples `samples` at `rate` become at `to_rate`: rounded half up, in exact integers."""
    return (2 * samples * to_rate + rate) // (2 * rate)


class Resampled:
    """A stream of frames brought to one rate, layout and sample format.

    What comes out is [channels, samples] for planar formats and [1, samples] for mono ones.
    """

    def __init__(self, *, rate: int, layout: str, sample_format: str) -> None:
        self.rate = rate
        self._resampler = AudioResampler(format=sample_format, layout=layout, rate=rate, options=OPTIONS)
        self._rows = AudioLayout(layout).nb_channels if AudioFormat(sample_format).is_planar else 1
        self._taken = 0
        self._given = 0
        self._source_rate = rate
        self._held: NDArray[Any] | None = None

    def add(self, frame: AudioFrame) -> NDArray[Any]:
        """What the next frame brings; its own time stamps are ignored, for gaps in them are not silence."""
        frame.pts, frame.time_base = self._taken, Fraction(1, frame.sample_rate)
        self._source_rate = frame.sample_rate
        self._taken += frame.samples
        return self._give(self._collected(frame), hold=HELD_BACK)

    def finish(self) -> NDArray[Any]:
        """The rest, cut or padded with silence so that the whole has `resampled_length` samples."""
        held = self._collected(None)
        missing = resampled_length(self._taken, self._source_rate, self.rate) - self._given
        exact = np.zeros((held.shape[0], missing), held.dtype)
        exact[:, : held.shape[1]] = held[:, :missing]
        self._held = exact
        return self._give(exact, hold=0)

    def _collected(self, frame: AudioFrame | None) -> NDArray[Any]:
        pieces: list[NDArray[Any]] = [] if self._held is None else [self._held]
        pieces += [piece.to_ndarray() for piece in self._resampler.resample(frame)]
        return np.concatenate(pieces, axis=1) if pieces else np.empty((self._rows, 0), np.float32)

    def _give(self, sound: NDArray[Any], *, hold: int) -> NDArray[Any]:
        ready = max(0, sound.shape[1] - hold)
        self._held = sound[:, ready:] if sound.size else None
        self._given += ready
        return sound[:, :ready]
