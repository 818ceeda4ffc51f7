"""Pictures in and out of files: the final H.264, the lossless ends of a segment, and a segment's writer."""

from __future__ import annotations

import hashlib
import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, cast

import av
import cv2
import numpy as np
from av.codec.codec import UnknownCodecError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

from engine.errors import RenderError
from engine.media.reader import read_rgb
from engine.spec import FRAME_RATE, ChunkSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from engine.renderer import Frame

__all__ = [
    "FRAME_TIME",
    "CardEncoding",
    "Encoding",
    "SegmentFiles",
    "SegmentWriter",
    "VideoSink",
    "digest_of",
    "distance",
    "encoding_of_one",
    "frame_hash",
    "read_rgb",
    "size_of",
]

log = logging.getLogger(__name__)

FRAME_TIME = Fraction(1, FRAME_RATE)
KEY_FRAME_EVERY = 250
"""frames25 between key frames at most: ten seconds."""
_PRESETS = {"draft": (26, "veryfast"), "standard": (18, "veryfast"), "master": (12, "medium")}
"""crf and preset of each quality; what they cost and give was measured (docs/output.md#quality)."""
# AREA averages each two by two pixels for their one chroma sample; the rest asks for exact rounding
_TO_YUV = int(Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP)


@dataclass(frozen=True)
class Encoding:
    """How frames become H.264. The same values give the same bytes on any machine, so segments join as packets.

    crf: x264's constant quality, lower is better. preset: x264's trade of speed for size.
    """

    codec: ClassVar[str] = "libx264"
    crf: int = 18
    preset: str = "veryfast"

    @classmethod
    def of(cls, quality: str) -> Encoding:
        """That of one of the QUALITIES (docs/output.md#quality); every part of a job has the same."""
        return cls(*_PRESETS[quality])

    @property
    def options(self) -> dict[str, str]:
        """One thread, for the bytes depend on their number; no B-frames, so that a packet's place is its frame's.

        x264's stitchable keeps its headers the same whatever the content and the crf. With keyint_min 1 each frame that
        looks back to none is one where decoding can begin: copied packets would be listed as that in any case.
        """
        return {
            "crf": str(self.crf),
            "preset": self.preset,
            "threads": "1",
            "bf": "0",
            "g": str(KEY_FRAME_EVERY),
            "keyint_min": "1",
            "flags": "+cgop",
            "x264-params": "stitchable=1",
        }

    def for_seam(self) -> Encoding:
        """The same, one crf finer: x264 saves on frames that few later ones look back to, and a seam has only such."""
        return replace(self, crf=self.crf - 1) if self.crf > 1 else self  # crf 0 is another profile


@dataclass(frozen=True)
class CardEncoding:
    """H.264 by an NVIDIA card's own encoder: headers and bytes are those of the card and its driver.

    For a video that is encoded in one place and joined with nothing. cq: NVENC's constant quality, lower is better.
    """

    codec: ClassVar[str] = "h264_nvenc"
    cq: int = 21

    @property
    def options(self) -> dict[str, str]:
        """No B-frames, as with x264; b 0 lets the quality alone decide the size."""
        return {
            "preset": "p4",
            "rc": "vbr",
            "cq": str(self.cq),
            "b": "0",
            "bf": "0",
            "g": str(KEY_FRAME_EVERY),
        }


_ON_A_CARD = CardEncoding()


@dataclass(frozen=True)
class SegmentFiles:
    """A chunk's rendered video: `body` in the final encoding, the ends shared with neighbours lossless.

    hashes: one for each frame of the chunk's `out`, head and tail included. steps: by which each differs from the one
    before, mean levels of all RGB values; the first is None.
    """

    body: Path
    head: Path | None
    tail: Path | None
    width: int
    height: int
    hashes: tuple[str, ...]
    steps: tuple[float | None, ...]


def frame_hash(frame: Frame) -> str:
    """SHA-256, in hex, over a frame's height, width and 8-bit RGB bytes."""
    height, width = frame.shape[:2]
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()


def distance(one: Frame, other: Frame) -> float:
    """Mean absolute difference of all RGB values, in levels."""
    return float(cv2.norm(one, other, cv2.NORM_L1)) / one.size


def digest_of(hashes: Iterable[str]) -> str:
    """SHA-256, in hex, over frame hashes in order: one word for a whole video."""
    digest = hashlib.sha256()
    for each in hashes:
        digest.update(each.encode())
    return digest.hexdigest()


