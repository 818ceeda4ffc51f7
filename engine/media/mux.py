"""The result's mp4, put together from packets that are already encoded."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from engine.errors import RenderError
from engine.media.aac import mp4_options
from engine.media.reader import opened, whole
from engine.media.subtitles import TextTrack
from engine.media.video import FRAME_TIME
from engine.spec import FRAME_RATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from engine.media.subtitles import Cue


class PacketMuxer(AbstractContextManager["PacketMuxer"]):
    """Copies H.264 files one after the other, and one AAC file beside them, into `out`.

    Nothing is held but the packet in hand. The index comes first in the file (faststart).
    offset: seconds by which the speech plays later than it would, earlier if negative; rounded to its samples. It is
    the edit list alone that says so: frames, packets and what they decode to are the same for any offset.
    cues: subtitles, which become a text track.
    """

    def __init__(
        self,
        out: Path,
        speech: Path,
        metadata: Mapping[str, str],
        *,
        offset: Fraction | float = Fraction(0),
        cues: Sequence[Cue] = (),
    ) -> None:
        self.frames = 0
        self._cues = cues
        self._text: TextTrack | None = None
        self._stack = ExitStack()
        with ExitStack() as opening:
            self._speech: InputContainer = opening.enter_context(opened(speech))
            sound = self._speech.streams.audio[0]
            options = mp4_options(sound.codec_context.sample_rate)
            self._out: OutputContainer = opening.enter_context(av.open(str(out), "w", format="mp4", options=options))
            self._out.metadata.update(metadata)
            self._sound_packets = whole(speech, self._speech.demux(sound))
            self._next_sound = next(self._sound_packets)
            self._ticks_a_second = self._next_sound.time_base.denominator
            self._shift = round(offset * self._ticks_a_second)
            self._video: VideoStream | None = None
            self._sound: AudioStream | None = None
            self._stack = opening.pop_all()

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def append(self, path: Path, frames: int) -> None:
        """Copy the packets of an H.264 file that must hold exactly `frames` frames.

        Raises RenderError for another number, a file that was encoded otherwise than the first, and a damaged one.
        """
        with opened(path) as source:
            stream = source.streams.video[0]
            self._match(stream, path)
            stop = self.frames + frames
            for packet in whole(path, source.demux(stream)):
                if packet.dts is None:
                    continue  # the demuxer's end mark
                if self.frames == stop:
                    raise RenderError(f"{path.name} holds more than its {frames} frames")
                self._write_frame(packet)
            if self.frames != stop:
                raise RenderError(f"{path.name} holds {frames - stop + self.frames} frames, wanted {frames}")

    def finish(self) -> None:
        """Write the rest of the speech and the file's index."""
        self._write_sound(until=None)
        if self._text:
            self._text.write(until=None)
        self._out.close()

    def _match(self, stream: VideoStream, path: Path) -> None:
        if self._video is None:
            self._video = self._out.add_stream_from_template(stream)
            self._video.time_base = FRAME_TIME
            self._sound = self._out.add_stream_from_template(self._speech.streams.audio[0])
            self._text = TextTrack(self._out, self._cues) if self._cues else None
            return
        # the parameter sets: size, profile and everything else that a decoder is told once
        if stream.codec_context.extradata != self._video.codec_context.extradata:
            raise RenderError(f"{path.name} was encoded with other settings than the ones before: it cannot be joined")

    def _write_frame(self, packet: Packet[VideoStream]) -> None:
        self._write_sound(until=self.frames)
        if self._text:
            self._text.write(until=self.frames)
        # no B-frames: a packet's place in the file is its frame's place in time
        packet.pts = packet.dts = self.frames
        packet.duration, packet.time_base = 1, FRAME_TIME
        packet.stream = self._video  # type: ignore[assignment]
        self._out.mux(packet)
        self.frames += 1

    def _write_sound(self, until: int | None) -> None:
        """Copy the speech's packets that start before frame25 `until`; all that are left for None."""
        while (packet := self._next_sound).dts is not None:
            shown = packet.dts + self._shift
            if until is not None and shown * FRAME_RATE > until * self._ticks_a_second:
                return
            # what lies before 0 the muxer hides with an edit list: the priming, and all that an offset takes away; what
            # starts behind 0 it delays by an empty edit, and plays the priming, which is all but silent
            packet.pts = packet.dts = shown
            self._next_sound = next(self._sound_packets)
            packet.stream = self._sound  # type: ignore[assignment]
            self._out.mux(packet)
