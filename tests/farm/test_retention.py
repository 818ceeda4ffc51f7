"""What is kept and what goes: never what somebody could still need."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from farm import Farm, retention
from farm.errors import NotAllowedError, NotFoundError, StorageUnreachableError
from farm.jobs.batches import batch_jobs, batch_row, enter_batch
from farm.jobs.model import JobState
from farm.jobs.store import AttemptFailure
from farm.reuse import Source, offer, offered
from farm.storage import keys, s3
from tests.conftest import PORTRAIT

if TYPE_CHECKING:
    from pathlib import Path

    from farm import Job
    from farm.retention import Cleaned
    from tests.farm.hands import Hand

NOW = {"keep_segments_days": 0, "keep_logs_days": 0, "keep_results_days": 0}
RECIPE = "c" * 64


def clean(hand: Hand, *, dry_run: bool = False, **days: object) -> Cleaned:
    """Clean with these settings, by default those that keep nothing longer than they must."""
    settings = hand.farm.settings.model_copy(update=NOW | days)
    return retention.clean(hand.books, hand.storage, settings, dry_run=dry_run, on_step=lambda _: None)


def lies_in(hand: Hand, prefix: str) -> list[str]:
    return [item.key for item in hand.storage.list(prefix)]


def counts(found: Cleaned) -> dict[str, int]:
    return {kind: gone.objects for kind, gone in found.gone.items() if gone.objects}


def log_of(hand: Hand, job: Job) -> str:
    key = keys.log(job.id, 0, "1-s1")
    hand.storage.put_bytes(key, b"what an attempt said")
    return key


def redone(hand: Hand) -> Job:
    """A job with a second version."""
    job = hand.done()
    job.redo(chunks=[1])
    hand.render(job, 1)
    hand.stitch(job)
    return job


def test_a_dry_run_says_what_would_go_and_removes_nothing(hand: Hand) -> None:
    job = redone(hand)
    log_of(hand, job)
    before = lies_in(hand, "")
    found = clean(hand, dry_run=True)
    assert lies_in(hand, "") == before
    assert counts(found) == {"segments": 8, "logs": 1, "results": 2}
    assert found.gone["logs"].bytes == len(b"what an attempt said")
    assert abs((found.gone["segments"].oldest or 0) - time.time()) < 60
    assert counts(clean(hand)) == counts(found), "and a run does what it said"
    assert counts(clean(hand)) == {}, "nothing is left to do"


def test_what_is_younger_than_its_time_stays(hand: Hand) -> None:
    job = redone(hand)
    log_of(hand, job)
    before = lies_in(hand, "")
    assert counts(clean(hand, keep_segments_days=1, keep_logs_days=1, keep_results_days=1)) == {}
    assert lies_in(hand, "") == before


def test_results_are_kept_for_ever_unless_a_time_is_set(hand: Hand) -> None:
    job = redone(hand)
    clean(hand, keep_results_days=None)
    assert [version.number for version in job.versions()] == [1, 2]
    assert len(lies_in(hand, keys.results_folder(job.id))) == 4


def test_the_current_version_is_never_removed(hand: Hand) -> None:
    job = redone(hand)
    job.rollback(1)
    clean(hand)
    (version,) = job.versions()
    assert (version.number, version.current) == (1, True)
    assert hand.storage.get_bytes(job.view().result or "") == b"lesson 1"
    with pytest.raises(NotFoundError, match="has no version 2, it has 1"):
        job.rollback(2)
    assert "version removed" in [event.what for event in job.events()]


def test_segments_of_a_job_that_failed_or_goes_on_stay(hand: Hand) -> None:
    cancelled, going_on = hand.planned(), hand.planned()
    hand.render(cancelled, 0)
    cancelled.cancel()
    hand.render(going_on, 0)
    kept = [lies_in(hand, keys.segments_folder(job.id)) for job in (cancelled, going_on)]
    log = log_of(hand, going_on)
    clean(hand)
    assert [lies_in(hand, keys.segments_folder(job.id)) for job in (cancelled, going_on)] == kept
    assert hand.storage.exists(log), "its attempts may still be looked into"
    cancelled.retry()
    assert cancelled.view().chunks[0].state == "done"


def test_a_job_that_is_drawn_anew_keeps_its_segments(hand: Hand) -> None:
    job = hand.done()
    job.redo(chunks=[1])
    assert counts(clean(hand)) == {}
    hand.render(job, 1)
    hand.stitch(job)
    assert job.view().state is JobState.DONE


def test_without_segments_a_redo_is_refused_in_plain_words(hand: Hand) -> None:
    job = hand.done()
    clean(hand)
    before = lies_in(hand, keys.job_folder(job.id))
    with pytest.raises(NotAllowedError, match="its segments were removed after their time; a submit"):
        job.redo(chunks=[1])
    assert lies_in(hand, keys.job_folder(job.id)) == before, "nothing is left behind"
    assert job.view().state is JobState.DONE
    assert "segments removed" in [event.what for event in job.events()]


def test_a_rollback_needs_no_segments(hand: Hand) -> None:
    job = redone(hand)
    clean(hand, keep_results_days=None)
    job.rollback(1)
    assert job.view().current == 1
    assert hand.storage.get_bytes(job.view().result or "") == b"lesson 1"


def test_recovered_books_know_that_the_segments_are_gone(hand: Hand) -> None:
    job = redone(hand)
    clean(hand)
    hand.empty_and_recover()
    view = job.view()
    assert (view.state, view.versions, view.current) == (JobState.DONE, (2,), 2)
    with pytest.raises(NotAllowedError, match="its segments were removed"):
        job.redo(chunks=[1])


def test_a_redo_that_the_books_never_heard_of_is_not_taken_up_when_nothing_is_left_to_build_on(hand: Hand) -> None:
    job = hand.done()
    taken = hand.farm.job(job.id)
    taken.redo(chunks=[1])
    decided = {key: hand.storage.get_json(key) for key in lies_in(hand, keys.redo_folder(job.id))}
    hand.render(job, 1)
    hand.stitch(job)
    clean(hand)
    for key, value in decided.items():  # as if decided now, by somebody who died before he told the books
        hand.storage.put_json(key.replace("/1-", "/2-"), {**value, "number": 2, "after": 2})
    hand.empty_and_recover()
    assert job.view().state is JobState.DONE


def test_jobs_that_the_books_do_not_know_are_left_alone(hand: Hand) -> None:
    hand.done()
    before = lies_in(hand, "")
    hand.books.client.flushall()
    found = clean(hand)
    assert (found.unknown, counts(found)) == (1, {})
    assert lies_in(hand, "") == before


def test_what_points_to_a_removed_segment_goes_with_it(hand: Hand) -> None:
    job, other = hand.done(1), hand.done(1)
    for one, recipe in ((job, RECIPE), (other, "d" * 64)):
        (attempt,) = {key.split("/")[4] for key in lies_in(hand, keys.segments_folder(one.id))}
        commit = keys.segment(one.id, 0, attempt, "segment.json")
        hand.storage.put_json(commit, {**hand.storage.get_json(commit), "recipe": recipe})
        source = Source(one.id, 0, attempt)
        offer(hand.storage, recipe, source if one is job else Source("20260101-000000-abcdef", 0, "1-x"))
    assert counts(clean(hand, dry_run=True))["index"] == 1
    clean(hand)
    assert offered(hand.storage, RECIPE) is None
    assert offered(hand.storage, "d" * 64) is not None, "another job has a segment of this recipe"


def test_inputs_go_when_no_job_names_them_and_some_time_has_passed(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, forgotten = tmp_path / "used", tmp_path / "forgotten"
    used.write_bytes(b"a speech")
    forgotten.write_bytes(b"of a submit that was given up")
    wanted, orphan = hand.storage.put_asset(used), hand.storage.put_asset(forgotten)
    hand.job(speech=wanted)
    assert counts(clean(hand)) == {}, "it may be of a job that is being submitted"
    monkeypatch.setattr(retention, "GRACE_SECONDS", -5.0)
    assert counts(clean(hand, dry_run=True)) == {"inputs": 1}
    clean(hand)
    assert lies_in(hand, keys.ASSETS) == [keys.asset(wanted)]
    assert not hand.storage.exists(keys.asset(orphan))


def test_an_input_that_is_submitted_again_after_long_is_written_anew(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert s3.FRESH_SECONDS < retention.GRACE_SECONDS
    sha256 = hand.storage.put_asset(PORTRAIT)
    written: list[str] = []
    put_file = hand.storage.put_file
    monkeypatch.setattr(hand.storage, "put_file", lambda key, *a, **k: (written.append(key), put_file(key, *a, **k)))
    hand.storage.put_asset(PORTRAIT)
    assert written == []
    monkeypatch.setattr(s3, "FRESH_SECONDS", -5.0)
    hand.storage.put_asset(PORTRAIT)
    assert written == [keys.asset(sha256)]


def test_a_folder_of_a_submit_that_was_given_up_goes_later(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    hand.storage.put_bytes("jobs/20260101-000000-000abc/plan.json", b"{}")
    hand.storage.put_bytes("jobs/notes.txt", b"of somebody else")
    assert counts(clean(hand)) == {}
    monkeypatch.setattr(retention, "GRACE_SECONDS", -5.0)
    assert counts(clean(hand)) == {"leftovers": 1}
    assert lies_in(hand, keys.JOBS) == ["jobs/notes.txt"]


def test_an_interrupted_run_is_taken_up_again(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    job = redone(hand)
    delete = hand.storage.delete

    def breaks(*names: str) -> None:
        delete(*names[: len(names) // 2])
        raise StorageUnreachableError("storage went away")

    monkeypatch.setattr(hand.storage, "delete", breaks)
    with pytest.raises(StorageUnreachableError):
        clean(hand)
    monkeypatch.undo()
    with pytest.raises(NotAllowedError, match="its segments were removed"):
        job.redo(chunks=[1])
    hand.empty_and_recover()
    clean(hand)
    assert lies_in(hand, keys.segments_folder(job.id)) == []
    assert job.view().versions == (2,)
    assert hand.storage.get_bytes(job.view().result or "") == b"lesson 2"


def test_a_version_whose_removal_was_interrupted_is_no_version_for_a_recovery(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = redone(hand)
    delete = hand.storage.delete

    def breaks(*names: str) -> None:
        delete(*names)
        if names and names[-1].endswith("report.json"):
            raise StorageUnreachableError("storage went away")

    monkeypatch.setattr(hand.storage, "delete", breaks)
    with pytest.raises(StorageUnreachableError):
        clean(hand)
    monkeypatch.undo()
    hand.empty_and_recover()
    assert job.view().versions == (2,)
    clean(hand)
    assert lies_in(hand, f"{keys.results_folder(job.id)}1/") == []


def test_the_farm_cleans_by_its_settings(hand: Hand) -> None:
    job = hand.done()
    steps: list[int] = []
    settings = hand.farm.settings.model_copy(update={"keep_segments_days": 0})
    with Farm(settings) as farm:
        found = farm.clean(on_step=lambda so_far: steps.append(so_far.jobs))
        farm.storage.close()
    assert counts(found) == {"segments": 6}
    assert steps == [1]
    assert json.loads(json.dumps(found.to_dict()))["gone"]["segments"]["objects"] == 6
    assert lies_in(hand, keys.segments_folder(job.id)) == []


def test_a_job_is_forgotten_with_all_it_made_when_so_set(
    hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(b"a speech")
    theirs.write_bytes(b"a portrait that others have too")
    monkeypatch.setattr(retention, "GRACE_SECONDS", -5.0)
    speech, portrait = hand.storage.put_asset(ours), hand.storage.put_asset(theirs)
    going_on = hand.planned(portrait=portrait)
    job = hand.planned(1, speech=speech, portrait=portrait)
    hand.render(job, 0)
    hand.stitch(job)
    assert counts(clean(hand, keep_jobs_days=1, keep_segments_days=1)) == {}
    found = clean(hand, keep_jobs_days=0, dry_run=True)
    assert counts(found) == {"jobs": 6, "inputs": 1}
    assert job.view().state is JobState.DONE
    assert counts(clean(hand, keep_jobs_days=0)) == counts(found)
    assert lies_in(hand, keys.job_folder(job.id)) == []
    assert lies_in(hand, keys.ASSETS) == [keys.asset(portrait)]
    assert [view.id for view in hand.farm.jobs()] == [going_on.id]
    assert not [key for key in hand.books.client.scan_iter("*") if job.id in key], "the books have forgotten it too"
    assert hand.empty_and_recover().jobs == 1


def test_a_job_whose_removal_was_interrupted_never_comes_back_and_goes_the_next_time(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = hand.planned(1)
    hand.render(job, 0)
    job.cancel()
    hand.storage.delete(keys.decision(job.id, "cancel"))  # as of one that failed: a recovery would take it up anew

    def breaks(*_: str) -> None:
        raise StorageUnreachableError("storage went away")

    monkeypatch.setattr(hand.storage, "delete", breaks)
    with pytest.raises(StorageUnreachableError):
        clean(hand, keep_jobs_days=0)
    monkeypatch.undo()
    assert hand.farm.recover().jobs == 0
    assert hand.farm.jobs() == []
    assert clean(hand, dry_run=True).gone["jobs"].objects > 0
    assert clean(hand).unknown == 0, "also where whole jobs are kept for ever by now"
    assert lies_in(hand, keys.JOBS) == []


def test_a_removal_that_was_given_up_leaves_a_job_that_goes_on_as_it_was(hand: Hand) -> None:
    retried, known = hand.planned(1), hand.planned(1)
    for job in (retried, known):
        job.cancel()
        hand.storage.put_json(keys.forgotten(job.id), {"version": 1})  # by a run that died before it told the books
    retried.retry()
    clean(hand)
    assert hand.empty_and_recover().jobs == 2


def test_a_job_whose_cuts_another_still_waits_to_keep_is_not_forgotten(hand: Hand) -> None:
    job = hand.done(1)
    edit = hand.job(edit_of=job.id)
    edit.pause()
    assert counts(clean(hand, keep_jobs_days=0, keep_segments_days=1, dry_run=True)) == {}
    clean(hand, keep_jobs_days=0)
    hand.empty_and_recover()
    assert counts(clean(hand, keep_jobs_days=0)) == {}
    assert hand.storage.exists(keys.plan_json(job.id))
    edit.cancel()
    clean(hand, keep_jobs_days=0)
    assert lies_in(hand, keys.JOBS) == []
    assert not list(hand.books.client.scan_iter("farm:job:*"))


def test_a_forgotten_job_is_out_of_its_batch(hand: Hand) -> None:
    batch = "20260101-000000-batch1"
    enter_batch(hand.books, batch, name="Algebra", owner="ada", rows=2)
    job, going_on = hand.planned(1, batch=batch, row=1), hand.planned(1, batch=batch, row=2)
    job.cancel()
    clean(hand, keep_jobs_days=0)
    row = batch_row(hand.books, batch)
    assert (row.total, row.counts[JobState.CANCELLED], row.counts[JobState.QUEUED]) == (1, 0, 1)
    assert batch_jobs(hand.books, batch) == [going_on.id]


def test_a_job_whose_attempt_has_not_let_go_is_not_forgotten_yet(hand: Hand) -> None:
    job = hand.planned(1)
    lease = hand.claim(job, 0)
    job.cancel()
    assert counts(clean(hand, keep_jobs_days=0)) == {}
    assert hand.books.renew(lease, percent=1, lease_seconds=60) == "cancelled"
    hand.books.fail(lease, AttemptFailure(code="cancelled", message="stopped", outcome="cancelled", burn=False))
    assert counts(clean(hand, keep_jobs_days=0)) == {"jobs": 3}
