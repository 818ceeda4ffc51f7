"""speech.m4a: the AAC that a result carries, encoded once by the plan step, copied packet by packet by the stitch."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from engine.media.resample import Resampled

if TYPE_CHECKING:
    from pathlib import Path

    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

AAC_RATES = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Sample rates of AAC up to the 48 kHz that a result carries at most."""
AAC_FRAME = 1024
"""Samples in one AAC packet."""
AAC_PRIMING = 1024
"""Samples that the encoder puts before the first; the edit list hides them."""
BITS_A_SAMPLE = 2.2
MOST_BITS_A_CHANNEL = 96_000
"""Speech is transparent there; 44.1 kHz mono gets 96 kbit/s, 16 kHz mono 35 kbit/s."""


def aac_rate(rate: int) -> int:
    """The AAC sample rate for a speech of `rate`: its own, else the next up, 48 kHz at most."""
    return next((known for known in AAC_RATES if known >= rate), AAC_RATES[-1])


def aac_channels(channels: int) -> int:
    """Channels of the result's sound: mono and stereo stay, more is mixed down to stereo."""
    return min(channels, 2)


def mp4_options(movie_rate: int) -> dict[str, str]:
    """Muxer options of every mp4 with speech: the index in front, and edit lists counted in samples.

    In the muxer's own 1/1000 s an edit list ends up to a millisecond early, and readers drop the last packet for it.
    """
    return {"movflags": "+faststart", "movie_timescale": str(movie_rate)}


class AacSink:
    """Writes speech.m4a from decoded frames; `first` decides its rate and channels."""

    def __init__(self, path: Path, first: AudioFrame) -> None:
        self._rate = aac_rate(first.sample_rate)
        channels = aac_channels(first.layout.nb_channels)
        self._layout = ("mono", "stereo")[channels - 1]
        self._resampled = Resampled(rate=self._rate, layout=self._layout, sample_format="fltp")
        self._file = av.open(str(path), "w", format="mp4", options=mp4_options(self._rate))
        # at these bit rates the fast coder is nearer to the source than the default one, and twice as quick
        options = {"aac_coder": "fast"}
        self._stream = self._file.add_stream("aac", rate=self._rate, layout=self._layout, options=options)
        self._stream.bit_rate = channels * min(MOST_BITS_A_CHANNEL, int(BITS_A_SAMPLE * self._rate))
        self._encoded = 0

    def add(self, frame: AudioFrame) -> None:
        self._encode(self._resampled.add(frame))

    def finish(self) -> None:
        self._encode(self._resampled.finish())
        self._file.mux(self._stream.encode(None))

    def close(self) -> None:
        self._file.close()

    def _encode(self, sound: NDArray[Any]) -> None:
        if not sound.shape[1]:
            return
        # a float source may go beyond full scale, as far as the encoder takes for an error; players clip there as well
        frame = av.AudioFrame.from_ndarray(np.clip(sound, -1, 1), format="fltp", layout=self._layout)
        frame.sample_rate, frame.time_base, frame.pts = self._rate, Fraction(1, self._rate), self._encoded
        self._encoded += sound.shape[1]
        self._file.mux(self._stream.encode(frame))
