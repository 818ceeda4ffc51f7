"""Segments to one video: bodies copied packet by packet, seams crossfaded and encoded, the speech laid beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from engine.errors import RenderError
from engine.media.mux import PacketMuxer
from engine.media.seam import encode_seam

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from engine.media.video import Encoding, SegmentFiles
    from engine.plan import Plan
    from engine.spec import ChunkSpec


@dataclass(frozen=True)
class Segment:
    """A finished chunk: where it lies in the job, and its files."""

    chunk: ChunkSpec
    files: SegmentFiles


def stitch(
    segments: Iterable[Segment],
    *,
    plan: Plan,
    speech: Path,
    out: Path,
    encoding: Encoding,
    metadata: Mapping[str, str] | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> tuple[str, ...]:
    """Join a job's segments and its speech.m4a into the mp4 `out`; gives the hash of each of its frames.

    Segments are taken one at a time, in the plan's order; while one is asked for, only the one before is still needed.
    Raises RenderError for a segment that is missing, damaged, not of this plan or not of one size and encoding.
    """
    hashes: list[str] = []
    before: Segment | None = None
    with PacketMuxer(out, speech, metadata or {}) as muxer, TemporaryDirectory(dir=out.parent) as scratch:
        for segment in _in_order(segments, plan):
            if before is not None:
                seam, overlap = Path(scratch) / "seam.mp4", segment.chunk.head
                hashes += encode_seam(before.files, segment.files, seam, overlap=overlap, encoding=encoding)
                muxer.append(seam, overlap)
            start, stop = segment.chunk.body
            muxer.append(segment.files.body, stop - start)
            hashes += segment.files.hashes[segment.chunk.head : segment.chunk.frames25 - segment.chunk.tail]
            on_progress(muxer.frames / plan.frames25)
            before = segment
        muxer.finish()
    return tuple(hashes)


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
