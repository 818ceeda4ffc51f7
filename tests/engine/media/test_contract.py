"""A result that breaks the delivery contract in any way is noticed, from the file alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import pytest
from lessons import SIDE, Lesson, make_lesson, picture_of

from engine.errors import ContractError
from engine.media.aac import mp4_options
from engine.media.boxes import top_level_boxes
from engine.media.contract import check_contract

if TYPE_CHECKING:
    from pathlib import Path

    from av.packet import Packet

Edit = Callable[[str, int, Any], Any]
"""Given "video" or "audio", a packet's number and the packet: the packet to write, or None for none."""


def checked(lesson: Lesson, video: Path | None = None, **other: Any) -> list[str]:
    """What the contract has against a result; empty for a good one."""
    terms: dict[str, Any] = {
        "frames25": lesson.plan.frames25,
        "size": (SIDE, SIDE),
        "speech": lesson.info,
        "seams": lesson.seams,
    }
    try:
        check_contract(video or lesson.out, **(terms | other))
    except ContractError as error:
        return error.problems
    return []


def remuxed(lesson: Lesson, out: Path, edit: Edit, options: dict[str, str] | None = None) -> Path:
    """The lesson's packets written anew, each passed through `edit`."""
    options = mp4_options(44_100) if options is None else options
    with av.open(str(lesson.out)) as source, av.open(str(out), "w", format="mp4", options=options) as target:
        copies = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        counts = dict.fromkeys(copies, 0)
        for packet in source.demux():
            if packet.dts is None:
                continue
            index = packet.stream.index
            written = edit(packet.stream.type, counts[index], packet)
            counts[index] += 1
            if written is not None:
                written.stream = copies[index]
                target.mux(written)
    return out


def same(kind: str, number: int, packet: Packet[Any]) -> Packet[Any]:
    return packet


def shifted(kind: str, seconds: Fraction, first: int = 0) -> Edit:
    def edit(of: str, number: int, packet: Any) -> Any:
        if of == kind and number >= first:
            ticks = int(seconds / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
        return packet

    return edit


def without(kind: str, *numbers: int) -> Edit:
    return lambda of, number, packet: None if of == kind and number in numbers else packet


@dataclass
class Reencoded:
    """The lesson's frames encoded in one piece, with the faults asked for, beside the lesson's speech."""

    lesson: Lesson
    out: Path
    frames: int
    side: int = SIDE
    pixels: str = "yuv420p"
    tagged: bool = True
    rate: int = 25

    def write(self) -> Path:
        options = mp4_options(44_100)
        with (
            av.open(str(self.lesson.speech)) as speech,
            av.open(str(self.out), "w", format="mp4", options=options) as out,
        ):
            video = out.add_stream("libx264", rate=self.rate, options={"bf": "0"})
            video.width = video.height = self.side
            video.pix_fmt = self.pixels
            if self.tagged:
                context = video.codec_context
                context.color_range = context.colorspace = context.color_primaries = context.color_trc = 1
            sound = out.add_stream_from_template(speech.streams.audio[0])
            for packet in speech.demux(audio=0):
                if packet.dts is not None:
                    packet.stream = sound
                    out.mux(packet)
            for frame25 in range(self.frames):
                picture = av.VideoFrame.from_ndarray(
                    picture_of(frame25)[: self.side, : self.side].copy(), format="rgb24"
                )
                out.mux(video.encode(picture.reformat(format=self.pixels)))
            out.mux(video.encode(None))
        return self.out


def test_a_good_result_passes(lesson: Lesson) -> None:
    assert checked(lesson) == []


def test_a_good_result_passes_after_a_plain_copy(lesson: Lesson, tmp_path: Path) -> None:
    assert checked(lesson, remuxed(lesson, tmp_path / "a.mp4", same)) == [], "the other tests' tool breaks nothing"


def test_a_lost_frame_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    problems = checked(lesson, remuxed(lesson, tmp_path / "a.mp4", without("video", 149)))
    assert problems == ["the video has 149 frames, wanted 150"]


def test_a_frame_lost_in_the_middle_is_noticed_as_a_gap_too(lesson: Lesson, tmp_path: Path) -> None:
    problems = checked(lesson, remuxed(lesson, tmp_path / "a.mp4", without("video", 30)))
    assert "the video has 149 frames, wanted 150" in problems
    assert "frames 30 do not follow the one before by 1/25 s" in problems


def test_a_late_first_frame_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    problems = checked(lesson, remuxed(lesson, tmp_path / "a.mp4", shifted("video", Fraction(2, 25))))
    assert "the first frame is shown at 0.0800 s, wanted 0 s" in problems


def test_an_uneven_step_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    problems = checked(lesson, remuxed(lesson, tmp_path / "a.mp4", shifted("video", Fraction(1, 50), first=100)))
    assert any("frames 100 do not follow" in problem for problem in problems)


def test_speech_whose_priming_is_not_hidden_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    late = remuxed(lesson, tmp_path / "a.mp4", shifted("audio", Fraction(1024, 44_100)))
    assert any("the speech starts 23.2 ms late" in problem for problem in checked(lesson, late))


def test_speech_that_starts_early_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    early = remuxed(lesson, tmp_path / "a.mp4", without("audio", 0))
    assert any("decodes to" in problem or "late" in problem for problem in checked(lesson, early))


def test_speech_cut_short_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    last = -(-lesson.info.samples // 1024)
    short = remuxed(lesson, tmp_path / "a.mp4", without("audio", last))
    assert any("the speech decodes to" in problem for problem in checked(lesson, short))


def test_a_gap_in_the_speech_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    problems = checked(lesson, remuxed(lesson, tmp_path / "a.mp4", without("audio", 50)))
    assert "audio packets 50 do not follow the one before by 1024 samples" in problems


def test_an_edit_list_that_ends_early_is_noticed(tmp_path: Path) -> None:
    """libavformat's own edit lists count in 1/1000 s; a speech just over a packet then loses its last one."""
    made = make_lesson(tmp_path, samples=60 * 1024 + 1)
    assert checked(made) == []
    early = remuxed(made, tmp_path / "a.mp4", same, options={"movflags": "+faststart"})
    assert checked(made, early) == ["the speech decodes to 61440 samples, wanted 61441 and less than 1024 more"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"rate": 48_000}, "audio rate is 44100, wanted 48000", id="rate"),
        pytest.param({"channels": 6}, "audio channels is 1, wanted 2", id="channels"),
    ],
)
def test_sound_of_another_format_is_noticed(lesson: Lesson, change: dict[str, Any], says: str) -> None:
    assert says in checked(lesson, speech=replace(lesson.info, **change))


