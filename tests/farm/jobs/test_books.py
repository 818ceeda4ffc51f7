"""The books keep their promises, on a real Redis."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farm.errors import BooksUnreachableError, NotAllowedError, NotFoundError
from farm.jobs import views
from farm.jobs.model import PLAN, STITCH, JobState, UnitState
from farm.jobs.speeds import Work, note_speed
from farm.jobs.store import AttemptFailure, Books, Lease, Recorded, Refused
from farm.messages import PLAN_JOB, STITCH_JOB
from farm.settings import Settings
from tests.conftest import wait_until

if TYPE_CHECKING:
    from tests.farm.jobs.conftest import Desk


def test_one_of_many_claims_wins(desk: Desk) -> None:
    job = desk.planned()

    def claim(number: int) -> Lease | Refused:
        return desk.books.claim(job, "0", slot=f"slot{number}", suffix=f"s{number}", lease_seconds=60)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(claim, range(64)))
    assert sum(isinstance(answer, Lease) for answer in answers) == 1


def test_only_the_current_attempt_can_record_a_chunk(desk: Desk) -> None:
    job = desk.planned()
    stale = desk.claim(job, 0, seconds=0.01)
    wait_until(lambda: desk.books.sweep().expired, what="lease expired")
    current = desk.claim(job, 0)
    assert desk.books.record(stale) is Recorded.STALE
    assert desk.books.renew(stale, percent=50, lease_seconds=60) == "lost"
    assert desk.books.record(current) is Recorded.DONE
    assert desk.books.record(current) is Recorded.DONE, "recording again after a lost answer is harmless"
    assert views.job_view(desk.books, job).chunks[0].state is UnitState.DONE


def test_the_last_chunk_makes_the_stitch_due_exactly_once(desk: Desk) -> None:
    job = desk.planned(chunks=54)
    leases = [desk.claim(job, chunk) for chunk in range(54)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(desk.books.record, leases * 16))
    assert answers.count(Recorded.LAST) == 1
    assert Recorded.STALE not in answers
    assert desk.books.client.zrange("farm:outbox", 0, -1) == [f"stitch/{job}"]
    assert views.job_view(desk.books, job).state is JobState.STITCHING


def test_a_lease_that_runs_out_is_one_attempt_with_its_reason(desk: Desk) -> None:
    job = desk.planned(attempts=2)
    for _ in range(2):
        desk.claim(job, 1, slot="gpu7", seconds=0.01)
        wait_until(lambda: desk.books.sweep().expired, what="lease expired")
    view = views.job_view(desk.books, job)
    lost = [attempt for attempt in view.attempts if attempt.unit == "1"]
    assert [attempt.outcome for attempt in lost] == ["lost", "lost"]
    assert view.state is JobState.FAILED
    assert view.error is not None
    assert view.error.code == "lease_expired"
    assert view.error.message.startswith("chunk 2 failed 2 times, at last: no sign of life from gpu7")


@pytest.mark.parametrize("cut_off", [True, False])
def test_an_attempt_that_was_cut_off_until_its_lease_ran_out_does_not_count(desk: Desk, cut_off: bool) -> None:
    """One that hung all the same does: it may hang again."""
    job = desk.planned(attempts=2)
    for _ in range(2):
        lease = desk.claim(job, 0, seconds=0.01)
        wait_until(lambda: desk.books.sweep().expired, what="lease expired")
        for _ in range(2):
            assert desk.books.renew(lease, percent=50, lease_seconds=60, cut_off=cut_off) == "lost"
    assert views.job_view(desk.books, job).state == ("rendering" if cut_off else "failed")


def test_a_renewed_lease_does_not_run_out(desk: Desk) -> None:
    job = desk.planned()
    lease = desk.claim(job, 0, seconds=0.2)
    deadline = time.monotonic() + 0.6
    while time.monotonic() < deadline:
        assert desk.books.renew(lease, percent=10, lease_seconds=0.2) == "go on"
        assert desk.books.sweep().expired == 0


def test_leases_get_their_time_again_after_nobody_could_renew(desk: Desk) -> None:
    job = desk.planned()
    desk.claim(job, 0, seconds=0.01)
    desk.books.sweep(lease_seconds=0.4)
    desk.books.client.set("farm:swept", 0)  # as if Redis had been away since then
    lease = desk.claim(job, 1, seconds=0.01)
    assert desk.books.sweep(lease_seconds=0.4).expired == 0
    assert desk.books.renew(lease, percent=1, lease_seconds=60) == "go on"


def test_an_outage_burns_no_attempt_and_waits_before_the_next(desk: Desk) -> None:
    job = desk.planned(chunks=1, attempts=1)
    desk.slot("a")
    outage = AttemptFailure(code="unreachable", message="storage does not answer", burn=False, delay_seconds=0.3)
    assert desk.books.fail(desk.claim(job, 0), outage)
    assert desk.sent() == {}
    wait_until(lambda: desk.books.sweep() and desk.sent() == {"a": (job, 0)}, what="chunk sent again")


def test_a_permanent_failure_fails_the_job_at_once_in_its_own_words(desk: Desk) -> None:
    job = desk.planned()
    assert desk.books.fail(
        desk.claim(job, 2), AttemptFailure(code="bad_portrait", message="no face found", permanent=True)
    )
    view = views.job_view(desk.books, job)
    assert (view.state, view.error and view.error.message) == (JobState.FAILED, "no face found")


def test_a_new_process_under_a_slots_name_means_that_the_old_one_is_dead(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a", pid=1)
    desk.claim(job, 0, slot="a")
    desk.slot("a", pid=2)
    view = views.job_view(desk.books, job)
    assert view.chunks[0].state is UnitState.WAITING
    assert view.attempts[-1].reason == "the process of a died"
    assert views.slot_views(desk.books)[0].loads == 2


def test_a_slot_that_dies_loses_what_it_drew_and_what_it_still_delivered(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a", pid=1)
    for chunk in (0, 1):
        desk.claim(job, chunk, slot="a")
    assert views.slot_views(desk.books)[0].chunk == 1, "what it draws is what people see"
    desk.slot("a", pid=2)
    view = views.job_view(desk.books, job)
    assert [chunk.state for chunk in view.chunks[:2]] == [UnitState.WAITING] * 2
    assert {attempt.reason for attempt in view.attempts if attempt.unit in "01"} == {"the process of a died"}


def test_a_chunk_that_kills_its_slot_costs_the_one_that_was_being_delivered_no_attempt(desk: Desk) -> None:
    job = desk.planned(chunks=2, attempts=2)
    for pid in (1, 2):
        desk.slot("a", pid=pid)
        for chunk in (0, 1):
            desk.claim(job, chunk, slot="a")
    desk.slot("a", pid=3)
    view = views.job_view(desk.books, job)
    assert view.state == JobState.FAILED
    assert view.error is not None
    assert view.error.message.startswith("chunk 2 failed 2 times")
    assert desk.books.client.hget(f"farm:job:{job}:u:0", "burnt") is None


def test_a_chunk_whose_delivery_kills_its_slot_is_then_delivered_alone_and_bears_the_blame(desk: Desk) -> None:
    culprit, victim = desk.planned(chunks=1, attempts=1), desk.planned(chunks=1)
    desk.slot("a", pid=1)
    assert not desk.claim(culprit, 0, slot="a").alone
    desk.claim(victim, 0, slot="a")
    desk.slot("a", pid=2)
    assert desk.claim(culprit, 0, slot="a").alone, "its slot waits for it before it takes another"
    desk.slot("a", pid=3)
    assert views.job_view(desk.books, culprit).state == JobState.FAILED
    assert desk.books.client.hget(f"farm:job:{victim}:u:0", "burnt") == "1"


def test_a_slot_whose_next_chunk_failed_is_seen_with_the_one_that_it_delivers(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a")
    delivered = desk.claim(job, 0, slot="a")
    assert desk.books.fail(desk.claim(job, 1, slot="a"), AttemptFailure(code="no", message="no"))
    assert views.slot_views(desk.books)[0].chunk == 0
    assert desk.books.record(delivered) is Recorded.DONE
    assert views.slot_views(desk.books)[0].state == "idle"


def test_what_a_stopped_slot_could_not_hand_back_in_time_costs_no_attempt(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a")
    for chunk in (0, 1):
        desk.claim(job, chunk, slot="a")
    desk.books.retire_slot("a", launcher="l1", gone=False)
    desk.books.retire_slot("a", launcher="l1", gone=True)
    view = views.job_view(desk.books, job)
    assert [chunk.state for chunk in view.chunks[:2]] == [UnitState.WAITING] * 2
    assert {attempt.reason for attempt in view.attempts if attempt.unit in "01"} == {"a was stopped"}
    assert [desk.books.client.hget(f"farm:job:{job}:u:{chunk}", "burnt") for chunk in (0, 1)] == [None, None]


def test_a_slot_that_dies_loses_nothing_that_it_has_delivered(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a", pid=1)
    delivered = desk.claim(job, 0, slot="a")
    drawn = desk.claim(job, 1, slot="a")
    assert desk.books.record(delivered) is Recorded.DONE
    assert desk.books.record(drawn) is Recorded.DONE
    desk.slot("a", pid=2)
    view = views.job_view(desk.books, job)
    assert [chunk.state for chunk in view.chunks[:2]] == [UnitState.DONE] * 2


@pytest.mark.parametrize("ended", ["failed", "cancelled"])
def test_the_same_token_is_the_same_job_unless_that_one_failed_or_was_cancelled(desk: Desk, ended: str) -> None:
    first = desk.job()
    fields = views.job_fields(desk.books, first)
    assert desk.books.enter("20260101-000000-zzzzzz", fields["token"], fields) == (first, False, False)
    if ended == "cancelled":
        desk.books.decide(first, "cancel", who="ann")
    else:
        desk.books.fail(desk.claim(first, PLAN), AttemptFailure(code="bad_speech", message="no", permanent=True))
    assert desk.books.enter("20260101-000000-zzzzzz", fields["token"], fields).created


def test_cancelling_stops_what_renders_and_takes_back_what_was_sent(desk: Desk) -> None:
    job = desk.planned()
    lease = desk.claim(job, 0)
    desk.slot("a")
    assert desk.sent() == {"a": (job, 1)}
    desk.books.decide(job, "cancel", who="ann")
    assert desk.books.renew(lease, percent=1, lease_seconds=60) == "cancelled"
    assert desk.books.record(lease) is Recorded.STALE
    assert isinstance(desk.books.claim(job, "1", slot="a", suffix="s", lease_seconds=60), Refused)
    assert desk.sent() == {}
    with pytest.raises(NotAllowedError, match="job is cancelled"):
        desk.books.decide(job, "pause", who="ann")


def test_retrying_keeps_finished_chunks_and_forgets_burnt_attempts(desk: Desk) -> None:
    job = desk.planned(attempts=1)
    desk.books.record(desk.claim(job, 0))
    desk.books.fail(desk.claim(job, 1), AttemptFailure(code="crash", message="boom"))
    assert views.job_view(desk.books, job).state is JobState.FAILED
    desk.books.decide(job, "retry", who="ann")
    view = views.job_view(desk.books, job)
    assert (view.state, view.error) == (JobState.QUEUED, None)
    assert [chunk.state for chunk in view.chunks] == ["done", "waiting", "waiting"]
    desk.books.record(desk.claim(job, 1))
    assert desk.books.record(desk.claim(job, 2)) is Recorded.LAST


def test_a_retry_whose_answer_was_lost_is_no_error_when_it_is_sent_again(desk: Desk) -> None:
    job = desk.planned(1)
    desk.books.decide(job, "cancel", who="ann")
    sent = {"job": job, "what": "retry", "who": "ann", "call": "c"}
    assert desk.books.run("decide", **sent) == desk.books.run("decide", **sent) == {"ok": True}
    with pytest.raises(NotAllowedError, match="job is queued"):
        desk.books.decide(job, "retry", who="bob")


def test_retrying_a_cancelled_job_while_its_chunk_still_renders_makes_that_attempt_stale(desk: Desk) -> None:
    job = desk.planned()
    lease = desk.claim(job, 0)
    desk.books.decide(job, "cancel", who="ann")
    desk.books.decide(job, "retry", who="ann")
    assert desk.books.renew(lease, percent=9, lease_seconds=60) == "lost"
    assert desk.claim(job, 0).attempt == "2-abcd"


def test_pausing_hands_back_what_renders_and_resuming_goes_on(desk: Desk) -> None:
    job = desk.planned(chunks=1, attempts=1)
    desk.slot("a")
    lease = desk.claim(job, 0, slot="a")
    desk.books.decide(job, "pause", who="ann")
    assert desk.books.renew(lease, percent=1, lease_seconds=60) == "paused"
    desk.books.fail(lease, AttemptFailure(code="paused", message="stopped", outcome="paused", burn=False))
    assert desk.sent() == {}
    desk.books.decide(job, "resume", who="ann")
    assert desk.sent() == {"a": (job, 0)}


def test_a_draining_slot_hands_back_and_gets_nothing_more(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a")
    lease = desk.claim(job, 0, slot="a")
    desk.books.report_slot("a", {"state": "draining"})
    assert desk.books.renew(lease, percent=1, lease_seconds=60) == "draining"
    assert desk.sent() == {}


def test_a_slot_that_was_stopped_is_forgotten_but_not_its_successor(desk: Desk) -> None:
    job = desk.planned(chunks=1)
    desk.slot("a", pid=1)
    desk.sent()
    desk.slot("a", pid=2)
    desk.books.retire_slot("a", launcher="l1", gone=True)
    assert [slot.state for slot in views.slot_views(desk.books)] == ["idle"]
    desk.books.retire_slot("a", launcher="l2", gone=True)
    assert views.slot_views(desk.books) == []
    assert views.job_view(desk.books, job).chunks[0].state is UnitState.WAITING


def test_a_stitch_that_was_not_rung_for_is_rung_for_by_the_sweeper(desk: Desk) -> None:
    job = desk.planned(chunks=1)
    desk.books.record(desk.claim(job, 0))
    desk.books.client.zadd("farm:outbox", {f"stitch/{job}": 0})
    due = desk.books.sweep().due
    assert [(message.task, message.job) for message in due] == [(STITCH_JOB, job)]
    assert desk.books.sweep().due == (), "rung once, then given time"
    assert desk.books.stitched(desk.claim(job, STITCH), version=1, result="key", digest="d")
    desk.books.client.zadd("farm:outbox", {f"plan/{desk.job()}": 0})
    assert [message.task for message in desk.books.sweep().due] == [PLAN_JOB]
    view = views.job_view(desk.books, job)
    assert (view.state, view.versions, view.result, view.percent) == (JobState.DONE, (1,), "key", 100)


def test_an_outbox_entry_of_a_job_that_nobody_knows_stops_no_look(desk: Desk) -> None:
    job = desk.job()
    desk.books.client.zadd("farm:outbox", {"plan/20260101-000000-nobody": 0, f"plan/{job}": 0})
    assert [message.job for message in desk.books.sweep().due] == [job]
    assert not desk.books.client.zscore("farm:outbox", "plan/20260101-000000-nobody")


def test_a_long_queue_is_not_made_longer_by_the_sweeper(desk: Desk) -> None:
    jobs = [desk.job(owner=f"owner {number}") for number in range(20)]
    desk.books.client.zadd("farm:outbox", {f"plan/{job}": 0 for job in jobs})
    desk.books.client.rpush("cpu:5", "a message that nobody took yet")
    assert desk.books.sweep().due == ()
    desk.books.client.delete("cpu:5")
    desk.books.client.zadd("farm:outbox", {f"plan/{job}": 0 for job in jobs})
    assert len(desk.books.sweep().due) == 20


def test_a_slot_whose_job_was_cancelled_at_the_last_moment_is_free_at_once(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a")
    lease = desk.claim(job, 0, slot="a")
    desk.books.decide(job, "cancel", who="ann")
    assert desk.books.record(lease) is Recorded.STALE
    assert views.slot_views(desk.books)[0].state == "idle"
    assert views.job_view(desk.books, job).attempts[-1].outcome == "cancelled"


def test_a_message_that_got_lost_on_its_way_to_a_slot_is_sent_again(desk: Desk) -> None:
    job = desk.planned(chunks=1)
    desk.slot("a")
    assert desk.sent() == {"a": (job, 0)}
    assert desk.sent() == {}
    desk.books.client.zadd("farm:sent", {f"{job}/0": 0})
    assert desk.books.sweep().unsent == 1
    assert desk.sent() == {"a": (job, 0)}


def test_a_claim_whose_answer_got_lost_is_answered_again(desk: Desk) -> None:
    job = desk.planned()
    first = desk.books.claim(job, "0", slot="a", suffix="s1", lease_seconds=60)
    assert desk.books.claim(job, "0", slot="a", suffix="s1", lease_seconds=60) == first
    assert isinstance(desk.books.claim(job, "0", slot="a", suffix="s2", lease_seconds=60), Refused)


def test_a_job_whose_entering_was_answered_twice_is_still_new(desk: Desk) -> None:
    job = desk.job()
    fields = views.job_fields(desk.books, job)
    assert desk.books.enter(job, fields["token"], fields) == (job, True, True)


@pytest.mark.parametrize("unit", ["zzz", "-1", "3", "1.5", "01", "1e0", "9999999999999"])
def test_a_message_for_a_chunk_that_is_not_there_changes_nothing(desk: Desk, unit: str) -> None:
    job = desk.planned(chunks=3)
    before = views.job_view(desk.books, job)
    assert desk.books.claim(job, unit, slot="a", suffix="s", lease_seconds=60) == Refused("no such chunk")
    assert views.job_view(desk.books, job) == before
    assert desk.books.client.zcard("farm:leases") == 0


def test_one_broken_entry_does_not_stop_the_sweeper(desk: Desk) -> None:
    job = desk.planned()
    desk.books.client.zadd("farm:leases", {"nobody/zzz": 0})
    desk.claim(job, 0, seconds=0.01)
    swept = wait_until(lambda: (found := desk.books.sweep()).expired and found, what="lease expired")
    assert swept.expired == 1
    assert desk.books.client.zscore("farm:leases", "nobody/zzz") is None


def test_a_slot_that_lives_but_does_not_listen_gets_no_more_until_it_does(desk: Desk) -> None:
    job = desk.planned(chunks=1)
    desk.slot("a")
    assert desk.sent() == {"a": (job, 0)}
    desk.books.client.rpush("slot.a", "the message, still lying there")
    desk.books.client.zadd("farm:sent", {f"{job}/0": 0})
    assert desk.books.sweep().unsent == 1
    assert desk.sent() == {}
    desk.claim(job, 0, slot="a")
    desk.books.fail(desk.claim(desk.job(), PLAN), AttemptFailure(code="x", message="x"))
    other = desk.planned(chunks=1)
    assert desk.sent() == {"a": (other, 0)}


def test_a_long_outage_is_tried_ever_less_often(desk: Desk) -> None:
    job = desk.planned(chunks=1)
    delays = []
    for _ in range(4):
        lease = desk.claim(job, 0)
        desk.books.fail(lease, AttemptFailure(code="u", message="away", burn=False, outcome="outage", delay_seconds=10))
        seconds, micros = desk.books.client.time()
        delays.append(desk.books.client.zscore("farm:later", f"{job}/0") / 1000 - seconds - micros / 1e6)
    assert delays == pytest.approx([10, 20, 40, 80], abs=1)


def test_a_failed_job_leaves_nothing_sent(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a")
    desk.sent()
    desk.books.fail(desk.claim(job, 1), AttemptFailure(code="bad_portrait", message="no", permanent=True))
    assert desk.books.client.hget("farm:owner:ann", "in_hand") == "0"
    other = desk.planned()
    assert desk.sent() == {"a": (other, 0)}


def test_a_job_that_was_submitted_again_cannot_be_retried_beside_its_successor(desk: Desk) -> None:
    first = desk.job()
    fields = views.job_fields(desk.books, first)
    desk.books.decide(first, "cancel", who="ann")
    second, *_ = desk.books.enter("20260101-000000-zzzzzz", fields["token"], fields)
    with pytest.raises(NotAllowedError, match=f"submitted again as {second}"):
        desk.books.decide(first, "retry", who="ann")


def test_text_that_is_no_unicode_does_not_lose_the_reason(desk: Desk) -> None:
    job = desk.planned()
    desk.books.fail(desk.claim(job, 0), AttemptFailure(code="x", message="file \udcff.png", permanent=True))
    error = views.job_view(desk.books, job).error
    assert error is not None
    assert error.message == "file ?.png"


def test_a_redis_that_is_full_is_an_outage(desk: Desk) -> None:
    client = desk.books.client
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(BooksUnreachableError, match="refused"):
            desk.job()
    finally:
        client.config_set("maxmemory", 0)


def test_every_move_of_a_job_is_in_its_history_with_time_and_doer(desk: Desk) -> None:
    job = desk.planned(chunks=1)
    desk.books.record(desk.claim(job, 0, slot="gpu0"))
    desk.books.stitched(desk.claim(job, STITCH, slot="cpu"), version=1, result="key", digest="d")
    history = views.events(desk.books, job)
    assert [event.what for event in history] == [
        "submitted",
        "attempt started",
        "queued",
        "attempt started",
        "rendering",
        "chunk done",
        "stitching",
        "attempt started",
        "done",
    ]
    assert [event.at for event in history] == sorted(event.at for event in history)
    assert history[0].who == "ann"
    assert history[5].who == "gpu0"


def test_an_unknown_job_is_named(desk: Desk) -> None:
    with pytest.raises(NotFoundError, match="'20260101-000000-nobody' is not in the books"):
        desk.books.decide("20260101-000000-nobody", "cancel", who="ann")


def test_a_redis_that_does_not_answer_is_named_without_its_password(desk: Desk) -> None:
    books = Books.connect(Settings(redis_url="redis://:topsecret@127.0.0.1:1/0"))
    with pytest.raises(BooksUnreachableError, match=r"127\.0\.0\.1:1") as caught:
        books.dispatch()
    assert "topsecret" not in str(caught.value)


def test_time_left_counts_rendering_alone(desk: Desk) -> None:
    job = desk.planned(chunks=4)
    lease = desk.claim(job, 0, slot="a")
    wait_until(lambda: desk.books.renew(lease, percent=50, lease_seconds=60) and _left(desk, job), what="an estimate")
    desk.books.decide(job, "pause", who="ann")
    assert _left(desk, job) is None
    desk.books.record(lease)
    desk.books.client.hset(f"farm:job:{job}", "started", 0)  # as if it had been held since the beginning of time
    desk.books.decide(job, "resume", who="ann")
    took = next(attempt for attempt in views.job_view(desk.books, job).attempts if attempt.unit == "0")
    assert took.ended is not None
    assert _left(desk, job) == pytest.approx(3 * (took.ended - took.started), abs=0.2)


def test_progress_and_time_left_count_the_plan_and_the_stitch(desk: Desk) -> None:
    job = desk.job()
    lease = desk.claim(job, PLAN)
    desk.books.renew(lease, percent=50, lease_seconds=60)
    assert views.job_view(desk.books, job).percent == 1
    desk.books.planned(lease, frames25=2500, chunks=1)
    note_speed(desk.books, Work(STITCH, "cpu"), spent=2, video_seconds=10)
    desk.books.record(desk.claim(job, 0))
    view = views.job_view(desk.books, job)
    assert (view.state, view.percent, view.seconds_left) == ("stitching", 95, 20), "100 s of video are to be stitched"
    desk.books.renew(desk.claim(job, STITCH), percent=75, lease_seconds=60)
    assert _left(desk, job) == 5


def _left(desk: Desk, job: str) -> float | None:
    return views.job_view(desk.books, job).seconds_left
