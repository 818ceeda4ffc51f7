"""Books that were emptied come back from storage, job by job, as they stood."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm import Farm, NotAllowedError
from farm.cli.recover import summary
from farm.errors import StorageUnreachableError
from farm.jobs import views
from farm.jobs.model import PLAN, STITCH, JobState
from farm.jobs.store import AttemptFailure, Books, Recorded
from farm.recover import Recovered
from farm.storage import keys
from tests.farm.hands import REQUEST

if TYPE_CHECKING:
    from farm import Settings
    from tests.farm.hands import Hand

SLOT_FACTS = {
    "state": "ready",
    "host": "here",
    "pid": 1,
    "process": "p1",
    "launcher": "l1",
    "device": "cpu",
    "visible_devices": "",
    "renderers": ["preview"],
    "ttl_ms": 60_000,
}


def outbox(hand: Hand) -> list[str]:
    return hand.books.client.zrange("farm:outbox", 0, -1)  # type: ignore[return-value]


def test_a_job_in_the_middle_of_rendering_comes_back_with_its_finished_chunks(hand: Hand) -> None:
    job = hand.planned(priority=2)
    hand.render(job, 0, 2)
    before = job.view()
    found = hand.empty_and_recover()
    after = job.view()
    assert (found.back, found.chunks) == ({"queued": 1}, 2)
    assert [chunk.state for chunk in after.chunks] == ["done", "waiting", "done"]
    for same in ("name", "owner", "priority", "renderer", "submitted", "frames25", "warnings"):
        assert getattr(after, same) == (getattr(before, same) if same != "submitted" else 1_767_225_601.25)
    assert [(event.what, event.who) for event in job.events()] == [("recovered", "tests")]
    assert job.events()[0].detail == "queued, 2 of 3 chunks done"
    assert hand.render(job, 1) is Recorded.LAST
    hand.stitch(job)
    assert job.view().state is JobState.DONE


def test_the_segment_that_counts_is_the_newest_finished_one_and_numbers_go_on_above_all_that_were_seen(
    hand: Hand,
) -> None:
    job = hand.planned(chunks=2)
    first = hand.publish(job, 0)
    hand.books.fail(first, AttemptFailure(code="lost", message="lost", burn=False))
    accepted = hand.publish(job, 0).attempt
    hand.books.fail(hand.claim(job, 1), AttemptFailure(code="crash", message="boom"))
    unfinished = hand.claim(job, 1).attempt
    hand.storage.put_bytes(keys.segment(job.id, 1, unfinished, "body.mp4"), b"fra")
    hand.empty_and_recover()
    assert views.accepted_attempts(hand.books, job.id, 1) == [accepted] == ["2-s1"]
    assert hand.claim(job, 1).attempt == "3-s1"


def test_what_a_log_tells_of_an_attempt_counts_too(hand: Hand) -> None:
    job = hand.job()
    hand.storage.put_bytes(keys.log(job.id, PLAN, "4-abcd"), b"")
    hand.empty_and_recover()
    assert hand.claim(job, PLAN).attempt == "5-s1"


def test_a_job_that_was_not_planned_is_planned(hand: Hand) -> None:
    job = hand.job()
    assert hand.empty_and_recover().back == {"planning": 1}
    assert [message.job for message in hand.books.sweep().due] == [job.id]


def test_an_orphan_of_a_submit_that_died_half_way_becomes_a_job_and_the_submit_may_still_end(hand: Hand) -> None:
    request = replace(REQUEST, id="20260101-000000-orphan", token="token")
    hand.storage.put_json(keys.job_json(request.id), request.to_dict())
    hand.farm.recover()
    assert hand.farm.job(request.id).view().state is JobState.PLANNING
    assert hand.books.enter(request.id, request.token, request.book_fields()).created


def test_a_job_whose_chunks_are_all_done_is_stitched_under_a_number_that_no_other_stitch_can_have(hand: Hand) -> None:
    job = hand.planned()
    hand.render(job, 0, 1, 2)
    running = hand.claim(job, STITCH)
    assert hand.empty_and_recover().back == {"stitching": 1}
    assert outbox(hand) == [f"stitch/{job.id}"]
    assert hand.claim(job, STITCH).attempt.split("-")[0] > running.attempt.split("-")[0]
    assert not hand.books.stitched(running, version=1, result="key", digest="d")


def test_a_result_comes_back_with_its_version_and_digest_even_without_its_segments(hand: Hand) -> None:
    job = hand.planned()
    hand.render(job, 0, 1, 2)
    hand.books.fail(hand.claim(job, STITCH), AttemptFailure(code="crash", message="boom"))
    hand.stitch(job)
    before = job.view()
    hand.storage.delete(*[found.key for found in hand.storage.list(keys.segments_folder(job.id))])
    assert hand.empty_and_recover().back == {"done": 1}
    after = job.view()
    assert (after.state, after.versions, after.result, after.digest) == (
        JobState.DONE,
        (2,),
        before.result,
        before.digest,
    )
    assert (after.frames25, after.percent, len(after.chunks)) == (300, 100, 3)
    assert after.ended is not None
    assert job.report()["digest"] == after.digest


def test_a_worker_that_published_while_redis_was_emptied_may_still_record(hand: Hand) -> None:
    job = hand.planned()
    lease = hand.publish(job, 1)
    hand.empty_and_recover()
    assert hand.books.record(lease) is Recorded.DONE


def test_a_worker_whose_lease_was_lost_is_told_to_stop(hand: Hand) -> None:
    job = hand.planned()
    lease = hand.claim(job, 1)
    hand.empty_and_recover()
    assert hand.books.renew(lease, percent=5, lease_seconds=60) == "lost"
    assert hand.books.record(lease) is Recorded.STALE


def test_decisions_outlive_the_books(hand: Hand) -> None:
    cancelled, paused, urgent = (hand.planned() for _ in range(3))
    cancelled.cancel()
    paused.pause()
    urgent.set_priority(0)
    hand.empty_and_recover()
    view = cancelled.view()
    assert (view.state, view.error and view.error.message) == (JobState.CANCELLED, "cancelled by tests")
    assert paused.view().paused
    assert urgent.view().priority == 0
    cancelled.retry()
    assert [chunk.state for chunk in cancelled.view().chunks] == ["waiting"] * 3


def test_a_decision_that_was_undone_does_not_come_back(hand: Hand) -> None:
    job = hand.planned()
    job.pause()
    job.resume()
    job.cancel()
    job.retry()
    hand.empty_and_recover()
    assert (job.view().state, job.view().paused) == (JobState.QUEUED, False)


def test_a_decision_that_the_books_refuse_leaves_nothing_in_storage(hand: Hand) -> None:
    job = hand.planned(chunks=1)
    hand.render(job, 0)
    hand.stitch(job)
    with pytest.raises(NotAllowedError, match="job is done"):
        job.cancel()
    assert not hand.storage.exists(keys.decision(job.id, "cancel"))


def test_a_job_is_not_stopped_in_the_books_alone(hand: Hand, settings: Settings) -> None:
    job = hand.planned()
    away = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1"})
    with Farm(away) as farm, pytest.raises(StorageUnreachableError):
        farm.job(job.id).cancel()
    assert job.view().state is JobState.QUEUED


def test_a_failed_job_comes_back_and_is_tried_again(hand: Hand) -> None:
    job = hand.planned()
    hand.render(job, 0)
    hand.books.fail(hand.claim(job, 1), AttemptFailure(code="bad_portrait", message="no face", permanent=True))
    assert job.view().state is JobState.FAILED
    hand.empty_and_recover()
    assert [chunk.state for chunk in job.view().chunks] == ["done", "waiting", "waiting"]


@pytest.mark.parametrize("ended", [False, True])
def test_a_failed_job_that_was_submitted_again_does_not_start_anew_beside_its_successor(
    hand: Hand, ended: bool
) -> None:
    first = hand.job(token="same")
    hand.books.fail(hand.claim(first, PLAN), AttemptFailure(code="bad_speech", message="no", permanent=True))
    second = hand.planned(chunks=1, token="same")
    if ended:
        hand.render(second, 0)
        hand.stitch(second)
    hand.empty_and_recover()
    view = first.view()
    assert view.error is not None
    assert (view.state, view.error.message) == (JobState.CANCELLED, f"the same lesson was submitted as {second.id}")
    assert second.view().state == ("done" if ended else "queued")
    assert hand.books.token_owner("same") == second.id
    assert outbox(hand) == []


def test_a_job_that_was_submitted_again_before_the_recovery_is_not_rendered_twice(hand: Hand) -> None:
    first = hand.planned(token="same")
    hand.books.client.flushall()
    second = hand.job(token="same")
    assert hand.farm.recover().known == 1
    assert first.view().state is JobState.CANCELLED
    assert second.view().state is JobState.PLANNING
    assert hand.books.token_owner("same") == second.id


def test_tokens_come_back(hand: Hand) -> None:
    job = hand.planned()
    hand.empty_and_recover()
    assert hand.books.enter("20260101-000000-zzzzzz", f"token {job.id}", {}) == (job.id, False, False)


def test_what_the_books_know_is_left_alone_and_a_second_recovery_changes_nothing(hand: Hand) -> None:
    job = hand.planned()
    lease = hand.publish(job, 0)
    assert hand.farm.recover().known == 1
    assert hand.books.record(lease) is Recorded.DONE
    hand.empty_and_recover()
    before = hand.books.client.dbsize(), job.view(), job.events()
    assert hand.farm.recover() == Recovered(known=1)
    assert (hand.books.client.dbsize(), job.view(), job.events()) == before


def test_two_recoveries_at_once_bring_each_job_back_once(hand: Hand, settings: Settings) -> None:
    jobs = [hand.planned() for _ in range(5)]
    hand.books.client.flushall()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: hand.farm.recover(), range(4)))
    assert sum(sum(one.back.values()) for one in found) == 5
    assert all(len(job.events()) == 1 for job in jobs)


def test_waiting_chunks_of_a_job_that_came_back_are_sent_in_order(hand: Hand) -> None:
    job = hand.planned()
    hand.render(job, 0)
    hand.empty_and_recover()
    hand.books.report_slot("a", SLOT_FACTS, loaded=True)
    assert [(message.job, message.chunk) for message in hand.books.dispatch()] == [(job.id, 1)]


def test_a_job_that_cannot_be_read_is_named_and_the_others_come_back(hand: Hand) -> None:
    broken, whole = hand.planned(), hand.planned()
    hand.storage.put_bytes(keys.job_json(broken.id), json.dumps({"id": broken.id}).encode())
    found = hand.empty_and_recover()
    assert "jobs/20260101-000000-000001/job.json is not what the farm writes there" in found.problems[broken.id]
    assert whole.view().state is JobState.QUEUED
    assert summary(found).splitlines()[0] == (
        "2 jobs in storage: 0 known, 1 came back (1 queued) with 0 finished chunks"
    )
    assert summary(found).splitlines()[1].startswith(f"{broken.id} could not come back: ")


def test_foreign_objects_among_the_jobs_are_passed_over(hand: Hand) -> None:
    job = hand.planned()
    for key in ("jobs/notes.txt", "jobs/20260101-000000-nobody/plan.json", f"jobs/{job.id}/segments/1/mine/body.mp4"):
        hand.storage.put_bytes(key, b"hello")
    assert hand.empty_and_recover().jobs == 1


def test_a_slot_that_the_books_forgot_is_known_again_at_its_next_pulse(settings: Settings) -> None:
    with closing(Books.connect(settings)) as books:
        books.report_slot("a", SLOT_FACTS, loaded=True)
        books.client.flushall()
        books.report_slot("a", {"state": "draining"})
        assert views.slot_views(books) == [], "half a slot helps nobody"
        books.report_slot("a", SLOT_FACTS, loaded=True, pulse=True)
        assert [(slot.name, slot.state) for slot in views.slot_views(books)] == [("a", "idle")]
        books.report_slot("a", {"state": "draining"})
        books.report_slot("a", SLOT_FACTS, loaded=True, pulse=True)
        assert [(slot.state, slot.loads) for slot in views.slot_views(books)] == [("draining", 1)]
