"""Watchers that die, doubt, or come in numbers; a Redis that was emptied: every file is taken once all the same."""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from farm.folder.claims import Claim, File
from farm.folder.moves import Moves
from farm.folder.report import file_rows, inbox_view, redrive
from farm.folder.steps import ended_by
from farm.jobs import inboxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Drop

    from farm.folder.claims import Stage


def crash_after_step(drop: Drop, stage: Stage) -> None:
    """A watcher makes the step that follows a stage, and dies before the books hear of it."""
    claim = next(claim for claim in drop.claims() if claim.stage == stage)
    drop.watcher()._steps.step(claim)


def test_a_watcher_that_dies_after_the_claim_leaves_it_to_another(drop: Drop) -> None:
    drop.pair("one")
    dead = drop.watcher()
    dead.look()
    dead.look()
    assert (len(drop.claims()), len(drop.jobs())) == (1, 0)
    drop.take()
    assert len(drop.jobs()) == 1


def test_every_step_may_be_cut_off_before_it_was_recorded(drop: Drop) -> None:
    drop.pair("one")
    watcher = drop.watcher()
    watcher.look()
    watcher.look()
    crash_after_step(drop, "claimed")
    drop.work(drop.watcher())
    assert len(drop.jobs()) == 1
    drop.finish(drop.jobs()[0].id)
    drop.watcher()._steps.step(ended_by(drop.claim("one.wav"), {"state": "done"}))
    drop.work(drop.watcher())
    assert drop.lies() == ["done/one.png", "done/one.wav", "results/one.mp4"]
    assert [claim.stage for claim in drop.claims()] == ["done"]


def test_a_move_that_was_cut_off_between_copy_and_delete_is_finished(drop: Drop) -> None:
    drop.pair("one")
    watcher = drop.watcher()
    watcher.look()
    watcher.look()
    crash_after_step(drop, "claimed")
    for file in drop.claim("one.wav").moving:
        source = drop.storage.address(drop.inbox.prefix + file.path)
        drop.storage.copy_from(source, drop.inbox.processing + file.path, size=file.size)
    drop.work(watcher)
    assert drop.lies() == ["processing/one.png", "processing/one.wav"]
    assert len(drop.jobs()) == 1


def test_a_file_that_is_replaced_after_its_claim_is_taken_as_the_new_one(drop: Drop) -> None:
    drop.pair("one")
    watcher = drop.watcher()
    watcher.look()
    watcher.look()
    drop.put("one.wav", drop.speech + b"\0\0\0\0")
    drop.work(watcher)
    assert not drop.jobs()
    drop.take(watcher)
    (job,) = drop.jobs()
    assert drop.farm.storage.size(f"assets/{drop.farm.storage.get_json(f'jobs/{job.id}/job.json')['speech']}") == (
        len(drop.speech) + 4
    )


def test_a_new_upload_is_never_moved_away_in_the_place_of_the_one_that_was_claimed(drop: Drop) -> None:
    drop.pair("one")
    watcher = drop.watcher()
    watcher.look()
    watcher.look()
    crash_after_step(drop, "claimed")
    drop.put("one.wav", drop.speech + b"\0\0")
    drop.work(watcher)
    assert "inbox/one.wav" in drop.lies()
    assert "processing/one.wav" not in drop.lies()
    drop.finish(drop.jobs()[0].id)
    drop.work(watcher)
    assert drop.lies() == ["done/one.png", "inbox/one.wav", "results/one.mp4"]


