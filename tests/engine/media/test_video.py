"""Frames in and out of files: colours, hashes, and the three files of a segment."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from lessons import ENCODING, SIDE, picture_of

from engine.errors import RenderError
from engine.media.video import Encoding, SegmentFiles, SegmentWriter, digest_of, frame_hash, read_rgb
from engine.spec import ChunkSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LOSSLESS = Encoding(crf=0)
"""x264 keeps every YUV sample there, so that the colour conversion alone can be read back."""


def chunk_of(frames: int, head: int = 0, tail: int = 0) -> ChunkSpec:
    return ChunkSpec(
        index=2, kept=(50, 50 + frames), span=(40, 60 + frames), out=(100, 100 + frames), head=head, tail=tail
    )


def written(
    directory: Path, chunk: ChunkSpec, frames: list[NDArray[np.uint8]], encoding: Encoding = ENCODING
) -> SegmentFiles:
    with SegmentWriter(directory, chunk, encoding) as writer:
        for frame in frames:
            writer.write(frame)
        return writer.finish()


def planes(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Y, U and V of a file's first frame, as stored."""
    with av.open(str(path)) as file:
        stored = next(file.decode(video=0)).to_ndarray().astype(np.float64)  # [height * 3 / 2, width]
    height, width = stored.shape[0] * 2 // 3, stored.shape[1]
    half = (height // 2, width // 2)
    chroma = stored[height:].reshape(2, *half)
    return stored[:height], chroma[0], chroma[1]


def bt709(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Limited-range Y'CbCr of 8-bit R'G'B', from the constants of ITU-R BT.709 alone; [..., 3] -> [..., 3]."""
    red, green, blue = (rgb[..., i] / 255.0 for i in range(3))
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    blue_difference, red_difference = (blue - luma) / 1.8556, (red - luma) / 1.5748
    return np.stack([16 + 219 * luma, 128 + 224 * blue_difference, 128 + 224 * red_difference], axis=-1)


def test_colours_are_those_of_bt709_to_the_last_bit(tmp_path: Path) -> None:
    frame = picture_of(3)
    luma, cb, cr = planes(written(tmp_path, chunk_of(1), [frame], LOSSLESS).body)
    wanted = bt709(frame)
    halved = wanted.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(luma - wanted[..., 0]).max() < 0.52
    assert np.abs(cb - halved[..., 1]).max() < 0.52
    assert np.abs(cr - halved[..., 2]).max() < 0.52


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 140, 120)])
def test_a_flat_colour_comes_back_as_it_was(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    frame = np.full((64, 64, 3), colour, np.uint8)
    body = written(tmp_path, chunk_of(1), [frame], LOSSLESS).body
    assert [float(plane[0, 0]) for plane in planes(body)] == pytest.approx(bt709(frame)[0, 0], abs=0.52)
    (back,) = read_rgb(body)
    assert np.abs(back.astype(int) - frame).max() <= 2


def test_the_file_says_which_colours_it_holds(tmp_path: Path) -> None:
    with av.open(str(written(tmp_path, chunk_of(2), [picture_of(0), picture_of(1)]).body)) as file:
        context = file.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        # 1 is bt709, and limited range
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (1, 1, 1, 1)


def test_the_ends_are_kept_bit_for_bit_and_the_body_nearly(tmp_path: Path) -> None:
    frames = [picture_of(i) for i in range(20)]
    files = written(tmp_path, chunk_of(20, head=4, tail=6), frames)
    assert files.head is not None
    assert files.tail is not None
    assert all(np.array_equal(a, b) for a, b in zip(read_rgb(files.head), frames[:4], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(read_rgb(files.tail), frames[14:], strict=True))
    errors = [np.square(a.astype(float) - b).mean() for a, b in zip(read_rgb(files.body), frames[4:14], strict=True)]
    assert max(errors) < 255**2 / 10**3.6, "under 36 dB"
    assert (files.width, files.height) == (SIDE, SIDE)
    assert files.hashes == tuple(frame_hash(frame) for frame in frames)


def test_a_job_of_one_chunk_has_no_ends(tmp_path: Path) -> None:
    files = written(tmp_path, chunk_of(3), [picture_of(i) for i in range(3)])
    assert (files.head, files.tail) == (None, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["body.mp4"]


def test_a_body_has_a_packet_a_frame_in_order_and_begins_with_a_key_frame(tmp_path: Path) -> None:
    body = written(tmp_path, chunk_of(300), [picture_of(i % 7) for i in range(300)]).body
    with av.open(str(body)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.dts is not None]
    assert len(packets) == 300
    assert packets[0].is_keyframe
    step = packets[0].duration
    assert step is not None
    assert [packet.pts for packet in packets] == [index * step for index in range(300)]
    assert all(packet.pts == packet.dts for packet in packets)
    keys = [index for index, packet in enumerate(packets) if packet.is_keyframe]
    assert max(b - a for a, b in pairwise([*keys, 300])) <= 250


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for attempt in ("a", "b"):
        (tmp_path / attempt).mkdir()
        files = written(tmp_path / attempt, chunk_of(12, tail=4), [picture_of(i) for i in range(12)])
        assert files.tail is not None
        contents.append((files.body.read_bytes(), list(map(frame_hash, read_rgb(files.tail)))))
    assert contents[0] == contents[1]


def test_a_frame_hash_is_sha256_over_size_and_bytes() -> None:
    frame = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    assert frame_hash(frame) == hashlib.sha256(b"2x4:" + bytes(range(24))).hexdigest()
    assert frame_hash(frame) != frame_hash(frame.reshape(4, 2, 3)), "the same bytes in another shape"
    padded = np.zeros((2, 6, 3), np.uint8)
    padded[:, :4] = frame
    assert frame_hash(padded[:, :4]) == frame_hash(frame), "the same picture held otherwise in memory"


def test_a_digest_depends_on_every_hash_and_their_order() -> None:
    assert digest_of(["aa", "bb"]) == hashlib.sha256(b"aabb").hexdigest()
    assert digest_of(["bb", "aa"]) != digest_of(["aa", "bb"])


def test_too_few_frames_are_an_error_that_names_the_chunk(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="chunk 2 rendered 2 frames, wanted 3"):
        written(tmp_path, chunk_of(3), [picture_of(0)] * 2)


def test_too_many_frames_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="chunk 2 rendered more than its 3 frames"):
        written(tmp_path, chunk_of(3), [picture_of(0)] * 4)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        pytest.param(np.zeros((64, 64, 3), np.float32), "is float32", id="floats"),
        pytest.param(np.zeros((64, 64), np.uint8), r"is uint8 \(64, 64\)", id="grey"),
        pytest.param(np.zeros((64, 64, 4), np.uint8), r"is uint8 \(64, 64, 4\)", id="alpha"),
        pytest.param(np.zeros((64, 63, 3), np.uint8), "is 63x64 pixels, wanted even sides", id="odd width"),
        pytest.param(np.zeros((62, 64, 3), np.uint8), "is 64x62 pixels, the ones before 64x64", id="another size"),
    ],
)
def test_a_frame_that_is_no_picture_of_the_video_is_refused_by_its_number(
    tmp_path: Path, frame: NDArray[np.uint8], says: str
) -> None:
    with pytest.raises(RenderError, match=f"frame 101 of chunk 2 {says}"):
        written(tmp_path, chunk_of(3), [np.zeros((64, 64, 3), np.uint8), frame])


def test_each_part_is_told_of_once_it_is_complete_and_before_the_next_begins(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    written_so_far = 0

    def on_part(path: Path) -> None:
        told.append((path.name, written_so_far, sum(1 for _ in read_rgb(path))))

    with SegmentWriter(tmp_path, chunk_of(12, head=3, tail=4), ENCODING, on_part) as writer:
        for frame25 in range(12):
            writer.write(picture_of(frame25))
            written_so_far += 1
        writer.finish()
    assert told == [("head.mkv", 3, 3), ("body.mp4", 8, 5), ("tail.mkv", 12, 4)]


def test_an_error_while_rendering_passes_through_the_writer(tmp_path: Path) -> None:
    def interrupted() -> None:
        with SegmentWriter(tmp_path, chunk_of(9, head=2), ENCODING) as writer:
            for frame25 in range(4):
                writer.write(picture_of(frame25))
            raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError, match="cancelled"):
        interrupted()
