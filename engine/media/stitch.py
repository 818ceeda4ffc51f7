"""Segments to one video: seams made first, from the segments' ends; then bodies and seams joined, packet by packet."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from engine.errors import RenderError
from engine.media.seam import Seam, Segment, encode_seam

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from engine.media.mux import PacketMuxer
    from engine.media.video import Encoding
    from engine.plan import Plan

__all__ = ["Segment", "join", "make_seams"]

_SEAMS_AT_ONCE = 2


def make_seams(segments: Iterable[Segment], *, plan: Plan, directory: Path, encoding: Encoding) -> Iterator[Seam]:
    """Make every seam of a job, in order, as a small file in `directory`; of the segments only head and tail are read.

    A seam that a segment brings along is taken as it is. Segments are taken one at a time, in the plan's order; while
    one is asked for, the two before are still needed. Raises RenderError for a segment that is missing, damaged, not of
    this plan or not of one size.
    """
    before: Segment | None = None
    making: deque[Future[Seam]] = deque()
    with ThreadPoolExecutor(_SEAMS_AT_ONCE, "seams") as pool:
        for segment in _in_order(segments, plan):
            if before is not None:
                making.append(pool.submit(_seam, before, segment, directory, encoding))
            if len(making) == _SEAMS_AT_ONCE:
                yield making.popleft().result()
            before = segment
        yield from (seam.result() for seam in making)


def _seam(before: Segment, after: Segment, directory: Path, encoding: Encoding) -> Seam:
    return after.seam or encode_seam(before, after, directory / f"seam-{after.chunk.index}.mp4", encoding=encoding)


def join(
    segments: Iterable[Segment],
    seams: Sequence[Seam],
    *,
    plan: Plan,
    muxer: PacketMuxer,
    on_progress: Callable[[float], None] = lambda _: None,
) -> tuple[str, ...]:
    """Write a job's bodies and made seams to `muxer`, and finish it; gives the hash of each of the job's frames.

    Segments are taken one at a time, in the plan's order; of each only the body is read, and only until the next one is
    asked for. Raises RenderError for parts that are missing, damaged, not of this plan or not of one encoding.
    """
    if len(seams) != len(plan.chunks) - 1:
        raise RenderError(f"{len(seams)} seams were made, the plan has {len(plan.chunks) - 1}")
    hashes: list[str] = []
    for segment, seam in zip(_in_order(segments, plan), (None, *seams), strict=True):
        if seam is not None:
            _append_seam(muxer, seam, segment)
            hashes += seam.hashes
        start, stop = segment.chunk.body
        muxer.append(segment.files.body, stop - start)
        hashes += segment.files.hashes[segment.chunk.head : segment.chunk.frames25 - segment.chunk.tail]
        on_progress(muxer.frames / plan.frames25)
    muxer.finish()
    return tuple(hashes)


def _append_seam(muxer: PacketMuxer, seam: Seam, segment: Segment) -> None:
    start = segment.chunk.out[0]
    wanted = start, start + segment.chunk.head
    if seam.numbers.frames25 != wanted:
        raise RenderError(
            f"the seam given before chunk {segment.chunk.index} has frames {seam.numbers.frames25}, wanted {wanted}"
        )
    muxer.append(seam.path, segment.chunk.head)


def _in_order(segments: Iterable[Segment], plan: Plan) -> Iterator[Segment]:
    given = iter(segments)
    size: tuple[int, int] | None = None
    for chunk in plan.chunks:
        segment = next(given, None)
        if segment is None:
            raise RenderError(f"the segment of chunk {chunk.index} is missing: the plan has {len(plan.chunks)} chunks")
        if segment.chunk != chunk:
            raise RenderError(f"the segment given for chunk {chunk.index} is {segment.chunk}, the plan's is {chunk}")
        if len(segment.files.hashes) != chunk.frames25:
            raise RenderError(
                f"the segment of chunk {chunk.index} names {len(segment.files.hashes)} hashes, wanted {chunk.frames25}"
            )
        if size is None:
            size = segment.files.width, segment.files.height
        if (found := (segment.files.width, segment.files.height)) != size:
            raise RenderError(
                f"the segment of chunk {chunk.index} is {found[0]}x{found[1]} pixels, the first {size[0]}x{size[1]}"
            )
        yield segment
