"""The frames that two neighbouring chunks both rendered, made one: morphed and crossfaded where they disagree."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from threading import Lock
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from engine.errors import RenderError
from engine.media.align import Alignment, agreeing, brought_together, thresholds
from engine.media.video import Encoding, SegmentFiles, VideoSink, distance, frame_hash, read_rgb
from engine.plan import fade_weight

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from engine.renderer import Frame
    from engine.spec import ChunkSpec

NEARBY = 75
"""frames25 of each body, next to the seam, whose steps count as ordinary: three seconds."""
LEAST_STEP = 0.1
"""Levels; an ordinary step counts as no less, so that a still picture's seam is not measured against nothing."""
SEAM_VERSION = 1
"""Changes whenever the same sides would give other frames, packets or numbers: seams kept before are made anew."""
_opencv_lock = Lock()
_seams_in_hand: list[int] = []
"""OpenCV's number of threads before each seam that is being made now."""


@dataclass(frozen=True)
class Segment:
    """A finished chunk: where it lies in the job, and its files.

    seam: with the one before, where that was made already; then neither's ends need be there.
    """

    chunk: ChunkSpec
    files: SegmentFiles
    seam: Seam | None = None


@dataclass(frozen=True, kw_only=True)
class SeamNumbers:
    """What a seam was like, and what became of it. Levels are of 255, means over all pixels and channels.

    cut: its gen_frame. frames25: [start, stop). difference: mean absolute levels between the sides. brightness: levels
    by which the later side is brighter, for each channel, median over the seam. flow_mean, flow_p95: pixels by which
    the sides were moved together, mean and 95th percentile, largest of the frames. step: largest mean step from one
    frame to the next in the joined seam, to and from it included. ordinary: median step nearby. step_ratio: step over
    ordinary (over LEAST_STEP if that is more).
    """

    cut: int
    frames25: tuple[int, int]
    difference: float
    brightness: tuple[float, float, float]
    flow_mean: float
    flow_p95: float
    step: float
    ordinary: float
    step_ratio: float

    def to_dict(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SeamNumbers:
        return cls(**{**data, "frames25": tuple(data["frames25"]), "brightness": tuple(data["brightness"])})


@dataclass(frozen=True)
class Seam:
    """A made seam: its H.264 file, the hash of each of its frames, its numbers."""

    path: Path
    hashes: tuple[str, ...]
    numbers: SeamNumbers


@dataclass(frozen=True)
class Mixed:
    """A frame of a seam, and the two it was made of."""

    frame: Frame
    old: Frame
    new: Frame
    alignment: Alignment | None
    """None where the whole seam agrees."""
    hash: str = ""
    """Of `frame`, where it is known already."""


def encode_seam(before: Segment, after: Segment, out: Path, *, encoding: Encoding) -> Seam:
    """Make the frames between two segments of their lossless ends, and encode them to `out`.

    Raises RenderError for a side that does not hold the frames that its segment names.
    """
    size = before.files.width, before.files.height
    hashes, tally = [], Tally(before, after)
    with VideoSink(out, size, encoding.for_seam()) as sink, closing(crossfaded(before, after)) as frames:
        for mixed in frames:
            sink.write(mixed.frame)
            hashes.append(mixed.hash or frame_hash(mixed.frame))
            tally.add(mixed)
        sink.finish()
    return Seam(out, tuple(hashes), tally.numbers())


def shared(before: Sequence[str], after: Sequence[str], overlap: int) -> tuple[Sequence[str], Sequence[str]]:
    """Of two segments' frame hashes those of the frames that both rendered: as one ends, as the other begins."""
    return before[len(before) - overlap :], after[:overlap]


def crossfaded(before: Segment, after: Segment) -> Generator[Mixed]:
    """The seam's frames: where the sides agree, their very pixels; elsewhere `mix`."""
    overlap = after.chunk.head
    leaving, coming = shared(before.files.hashes, after.files.hashes, overlap)
    if leaving == coming:
        for frame, known in zip(_verified(before.files.tail, leaving), leaving, strict=True):
            yield Mixed(frame, frame, frame, None, known)
        return
    sides = zip(_verified(before.files.tail, leaving), _verified(after.files.head, coming), strict=True)
    with _opencv_in_one_thread():
        for position, (old, new) in enumerate(sides):
            yield mix(old, new, position, overlap)


@contextmanager
def _opencv_in_one_thread() -> Iterator[None]:
    """The flow was seen to differ, once in thousands of times, where OpenCV shared its search between threads.

    Its number of threads is the whole process's: the last of the seams that are made at once gives it back.
    """
    with _opencv_lock:
        _seams_in_hand.append(_seams_in_hand[0] if _seams_in_hand else cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _opencv_lock:
            before = _seams_in_hand.pop()
            if not _seams_in_hand:
                cv2.setNumThreads(before)


def mix(old: Frame, new: Frame, position: int, overlap: int) -> Mixed:
    """Frame `position` of `overlap` between two sides.

    Both are moved to where the picture then is, on its even way from one to the other, and faded by a raised cosine; an
    offset in colour goes evenly from one to the other as well. Sides that cannot be brought together are faded evenly,
    for then their difference is the step. Where they agree the very pixels stay.
    """
    alignment = Alignment.of(old, new)
    even = (position + 1) / (overlap + 1)
    weight = even + alignment.share * (fade_weight(position, overlap) - even)
    earlier, later = brought_together(old, new, alignment, even)
    # single steps of float32, so that every machine gets the same pixels
    later -= earlier
    later *= np.float32(weight)
    later += earlier
    later += alignment.offset * np.float32(even)
    later += thresholds(*old.shape[:2])
    np.clip(np.floor(later, out=later), 0, 255, out=later)
    frame = later.astype(np.uint8)
    same = agreeing(old, new)
    frame[same] = old[same]
    return Mixed(frame, old, new, alignment)


class Tally:
    """Gathers a seam's numbers while its frames go by."""

    def __init__(self, before: Segment, after: Segment) -> None:
        self._before = before
        self._after = after
        self._overlap = after.chunk.head
        self._last: Mixed | None = None
        self._differences: list[float] = []
        self._offsets: list[np.ndarray[Any, Any]] = []
        self._flows: list[tuple[float, float]] = []
        self._steps: list[float] = []

    def add(self, mixed: Mixed) -> None:
        last, self._last = self._last, mixed
        if last is None:
            self._steps.append(_border(self._before, -self._overlap, mixed.frame, mixed.old))
        else:
            self._steps.append(distance(last.frame, mixed.frame))
        if mixed.alignment is None:
            return
        lengths = mixed.alignment.lengths
        self._differences.append(distance(mixed.old, mixed.new))
        self._offsets.append(mixed.alignment.offset)
        self._flows.append((float(lengths.mean()), float(np.percentile(lengths, 95))))

    def numbers(self) -> SeamNumbers:
        if self._last is None:
            raise RenderError(f"the seam before chunk {self._after.chunk.index} has no frames")
        steps = [*self._steps, _border(self._after, self._overlap, self._last.frame, self._last.new)]
        leaving, coming = self._before.files.steps, self._after.files.steps
        around = (*leaving[-self._overlap - NEARBY :], *coming[: self._overlap + NEARBY])
        ordinary = float(np.median([step for step in around if step is not None]))
        start = self._after.chunk.out[0]
        red, green, blue = np.median(self._offsets, axis=0).tolist() if self._offsets else (0.0, 0.0, 0.0)
        return SeamNumbers(
            cut=self._after.chunk.kept[0],
            frames25=(start, start + self._overlap),
            difference=round(float(np.mean(self._differences or 0.0)), 3),
            brightness=(red, green, blue),
            flow_mean=round(max((mean for mean, _ in self._flows), default=0.0), 2),
            flow_p95=round(max((high for _, high in self._flows), default=0.0), 2),
            step=round(max(steps), 3),
            ordinary=round(ordinary, 3),
            step_ratio=round(max(steps) / max(ordinary, LEAST_STEP), 2),
        )


def _border(side: Segment, place: int, joined: Frame, own: Frame) -> float:
    """The step over a border of the seam, at most: the side's own there, and how far the seam is from that side.

    The body's frame beside the border is encoded already and is not looked at.
    """
    return (side.files.steps[place] or 0.0) + distance(joined, own)


def _verified(path: Path | None, hashes: Sequence[str]) -> Iterator[Frame]:
    """The frames of a lossless end, each compared with the hash taken when it was rendered."""
    if path is None:
        raise RenderError("a segment has no lossless end where the plan has a seam")
    count = 0
    for frame in read_rgb(path):
        if count == len(hashes) or frame_hash(frame) != hashes[count]:
            raise RenderError(f"{path.name} is damaged: its frame {count} is not the one that was rendered")
        yield frame
        count += 1
    if count != len(hashes):
        raise RenderError(f"{path.name} is damaged: it holds {count} frames, wanted {len(hashes)}")
