"""What a stitch fetches of a job's segments, and how long it keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.media.stitch import make_seams
from engine.media.video import Encoding
from farm.storage import keys
from farm.storage.s3 import Storage
from tests.workers.kept import ATTEMPT, DIFFERING, JOB, ODD, PLAN, kept_in
from workers.seams import SeamName, keep_seam, kept_seam
from workers.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.media.seam import Seam
    from farm import Settings


@pytest.fixture
def storage(settings: Settings) -> Iterator[Storage]:
    storage = Storage.from_settings(settings)
    storage.ensure_bucket()
    yield storage
    storage.close()


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
        keep_seam(storage, SeamName(JOB, PLAN.chunks[chunk], ATTEMPT, ATTEMPT), seams[chunk - 1])
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


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        pytest.param({"sha256": "0" * 64}, "its file's SHA-256 is ", id="another file"),
        pytest.param({"version": 0}, "its version is 0, wanted 1", id="made by another version"),
        pytest.param({"frame_hashes": ["a"]}, "its number of hashes is 1, wanted 16", id="a frame too few"),
        pytest.param({"numbers": None}, "TypeError", id="no numbers"),
    ],
)
def test_a_kept_seam_that_is_not_whole_is_made_anew(
    storage: Storage,
    made: list[Seam],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoiled: dict[str, object],
    said: str,
) -> None:
    key = keys.seam(JOB, ODD, ATTEMPT, ATTEMPT, "json")
    storage.put_json(key, storage.get_json(key) | spoiled)
    seams = seams_of(storage, tmp_path)
    assert all(same(*pair) for pair in zip(seams, made, strict=True))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"the kept seam before chunk {ODD + 1} is no use, it is made anew: {said}")


def test_a_kept_seam_of_another_version_is_not_even_fetched(storage: Storage, made: list[Seam], tmp_path: Path) -> None:
    name, path = SeamName(JOB, PLAN.chunks[ODD], ATTEMPT, ATTEMPT), tmp_path / "seam.mp4"
    assert kept_seam(storage, name, path) is not None
    path.unlink()
    storage.put_json(name.key("json"), storage.get_json(name.key("json")) | {"version": 0})
    assert kept_seam(storage, name, path) is None
    assert not path.exists()


def test_a_kept_seam_of_other_frames_is_made_anew(storage: Storage, made: list[Seam], tmp_path: Path) -> None:
    keep_seam(storage, SeamName(JOB, PLAN.chunks[ODD], ATTEMPT, ATTEMPT), made[ODD])
    seams = seams_of(storage, tmp_path)
    assert all(same(*pair) for pair in zip(seams, made, strict=True))


def test_a_seam_of_another_attempt_is_not_taken(storage: Storage, made: list[Seam], tmp_path: Path) -> None:
    name = SeamName(JOB, PLAN.chunks[ODD], ATTEMPT, "2-9f31c0aa")
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
