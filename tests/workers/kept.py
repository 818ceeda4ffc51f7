"""A job's segments in storage as slots leave them: all alike where they overlap, but for one chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.media.measures import Measures
from engine.plan import Geometry, plan_chunks
from farm.storage import keys
from tests.engine.media.lessons import picture_of, write_segments

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import ChunkSpec
    from farm.storage.s3 import Storage

PLAN = plan_chunks(200, chunk_seconds=1, geometry=Geometry())
JOB, ATTEMPT = "20260901-081500-seams0", "1-9f31c0aa"
ODD = 3
"""The chunk whose frames are unlike those of its neighbours."""
DIFFERING = (ODD, ODD + 1)
"""Chunks whose seam with the one before has differing sides."""


def drawn(chunk: int, frame25: int) -> NDArray[np.uint8]:
    frame = picture_of(frame25)
    return np.asarray(frame // 2, np.uint8) if chunk == ODD else frame


def unmeasured(chunk: ChunkSpec) -> dict[str, object]:
    series = {name: [0.0] * chunk.frames25 for name in ("luma", "brightest", "step", "face_step", "mouth")}
    return Measures.from_dict({"start": chunk.out[0], "faces": [], **series}).to_dict()


def kept_in(storage: Storage, folder: Path) -> None:
    """The job's segments in storage, as slots leave them."""
    for segment in write_segments(folder, PLAN, drawn):
        files, chunk = segment.files, segment.chunk

        def key(name: keys.SegmentFile, index: int = chunk.index) -> str:
            return keys.segment(JOB, index, ATTEMPT, name)

        storage.put_file(key("body.mp4"), files.body)
        if files.head:
            storage.put_file(key("head.mkv"), files.head)
        if files.tail:
            storage.put_file(key("tail.mkv"), files.tail)
        facts = {"width": files.width, "height": files.height, "frame_hashes": files.hashes, "steps": files.steps}
        storage.put_json(key("segment.json"), facts | {"measures": unmeasured(chunk)})
