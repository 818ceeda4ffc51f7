"""Subtitles are read as strictly as everything else, and the result carries them without any other change."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lessons import SIDE, Lesson

from engine.errors import ContractError, InputError
from engine.media.boxes import top_level_boxes
from engine.media.contract import check_contract
from engine.media.mux import PacketMuxer
from engine.media.subtitles import MOST_BYTES, MOST_CUES, Cue, fitted, read_srt
from engine.spec import FRAME_RATE

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """1
00:00:00,500 --> 00:00:01,900
Good morning.

2
00:00:02,000 --> 00:00:03,250
Zwei Zeilen: grüß Gott,
今日は

3
00:00:03,250 --> 00:00:05,999
<i>One</i> <font color="#fff">more</font>, {\\an8}with 1 < 2 & 3.
"""
TEXTS = ["Good morning.", "Zwei Zeilen: grüß Gott,\n今日は", "One more, with 1 < 2 & 3."]


def srt(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD, id="plain"),
        pytest.param(GOOD.replace("\n", "\r\n"), id="Windows lines"),
        pytest.param("\ufeff" + GOOD, id="byte order mark"),
        pytest.param("\n\n" + GOOD.rstrip("\n"), id="blank lines before, none behind"),
        pytest.param(GOOD.replace("\n\n", "\n \n\n\t\n"), id="several blank lines"),
    ],
)
def test_srt_is_read_as_people_save_it(tmp_path: Path, text: str) -> None:
    cues = read_srt(srt(tmp_path / "words.srt", text))
    assert [(cue.start, cue.stop) for cue in cues] == [(500, 1900), (2000, 3250), (3250, 5999)]
    assert [cue.text for cue in cues] == TEXTS


ONE = "1\n00:00:01,000 --> 00:00:02,000\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "holds no subtitles", id="empty"),
        pytest.param("\ufeff\n\n", "holds no subtitles", id="blank"),
        pytest.param("WEBVTT\n\n00:01.000 --> 00:02.000\nHi\n", "line 1: 'WEBVTT', wanted the number", id="WebVTT"),
        pytest.param(
            "1\n00:00:01,000 --> 00:00:02,000\nHi\n2\n00:00:03,000 --> 00:00:04,000\nHo\n",
            "line 5: times within a subtitle, wanted an empty line before the next one",
            id="no empty line between two",
        ),
        pytest.param(b"1\n00:00:01,000 --> 00:00:02,000\nGr\xfc\xdfe\n", "line 3: not UTF-8", id="Latin-1"),
        pytest.param("1\n".encode("utf-16"), "line 1: not UTF-8", id="UTF-16"),
        pytest.param("1", "line 2: nothing, wanted times like", id="a number alone"),
        pytest.param("1\n00:00:01.000 --> 00:00:02.000\nHi", "line 2: .* wanted times like", id="points"),
        pytest.param("1\n00:00:61,000 --> 00:01:02,000\nHi", "line 2: .* wanted times like", id="61 seconds"),
        pytest.param("1\n-00:00:01,000 --> 00:01:02,000\nHi", "line 2: .* wanted times like", id="before 0"),
        pytest.param("1\n00:00:02,000 --> 00:00:02,000\nHi", "line 2: ends at 00:00:02,000", id="no time at all"),
        pytest.param("1\n00:00:03,000 --> 00:00:02,000\nHi", "line 2: ends at 00:00:02,000", id="backwards"),
        pytest.param(ONE, "line 3: no text", id="no text"),
        pytest.param(ONE + "<i> </i>", "line 3: no text", id="looks without text"),
        pytest.param(ONE + "Hi\n\nthere", "line 5: 'there', wanted the number", id="a blank line in a text"),
        pytest.param(
            ONE + "Hi\n\n2\n00:00:01,999 --> 00:00:03,000\nHo",
            "line 6: starts at 00:00:01,999, wanted no earlier than the one before ends, 00:00:02,000",
            id="two at once",
        ),
        pytest.param(ONE + "a\x00b", r"line 3: a control character \(U\+0000\)", id="a zero byte"),
        pytest.param(ONE + "a\x1b[2Jb", r"line 3: a control character \(U\+001B\)", id="a terminal's escape"),
        pytest.param(ONE + "a\rb", r"line 3: a control character \(U\+000D\)", id="a lone return"),
        pytest.param(ONE + "x" * 1001, "line 3: 1001 characters, wanted 1000 at most", id="a long text"),
        pytest.param("\x1b]0;x\x07", r"line 1: '\\x1b\]0;x\\x07', wanted the number", id="escapes are not repeated"),
        pytest.param("\u0661\n" + ONE[2:] + "Hi", "line 1: .* wanted the number", id="digits of another script"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        read_srt(srt(tmp_path / "words.srt", text))
    assert str(error.value).startswith("words.srt")


def test_a_file_of_any_size_is_read_no_further_than_the_limit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="larger than 4 MB"):
        read_srt(srt(tmp_path / "words.srt", b"\n" * (MOST_BYTES + 1)))


def test_more_cues_than_any_lesson_has_are_refused(tmp_path: Path) -> None:
    seconds = [f"{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}" for n in range(MOST_CUES + 1)]
    blocks = [f"1\n{second},000 --> {second},500\nx\n\n" for second in seconds]
    with pytest.raises(InputError, match="more than 20000 subtitles"):
        read_srt(srt(tmp_path / "words.srt", "".join(blocks)))


@given(content=st.one_of(st.binary(max_size=300), st.text(alphabet="01:,-> \n\r<i>a{\\", max_size=200).map(str.encode)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_any_bytes_are_cues_in_order_or_an_error_of_input(tmp_path: Path, content: bytes) -> None:
    path = srt(tmp_path / "words.srt", content)
    try:
        cues = read_srt(path)
    except InputError:
        return
    assert all(a.stop <= b.start for a, b in pairwise(cues))
    assert all(cue.start < cue.stop and cue.text.strip() for cue in cues)


def test_subtitles_of_another_speech_are_refused_and_the_last_is_cut_at_the_end() -> None:
    cues = (Cue(0, 900, "a", 2), Cue(1000, 6400, "b", 6))
    assert fitted(cues, 150) == (Cue(0, 900, "a", 2), Cue(1000, 6000, "b", 6))
    with pytest.raises(InputError, match=r"of line 6 is shown from 00:00:01,000 to 00:00:06,400, .* at 00:00:05,360"):
        fitted(cues, 134)
    with pytest.raises(InputError, match=r"of line 6 .* ends at 00:00:01,000"):
        fitted((cues[0], Cue(1000, 1100, "b", 6)), FRAME_RATE)


def muxed(lesson: Lesson, out: Path, cues: tuple[Cue, ...], offset: Fraction = Fraction(0), *, times: int = 1) -> Path:
    """The lesson's result, its text track made of `cues`, its pictures so many times over."""
    with av.open(str(lesson.out)) as file:
        frames = file.streams.video[0].frames
    with PacketMuxer(out, lesson.speech, {"title": "words"}, offset=offset, cues=cues) as muxer:
        for _ in range(times):
            muxer.append(lesson.out, frames)
        muxer.finish()
    return out


