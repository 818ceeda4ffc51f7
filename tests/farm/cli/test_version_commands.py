"""Redo, versions, rollback and compare on the command line, against real books and storage."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sealed import provenance, write_video

from engine.media.reader import read_rgb
from farm import Farm
from farm.storage import keys
from tests.farm.hands import Hand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Answer

    from farm import Job, Settings

    Cli = Callable[..., Answer]


@pytest.fixture
def hand(settings: Settings) -> Iterator[Hand]:
    with Farm(settings) as farm, closing(farm.storage):
        farm.storage.ensure_bucket()
        yield Hand(farm)


def test_a_redo_says_what_it_renders_and_the_job_goes_on(cli: Cli, hand: Hand) -> None:
    job = hand.done(3)
    answer = cli("job", "redo", job.id, "--at", "0:06", "--seed", "77")
    assert answer.out == f"Job {job.id} renders again: chunk 2 with seed 77 (at 00:06.0).\n"
    assert "2 done, 1 waiting" in cli("job", "show", job.id).out
    assert cli("job", "events", job.id, "--json").json[-2]["detail"] == "chunk 2 with seed 77 (at 00:06.0)"


def test_a_redo_in_a_seam_names_both_chunks(cli: Cli, hand: Hand) -> None:
    job = hand.done(3)
    answer = cli("job", "redo", job.id, "--at", "4", "--seed", "7")
    assert "chunks 1 and 2 with seed 7 (at 00:04.0, beside a cut)" in answer.out


def test_a_redo_as_json_is_the_job_with_what_is_drawn_anew(cli: Cli, hand: Hand) -> None:
    job = hand.done(3)
    found = cli("job", "redo", job.id, "--chunk", "1", "--chunk", "3", "--json").json
    assert (found["state"], found["current"], found["versions"]) == ("queued", 1, [1])
    assert [(one["chunk"], one["number"], one["who"]) for one in found["redos"]] == [(0, 1, "tests"), (2, 1, "tests")]


def test_waiting_for_a_redo_that_is_cancelled_exits_with_3(cli: Cli, hand: Hand) -> None:
    job = hand.done(1)
    job.redo(chunks=[0])
    job.cancel()
    assert cli("job", "wait", job.id).code == 3
    answer = cli("job", "redo", job.id, "--chunk", "1", "--wait", "--json")
    assert (answer.code, answer.error["code"]) == (2, "not_allowed")
    assert f"`farm job rollback {job.id} 1` gives it up" in answer.error["message"]


def test_a_place_that_is_not_in_the_video_exits_with_2_and_every_problem(cli: Cli, hand: Hand) -> None:
    job = hand.done(2)
    answer = cli("job", "redo", job.id, "--at", "1:00:00", "--at", "noon", "--chunk", "9", "--json")
    assert (answer.code, answer.error["code"]) == (2, "input_refused")
    assert answer.error["problems"] == [
        "there is nothing at 1:00:00.0: the video ends at 00:08.0",
        "'noon' is no place in a video, wanted h:mm:ss, mm:ss or seconds",
        "there is no chunk 9, the job has 2",
    ]
    assert cli("job", "redo", job.id).code == 2
    same = cli("job", "redo", job.id, "--chunk", "1", "--seed", "0")
    assert (same.code, same.out) == (2, "")
    assert "chunk 1 is drawn with seed 0 already" in same.err


def test_versions_are_listed_with_what_made_them_and_which_counts(cli: Cli, hand: Hand) -> None:
    assert "No version yet" in cli("job", "versions", hand.planned(1).id).err
    job = hand.done(2)
    cli("job", "redo", job.id, "--at", "0:06", "--seed", "77")
    hand.render(job, 1)
    finding = {"start": 150, "stop": 160, "timecode": "00:06.0", "sentence": "the mouth does not move"}
    hand.stitch(job, finding)
    lines = cli("job", "versions", job.id).out.splitlines()
    assert lines[2].split()[0] == "1"
    assert " first " in lines[2]
    assert lines[3].startswith("2, current")
    assert "chunk 2 with seed 77 (at 00:06.0), by tests" in lines[3]
    assert "00:06.0 the mouth does not move" in lines[3]
    assert "Look at 00:06.0: the mouth does not move" in cli("job", "show", job.id).out
    found = cli("job", "versions", job.id, "--json").json
    assert [(one["number"], one["current"], one["digest"]) for one in found] == [
        (1, False, "d1ge57-1"),
        (2, True, "d1ge57-2"),
    ]
    assert found[1]["redos"][0]["redraw"]["seed"] == 77


def test_a_version_is_fetched_and_rolled_back_to_by_its_number(cli: Cli, hand: Hand, tmp_path: Path) -> None:
    job = hand.done(1)
    job.redo(chunks=[0])
    hand.render(job, 0)
    hand.stitch(job)
    assert cli("job", "fetch", job.id, "--version", "1", "--output", tmp_path / "old.mp4").code == 0
    assert (tmp_path / "old.mp4").read_bytes() == b"lesson 1"
    assert "version 1 is the current one" in cli("job", "rollback", job.id, "1").out
    assert "results/1/video.mp4 (version 1)" in cli("job", "show", job.id).out
    answer = cli("job", "rollback", job.id, "9", "--json")
    assert (answer.code, answer.error["message"]) == (2, f"job {job.id} has no version 9, it has 1, 2")
    assert cli("job", "rollback", job.id, "2", "--json").json["current"] == 2


def test_what_cannot_be_compared_says_why(cli: Cli, hand: Hand, tmp_path: Path) -> None:
    job, out = hand.done(1), tmp_path / "c.mp4"
    answer = cli("job", "compare", job.id, "--output", out)
    assert answer.code == 2
    assert "has one version: there is nothing to compare; `farm job redo` makes another" in answer.err
    job.redo(chunks=[0])
    hand.render(job, 0)
    hand.stitch(job)
    assert "has no version 7, it has 1, 2" in cli("job", "compare", job.id, "1", "7", "--output", out).err
    assert "the video ends at 00:04.0" in cli("job", "compare", job.id, "--at", "9", "--output", out).err
    assert not out.exists()


@pytest.fixture
def unlike(hand: Hand, tmp_path: Path) -> Job:
    """A job whose versions are videos of two sizes, as after an update of its renderer."""
    job = hand.done(1)
    job.redo(chunks=[0])
    hand.render(job, 0)
    hand.stitch(job)
    for version, side in ((1, 64), (2, 96)):
        video = write_video(tmp_path / f"{version}.mp4", metadata={}, frames=100, side=side)
        hand.storage.put_file(keys.result(job.id, version, "video.mp4"), video, content_type="video/mp4")
        said = provenance(job=job.id, result=version).to_dict()
        hand.storage.put_json(keys.result(job.id, version, "provenance.json"), said)
    return job


def test_versions_of_two_sizes_are_compared_at_one_height(cli: Cli, unlike: Job, tmp_path: Path) -> None:
    out = tmp_path / "c.mp4"
    answer = cli("job", "compare", unlike.id, "--at", "1", "--output", out, "--json")
    assert (answer.code, answer.json) == (0, {"job": unlike.id, "output": str(out)})
    assert {frame.shape[1] for frame in read_rgb(out)} == {2 * 96}
    answer = cli("verify", out)
    assert answer.code == 0, "a comparison carries its provenance as each video does"
    assert f"{unlike.id}, version 1 beside version 2" in answer.out


def test_a_damaged_version_is_named_and_nothing_is_written(cli: Cli, hand: Hand, unlike: Job, tmp_path: Path) -> None:
    key, out = keys.result(unlike.id, 2, "video.mp4"), tmp_path / "c.mp4"
    whole = hand.storage.get_bytes(key)
    for damaged, said in ((b"no video", "version 2.mp4 cannot be read"), (whole[: len(whole) // 2], "version 2.mp4 ")):
        hand.storage.put_bytes(key, damaged)
        answer = cli("job", "compare", unlike.id, "--output", out, "--json")
        assert (answer.code, answer.error["code"]) == (4, "render_failed")
        assert answer.error["message"].startswith(said)
        assert not out.exists()
