"""A sound file nobody vouches for, opened by its content and decoded as a stream.

Only demuxers that read one local file and nothing else are allowed: a playlist that names other files or addresses
(concat, HLS, DASH, SDP) is refused, whatever the file is called.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import av
import av.error

from engine.errors import SpeechError
from engine.media.boxes import data_share, ends_within_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

DEMUXERS = (
    "wav", "w64", "aiff", "caf", "au", "flac", "mp3", "ogg", "mov", "matroska", "aac", "loas", "ac3", "eac3", "amr",
    "asf", "avi", "mpegts", "mpeg", "flv", "wv", "ape", "tta", "dsf",
)  # fmt: skip
"""Containers that may be opened, by libavformat's names; none of them opens a second file."""
EXACT_LENGTH = {"aiff", "flac", "mov"}
"""Containers whose header states the exact length, so that a file cut short shows."""
LONGEST_SECONDS = 24 * 3600
"""Decoding stops here: a small file can claim to hold years of silence."""
RATES = range(2_000, 768_001)
MOST_CHANNELS = 64
"""What libswresample mixes at most."""

_SIGNATURES = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"#EXTM3U", "a playlist, which only names other files"),
    (b"ffconcat", "a playlist, which only names other files"),
)


class SoundFile(AbstractContextManager["SoundFile"]):
    """The first audio stream of a file.

    Raises SpeechError when the file cannot be read as sound.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.container = _opened(path)
        try:
            self.stream = self._audio_stream()
        except BaseException:
            self.container.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @property
    def declared_seconds(self) -> float | None:
        """Length that the header states, exact or estimated; None where it states none."""
        if self.stream.duration is not None and self.stream.time_base is not None:
            return float(self.stream.duration * self.stream.time_base)
        return self.container.duration / av.time_base if self.container.duration is not None else None

    def frames(self) -> Iterator[AudioFrame]:
        """Every decoded frame, all of one rate and layout.

        Raises SpeechError for sound that is encrypted, empty, cut short, changes its format or is mostly unreadable.
        """
        samples, first = 0, None
        for frame in self._decoded():
            if first is None:
                first = frame
                self._check_format(frame)
            elif (frame.sample_rate, frame.layout.name) != (first.sample_rate, first.layout.name):
                raise SpeechError(
                    f"{self.path.name} changes from {_format_of(first)} to {_format_of(frame)}"
                    f" at {samples / first.sample_rate:.1f} s, wanted one format throughout"
                )
            samples += frame.samples
            if samples > LONGEST_SECONDS * first.sample_rate:
                raise SpeechError(f"{self.path.name} is longer than {LONGEST_SECONDS // 3600} hours")
            yield frame
        if first is None:
            raise SpeechError(f"{self.path.name} holds no sound: its {self._codec} stream has no samples")
        self._check_length(samples / first.sample_rate)

    def _decoded(self) -> Iterator[AudioFrame]:
        packets, broken = 0, 0
        for packet in self._packets():
            packets += 1
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                broken += 1  # one damaged packet is a click; a player goes on as well
        if broken > max(1, packets // 100):
            raise SpeechError(f"{self.path.name} is damaged: {broken} of its {packets} packets cannot be decoded")

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        try:
            for packet in self.container.demux(self.stream):
                if packet.has_sidedata("encryption_info"):
                    raise SpeechError(f"{self.path.name} is encrypted: wanted sound without copy protection")
                yield packet
        except av.error.FFmpegError as error:
            raise SpeechError(f"{self.path.name} is damaged: reading stops with {error.strerror!r}") from error

    def _audio_stream(self) -> AudioStream:
        if not self.container.streams.audio:
            kinds = ", ".join(_stream_name(stream) for stream in self.container.streams) or "nothing"
            raise SpeechError(f"{self.path.name} holds {kinds} and no sound")
        stream = self.container.streams.audio[0]
        if (tag := stream.codec_context.codec_tag) in ("enca", "drms"):
            raise SpeechError(f"{self.path.name} is encrypted ({tag}): wanted sound without copy protection")
        return stream

    def _check_format(self, frame: AudioFrame) -> None:
        if frame.sample_rate not in RATES:
            raise SpeechError(
                f"{self.path.name} has {frame.sample_rate} samples a second, wanted {RATES.start} to {RATES.stop - 1}"
            )
        if frame.layout.nb_channels > MOST_CHANNELS:
            raise SpeechError(
                f"{self.path.name} has {frame.layout.nb_channels} channels, wanted {MOST_CHANNELS} at most"
            )

    def _check_length(self, seconds: float) -> None:
        stated = self._stated_seconds(seconds)
        if stated is not None and seconds < 0.99 * stated - 0.1:
            raise SpeechError(
                f"{self.path.name} is cut short: it holds {seconds:.1f} s of the {stated:.1f} s that its header names"
            )
        if self.container.format.name == "ogg" and ends_within_page(self.path):
            raise SpeechError(
                f"{self.path.name} is cut short: it holds {seconds:.1f} s and ends in the middle of a page"
            )

    def _stated_seconds(self, seconds: float) -> float | None:
        """The length that the header states, where it is no estimate; `seconds` were decoded."""
        names = set(self.container.format.name.split(","))
        if "wav" in names:  # libavformat takes the file's own size for the stated one
            share = data_share(self.path)
            return seconds / share if share else None
        # an mp3's Info header gives its length together with the encoder's delay, which shows as a start time
        exact = bool(names & EXACT_LENGTH) or ("mp3" in names and (self.stream.start_time or 0) > 0)
        return self.declared_seconds if exact else None

    @property
    def _codec(self) -> str:
        return self.stream.codec_context.name


def _opened(path: Path) -> InputContainer:
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(DEMUXERS)}
    if not path.is_file():
        raise SpeechError(f"{path} is no file, wanted a recording")
    try:
        # the file: prefix keeps a name such as concat:a|b or http:x from being read as an address
        return av.open(f"file:{path.absolute()}", "r", container_options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SpeechError(f"{path.name} cannot be read as sound: it is {_guess(path)}") from error


def _guess(path: Path) -> str:
    """What a file without sound looks to be, in words."""
    with path.open("rb") as file:
        start = file.read(4096)
    if not start:
        return "empty"
    for signature, name in _SIGNATURES:
        if start.startswith(signature):
            return name
    try:
        start[:-4].decode("utf-8")  # the last character may be cut
    except UnicodeDecodeError:
        return "damaged or of an unknown format"
    return "text" if b"\0" not in start else "damaged or of an unknown format"


def _stream_name(stream: object) -> str:
    context = getattr(stream, "codec_context", None)
    kind = getattr(stream, "type", "data")
    return f"{kind} ({context.name})" if context is not None else str(kind)


def _format_of(frame: AudioFrame) -> str:
    return f"{frame.sample_rate} Hz {frame.layout.name}"
