"""speech.pcm: the job's speech as renderers read it, 16 kHz mono signed 16 bit little endian without a header."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.errors import SpeechError
from engine.media.resample import Resampled
from engine.spec import SPEECH_RATE

if TYPE_CHECKING:
    from pathlib import Path

    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

SAMPLE_BYTES = 2


class PcmSink:
    """Writes speech.pcm from decoded frames."""

    def __init__(self, path: Path) -> None:
        self._resampled = Resampled(rate=SPEECH_RATE, layout="mono", sample_format="s16")
        self._file = path.open("wb")

    def add(self, frame: AudioFrame) -> None:
        self._file.write(self._resampled.add(frame).astype("<i2").tobytes())

    def finish(self) -> None:
        self._file.write(self._resampled.finish().astype("<i2").tobytes())

    def close(self) -> None:
        self._file.close()


class PcmSpeech:
    """The speech in a local speech.pcm, mapped, so that only the pages read are in memory.

    Raises SpeechError for a file whose size is no whole number of samples.
    """

    def __init__(self, path: Path) -> None:
        size = path.stat().st_size
        if size % SAMPLE_BYTES:
            raise SpeechError(f"{path.name} has {size} bytes, wanted an even number: two for each sample")
        self.samples = size // SAMPLE_BYTES
        # an empty file cannot be mapped
        self._data = np.memmap(path, dtype="<i2", mode="r") if size else np.empty(0, "<i2")

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        """Samples [start, stop) as int16 [stop - start]; what lies outside the speech is zero."""
        sound = np.zeros(max(0, stop - start), np.int16)
        first, last = max(0, start), min(self.samples, stop)
        if first < last:
            sound[first - start : last - start] = self._data[first:last]
        return sound
