"""Each quality makes parts that join, whatever they show, and is better or smaller than the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from lessons import SIDE, Lesson, picture_of, stitch, write_segments

from engine.media.contract import check_contract
from engine.media.video import Encoding, VideoSink, read_rgb
from engine.spec import QUALITIES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def unlike(chunk: int, frame25: int) -> NDArray[np.uint8]:
    """Chunks as unlike as they come: noise, black, a picture."""
    if chunk == 0:
        return np.random.default_rng(frame25).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    return picture_of(frame25) if chunk == 2 else np.zeros((SIDE, SIDE, 3), np.uint8)


def parameter_sets(path: Path) -> bytes | None:
    with av.open(str(path)) as file:
        return file.streams.video[0].codec_context.extradata


@pytest.mark.parametrize("quality", QUALITIES)
def test_the_parts_of_a_job_join_whatever_they_show(lesson: Lesson, tmp_path: Path, quality: str) -> None:
    encoding, out = Encoding.of(quality), tmp_path / "video.mp4"
    segments = write_segments(tmp_path, lesson.plan, unlike, encoding)
    stitch(iter(segments), plan=lesson.plan, speech=lesson.speech, out=out, encoding=encoding)
    check_contract(out, frames25=lesson.plan.frames25, size=(SIDE, SIDE), speech=lesson.info, seams=lesson.seams)
    last = list(read_rgb(out))[-1]
    assert np.square(last.astype(float) - picture_of(149)).mean() < 255**2 / 10**3, "under 30 dB behind the joins"


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_seam_is_a_crf_finer_and_has_the_headers_of_its_neighbours(tmp_path: Path, quality: str) -> None:
    encoding = Encoding.of(quality)
    found = []
    for name, used in (("body", encoding), ("seam", encoding.for_seam())):
        with VideoSink(tmp_path / f"{name}.mp4", (SIDE, SIDE), used) as sink:
            for frame25 in range(16):
                sink.write(picture_of(frame25))
            sink.finish()
        found.append(tmp_path / f"{name}.mp4")
    assert encoding.for_seam().crf == encoding.crf - 1
    assert parameter_sets(found[0]) == parameter_sets(found[1])
    assert found[1].stat().st_size > found[0].stat().st_size


@pytest.mark.parametrize("quality", QUALITIES)
def test_where_a_copied_packet_is_called_a_key_frame_decoding_can_begin(tmp_path: Path, quality: str) -> None:
    path = tmp_path / "cuts.mp4"
    with VideoSink(path, (96, 64), Encoding.of(quality)) as sink:
        for frame25 in range(30):  # a cut at each frame
            sink.write(np.full((64, 96, 3), 40 + 150 * (frame25 % 2), np.uint8))
        sink.finish()
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.dts is not None]
    assert sum(packet.is_keyframe for packet in packets) > 1
    for packet in packets:
        units, at = set(), 0
        while at < packet.size:
            units.add(bytes(packet)[at + 4] & 31)
            at += 4 + int.from_bytes(bytes(packet)[at : at + 4], "big")
        assert packet.is_keyframe == (5 in units), "5 is a slice of a picture that forgets all before it"


def test_standard_is_what_everything_was_encoded_with() -> None:
    assert Encoding.of("standard") == Encoding() == Encoding(crf=18, preset="veryfast")


def test_each_quality_is_nearer_to_what_was_rendered_and_larger(tmp_path: Path) -> None:
    frames = [picture_of(frame25) for frame25 in range(40)]
    sizes, errors = [], []
    for quality in QUALITIES:
        path = tmp_path / f"{quality}.mp4"
        with VideoSink(path, (SIDE, SIDE), Encoding.of(quality)) as sink:
            for frame in frames:
                sink.write(frame)
            sink.finish()
        sizes.append(path.stat().st_size)
        read = zip(read_rgb(path), frames, strict=True)
        errors.append(np.mean([np.square(a.astype(float) - b).mean() for a, b in read]))
    assert sizes[0] * 1.5 < sizes[1] < sizes[2] / 1.5
    assert errors[0] > errors[1] > errors[2]