def packets(path: Path, kind: str) -> list[tuple[int | None, int | None, bool, bytes]]:
    with av.open(str(path)) as file:
        stream: Any = next(stream for stream in file.streams if stream.type == kind)
        found = [packet for packet in file.demux(stream) if packet.dts is not None]
        return [(packet.pts, packet.duration, packet.is_keyframe, bytes(packet)) for packet in found]


@pytest.fixture(scope="module")
def cues(tmp_path_factory: pytest.TempPathFactory) -> tuple[Cue, ...]:
    return fitted(read_srt(srt(tmp_path_factory.mktemp("srt") / "words.srt", GOOD)), 150)


@pytest.mark.parametrize("offset", [Fraction(0), Fraction(-40, 1000), Fraction(40, 1000)])
def test_pictures_and_speech_are_the_same_with_subtitles(
    lesson: Lesson, tmp_path: Path, cues: tuple[Cue, ...], offset: Fraction
) -> None:
    plain = muxed(lesson, tmp_path / "plain.mp4", (), offset)
    titled = muxed(lesson, tmp_path / "titled.mp4", cues, offset)
    for kind in ("video", "audio"):
        assert packets(titled, kind) == packets(plain, kind)
    terms: dict[str, Any] = {
        "frames25": 150,
        "size": (SIDE, SIDE),
        "speech": lesson.info,
        "seams": lesson.seams,
        "offset": offset,
    }
    check_contract(titled, **terms, cues=cues)
    check_contract(plain, **terms)
    boxes = list(top_level_boxes(titled))
    assert boxes.index("moov") < boxes.index("mdat")
    with av.open(str(titled)) as file:
        assert file.duration == pytest.approx(6e6, abs=2e5)


