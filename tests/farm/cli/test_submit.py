"""`farm submit`: refusals before anything is queued, and one lesson from submit to the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Answer, Hand

    from farm import Farm

    Cli = Callable[..., Answer]

SAMPLES = Path(__file__).parents[3] / "samples"
LESSON = (SAMPLES / "portrait.png", SAMPLES / "lesson.opus")


def test_every_problem_is_told_at_once_in_plain_sentences_and_nothing_is_queued(cli: Cli) -> None:
    wrong = ("--steps", "300", "--framing", "round", "--priority", "12", "--duration", "7")
    answer = cli("submit", *LESSON, *wrong)
    assert (answer.code, answer.out) == (2, "")
    for words in ("steps is 300", "framing is 'round'", "priority is 12", "duration is 7 s"):
        assert words in answer.err
    problems = cli("submit", *LESSON, *wrong, "--json").error["problems"]
    assert len(problems) == 4
    assert cli("job", "list", "--json").json == []


def test_an_address_that_is_no_file_is_named_as_it_was_given_with_what_is_wanted(cli: Cli) -> None:
    answer = cli("submit", LESSON[0], "https://example.com/y.wav", "--dry-run", "--json")
    said = "speech https://example.com/y.wav is an address, wanted a file or s3://bucket/key"
    assert (answer.code, answer.error["problems"]) == (2, [said])


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_queued(cli: Cli, tmp_path: Path) -> None:
    answer = cli("submit", *LESSON, "--output", tmp_path / "nowhere" / "lesson.mp4")
    assert answer.code == 2
    assert str(tmp_path / "nowhere") in answer.err
    assert cli("job", "list", "--json").json == []


def test_a_job_to_edit_must_be_one_that_was_planned(cli: Cli) -> None:
    for named in ("20260101-000000-aaaaaa", "../../etc"):
        answer = cli("submit", *LESSON, "--edit-of", named, "--steps", "300")
        assert (answer.code, answer.out) == (2, "")
        assert named in answer.err
        assert "steps is 300" in answer.err


def test_a_job_that_no_slot_can_render_is_queued_with_a_warning(cli: Cli) -> None:
    answer = cli("submit", *LESSON, "--renderer", "sonic", "--name", "Algebra 03")
    assert answer.code == 0
    assert "Warning: no slot" in answer.err
    assert answer.out.split()[1] == cli("job", "list", "--json").json[0]["id"]


def test_a_job_whose_frames_no_slot_has_memory_for_is_queued_with_a_warning(cli: Cli, hand: Hand) -> None:
    hand.slot("gpu0", most_pixels=512 * 512)
    answer = cli("submit", *LESSON, "--size", "1080p")
    assert answer.code == 0
    assert "Warning: no slot has memory for frames of 1,048,576 pixels: " in answer.err


def test_a_dry_run_refuses_what_a_submit_would_refuse(cli: Cli) -> None:
    labels = ("--name", "a\nb", "--owner", "", "--token", "x" * 201, "--consent", "a\tb")
    wrong = (*LESSON, *labels, "--webhook", "ftp://example.com/done", "--json")
    refused, dry = cli("submit", *wrong), cli("submit", *wrong, "--dry-run")
    assert len(refused.error["problems"]) == 5
    assert (dry.code, dry.out, dry.error) == (2, "", refused.error)


def test_chunks_too_short_for_the_motion_filter_are_refused_before_anything_is_queued(cli: Cli) -> None:
    assert cli("submit", *LESSON, "--chunk-seconds", "0.8", "--smoothing", "0").code == 0
    answer = cli("submit", *LESSON, "--chunk-seconds", "0.8", "--smoothing", "0.3", "--json")
    said = "chunk_seconds is 0.8, wanted 1.04 or more for this renderer and smoothing"
    assert (answer.code, answer.error["problems"]) == (2, [said])


@pytest.mark.parametrize("owners", [("ada", "ada"), ("ada", "bob")])
def test_the_same_submit_is_one_job_but_for_another_owner(cli: Cli, owners: tuple[str, str]) -> None:
    found = [cli("submit", *LESSON, "--owner", owner, "--json").json for owner in owners]
    same = owners[0] == owners[1]
    assert [job["created"] for job in found] == [True, not same]
    assert (found[0]["id"] == found[1]["id"]) is same
    assert [job["owner"] for job in found] == list(owners)


def test_a_lesson_goes_from_submit_to_the_file(cli: Cli, run_farm: Callable[..., Farm], tmp_path: Path) -> None:
    run_farm(renderers=("stripes=tests.renderers:Stripes",))
    lesson = (*LESSON, "--renderer", "stripes", "--chunk-seconds", "10", "--name", "Algebra 03")
    made = cli("submit", *lesson, "--output", tmp_path / "lesson.mp4", "--json")
    assert (made.code, made.json["state"], len(made.json["chunks"])) == (0, "done", 3)
    assert (tmp_path / "lesson.mp4").read_bytes()[4:8] == b"ftyp"
    again = cli("submit", *lesson, "--wait")
    assert again.code == 0
    assert "done already" in again.out
    assert "3: 3 done" in cli("job", "show", made.json["id"]).out
    assert "chunk 2, attempt 1" in cli("job", "logs", made.json["id"]).out


def test_what_is_rendered_already_is_said_at_submit_and_afterwards(
    cli: Cli, run_farm: Callable[..., Farm], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_REUSE", "true")
    run_farm(renderers=("stripes=tests.renderers:Stripes", "preview"), reuse=True)
    greeting = (SAMPLES / "portrait.png", SAMPLES / "greeting.opus", "--chunk-seconds", "2", "--min-resolution", "128")
    first = cli("submit", *greeting, "--no-check", "--wait", "--json").json
    count = len(first["chunks"])
    edited = (*greeting, "--no-check", "--edit-of", first["id"])
    said = cli("submit", *edited, "--token", "edited", "--wait")
    assert said.code == 0
    assert said.out.startswith(f"{count} of {count} chunks are rendered already (")
    later = cli("submit", *edited, "--token", "later", "--json").json
    assert later["rendered"] == count
    shown = cli("job", "list", "--json").json[1]
    assert {chunk["taken_from"] for chunk in shown["chunks"]} == {first["id"]}
    assert f"{count} of {count} chunks taken from {first['id']}" in cli("job", "show", shown["id"]).out
    other = cli("submit", *edited, "--seed", "7", "--dry-run", "--json").json
    assert (other["rendered"], other["rendered_seconds"]) == ([], 0)