def size_of(frame: Frame, *, like: tuple[int, int] | None, where: str) -> tuple[int, int]:
    """Width and height of a frame; like: of the ones before it, None for the first. where: which it is.

    Raises RenderError for what is no 8-bit RGB picture of even sides, or of another size than the ones before.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise RenderError(f"{where} is {frame.dtype} {frame.shape}, wanted uint8 (height, width, 3)")
    width, height = frame.shape[1], frame.shape[0]
    if width % 2 or height % 2:
        raise RenderError(f"{where} is {width}x{height} pixels, wanted even sides: H.264 halves the colour")
    if like is not None and (width, height) != like:
        raise RenderError(f"{where} is {width}x{height} pixels, the ones before {like[0]}x{like[1]}")
    return width, height


class VideoSink(AbstractContextManager["VideoSink"]):
    """Writes frames to a video file of its own: `encoding` for H.264 in mp4, None for lossless RGB in Matroska."""

    def __init__(self, path: Path, size: tuple[int, int], encoding: Encoding | CardEncoding | None) -> None:
        self.frames = 0
        self._lossy = encoding is not None
        self._file = av.open(str(path), "w", format="mp4" if encoding else "matroska")
        # H.264 in RGB at quantiser 0 is four times as quick as FFV1 both ways and half its size
        lossless = "libx264rgb", {"qp": "0", "preset": "ultrafast", "threads": "1"}
        codec, options = (encoding.codec, encoding.options) if encoding else lossless
        self._stream = cast("VideoStream", self._file.add_stream(codec, rate=FRAME_RATE, options=options))
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p" if encoding else "rgb24"
        self._stream.time_base = FRAME_TIME
        if encoding:
            context = self._stream.codec_context
            context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
            context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, frame: Frame) -> None:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if self._lossy:
            picture = _to_bt709(picture)
        picture.pts, picture.time_base = self.frames, FRAME_TIME
        self.frames += 1
        self._file.mux(self._stream.encode(picture))

    def finish(self) -> None:
        """Write what the encoder still holds, and the file's index."""
        self._file.mux(self._stream.encode(None))
        self._file.close()


def encoding_of_one(
    size: tuple[int, int], scratch: Path, *, card: CardEncoding = _ON_A_CARD
) -> Encoding | CardEncoding:
    """How to encode a video of this width and height that is joined with nothing: by the card's encoder where it works.

    Whether it does shows when it encodes a picture that can be read back: a card may have no encoder, none that is free
    or none for so large a picture, and PyAV may be built without it. scratch: a folder for that picture.
    """
    grey, trial = np.full((size[1], size[0], 3), 128, np.uint8), scratch / "trial.mp4"
    try:
        with VideoSink(trial, size, card) as sink:
            sink.write(grey)
            sink.finish()
        seen = list(read_rgb(trial))
    except (av.FFmpegError, UnknownCodecError, RenderError) as error:
        log.debug("%s is not used: %s", card.codec, error)
        return Encoding()
    finally:
        trial.unlink(missing_ok=True)
    right = len(seen) == 1 and seen[0].shape == grey.shape and abs(float(seen[0].mean()) - 128) < 2
    return card if right else Encoding()


class SegmentWriter(AbstractContextManager["SegmentWriter"]):
    """Takes a chunk's frames in order and splits them into head, body and tail.

    on_part: called with each file once it is complete. Raises RenderError for a frame that is no 8-bit RGB picture of
    even, constant size, and for a wrong number of them.
    """

    def __init__(
        self, directory: Path, chunk: ChunkSpec, encoding: Encoding, on_part: Callable[[Path], None] = lambda _: None
    ) -> None:
        self._directory = directory
        self._chunk = chunk
        self._encoding = encoding
        self._size: tuple[int, int] | None = None
        self._on_part = on_part
        self._in_hand: tuple[Path, VideoSink] | None = None
        self._hashes: list[str] = []
        self._steps: list[float | None] = []
        self._before: Frame | None = None

    def __exit__(self, *_: object) -> None:
        if self._in_hand is not None:
            self._in_hand[1].__exit__()

    def write(self, frame: Frame) -> None:
        """Take the next frame of the chunk's `out`; its array is to stay as it is until the one behind it was taken."""
        if len(self._hashes) == self._chunk.frames25:
            raise RenderError(f"{self._name} rendered more than its {self._chunk.frames25} frames")
        where = f"frame {self._chunk.out[0] + len(self._hashes)} of {self._name}"
        self._size = size_of(frame, like=self._size, where=where)
        self._sink(self._size).write(frame)
        self._hashes.append(frame_hash(frame))
        self._steps.append(None if self._before is None else round(distance(frame, self._before), 3))
        self._before = frame

    def finish(self) -> SegmentFiles:
        """Complete the files; to be called once, after the last frame."""
        if len(self._hashes) != self._chunk.frames25 or self._size is None:
            raise RenderError(f"{self._name} rendered {len(self._hashes)} frames, wanted {self._chunk.frames25}")
        self._complete()
        return SegmentFiles(
            body=self._path("body"),
            head=self._path("head") if self._chunk.head else None,
            tail=self._path("tail") if self._chunk.tail else None,
            width=self._size[0],
            height=self._size[1],
            hashes=tuple(self._hashes),
            steps=tuple(self._steps),
        )

    @property
    def _name(self) -> str:
        return f"chunk {self._chunk.index}"

    def _part(self) -> str:
        position = len(self._hashes)
        if position < self._chunk.head:
            return "head"
        return "body" if position < self._chunk.frames25 - self._chunk.tail else "tail"

    def _path(self, part: str) -> Path:
        return self._directory / ("body.mp4" if part == "body" else f"{part}.mkv")

    def _sink(self, size: tuple[int, int]) -> VideoSink:
        """What the next frame is written to."""
        part = self._part()
        path = self._path(part)
        if self._in_hand is None or self._in_hand[0] != path:
            self._complete()
            self._in_hand = path, VideoSink(path, size, self._encoding if part == "body" else None)
        return self._in_hand[1]

    def _complete(self) -> None:
        if self._in_hand is not None:
            path, sink = self._in_hand
            sink.finish()
            self._in_hand = None
            self._on_part(path)


def _to_bt709(picture: VideoFrame) -> VideoFrame:
    return picture.reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        interpolation=_TO_YUV,
        threads=1,
    )