def test_a_player_reads_the_texts_at_their_times(lesson: Lesson, tmp_path: Path, cues: tuple[Cue, ...]) -> None:
    titled = muxed(lesson, tmp_path / "titled.mp4", cues)
    shown = []
    with av.open(str(titled)) as file:
        stream = file.streams.subtitles[0]
        assert stream.codec_context.name == "mov_text"
        for packet in file.demux(stream):
            for text in packet.decode() if packet.size > 2 else ():
                assert packet.pts is not None
                shown.append((float(packet.pts * packet.time_base), text.dialogue.decode()))
    assert [time for time, _ in shown] == [0.5, 2.0, 3.25]
    assert [text.replace("\\N", "\n") for _, text in shown] == TEXTS


def test_between_two_texts_nothing_is_shown(lesson: Lesson, tmp_path: Path, cues: tuple[Cue, ...]) -> None:
    titled = muxed(lesson, tmp_path / "titled.mp4", cues)
    shown = [(pts, content != b"\0\0") for pts, lasts, _, content in packets(titled, "subtitle") if lasts]
    assert shown == [(0, False), (500, True), (1900, False), (2000, True), (3250, True)]


def test_texts_lie_beside_their_pictures_so_that_a_player_need_not_seek(lesson: Lesson, tmp_path: Path) -> None:
    cues = tuple(Cue(start, start + 900, f"at {start}") for start in (500, 20_000, 21_000, 40_000))
    with av.open(str(muxed(lesson, tmp_path / "titled.mp4", cues, times=8))) as file:
        found = [
            (packet.stream.type, float((packet.pts or 0) * packet.time_base), packet.pos, packet.size)
            for packet in file.demux()
            if packet.dts is not None
        ]
    texts = [place for kind, _, place, size in found if kind == "subtitle" and size > 2]
    pictures = [(time, place) for kind, time, place, _ in found if kind == "video"]
    for cue, at in zip(cues, texts, strict=True):
        near = [place for time, place in pictures if abs(time - cue.start / 1000) < 0.5]
        assert min(near) < at < max(near)


def test_a_text_track_that_is_not_the_one_given_is_noticed(
    lesson: Lesson, tmp_path: Path, cues: tuple[Cue, ...]
) -> None:
    titled = muxed(lesson, tmp_path / "titled.mp4", cues)
    other = (*cues[:2], Cue(3250, 5999, "Something else"))
    late = (cues[0], Cue(2100, 3250, cues[1].text), cues[2])
    for wanted, says in (
        (other, "subtitle 3 is another text"),
        (late, "subtitle 2 is shown from 2000 to 3250 ms, wanted 2100 to 3250 ms"),
        (cues[:2], "the text track shows 3 subtitles, wanted 2"),
        ((), "the streams are video, audio, subtitle, wanted one video and one audio"),
    ):
        with pytest.raises(ContractError, match=says):
            check_contract(titled, frames25=150, size=(SIDE, SIDE), speech=lesson.info, seams=lesson.seams, cues=wanted)
