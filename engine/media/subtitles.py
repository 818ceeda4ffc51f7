"""Subtitles: read from SRT, and carried by the result as a text track (3GPP timed text, `mov_text`)."""

from __future__ import annotations

import re
import struct
import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from engine.errors import InputError
from engine.spec import FRAME_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from av.container import OutputContainer
    from av.packet import Packet

MOST_BYTES = 4 << 20
"""Of an SRT file; two hours of speech are a twentieth."""
MOST_CUES = 20_000
LONGEST_TEXT = 1000
"""Characters of one cue."""
MOST_BEYOND = 1000
"""Milliseconds that a last cue may outlast the speech: it is cut there."""

MILLISECONDS = 1000
_TIME = r"(\d{1,3}):([0-5]\d):([0-5]\d),(\d{3})"
_TIMES = re.compile(rf"{_TIME} *--> *{_TIME}", re.ASCII)
# what players of SRT take for looks and a text track would show as it stands
_LOOKS = re.compile(r"</?(?:[ibus]|font(?: [^<>]*)?)>|\{\\an\d\}", re.IGNORECASE)
_ALLOWED_CONTROLS = "\n\t"
_LENGTH = struct.Struct(">H")
# the encoder wants to be told of a style, and writes it into the track's description; packets are made here
_STYLE = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True)
class Cue:
    """A text and when it is shown, in milliseconds, half open. line: where its times stand in the file."""

    start: int
    stop: int
    text: str
    line: int = 0


def read_srt(path: Path) -> tuple[Cue, ...]:
    """The cues of an SRT file, in order of time and never two at once; their looks (<i>, <font>, {an8}) are dropped.

    UTF-8, with or without a byte order mark. Raises InputError naming the line that is wrong.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"{path.name} is larger than {MOST_BYTES >> 20} MB, wanted subtitles in SRT")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path.name}, line {line}: not UTF-8, wanted subtitles saved as UTF-8") from error
    cues = tuple(_cues(path.name, text.replace("\r\n", "\n").split("\n")))
    if not cues:
        raise InputError(f"{path.name} holds no subtitles, wanted SRT")
    return cues


def fitted(cues: Sequence[Cue], frames25: int) -> tuple[Cue, ...]:
    """The cues of a speech of so many frames25; the last is cut where the speech ends.

    Raises InputError for one that lies behind the speech: it belongs to another.
    """
    end = frames25 * MILLISECONDS // FRAME_RATE
    for cue in cues:
        if cue.start >= end or cue.stop > end + MOST_BEYOND:
            times = f"{_time(cue.start)} to {_time(cue.stop)}"
            raise InputError(f"the subtitle of line {cue.line} is shown from {times}, the speech ends at {_time(end)}")
    return tuple(replace(cue, stop=min(cue.stop, end)) for cue in cues)


class TextTrack:
    """A text track in an mp4 that is being written; to be made before the file's first packet."""

    def __init__(self, out: OutputContainer, cues: Sequence[Cue]) -> None:
        self._out = out
        self._left = list(reversed(cues))
        self._stream: Any = out.add_stream("mov_text")
        self._stream.codec_context.subtitle_header = _STYLE
        self._stream.codec_context.time_base = self._stream.time_base = Fraction(1, MILLISECONDS)

    def write(self, until: int | None = None) -> None:
        """Write the cues that start before frame25 `until`; all that are left for None."""
        while self._left and (until is None or self._left[-1].start * FRAME_RATE < until * MILLISECONDS):
            cue = self._left.pop()
            content = cue.text.encode()
            packet = av.Packet(_LENGTH.pack(len(content)) + content)
            packet.pts = packet.dts = cue.start
            packet.duration, packet.time_base = cue.stop - cue.start, Fraction(1, MILLISECONDS)
            packet.is_keyframe = True
            packet.stream = self._stream
            self._out.mux(packet)


def cue_of(packet: Packet[Any]) -> Cue | None:
    """What a packet of a text track shows; None for one that clears the screen."""
    content = bytes(packet)
    (length,) = _LENGTH.unpack_from(content)
    if not length:
        return None
    start, lasts = ((ticks or 0) * packet.time_base * MILLISECONDS for ticks in (packet.pts, packet.duration))
    text = content[_LENGTH.size : _LENGTH.size + length].decode()
    return Cue(round(start), round(start + lasts), text)


def _cues(name: str, lines: list[str]) -> Iterator[Cue]:
    """Blocks of a number, a line of times, lines of text; an empty line ends each."""
    at, count, shown_until = 0, 0, 0
    while (at := _after_blanks(lines, at)) < len(lines):
        if not re.fullmatch(r"\d{1,9}", lines[at].strip(), re.ASCII):
            raise InputError(f"{name}, line {at + 1}: {_shown(lines[at])}, wanted the number of a subtitle")
        stop = next((place for place in range(at, len(lines)) if not lines[place].strip()), len(lines))
        cue = _cue(name, at + 2, lines[at + 1 : stop])
        if cue.start < shown_until:
            raise InputError(
                f"{name}, line {cue.line}: starts at {_time(cue.start)}, wanted no earlier than the one before ends, "
                f"{_time(shown_until)}"
            )
        if (count := count + 1) > MOST_CUES:
            raise InputError(f"{name}, line {cue.line}: more than {MOST_CUES} subtitles")
        yield cue
        at, shown_until = stop, cue.stop


def _cue(name: str, line: int, block: list[str]) -> Cue:
    """The cue whose line of times is the first of `block`, line `line` of the file."""
    found = _TIMES.fullmatch(block[0].strip()) if block else None
    if found is None:
        seen = _shown(block[0]) if block else "nothing"
        raise InputError(f"{name}, line {line}: {seen}, wanted times like 00:01:02,500 --> 00:01:05,000")
    start, stop = (_milliseconds(found.groups()[part : part + 4]) for part in (0, 4))
    if start >= stop:
        raise InputError(f"{name}, line {line}: ends at {_time(stop)}, wanted later than its start, {_time(start)}")
    for place, words in enumerate(block[1:], start=line + 1):
        if _TIMES.fullmatch(words.strip()):
            raise InputError(f"{name}, line {place}: times within a subtitle, wanted an empty line before the next one")
    text = _LOOKS.sub("", "\n".join(block[1:])).strip()
    if not text:
        raise InputError(f"{name}, line {line + 1}: no text")
    if len(text) > LONGEST_TEXT:
        raise InputError(f"{name}, line {line + 1}: {len(text)} characters, wanted {LONGEST_TEXT} at most")
    if strange := next((c for c in text if unicodedata.category(c) == "Cc" and c not in _ALLOWED_CONTROLS), None):
        raise InputError(f"{name}, line {line + 1}: a control character (U+{ord(strange):04X}), wanted text")
    return Cue(start, stop, text, line)


def _after_blanks(lines: list[str], at: int) -> int:
    return next((place for place in range(at, len(lines)) if lines[place].strip()), len(lines))


def _milliseconds(parts: Sequence[str]) -> int:
    hours, minutes, seconds, rest = map(int, parts)
    return ((hours * 60 + minutes) * 60 + seconds) * MILLISECONDS + rest


def _time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, MILLISECONDS)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02},{rest:03}"


def _shown(line: str) -> str:
    """A line of a file that may hold anything, for a message."""
    return ascii(line if len(line) <= 40 else line[:40] + "...")
