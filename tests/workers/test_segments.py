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
from workers.seams import SeamName, keep_seam, kept_seam
from workers.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.media.seam import Seam
    from engine.spec import ChunkSpec
    from farm import Settings

PLAN = plan_chunks(200, chunk_seconds=1, geometry=Geometry())
JOB, ATTEMPT = "20260901-081500-seams0", "1-9f31c0aa"
ODD = 3
"""The chunk whose frames are unlike those of its neighbours."""
DIFFERING = (ODD, ODD + 1)
"""Chunks whose seam with the one before has differing sides."""


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


def seams_of(storage: Storage, folder: Path) -> list[Seam]:
    """What a stitch makes of the segments in storage, or takes."""
    segments = Segments(storage, JOB, PLAN.chunks, [ATTEMPT] * len(PLAN.chunks), folder)
    ends = (accepted.segment for accepted in segments.ends())
    return list(make_seams(ends, plan=PLAN, directory=folder, encoding=Encoding()))


@pytest.fixture
def made(storage: Storage, tmp_path: Path) -> list[Seam]:
    """The seams of the segments, made once before and kept where their sides differ."""
    kept_in(storage, tmp_path / "made")
    (tmp_path / "before").mkdir()
    seams = seams_of(storage, tmp_path / "before")
    for chunk in DIFFERING:
        keep_seam(storage, SeamName(JOB, chunk, ATTEMPT, ATTEMPT), seams[chunk - 1])
    return seams


def same(one: Seam, other: Seam) -> bool:
    return (one.hashes, one.numbers, one.path.read_bytes()) == (other.hashes, other.numbers, other.path.read_bytes())


def test_a_seam_that_was_kept_is_taken_and_nothing_that_it_was_made_of_is_fetched(
    storage: Storage, made: list[Seam], tmp_path: Path
) -> None:
    for segment, end in ((ODD - 1, "tail"), (ODD, "head"), (ODD, "tail"), (ODD + 1, "head")):
        storage.delete(keys.segment(JOB, segment, ATTEMPT, "head.mkv" if end == "head" else "tail.mkv"))
    seams = seams_of(storage, tmp_path)
    assert all(same(*pair) for pair in zip(seams, made, strict=True))


def test_a_kept_seam_that_is_not_whole_is_made_anew(
    storage: Storage, made: list[Seam], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = storage.get_json(keys.seam(JOB, ODD, ATTEMPT, ATTEMPT, "json"))
    spoiled = made[ODD].path.read_bytes()
    storage.put_bytes(keys.seam(JOB, ODD, ATTEMPT, ATTEMPT, "mp4"), spoiled, content_type="video/mp4")
    storage.put_json(keys.seam(JOB, ODD + 1, ATTEMPT, ATTEMPT, "json"), {"sha256": whole["sha256"]})
    seams = seams_of(storage, tmp_path)
    assert all(same(*pair) for pair in zip(seams, made, strict=True))
    assert [record.getMessage().partition(" is no use")[0] for record in caplog.records] == [
        f"the kept seam before chunk {chunk + 1}" for chunk in DIFFERING
    ]


def test_a_seam_of_another_attempt_is_not_taken(storage: Storage, made: list[Seam], tmp_path: Path) -> None:
    name = SeamName(JOB, ODD, ATTEMPT, "2-9f31c0aa")
    assert kept_seam(storage, name, tmp_path / "seam.mp4") is None
    keep_seam(storage, name, made[ODD - 1])
    taken = kept_seam(storage, name, tmp_path / "seam.mp4")
    assert taken is not None
    assert same(taken, made[ODD - 1])


def test_all_seams_are_made_of_what_was_fetched_and_kept(storage: Storage, tmp_path: Path) -> None:
    kept_in(storage, tmp_path / "made")
    seams = seams_of(storage, tmp_path)
    differing = [cut for cut, seam in enumerate(seams) if seam.numbers.difference > 0]
    assert differing == [ODD - 1, ODD]
    assert [seam.numbers.frames25 for seam in seams] == list(PLAN.seams)
