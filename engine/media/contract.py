"""The delivery contract, read back from the finished file alone: what was meant while writing it is not asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.codec.context import ThreadType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from engine.errors import ContractError
from engine.media.aac import AAC_FRAME, AAC_PRIMING, aac_channels, aac_rate
from engine.media.boxes import top_level_boxes
from engine.media.resample import resampled_length
from engine.media.subtitles import cue_of
from engine.spec import FRAME_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from engine.media.audio import SpeechInfo
    from engine.media.subtitles import Cue


def check_contract(
    video: Path,
    *,
    frames25: int,
    size: tuple[int, int],
    speech: SpeechInfo,
    seams: Sequence[tuple[int, int]],
    offset: Fraction | float = Fraction(0),
    cues: Sequence[Cue] = (),
) -> None:
    """Read a finished video as a stranger would and compare it with what every result must be.

    size: width, height. speech: the source's. seams: frames25 [start, stop) that were crossfaded; they are decoded,
    the rest is read packet by packet. offset: seconds that the speech is recorded to play later, negative for earlier.
    cues: the subtitles that it carries. Raises ContractError listing everything that is wrong.
    """
    try:
        problems = [*_index_problems(video), *_file_problems(video, frames25, size, speech, seams, offset, cues)]
    except (av.error.FFmpegError, OSError) as error:
        problems = [f"{video.name} cannot be read: {error}"]
    if problems:
        raise ContractError(problems)


@dataclass
class _Packets:
    """What one pass over a stream's packets leaves behind: a few numbers, however long the file.

    base: seconds of a tick. step: ticks that one packet lasts, as a rule.
    """

    base: Fraction
    step: Fraction
    count: int = 0
    start: int | None = None
    uneven: list[int] = field(default_factory=list)
    keys: set[int] = field(default_factory=set)
    _last: int = 0

    @classmethod
    def of(cls, stream: VideoStream | AudioStream, lasting: Fraction) -> _Packets:
        """lasting: seconds of one packet."""
        base = stream.time_base or Fraction(1)
        return cls(base, lasting / base)

    def add(self, packet: Packet[Any]) -> None:
        time = packet.pts or 0
        if self.start is None:
            self.start = time
        elif time - self._last != self.step and len(self.uneven) < 3:
            self.uneven.append(self.count)
        if packet.is_keyframe:
            self.keys.add(self.count)
        self.count += 1
        self._last = time

    @property
    def first(self) -> Fraction | None:
        """When the first one begins, in seconds."""
        return None if self.start is None else self.start * self.base


def _index_problems(video: Path) -> Iterator[str]:
    boxes = list(top_level_boxes(video))
    if "moov" not in boxes or "mdat" not in boxes or boxes.index("moov") > boxes.index("mdat"):
        yield f"the file's boxes are {', '.join(boxes)}, wanted moov before mdat so that it plays while it loads"


def _file_problems(
    video: Path,
    frames25: int,
    size: tuple[int, int],
    speech: SpeechInfo,
    seams: Sequence[tuple[int, int]],
    offset: Fraction | float,
    cues: Sequence[Cue],
) -> Iterator[str]:
    with av.open(str(video), "r") as file:
        kinds = [stream.type for stream in file.streams]
        if sorted(kinds) != (["audio", "subtitle", "video"] if cues else ["audio", "video"]):
            wanted = "one video, one audio and one subtitle" if cues else "one video and one audio"
            yield f"the streams are {', '.join(kinds) or 'none'}, wanted {wanted}"
            return
        pictures, sound = file.streams.video[0], file.streams.audio[0]
        yield from _picture_format_problems(pictures, size)
        yield from _sound_format_problems(sound, speech)
        pictures_read, sound_read, texts = _read_packets(file)
        yield from _picture_problems(pictures_read, frames25, seams)
        yield from _sound_problems(sound_read, sound, speech, offset)
        yield from _text_problems(texts, cues)
        yield from _seam_problems(file, frames25, seams)


def _picture_format_problems(stream: VideoStream, size: tuple[int, int]) -> Iterator[str]:
    context = stream.codec_context
    found: dict[str, tuple[object, object]] = {
        "video codec": (context.name, "h264"),
        "pixel format": (context.pix_fmt, "yuv420p"),
        "picture size": ((context.width, context.height), size),
        "colour range": (context.color_range, ColorRange.MPEG),
        "colour matrix": (context.colorspace, Colorspace.ITU709),
        "colour primaries": (context.color_primaries, ColorPrimaries.BT709),
        "colour transfer": (context.color_trc, ColorTrc.BT709),
    }
    yield from _differences(found)


def _sound_format_problems(stream: AudioStream, speech: SpeechInfo) -> Iterator[str]:
    context = stream.codec_context
    found: dict[str, tuple[object, object]] = {
        "audio codec": (context.name, "aac"),
        "audio rate": (context.sample_rate, aac_rate(speech.rate)),
        "audio channels": (context.channels, aac_channels(speech.channels)),
    }
    yield from _differences(found)


def _differences(found: dict[str, tuple[object, object]]) -> Iterator[str]:
    for what, (value, wanted) in found.items():
        if value != wanted:
            yield f"{what} is {_plain(value)}, wanted {_plain(wanted)}"


def _plain(value: object) -> str:
    return f"{value[0]}x{value[1]}" if isinstance(value, tuple) else str(value)


def _read_packets(file: InputContainer) -> tuple[_Packets, _Packets, list[Cue]]:
    track = file.streams.audio[0]
    pictures = _Packets.of(file.streams.video[0], Fraction(1, FRAME_RATE))
    sound = _Packets.of(track, Fraction(AAC_FRAME, track.codec_context.sample_rate))
    texts: list[Cue] = []
    for packet in file.demux():
        if packet.dts is None:
            continue  # the demuxer's end mark
        if packet.stream.type == "video":
            pictures.add(packet)
        elif packet.stream.type == "audio":
            sound.add(packet)
        elif cue := cue_of(packet):
            texts.append(cue)
    return pictures, sound, texts


def _picture_problems(read: _Packets, frames25: int, seams: Sequence[tuple[int, int]]) -> Iterator[str]:
    if read.count != frames25:
        yield f"the video has {read.count} frames, wanted {frames25}"
    if read.first != 0:
        yield f"the first frame is shown at {_seconds(read.first)}, wanted 0 s"
    if read.uneven:
        yield f"frames {_listed(read.uneven)} do not follow the one before by 1/{FRAME_RATE} s"
    joins = {0, *(edge for seam in seams for edge in seam)}
    if missing := sorted(joins - read.keys):
        yield f"frames {_listed(missing)} begin a joined part and are no key frames"


def _sound_problems(read: _Packets, stream: AudioStream, speech: SpeechInfo, offset: Fraction | float) -> Iterator[str]:
    rate = stream.codec_context.sample_rate
    wanted_first = Fraction(round(offset * rate) - AAC_PRIMING, rate)
    if read.first != wanted_first:
        late = float((read.first or 0) - wanted_first) * 1000
        moved = f" and moves it by {1000 * float(offset):+.1f} ms" if offset else ""
        hides = f"hides {AAC_PRIMING} samples of priming{moved}"
        yield f"the speech starts {late:.1f} ms late, wanted an edit list that {hides}"
    if read.uneven:
        yield f"audio packets {_listed(read.uneven)} do not follow the one before by {AAC_FRAME} samples"
    wanted = resampled_length(speech.samples, speech.rate, rate)
    decoded = read.count * AAC_FRAME - AAC_PRIMING
    if not wanted <= decoded < wanted + AAC_FRAME:
        yield f"the speech decodes to {decoded} samples, wanted {wanted} and less than {AAC_FRAME} more"


def _text_problems(texts: Sequence[Cue], cues: Sequence[Cue]) -> Iterator[str]:
    if len(texts) != len(cues):
        yield f"the text track shows {len(texts)} subtitles, wanted {len(cues)}"
    for number, (found, wanted) in enumerate(zip(texts, cues, strict=False), start=1):
        if (found.start, found.stop, found.text) != (wanted.start, wanted.stop, wanted.text):
            shown = f"from {found.start} to {found.stop} ms, wanted {wanted.start} to {wanted.stop} ms"
            yield f"subtitle {number} is {'another text, ' * (found.text != wanted.text)}shown {shown}"
            return


def _seam_problems(file: InputContainer, frames25: int, seams: Sequence[tuple[int, int]]) -> Iterator[str]:
    stream = file.streams.video[0]
    # by itself the decoder paints over what it cannot read; one thread, for a seam is a few frames
    stream.codec_context.options = {"err_detect": "explode"}
    stream.codec_context.thread_type = ThreadType.NONE
    for start, stop in seams:
        wanted = set(range(start, stop + (stop < frames25)))  # and the frame behind it, of the next body
        try:
            missing = wanted - _decoded_from(file, stream, start, max(wanted))
        except av.error.FFmpegError as error:
            yield f"the seam at frames {start} to {stop} cannot be decoded: {error.strerror}"
            continue
        if missing:
            yield f"the seam at frames {start} to {stop} decodes without frames {_listed(sorted(missing))}"


def _decoded_from(file: InputContainer, stream: VideoStream, start: int, last: int) -> set[int]:
    """Which frames25 come out whole when a player jumps to `start` and plays to `last`."""
    base = stream.time_base or Fraction(1)
    file.seek(int(Fraction(start, FRAME_RATE) / base), stream=stream)
    seen: set[int] = set()
    for picture in file.decode(stream):
        frame25 = round(Fraction(picture.pts or 0) * (picture.time_base or base) * FRAME_RATE)
        if not picture.is_corrupt:
            seen.add(frame25)
        if frame25 >= last:
            break
    return seen


def _seconds(value: Fraction | None) -> str:
    return "no time" if value is None else f"{float(value):.4f} s"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers[:5]) + (" and more" if len(numbers) > 5 else "")
