"""Segments and speech to one video."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from lessons import (
    ENCODING,
    SIDE,
    Lesson,
    clicks_of,
    decoded_sound,
    lag_seconds,
    make_lesson,
    picture_of,
    stitch,
    write_segments,
)

from engine.errors import RenderError
from engine.media.boxes import top_level_boxes
from engine.media.contract import check_contract
from engine.media.mux import PacketMuxer
from engine.media.stitch import Segment, join, make_seams
from engine.media.video import Encoding, frame_hash, read_rgb
from engine.plan import Geometry, plan_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

RATE = 44_100


def packets_of(path: Path, kind: str = "video") -> list[bytes]:
    with av.open(str(path)) as file:
        streams: Any = {kind: 0}
        return [bytes(packet) for packet in file.demux(**streams) if packet.dts is not None]


def luma_of(path: Path) -> Iterator[NDArray[np.float32]]:
    with av.open(str(path)) as file:
        for picture in file.decode(video=0):
            yield picture.to_ndarray()[: picture.height].astype(np.float32)


def test_every_frame_is_there_with_the_hash_of_the_one_rendered(lesson: Lesson) -> None:
    assert len(lesson.plan.chunks) == 3
    assert lesson.info.frames25 == lesson.plan.frames25 == 150
    assert lesson.hashes == tuple(frame_hash(picture_of(frame25)) for frame25 in range(150))
    assert len(packets_of(lesson.out)) == 150
    assert sum(1 for _ in read_rgb(lesson.out)) == 150


def test_bodies_are_copied_packet_by_packet(lesson: Lesson) -> None:
    result = packets_of(lesson.out)
    for segment in lesson.segments:
        start, stop = segment.chunk.body
        assert result[start:stop] == packets_of(segment.files.body)


def test_the_speech_is_copied_packet_by_packet(lesson: Lesson) -> None:
    assert packets_of(lesson.out, "audio") == packets_of(lesson.speech, "audio")


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_speech_is_aligned_at_start_middle_and_end(tmp_path: Path, rate: int) -> None:
    made = make_lesson(tmp_path, samples=7 * rate // 2 + 11, rate=rate, chunk_seconds=1)
    source, heard = clicks_of(7 * rate // 2 + 11, rate), decoded_sound(made.out)
    for at in (rate // 10, len(source) // 2, len(source) - rate // 10):
        assert abs(lag_seconds(heard, source, at, rate)) < 0.0005
    assert len(source) <= len(heard) < len(source) + 1024
    with av.open(str(made.out)) as file:
        assert file.streams.video[0].start_time == 0
        assert file.streams.audio[0].start_time == 0


def test_the_index_comes_first_and_the_tags_are_written(lesson: Lesson, tmp_path: Path) -> None:
    out = tmp_path / "titled.mp4"
    metadata = {"title": "Algebra 03: größer, kleiner", "comment": "seed 7"}
    stitch(lesson.segments, plan=lesson.plan, speech=lesson.speech, out=out, encoding=ENCODING, metadata=metadata)
    boxes = list(top_level_boxes(out))
    assert boxes.index("moov") < boxes.index("mdat")
    with av.open(str(out)) as file:
        assert file.metadata["title"] == metadata["title"]
        assert file.metadata["comment"] == metadata["comment"]
    assert [path.name for path in tmp_path.iterdir()] == ["titled.mp4"], "something is left behind"


@pytest.mark.parametrize("samples", [900, 1764, 2 * 1764, 5 * 1764])
def test_lessons_of_a_few_frames_work(tmp_path: Path, samples: int) -> None:
    made = make_lesson(tmp_path, samples=samples)
    assert len(made.hashes) == made.plan.frames25 == round(samples / 1764)
    size = (SIDE, SIDE)
    check_contract(made.out, frames25=made.plan.frames25, size=size, speech=made.info, seams=[])


def test_one_three_and_ten_chunks_give_one_video(tmp_path: Path) -> None:
    frames = 400
    made = {}
    for count in (1, 3, 10):
        (tmp_path / str(count)).mkdir()
        seconds = frames / 25 / count
        made[count] = make_lesson(tmp_path / str(count), samples=frames * RATE // 25, chunk_seconds=seconds)
        assert len(made[count].plan.chunks) == count
    assert made[1].hashes == made[3].hashes == made[10].hashes
    for one, other in ((1, 3), (1, 10), (3, 10)):
        at_seam = {frame for count in (one, other) for start, stop in made[count].seams for frame in range(start, stop)}
        pairs = zip(luma_of(made[one].out), luma_of(made[other].out), strict=True)
        psnr = np.array([10 * np.log10(255**2 / max(1e-3, np.square(a - b).mean())) for a, b in pairs])
        # up to the first seam of either the packets are the same: infinitely alike says nothing about the seams
        differing = psnr[min(at_seam) :]
        seams, rest = (
            differing[[(i in at_seam) is side for i in range(min(at_seam), frames)]] for side in (True, False)
        )
        assert differing.mean() >= 43
        assert seams.mean() >= rest.mean() - 1


def test_seams_need_the_ends_of_three_segments_at_a_time_and_joining_the_body_of_one(tmp_path: Path) -> None:
    lesson = make_lesson(tmp_path, samples=6 * RATE + 123, chunk_seconds=1)
    assert len(lesson.segments) == 6
    segments = write_segments(tmp_path / "work", lesson.plan, lambda _, frame25: picture_of(frame25))

    def deleting(which: str, kept: int) -> Iterator[Segment]:
        for index, segment in enumerate(segments):
            if index >= kept:
                for path in segments[index - kept].files.body.parent.glob(which):
                    path.unlink()
            yield segment

    bodies = [segment.files.body.rename(tmp_path / f"{segment.chunk.index}.mp4") for segment in segments]
    seams = list(make_seams(deleting("*.mkv", 3), plan=lesson.plan, directory=tmp_path, encoding=ENCODING))
    for segment, body in zip(segments, bodies, strict=True):
        body.rename(segment.files.body)
    out = tmp_path / "video.mp4"
    with PacketMuxer(out, lesson.speech, {}) as muxer:
        hashes = join(deleting("body.mp4", 1), seams, plan=lesson.plan, muxer=muxer)
    assert hashes == lesson.hashes
    assert out.read_bytes() == lesson.out.read_bytes()


def test_seams_of_other_places_and_too_few_of_them_are_refused(lesson: Lesson, tmp_path: Path) -> None:
    seams = list(make_seams(lesson.segments, plan=lesson.plan, directory=tmp_path, encoding=ENCODING))
    for given, words in (
        (seams[:1], "1 seams were made, the plan has 2"),
        (seams[::-1], r"the seam given before chunk 1"),
    ):
        with (
            PacketMuxer(tmp_path / "video.mp4", lesson.speech, {}) as muxer,
            pytest.raises(RenderError, match=words),
        ):
            join(lesson.segments, given, plan=lesson.plan, muxer=muxer)


def test_progress_rises_to_one(lesson: Lesson, tmp_path: Path) -> None:
    seen: list[float] = []
    stitch(
        lesson.segments,
        plan=lesson.plan,
        speech=lesson.speech,
        out=tmp_path / "video.mp4",
        encoding=ENCODING,
        on_progress=seen.append,
    )
    assert len(seen) == 3
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def stitched(lesson: Lesson, segments: list[Segment], out: Path) -> None:
    stitch(segments, plan=lesson.plan, speech=lesson.speech, out=out, encoding=ENCODING)


def test_a_missing_segment_is_named(lesson: Lesson, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="segment of chunk 2 is missing"):
        stitched(lesson, lesson.segments[:2], tmp_path / "video.mp4")


def test_segments_out_of_order_are_refused(lesson: Lesson, tmp_path: Path) -> None:
    first, second, third = lesson.segments
    with pytest.raises(RenderError, match="given for chunk 1 is"):
        stitched(lesson, [first, third, second], tmp_path / "video.mp4")


def test_a_segment_of_other_settings_is_refused(lesson: Lesson, tmp_path: Path) -> None:
    other = write_segments(
        tmp_path / "other", lesson.plan, lambda _, frame25: picture_of(frame25), Encoding(preset="ultrafast")
    )
    with pytest.raises(RenderError, match=r"body\.mp4 was encoded with other settings"):
        stitched(lesson, [lesson.segments[0], *other[1:]], tmp_path / "video.mp4")


def test_a_segment_of_another_size_is_refused(lesson: Lesson, tmp_path: Path) -> None:
    other = write_segments(tmp_path / "other", lesson.plan, lambda _, frame25: picture_of(frame25)[:128, :128])
    with pytest.raises(RenderError, match="128x128"):
        stitched(lesson, [lesson.segments[0], *other[1:]], tmp_path / "video.mp4")


def test_an_end_that_is_not_what_was_rendered_is_refused(lesson: Lesson, tmp_path: Path) -> None:
    first, second, third = lesson.segments
    wrong = replace(second, files=replace(second.files, head=third.files.head))
    # the sides' recorded hashes agree, and so only the earlier side's pixels are read: damage that one
    torn = replace(first, files=replace(first.files, tail=third.files.head))
    with pytest.raises(RenderError, match="is damaged: its frame 0 is not the one that was rendered"):
        stitched(lesson, [torn, second, third], tmp_path / "video.mp4")
    disagreeing = replace(wrong, files=replace(wrong.files, hashes=("0" * 64, *second.files.hashes[1:])))
    with pytest.raises(RenderError, match=r"head\.mkv is damaged"):
        stitched(lesson, [first, disagreeing, third], tmp_path / "video.mp4")


@pytest.mark.parametrize("part", ["body", "tail"])
def test_a_damaged_segment_file_is_named(lesson: Lesson, tmp_path: Path, part: str) -> None:
    first, *rest = lesson.segments
    torn = tmp_path / "torn.mkv"
    torn.write_bytes(getattr(first.files, part).read_bytes()[:40])
    changed: dict[str, Any] = {part: torn}
    wrong = replace(first, files=replace(first.files, **changed))
    with pytest.raises(RenderError, match=r"torn\.mkv"):
        stitched(lesson, [wrong, *rest], tmp_path / "video.mp4")


def test_a_body_of_the_wrong_length_is_refused(lesson: Lesson, tmp_path: Path) -> None:
    first, second, third = lesson.segments
    short = write_segments(
        tmp_path / "short",
        plan_chunks(20, chunk_seconds=2, geometry=Geometry()),
        lambda _, frame25: picture_of(frame25),
    )[0]
    wrong = replace(second, files=replace(second.files, body=short.files.body))
    with pytest.raises(RenderError, match=r"body\.mp4 holds 20 frames, wanted"):
        stitched(lesson, [first, wrong, third], tmp_path / "video.mp4")
    with pytest.raises(RenderError, match=r"body\.mp4 holds more than its"):
        stitched(
            lesson,
            [first, replace(second, files=replace(second.files, body=_longer(tmp_path, lesson))), third],
            tmp_path / "v.mp4",
        )


def _longer(tmp_path: Path, lesson: Lesson) -> Path:
    plan = plan_chunks(lesson.plan.frames25, chunk_seconds=60, geometry=Geometry())
    (whole,) = write_segments(tmp_path / "longer", plan, lambda _, frame25: picture_of(frame25))
    return whole.files.body
