"""What a stitch fetches of a job's segments, and how long it keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.media.measures import Measures
from engine.media.stitch import make_seams
from engine.media.video import Encoding
from engine.plan import Geometry, plan_chunks
from farm.storage import keys
from farm.storage.s3 import Storage
from tests.engine.media.lessons import picture_of, write_segments
from workers.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.spec import ChunkSpec
    from farm import Settings

PLAN = plan_chunks(200, chunk_seconds=1, geometry=Geometry())
JOB, ATTEMPT = "20260901-081500-seams0", "1-9f31c0aa"
ODD = 3
"""The chunk whose frames are unlike those of its neighbours."""


@pytest.fixture
def storage(settings: Settings) -> Iterator[Storage]:
    storage = Storage.from_settings(settings)
    storage.ensure_bucket()
    yield storage
    storage.close()


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
        facts = {"width": files.width, "height": files.height, "frame_hashes": files.hashes}
        storage.put_json(key("segment.json"), facts | {"measures": unmeasured(chunk)})


def test_a_head_is_fetched_only_where_the_sides_of_a_seam_differ(storage: Storage, tmp_path: Path) -> None:
    kept_in(storage, tmp_path / "made")
    segments = Segments(storage, JOB, PLAN.chunks, [ATTEMPT] * len(PLAN.chunks), tmp_path)
    fetched, most = {}, 0
    for accepted in segments.ends():
        chunk = accepted.segment.chunk
        fetched[chunk.index] = {path.name for path in (tmp_path / "ends" / str(chunk.index)).iterdir()}
        most = max(most, len([place for place in (tmp_path / "ends").iterdir() if (place / "tail.mkv").exists()]))
    last = len(PLAN.chunks) - 1
    assert last > ODD + 1
    assert {index for index, names in fetched.items() if "head.mkv" in names} == {ODD, ODD + 1}
    assert {index for index, names in fetched.items() if "tail.mkv" in names} == set(range(last))
    assert most <= 4, "three and the one that comes"


def test_all_seams_are_made_of_what_was_fetched_and_kept(storage: Storage, tmp_path: Path) -> None:
    kept_in(storage, tmp_path / "made")
    segments = Segments(storage, JOB, PLAN.chunks, [ATTEMPT] * len(PLAN.chunks), tmp_path)
    ends = (accepted.segment for accepted in segments.ends())
    seams = list(make_seams(ends, plan=PLAN, directory=tmp_path, encoding=Encoding()))
    differing = [cut for cut, seam in enumerate(seams) if seam.numbers.difference > 0]
    assert differing == [ODD - 1, ODD]
    assert [seam.numbers.frames25 for seam in seams] == list(PLAN.seams)