def test_an_index_at_the_end_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    slow = remuxed(lesson, tmp_path / "a.mp4", same, options={"movie_timescale": "44100"})
    (problem,) = checked(lesson, slow)
    assert problem.endswith("wanted moov before mdat so that it plays while it loads")


def test_wrong_colour_tags_are_noticed(lesson: Lesson, tmp_path: Path) -> None:
    problems = checked(lesson, Reencoded(lesson, tmp_path / "a.mp4", 150, tagged=False).write(), seams=[])
    assert {problem.split(" is ")[0] for problem in problems} >= {
        "colour matrix",
        "colour primaries",
        "colour transfer",
    }


def test_another_pixel_format_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    problems = checked(lesson, Reencoded(lesson, tmp_path / "a.mp4", 150, pixels="yuv444p").write(), seams=[])
    assert problems == ["pixel format is yuv444p, wanted yuv420p"]


def test_another_size_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    problems = checked(lesson, Reencoded(lesson, tmp_path / "a.mp4", 150, side=128).write(), seams=[])
    assert problems == ["picture size is 128x128, wanted 256x256"]


def test_another_frame_rate_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    problems = checked(lesson, Reencoded(lesson, tmp_path / "a.mp4", 150, rate=30).write(), seams=[])
    assert any("do not follow the one before by 1/25 s" in problem for problem in problems)


def test_joins_without_key_frames_are_noticed(lesson: Lesson, tmp_path: Path) -> None:
    (problem,) = checked(lesson, Reencoded(lesson, tmp_path / "a.mp4", 150).write())
    edges = ", ".join(str(edge) for seam in lesson.seams for edge in seam)
    assert problem == f"frames {edges} begin a joined part and are no key frames"


def test_a_seam_that_cannot_be_decoded_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    start, stop = lesson.seams[1]
    with av.open(str(lesson.out)) as file:
        packet = next(packet for index, packet in enumerate(file.demux(video=0)) if index == start + 2)
        place, size = packet.pos or 0, packet.size
    content = bytearray(lesson.out.read_bytes())
    content[place + size // 2 : place + size] = b"\xff" * (size - size // 2)
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(content)
    assert any(f"the seam at frames {start} to {stop}" in problem for problem in checked(lesson, torn))


def test_a_result_without_sound_is_noticed(lesson: Lesson, tmp_path: Path) -> None:
    mute = tmp_path / "mute.mp4"
    with av.open(str(lesson.out)) as source, av.open(str(mute), "w", options={"movflags": "+faststart"}) as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    assert checked(lesson, mute) == ["the streams are video, wanted one video and one audio"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9])
def test_half_a_file_is_noticed(lesson: Lesson, tmp_path: Path, share: float) -> None:
    content = lesson.out.read_bytes()
    half = tmp_path / "half.mp4"
    half.write_bytes(content[: int(share * len(content))])
    assert checked(lesson, half)


def test_everything_wrong_is_listed_at_once(lesson: Lesson) -> None:
    wrong = replace(lesson.info, rate=48_000, channels=2)
    problems = checked(lesson, frames25=151, size=(512, 512), speech=wrong)
    assert len(problems) >= 4


def test_the_outer_boxes_are_read_by_their_sizes(tmp_path: Path) -> None:
    path = tmp_path / "boxes.mp4"
    free = (8 + 4).to_bytes(4, "big") + b"free" + b"mdat"
    long = (1).to_bytes(4, "big") + b"wide" + (16 + 3).to_bytes(8, "big") + b"abc"
    path.write_bytes(free + long + (0).to_bytes(4, "big") + b"mdat" + bytes(40))
    assert list(top_level_boxes(path)) == ["free", "wide", "mdat"]
