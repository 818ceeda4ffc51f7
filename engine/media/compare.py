"""Two results of one lesson side by side as one video, each under its name, with the sound of the first."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from engine.errors import RenderError
from engine.media.aac import AAC_FRAME, mp4_options
from engine.media.provenance import seal, side_by_side_of, tags
from engine.media.reader import opened, to_rgb, whole
from engine.media.scale import resampled
from engine.media.video import FRAME_TIME, VideoSink, encoding_of_one
from engine.spec import FRAME_RATE
from engine.timecode import timecode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

    from engine.media.provenance import Provenance
    from engine.renderer import Frame

log = logging.getLogger(__name__)

_INK = (235, 235, 235)
_MARGIN = 2
"""AAC packets that are kept in front of the first one heard: the decoder needs them to get going."""


@dataclass(frozen=True)
class Side:
    """A result, what is written above it, and where it comes from."""

    video: Path
    label: str
    provenance: Provenance


def side_by_side(
    left: Side, right: Side, out: Path, *, frames: range, on_progress: Callable[[float], None] = lambda _: None
) -> None:
    """Write frames25 `frames` of two results to the mp4 `out`: one file, as long as these, with the sound of `left`.

    It is sealed with a provenance that names both. The lower one is scaled to the height of the other. Nothing is held
    but a frame of each. Raises RenderError where one lacks a frame or is damaged.
    """
    with TemporaryDirectory(dir=out.parent) as scratch:
        pictures, video = Path(scratch) / "pictures.mp4", Path(scratch) / "compared.mp4"
        provenance = side_by_side_of(left.provenance, right.provenance)
        _draw(left, right, pictures, frames, on_progress)
        _add_sound(pictures, left.video, video, Fraction(frames.start, FRAME_RATE), metadata=tags(provenance))
        seal(video, provenance)
        video.replace(out)


def _draw(left: Side, right: Side, out: Path, frames: range, on_progress: Callable[[float], None]) -> None:
    pictures = _joined(left, right, frames)
    first = next(pictures)
    size = first.shape[1], first.shape[0]
    encoding = encoding_of_one(size, out.parent)
    log.info("encoded by %s", encoding.codec)
    with VideoSink(out, size, encoding) as sink:
        for picture in chain([first], pictures):
            sink.write(picture)
            on_progress(sink.frames / len(frames))
        sink.finish()


def _joined(left: Side, right: Side, frames: range) -> Iterator[Frame]:
    sides = zip(_frames(left.video, frames), _frames(right.video, frames), strict=True)
    for number, (one, other) in zip(frames, sides, strict=True):
        height = max(len(one), len(other))
        shown = _at_height(one, height), _at_height(other, height)
        strip = max(24, min(side for frame in shown for side in frame.shape[:2]) // 32 * 2)
        labels = f"{left.label}  {timecode(number)}", right.label
        yield np.hstack([_labelled(frame, label, strip) for frame, label in zip(shown, labels, strict=True)])


def _at_height(frame: Frame, height: int) -> Frame:
    """The frame scaled to a height, as wide as that makes it, of even sides; its very pixels where it has that."""
    rows, columns = frame.shape[:2]
    return resampled(frame, (0, 0, columns, rows), (2 * round(columns * height / rows / 2), height))


def _labelled(frame: Frame, label: str, strip: int) -> Frame:
    """The frame under a dark strip, so many pixels high, with its label."""
    bar = np.full((strip, frame.shape[1], 3), 24, np.uint8)
    pixels = strip / 40  # of Hershey's letters, whose capitals are 21 high
    cv2.putText(bar, label, (strip // 3, round(strip * 0.7)), cv2.FONT_HERSHEY_SIMPLEX, pixels, _INK, 1, cv2.LINE_AA)
    return np.vstack([bar, frame])


def _frames(video: Path, wanted: range) -> Iterator[Frame]:
    """Exactly the frames25 `wanted`; only from the key frame before the first one on are they decoded."""
    left = iter(wanted)
    following = next(left, None)
    with opened(video) as file:
        stream = file.streams.video[0]
        base = stream.time_base or FRAME_TIME
        file.seek(round(Fraction(wanted.start, FRAME_RATE) / base), stream=stream)
        for picture in whole(video, file.decode(stream)):
            if following is None:
                return
            if picture.pts is not None and round(picture.pts * base * FRAME_RATE) == following:
                yield to_rgb(picture)
                following = next(left, None)
    if following is not None:
        raise RenderError(f"{video.name} has no frame {following}")


def _add_sound(pictures: Path, speech: Path, out: Path, start: Fraction, *, metadata: Mapping[str, str]) -> None:
    """Copy the packets of `pictures`, and those of `speech` that belong to them: second `start` of it is second 0."""
    with opened(pictures) as video, opened(speech) as source:
        seen, heard = video.streams.video[0], source.streams.audio[0]
        rate = heard.codec_context.sample_rate
        with av.open(str(out), "w", format="mp4", options=mp4_options(rate)) as file:
            file.metadata.update(metadata)
            shown = file.add_stream_from_template(seen)
            shown.time_base = FRAME_TIME
            sound = file.add_stream_from_template(heard)
            packets = _sound_from(source, heard, speech, start)
            waiting = next(packets, None)
            for number, packet in enumerate(p for p in whole(pictures, video.demux(seen)) if p.dts is not None):
                end = Fraction(number + 1, FRAME_RATE)
                while waiting is not None and waiting[0] < end:
                    waiting[1].stream = sound
                    file.mux(waiting[1])
                    waiting = next(packets, None)
                packet.stream = shown
                file.mux(packet)


def _sound_from(
    source: InputContainer, heard: AudioStream, speech: Path, start: Fraction
) -> Iterator[tuple[Fraction, Packet[AudioStream]]]:
    """Packets from second `start` on, as (second, packet), moved so that `start` is 0."""
    base = heard.time_base or Fraction(1, heard.codec_context.sample_rate)
    shift = round(start / base)
    lead = _MARGIN * AAC_FRAME
    if start:
        source.seek(max(0, shift - lead), stream=heard)
    for packet in whole(speech, source.demux(heard)):
        if packet.dts is None or packet.pts is None or packet.pts < shift - lead:
            continue
        # what comes to lie before 0 the muxer hides with an edit list
        packet.pts = packet.dts = packet.pts - shift
        yield packet.pts * base, packet
