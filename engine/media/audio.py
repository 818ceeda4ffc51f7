"""The job's speech: looked at before anything is queued, then decoded once to what renderers and the result need."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from engine.media.aac import AacSink
from engine.media.level import LevelMeter, as_float, full_scale
from engine.media.pcm import PcmSink, PcmSpeech
from engine.media.sound_file import SoundFile
from engine.plan import frames25_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

__all__ = ["PcmSpeech", "SpeechInfo", "decode_speech", "inspect_speech"]

METERED_AT_ONCE = 1 << 15
"""Samples gathered before the level is measured: packets are short, and a measurement costs by the call."""


@dataclass(frozen=True)
class SpeechInfo:
    """What a speech file holds.

    container: libavformat's names for it, comma-separated. samples: per channel, counted after the decoder drops its
    priming and the padding at the end. peak_dbfs: -inf for digital silence. loudness_dbfs: RMS of the loudest 400 ms.
    clipped: share of samples at full scale.
    """

    container: str
    codec: str
    rate: int
    channels: int
    samples: int
    peak_dbfs: float
    loudness_dbfs: float
    clipped: float

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    @property
    def frames25(self) -> int:
        """Output frames of a lesson with this speech."""
        return frames25_of(self.samples, self.rate)


def inspect_speech(path: Path) -> SpeechInfo:
    """Decode a whole file and say what it holds; memory stays bounded for hours of speech.

    Raises SpeechError, in one plain sentence, for a file that cannot be used.
    """
    with SoundFile(path) as source:
        frames = source.frames()
        first = next(frames)
        tally = _Tally(first)
        for frame in chain([first], frames):
            tally.add(frame)
        return tally.info(source)


def decode_speech(source: Path, *, pcm: Path, m4a: Path, on_progress: Callable[[float], None]) -> SpeechInfo:
    """Decode a speech once, to what renderers read and to what the result will carry.

    pcm: 16 kHz mono, signed 16 bit, little endian, no header. m4a: AAC at the speech's own rate (see `aac_rate`), its
    priming hidden by an edit list. Both start with the source's first sample. Raises SpeechError as inspect_speech.
    """
    with ExitStack() as stack:
        sound = stack.enter_context(SoundFile(source))
        frames = sound.frames()
        first = next(frames)
        tally = _Tally(first)
        sinks = (stack.enter_context(closing(PcmSink(pcm))), stack.enter_context(closing(AacSink(m4a, first))))
        reported = 0.0
        for frame in chain([first], frames):
            tally.add(frame)
            for sink in sinks:
                sink.add(frame)
            if sound.declared_seconds and tally.seconds >= reported + 1:
                reported = tally.seconds
                on_progress(min(1.0, reported / sound.declared_seconds))
        for sink in sinks:
            sink.finish()
        info = tally.info(sound)
    on_progress(1.0)
    return info


class _Tally:
    """Counts and measures the decoded speech; `first` decides what the rest is."""

    def __init__(self, first: AudioFrame) -> None:
        self.samples = 0
        self._rate, self._channels = first.sample_rate, first.layout.nb_channels
        self._meter = LevelMeter(self._rate, full_scale(first))
        self._gathered: list[NDArray[np.float32]] = []
        self._gathered_samples = 0

    @property
    def seconds(self) -> float:
        return self.samples / self._rate

    def add(self, frame: AudioFrame) -> None:
        self.samples += frame.samples
        self._gathered.append(as_float(frame))  # refuses what is no number before the encoder sees it
        self._gathered_samples += frame.samples
        if self._gathered_samples >= METERED_AT_ONCE:
            self._measure()

    def info(self, source: SoundFile) -> SpeechInfo:
        self._measure()
        return SpeechInfo(
            container=source.container.format.name,
            codec=source.stream.codec_context.codec.canonical_name,
            rate=self._rate,
            channels=self._channels,
            samples=self.samples,
            peak_dbfs=self._meter.peak_dbfs,
            loudness_dbfs=self._meter.loudness_dbfs,
            clipped=self._meter.clipped,
        )

    def _measure(self) -> None:
        if self._gathered:
            self._meter.add(np.concatenate(self._gathered, axis=1))
        self._gathered, self._gathered_samples = [], 0