def test_many_watchers_at_once_take_each_pair_once(drop: Drop) -> None:
    for number in range(6):
        drop.pair(f"lesson {number}")
    watchers = [drop.watcher() for _ in range(4)]
    threads = [Thread(target=drop.take, args=(watcher,)) for watcher in watchers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drop.work(watchers[0])
    assert sorted(job.name for job in drop.jobs()) == sorted(f"lesson {number}" for number in range(6))
    assert {claim.stage for claim in drop.claims()} == {"running"}


def test_an_emptied_redis_learns_from_storage_what_was_taken(drop: Drop) -> None:
    drop.pair("done")
    drop.pair("rendering")
    drop.put("bad.png", drop.portrait)
    drop.put("bad.wav", b"no speech")
    watcher = drop.watcher()
    drop.take(watcher)
    jobs = {job.name: job.id for job in drop.jobs()}
    drop.finish(jobs["done"])
    drop.work(watcher)
    drop.farm.books.client.flushall()
    drop.pair("new")
    drop.put("bad.png", drop.portrait)
    drop.put("bad.wav", b"no speech")
    drop.take(watcher)
    assert {job.name: job.id for job in drop.jobs() if job.name != "new"} == jobs
    assert len(drop.jobs()) == 3
    stages = {claim.main.path: claim.stage for claim in drop.claims()}
    assert stages == {"done.wav": "done", "rendering.wav": "running", "bad.wav": "failed", "new.wav": "running"}
    drop.finish(jobs["rendering"])
    drop.work(watcher)
    assert {"done/rendering.wav", "results/rendering.mp4"} <= set(drop.lies())


def test_a_redis_that_is_emptied_while_jobs_are_asked_about_ends_none(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.pair("one")
    watcher = drop.watcher()
    drop.take(watcher)
    (job,) = drop.jobs()
    due = inboxes.due

    def due_and_emptied(*args: Any, **options: Any) -> Any:
        found = due(*args, **options)
        drop.farm.books.client.flushall()
        return found

    inboxes.later(drop.farm.books, drop.inbox.id, [drop.claim("one.wav").token], seconds=0)
    with monkeypatch.context() as patched:
        patched.setattr(inboxes, "due", due_and_emptied)
        assert watcher.work() == 0
    assert drop.lies() == ["processing/one.png", "processing/one.wav"]
    drop.take(watcher)
    drop.finish(job.id)
    drop.work(watcher)
    assert drop.lies() == ["done/one.png", "done/one.wav", "results/one.mp4"]


def test_what_failed_is_tried_again_under_other_defaults_and_its_files_come_along(drop: Drop) -> None:
    drop.put("_people/anna.png", b"no picture")
    drop.put("_defaults.yaml", b"defaults: {portrait: _people/anna.png}")
    drop.put("one.wav", drop.speech)
    watcher = drop.watcher()
    drop.take(watcher)
    assert drop.claim("one.wav").stage == "failed"
    drop.put("_people/anna.png", drop.portrait)
    assert redrive(drop.farm, drop.inbox, ["one.wav"]).again == ("one.wav",)
    assert "inbox/one.wav" in drop.lies()
    assert "failed/one.wav.error.json" not in drop.lies()
    drop.take(watcher)
    assert [job.name for job in drop.jobs()] == ["one"]


def test_a_job_that_failed_is_submitted_anew_by_a_redrive_and_by_that_alone(drop: Drop) -> None:
    drop.pair("one")
    watcher = drop.watcher()
    drop.take(watcher)
    drop.fail(drop.jobs()[0].id, "the GPU melted")
    drop.work(watcher)
    drop.take(watcher)
    assert len(drop.jobs()) == 1
    redrive(drop.farm, drop.inbox, [], everything=True)
    drop.take(watcher)
    assert [job.state for job in drop.jobs()] == ["planning", "failed"]
    drop.finish(drop.jobs()[0].id)
    drop.work(watcher)
    assert {row.path: row.state for row in file_rows(drop.farm, drop.inbox)} == {"one.png": "done", "one.wav": "done"}


def test_a_file_that_kills_its_watchers_fails_and_takes_no_other_along(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.pair("killer")
    for number in range(3):
        drop.pair(f"good {number}")
    watcher = drop.watcher()
    watcher.look()
    watcher.look()
    follow, deaths = watcher._follow, []

    def dying(claims: Sequence[Claim]) -> list[Claim]:
        if any(claim.main.path == "killer.wav" and claim.stage == "claimed" for claim in claims):
            deaths.append(len(claims))
            raise KeyboardInterrupt
        return follow(claims)

    monkeypatch.setattr(watcher, "_follow", dying)
    for _ in range(10):
        with suppress(KeyboardInterrupt):
            drop.work(watcher)
    assert deaths == [4, 4, 1, 1, 1]
    assert sorted(job.name for job in drop.jobs()) == ["good 0", "good 1", "good 2"]
    assert drop.read_json("failed/killer.wav.error.json")["code"] == "watcher_died"


def test_trouble_of_one_claim_is_shown_and_does_not_stop_the_others(drop: Drop) -> None:
    drop.pair("one")
    drop.pair("two")
    watcher = drop.watcher()
    watcher.look()
    watcher.look()
    claim = drop.claim("one.wav")
    broken = Claim.from_json(claim.to_json().replace('"role": "speech"', '"role": "poetry"'))
    record = inboxes.Entry(token=claim.token, record=broken.to_json(), stage="claimed", paths=(), open=True)
    inboxes.keep(drop.farm.books, drop.inbox.id, record)
    drop.work(watcher)
    assert [job.name for job in drop.jobs()] == ["two"]
    assert len(inbox_view(drop.farm, drop.inbox).troubles) == 1


@pytest.mark.parametrize("bumped", [False, True])
def test_a_hook_makes_watchers_look_sooner(drop: Drop, bumped: bool) -> None:
    drop.settings = drop.settings.model_copy(update={"inbox_seconds": 3600.0})
    watcher = drop.watcher()
    assert watcher.look_is_due()
    watcher.look()
    if bumped:
        inboxes.bump(drop.farm.books, drop.inbox.id)
    assert watcher.look_is_due() is bumped


def test_a_watcher_that_is_overtaken_in_a_move_deletes_nothing(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    drop.put("one.wav")
    found = drop.storage.head(f"{drop.inbox.prefix}one.wav")
    assert found is not None
    file = File("one.wav", found.size, found.etag, "speech")
    copy = drop.storage.copy_from

    def copied_and_overtaken(*args: Any, **options: Any) -> None:
        copy(*args, **options)
        monkeypatch.setattr(drop.storage, "copy_from", copy)
        assert Moves(drop.storage, drop.inbox).out_of_inbox(file, drop.inbox.processing)

    monkeypatch.setattr(drop.storage, "copy_from", copied_and_overtaken)
    Moves(drop.storage, drop.inbox).out_of_inbox(file, drop.inbox.processing)
    assert drop.lies() == ["processing/one.wav"]
