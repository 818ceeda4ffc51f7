"""The frames that two neighbouring chunks both rendered, crossfaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.errors import RenderError
from engine.media.video import Encoding, SegmentFiles, VideoSink, frame_hash, read_rgb
from engine.plan import fade_weight

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.renderer import Frame


def encode_seam(before: SegmentFiles, after: SegmentFiles, out: Path, *, overlap: int, encoding: Encoding) -> list[str]:
    """Encode the `overlap` frames between two segments to `out`; gives their hashes.

    Raises RenderError for a side that does not hold the frames that its segment names.
    """
    hashes = []
    with VideoSink(out, (before.width, before.height), encoding.for_seam()) as sink:
        for frame in crossfaded(before, after, overlap):
            sink.write(frame)
            hashes.append(frame_hash(frame))
        sink.finish()
    return hashes


def crossfaded(before: SegmentFiles, after: SegmentFiles, overlap: int) -> Iterator[Frame]:
    """The seam's frames: where the sides agree, their very pixels; elsewhere a raised cosine from one to the other."""
    leaving = before.hashes[len(before.hashes) - overlap :]
    coming = after.hashes[:overlap]
    if leaving == coming:
        yield from _verified(before.tail, leaving)
        return
    sides = zip(_verified(before.tail, leaving), _verified(after.head, coming), strict=True)
    for position, (old, new) in enumerate(sides):
        yield blend(old, new, fade_weight(position, overlap))


def blend(old: Frame, new: Frame, weight: float) -> Frame:
    """`new` at `weight` over `old`, rounded to nearest; equal pixels stay as they are."""
    # single steps of float32, so that every machine gets the same pixels
    step = new.astype(np.float32) - old
    step *= np.float32(weight)
    step += old
    blended: Frame = np.rint(step, out=step).astype(np.uint8)
    return blended


def _verified(path: Path | None, hashes: tuple[str, ...]) -> Iterator[Frame]:
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
