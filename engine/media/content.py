"""What a finished video holds, as hashes: any tool that copies its packets finds the same, no encoder does."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error

from engine.errors import ProvenanceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from av.container import InputContainer

    from engine.media.boxes import Box

STREAMS = ("video", "audio", "subtitle")
MICROSECONDS = 1_000_000
"""In a second."""
READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Content:
    """SHA-256, in hex, over the payloads of a stream's packets in the order in which they are read.

    It is what `ffmpeg -c copy -f streamhash -hash sha256` prints. subtitle: empty where the video has none.
    times: over when each packet of each stream is shown, in microseconds: the same packets can be told to come late.
    file: over every byte but those of the seal; where it fits, so does all the rest, and where not, the rest says why.
    """

    file: str
    video: str
    audio: str
    subtitle: str = ""
    times: str


def content_of(video: Path, seal: Sequence[Box]) -> Content:
    """The hashes of a file, read piece by piece; `seal`: the boxes, in order, that do not count as part of it.

    Raises ProvenanceError for one that is no such video.
    """
    try:
        whole = _hash_without(video, seal)
        with av.open(str(video), "r", metadata_errors="replace") as file:
            return _content(file, video, whole)
    except (av.error.FFmpegError, OSError) as error:
        raise ProvenanceError(f"{video.name} cannot be read as a video: {error.strerror}") from error


def _hash_without(video: Path, seal: Sequence[Box]) -> str:
    digest = hashlib.sha256()
    with video.open("rb") as file:
        for box in (*seal, None):
            stop = box.start if box else video.stat().st_size
            while block := file.read(min(READ_BYTES, stop - file.tell())):
                digest.update(block)
            file.seek(box.stop if box else stop)
    return digest.hexdigest()


def _content(file: InputContainer, video: Path, whole: str) -> Content:
    kinds = Counter(stream.type for stream in file.streams)
    if any(count > 1 or kind not in STREAMS for kind, count in kinds.items()) or not {"video", "audio"} <= kinds.keys():
        found = ", ".join(stream.type for stream in file.streams) or "none"
        raise ProvenanceError(
            f"{video.name} has the streams {found}, wanted one video and one audio, subtitles at most"
        )
    bases = {stream.index: stream.time_base or Fraction(1) for stream in file.streams}
    payloads, times = ({kind: hashlib.sha256() for kind in kinds} for _ in range(2))
    for packet in file.demux():
        if packet.dts is None:
            continue  # the demuxer's end mark
        payloads[packet.stream.type].update(packet)
        base = bases[packet.stream.index]
        shown = packet.dts if packet.pts is None else packet.pts
        times[packet.stream.type].update(b"%d\n" % (shown * MICROSECONDS * base.numerator // base.denominator))
    together = "".join(f"{kind} {times[kind].hexdigest()}\n" for kind in STREAMS if kind in times)
    return Content(
        file=whole,
        **{kind: digest.hexdigest() for kind, digest in payloads.items()},
        times=hashlib.sha256(together.encode()).hexdigest(),
    )
