"""Real sound, pictures, segments and whole jobs, made by PyAV where a test needs them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np

from engine.media.audio import SpeechInfo, decode_speech
from engine.media.mux import PacketMuxer
from engine.media.stitch import Segment, join, make_seams
from engine.media.video import Encoding, SegmentWriter
from engine.plan import Geometry, Plan, plan_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
ENCODING = Encoding()
SIDE = 256
"""Pixels of the test pictures' sides: enough for x264 to work as it does on real ones."""


@dataclass(frozen=True)
class Lesson:
    """A whole job: source, plan, segments and result."""

    source: Path
    speech: Path
    info: SpeechInfo
    plan: Plan
    segments: list[Segment]
    out: Path
    hashes: tuple[str, ...]

    @property
    def seams(self) -> list[tuple[int, int]]:
        fade = self.plan.geometry.fade
        return [(2 * cut - fade, 2 * cut + fade) for cut in self.plan.cuts]


def clicks_of(samples: int, rate: int) -> NDArray[np.float32]:
    """Faint noise with a click at start, middle and end, so that its place in time can be read back."""
    sound = np.random.default_rng(7).normal(0, 0.01, samples)
    width = max(8, rate // 1000)
    for at in (rate // 10, samples // 2, samples - rate // 10):
        if 0 <= at <= samples - width:
            sound[at : at + width] += 0.7 * np.hanning(width)
    return sound.astype(np.float32)


@cache
def _backdrop() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0)
    size = SIDE + 64
    layers = ((4, 30), (16, 18), (64, 8), (size // 2, 3))  # cells a side, strength
    picture = sum(
        strength * cv2.resize(noise.normal(0, 1, (cells, cells, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
        for cells, strength in layers
    )
    return np.clip(picture + 128, 0, 255).astype(np.uint8)


def picture_of(frame25: int) -> NDArray[np.uint8]:
    """A picture that moves a little and has a mouth that opens: natural enough for an encoder."""
    shift = np.array([[1, 0, 3 * np.sin(frame25 / 23) - 32], [0, 1, 2 * np.sin(frame25 / 17) - 32]], np.float32)
    frame = cv2.warpAffine(_backdrop(), shift, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    opening = int(10 + 9 * np.sin(frame25 / 2.3))
    cv2.ellipse(frame, (SIDE // 2, 170), (30, opening), 0, 0, 360, (60, 20, 25), -1, cv2.LINE_AA)
    return frame.astype(np.uint8)


def write_sound(
    path: Path,
    sound: NDArray[np.float32],
    *,
    rate: int,
    codec: str,
    channels: int = 1,
    sample_format: str | None = None,
    container: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Encode float samples, the same in each channel."""
    layout = LAYOUTS[channels]
    with av.open(str(path), "w", format=container) as file:
        file.metadata.update(metadata or {})
        stream: Any = file.add_stream(codec, rate=rate, layout=layout)
        if sample_format:
            stream.format = sample_format
        for at in range(0, len(sound), 4096):
            block = np.tile(sound[at : at + 4096], (channels, 1))
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def decoded_sound(path: Path) -> NDArray[np.float32]:
    """The first channel of a file as libav decodes it."""
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def played(path: Path, rate: int) -> NDArray[np.float32]:
    """The sound on the player's clock: what comes first lies where its time stamp says."""
    with av.open(str(path)) as file:
        first = next(file.decode(audio=0))
        silence = round(Fraction(first.pts or 0) * (first.time_base or 0) * rate)
    return np.concatenate([np.zeros(silence, np.float32), decoded_sound(path)])


def lag_seconds(heard: NDArray[Any], source: NDArray[Any], at: int, rate: int) -> float:
    """How much later than in `source` the sound around sample `at` is in `heard`."""
    reach = rate // 20
    start = max(0, at - reach)
    pattern = source[start : at + reach].astype(np.float64)
    low = max(0, start - reach)
    scores = np.correlate(heard[low : start + len(pattern) + reach].astype(np.float64), pattern, "valid")
    return (int(scores.argmax()) + low - start) / rate


def write_segments(
    directory: Path, plan: Plan, picture: Callable[[int, int], NDArray[np.uint8]], encoding: Encoding = ENCODING
) -> list[Segment]:
    """Every segment of a plan; `picture(chunk index, frame25)` draws."""
    segments = []
    for chunk in plan.chunks:
        place = directory / f"chunk{chunk.index}"
        place.mkdir(parents=True)
        with SegmentWriter(place, chunk, encoding) as writer:
            for frame25 in range(*chunk.out):
                writer.write(picture(chunk.index, frame25))
            segments.append(Segment(chunk, writer.finish()))
    return segments


def stitch(
    segments: Iterable[Segment],
    *,
    plan: Plan,
    speech: Path,
    out: Path,
    encoding: Encoding = ENCODING,
    metadata: Mapping[str, str] | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> tuple[str, ...]:
    """All seams made, then all joined, as the stitching worker does it; gives the hash of each frame."""
    segments = list(segments)
    with TemporaryDirectory() as scratch, PacketMuxer(out, speech, metadata or {}) as muxer:
        seams = list(make_seams(segments, plan=plan, directory=Path(scratch), encoding=encoding))
        return join(segments, seams, plan=plan, muxer=muxer, on_progress=on_progress)


def make_lesson(
    directory: Path,
    *,
    samples: int,
    rate: int = 44_100,
    chunk_seconds: float = 2,
    geometry: Geometry | None = None,
    picture: Callable[[int, int], NDArray[np.uint8]] | None = None,
) -> Lesson:
    """A job from speech to result, without a farm around it."""
    source = write_sound(directory / "source.wav", clicks_of(samples, rate), rate=rate, codec="pcm_s16le")
    speech = directory / "speech.m4a"
    info = decode_speech(source, pcm=directory / "speech.pcm", m4a=speech, on_progress=lambda _: None)
    plan = plan_chunks(info.frames25, chunk_seconds=chunk_seconds, geometry=geometry or Geometry())
    segments = write_segments(directory, plan, picture or (lambda _, frame25: picture_of(frame25)))
    out = directory / "video.mp4"
    hashes = stitch(segments, plan=plan, speech=speech, out=out, encoding=ENCODING)
    return Lesson(source, speech, info, plan, segments, out, hashes)
