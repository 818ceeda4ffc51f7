"""Every command against real books and storage: what it prints, as words and as JSON, and its exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Answer, Hand

    Cli = Callable[..., Answer]

NOBODY = "20261122-181530-zzzzzz"


def test_jobs_are_listed_newest_first_with_state_and_progress(cli: Cli, hand: Hand) -> None:
    first, second = hand.done("Algebra 01"), hand.job("Algebra 02")
    lines = cli("job", "list").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [second, first]
    assert "Algebra 01" in lines[3]
    assert "done" in lines[3]
    assert "100 %" in lines[3]


def test_jobs_as_json_are_an_array_filtered_by_owner_and_state(cli: Cli, hand: Hand) -> None:
    hand.done(owner="ada")
    waiting = hand.job(owner="bob")
    assert [job["id"] for job in cli("job", "list", "--owner", "bob", "--json").json] == [waiting]
    assert [job["owner"] for job in cli("job", "list", "--state", "done", "--json").json] == ["ada"]
    assert cli("job", "list", "--owner", "nobody", "--json").json == []


def test_a_farm_without_jobs_says_so_on_stderr(cli: Cli) -> None:
    assert cli("job", "list").out == ""
    assert "No jobs" in cli("job", "list").err


def test_a_job_as_json_has_what_programs_need(cli: Cli, hand: Hand) -> None:
    job = hand.done()
    found = cli("job", "show", job, "--json").json
    assert {"id", "state", "name", "owner", "renderer", "frames25", "chunks", "attempts", "versions"} <= set(found)
    assert (found["result"], found["digest"]) == (f"jobs/{job}/results/1/video.mp4", "d1ge57")
    assert (found["state"], found["frames25"], found["versions"], found["error"]) == ("done", 750, [1], None)


def test_a_failed_job_as_json_names_the_error(cli: Cli, hand: Hand) -> None:
    job = hand.job()
    hand.fail(job, 1, "the portrait turned away")
    answer = cli("job", "show", job, "--json")
    assert answer.code == 0
    assert "the portrait turned away" in answer.json["error"]["message"]


def test_a_job_is_drawn_with_its_chunks_percent_slot_and_time_left(cli: Cli, hand: Hand) -> None:
    job = hand.job()
    hand.render(job, 0)
    hand.progress(job, 1, 40)
    out = cli("job", "show", job).out
    assert "Algebra 03" in out
    assert "3: 1 done, 1 rendering, 1 waiting" in out
    assert "rendering 40 % on slot0" in out
    assert "left" in out


def test_waiting_for_a_job_that_is_done_exits_with_0(cli: Cli, hand: Hand) -> None:
    assert cli("job", "wait", hand.done()).code == 0


def test_waiting_for_a_failed_job_exits_with_3_and_says_why(cli: Cli, hand: Hand) -> None:
    job = hand.job()
    hand.fail(job, 1, "the portrait turned away")
    answer = cli("job", "wait", job, "--json")
    assert (answer.code, answer.json["state"], answer.error["code"]) == (3, "failed", "job_failed")
    assert "the portrait turned away" in answer.error["message"]


def test_waiting_for_a_cancelled_job_exits_with_3(cli: Cli, hand: Hand) -> None:
    job = hand.job()
    assert cli("job", "cancel", job, "--json").json["state"] == "cancelled"
    assert cli("job", "wait", job).code == 3


def test_following_a_job_that_has_ended_prints_it_once_a_line(cli: Cli, hand: Hand) -> None:
    lines = cli("job", "show", hand.done(), "--follow", "--json").out.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["done"]


def test_a_job_is_paused_resumed_reprioritised_cancelled_and_retried(cli: Cli, hand: Hand) -> None:
    job = hand.job()
    assert cli("job", "pause", job, "--json").json["paused"] is True
    assert cli("job", "resume", job, "--json").json["paused"] is False
    assert cli("job", "priority", job, "0", "--json").json["priority"] == 0
    assert job in cli("job", "cancel", job).out
    assert cli("job", "retry", job, "--json").json["state"] == "queued"
    told = [event["what"] for event in cli("job", "events", job, "--json").json]
    assert len(told) >= 5


def test_history_is_printed_with_who_did_what(cli: Cli, hand: Hand) -> None:
    job = hand.job()
    cli("job", "pause", job)
    out = cli("job", "events", job).out
    assert out.splitlines()[-1].split()[2:] == ["pause", "tests"]


def test_what_a_state_does_not_allow_exits_with_2(cli: Cli, hand: Hand) -> None:
    answer = cli("job", "retry", hand.done(), "--json")
    assert (answer.code, answer.out, answer.error["code"]) == (2, "", "not_allowed")


@pytest.mark.parametrize(
    "command", ["show", "wait", "events", "logs", "fetch", "cancel", "retry", "pause", "resume", "priority"]
)
def test_a_job_that_is_not_there_exits_with_2_and_is_named(cli: Cli, command: str) -> None:
    answer = cli("job", command, NOBODY, *(["3"] if command == "priority" else []))
    assert (answer.code, answer.out) == (2, "")
    assert NOBODY in answer.err
    assert len(answer.err.splitlines()) == 1


def test_the_video_is_fetched_to_the_file_that_was_named(cli: Cli, hand: Hand, tmp_path: Path) -> None:
    job = hand.done()
    answer = cli("job", "fetch", job, "--output", tmp_path / "lesson.mp4", "--json")
    assert answer.json["output"] == str(tmp_path / "lesson.mp4")
    assert (tmp_path / "lesson.mp4").read_bytes() == hand.storage.get_bytes(keys.result(job, 1, "video.mp4"))


def test_without_a_name_the_video_is_called_like_its_job(
    cli: Cli, hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = hand.done()
    assert f"{job}.mp4 written" in cli("job", "fetch", job).out
    assert (tmp_path / f"{job}.mp4").is_file()


def test_a_video_that_is_not_there_yet_or_cannot_be_written_exits_with_2(cli: Cli, hand: Hand, tmp_path: Path) -> None:
    job = hand.job()
    assert cli("job", "fetch", job, "--output", tmp_path / "lesson.mp4").code == 2
    for place in (tmp_path / "no folder" / "lesson.mp4", tmp_path):
        answer = cli("job", "fetch", hand.done(), "--output", place)
        assert answer.code == 2
        assert str(place) in answer.err


def test_logs_are_read_whole_or_a_chunk_at_a_time(cli: Cli, hand: Hand) -> None:
    job = hand.job()
    hand.storage.put_bytes(keys.log(job, "plan", "1-abcdef"), b"cut into 3\n")
    hand.storage.put_bytes(keys.log(job, 0, "1-abcdef"), b"out of memory\n")
    hand.storage.put_bytes(keys.log(job, 0, "2-abcdef"), b"rendered\n")
    everything = cli("job", "logs", job).out
    assert everything.index("cut into 3") < everything.index("out of memory") < everything.index("rendered")
    assert "== chunk 1, attempt 2 ==" in everything
    one = cli("job", "logs", job, "--chunk", "1", "--json").json
    assert [(log["unit"], log["attempt"], log["text"]) for log in one] == [
        ("0", 1, "out of memory\n"),
        ("0", 2, "rendered\n"),
    ]


def test_slots_are_listed(cli: Cli, hand: Hand) -> None:
    assert "farm up" in cli("slot", "list").err
    hand.slot("gpu0", renderers=("preview", "sonic"))
    assert "preview, sonic" in cli("slot", "list").out
    assert [slot["name"] for slot in cli("slot", "list", "--json").json] == ["gpu0"]


def test_settings_are_shown_with_where_they_came_from_and_no_secret(cli: Cli, environ: dict[str, str]) -> None:
    for answer in (cli("settings", "show"), cli("settings", "show", "--json")):
        assert answer.code == 0
        assert environ["FARM_S3_SECRET_KEY"] not in answer.out
        assert environ["FARM_REDIS_URL"] not in answer.out
    shown = cli("settings", "show", "--json").json
    assert (shown["lease_seconds"]["value"], shown["lease_seconds"]["source"]) == ("2.0", "environment")
    assert shown["max_attempts"]["source"] == "default"
    assert shown["max_attempts"]["environment"] == "FARM_MAX_ATTEMPTS"


def test_dir_may_stand_before_or_behind_the_command(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "farm.toml").write_text("[farm]\nslots = 7\n")
    for arguments in (("--dir", tmp_path, "settings", "show"), ("settings", "show", "--dir", tmp_path)):
        assert cli(*arguments, "--json").json["slots"] == {
            "value": "7",
            "source": "farm.toml",
            "environment": "FARM_SLOTS",
            "description": "render slots on this machine when no GPU is named",
        }


def test_the_doctor_exits_with_0_when_all_is_well_and_4_when_not(cli: Cli, hand: Hand) -> None:
    unwell = cli("doctor")
    assert unwell.code == 4
    assert "WRONG" in unwell.out
    assert "mend: " in unwell.out
    hand.slot("slot0")
    hand.books.report_cpu_worker("cpu0")
    well = cli("doctor", "--json")
    assert (well.code, well.json["ok"]) == (0, True)
    assert {"name", "ok", "found", "mend"} == set(well.json["checks"][0])
