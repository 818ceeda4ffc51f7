"""Blame: slots that a job is kept off, slots that are out until they prove well, storage and disks that fail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from engine.spec import Redraw
from farm.jobs import health, views
from farm.jobs.model import STITCH
from farm.jobs.redo import Redo
from farm.jobs.removal import forget_job
from farm.jobs.store import AttemptFailure, Refused

if TYPE_CHECKING:
    from tests.farm.jobs.conftest import Desk

BUG = AttemptFailure(code="crash", message="the picture fell off the wall")
BAD_INPUT = AttemptFailure(code="bad_portrait", message="no face", permanent=True)
NO_STORAGE = AttemptFailure(
    code="unreachable",
    message="storage does not answer",
    outcome="outage",
    burn=False,
    delay_seconds=600,
    cause="storage",
)
NO_DISK = AttemptFailure(
    code="disk", message="no space left", outcome="outage", burn=False, delay_seconds=600, cause="disk"
)


def fail(desk: Desk, job: str, chunk: int, slot: str, failure: AttemptFailure = BUG) -> None:
    assert desk.books.fail(desk.claim(job, chunk, slot=slot), failure)


def events(desk: Desk, job: str) -> list[tuple[str, str]]:
    return [(event.what, event.who) for event in views.events(desk.books, job)]


def slot(desk: Desk, name: str) -> tuple[str, str | None]:
    return next((view.state, view.why_out) for view in views.slot_views(desk.books) if view.name == name)


def sick(desk: Desk, name: str) -> None:
    """A slot that failed for two owners in a row."""
    for owner in ("ann", "bob"):
        fail(desk, desk.planned(owner=owner), 0, name)


def test_a_slot_that_failed_a_job_twice_gets_no_more_of_it_and_the_history_says_so(desk: Desk) -> None:
    desk.slot("a")
    desk.slot("b", pid=2)
    job = desk.planned(3)
    fail(desk, job, 0, "a")
    fail(desk, job, 1, "a")
    assert ("slot kept off", "a") in events(desk, job)
    assert set(desk.sent()) == {"b"}
    assert desk.books.claim(job, "2", slot="a", suffix="x", lease_seconds=60) == Refused("slot is kept off the job")
    other = desk.planned(1)
    assert desk.sent() == {"a": (other, 0)}, "the slot still works for others"


def test_a_job_that_every_slot_is_kept_off_is_decided_by_its_attempts(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(2)
    fail(desk, job, 0, "a")
    fail(desk, job, 0, "a")
    assert desk.sent() == {"a": (job, 0)}
    fail(desk, job, 0, "a")
    assert views.job_view(desk.books, job).state == "failed"


def test_a_slot_is_let_back_when_the_others_are_gone(desk: Desk) -> None:
    desk.slot("a")
    desk.slot("b", pid=2, launcher="l")
    job = desk.planned(1)
    fail(desk, job, 0, "a")
    fail(desk, job, 0, "a")
    desk.books.retire_slot("b", launcher="l", gone=True)
    assert desk.sent() == {}
    health.slots_to_probe(desk.books)
    assert desk.sent() == {"a": (job, 0)}
    assert ("slots let back", "") in events(desk, job)


def test_a_slot_that_never_gets_loaded_keeps_no_other_off_a_job(desk: Desk) -> None:
    desk.slot("a")
    for _ in range(2):  # its process dies while it loads, and another one takes its place
        desk.slot("b", pid=2, state="loading")
    job = desk.planned(1)
    fail(desk, job, 0, "a")
    fail(desk, job, 0, "a")
    assert desk.sent() == {}, "the other one may be there in a moment"
    desk.books.client.hincrby("farm:slot:b", "loading_since", -3_600_000)
    desk.slot("b", pid=3, state="loading")
    health.slots_to_probe(desk.books)
    assert desk.sent() == {"a": (job, 0)}


def test_what_is_drawn_anew_may_go_to_slots_that_once_failed_the_job(desk: Desk) -> None:
    desk.slot("a")
    desk.slot("b", pid=2, launcher="l")
    job = desk.planned(1)
    fail(desk, job, 0, "a")
    fail(desk, job, 0, "a")
    desk.books.record(desk.claim(job, 0, slot="b"))
    assert desk.books.stitched(desk.claim(job, STITCH, slot="cpu"), version=1, result="r", digest="d")
    health.slots_to_probe(desk.books)
    desk.books.retire_slot("b", launcher="l", gone=True)
    redo = Redo(chunk=0, number=1, redraw=Redraw(7, 0, 12), left=1, after=1, who="ann", at=0.0, why="x")
    desk.books.redo(job, [redo], who="ann", why="x")
    assert desk.sent() == {"a": (job, 0)}


def test_a_retried_job_may_go_anywhere_again(desk: Desk) -> None:
    desk.slot("a")
    desk.slot("b", pid=2)
    job = desk.planned(1, attempts=2)
    fail(desk, job, 0, "a")
    fail(desk, job, 0, "a")
    desk.books.decide(job, "retry", who="ann")
    assert desk.claim(job, 0, slot="a")


def test_a_job_that_is_forgotten_leaves_no_blame_behind(desk: Desk) -> None:
    desk.slot("a")
    desk.slot("b", pid=2)
    job = desk.planned(1, attempts=2)
    fail(desk, job, 0, "a")
    fail(desk, job, 0, "a")
    assert forget_job(desk.books, job, before=time.time() + 60)
    assert list(desk.books.client.scan_iter(f"*{job}*")) == []
    assert desk.books.client.smembers("farm:keptoff") == set()


def test_failures_of_one_owner_make_no_slot_sick(desk: Desk) -> None:
    desk.slot("a")
    for _ in range(4):
        fail(desk, desk.planned(owner="ann"), 0, "a")
    assert slot(desk, "a") == ("idle", None)


def test_a_success_between_two_owners_failures_clears_the_slot(desk: Desk) -> None:
    desk.slot("a")
    fail(desk, desk.planned(owner="ann"), 0, "a")
    desk.books.record(desk.claim(desk.planned(owner="ann"), 0, slot="a"))
    fail(desk, desk.planned(owner="bob"), 0, "a")
    assert slot(desk, "a") == ("idle", None)


@pytest.mark.parametrize("failure", [BAD_INPUT, NO_STORAGE], ids=["input", "storage"])
def test_what_no_slot_could_help_blames_none(desk: Desk, failure: AttemptFailure) -> None:
    desk.slot("a")
    for job in [desk.planned(owner=owner) for owner in ("ann", "bob", "ann", "bob")]:
        lease = desk.books.claim(job, "0", slot="a", suffix="s", lease_seconds=60)
        if not isinstance(lease, Refused):
            desk.books.fail(lease, failure)
    assert slot(desk, "a") == ("idle", None)


def test_a_slot_that_fails_for_two_owners_is_sick_and_loses_what_was_sent_to_it(desk: Desk) -> None:
    desk.slot("a")
    for owner in ("ann", "bob"):
        job = desk.planned(owner=owner)
        lease = desk.claim(job, 0, slot="a")
        desk.sent()
        desk.books.fail(lease, BUG)
    state, why = slot(desk, "a")
    assert (state, why) == ("sick", "failed for 2 owners in a row, at last: the picture fell off the wall")
    assert ("slot is sick", "a") in events(desk, job)
    assert desk.sent() == {}
    assert desk.books.claim(job, "1", slot="a", suffix="x", lease_seconds=60) == Refused("slot is sick")
    assert {chunk.state for chunk in views.job_view(desk.books, job).chunks} == {"waiting"}


def test_a_sick_slot_that_shows_itself_well_gets_work_again(desk: Desk) -> None:
    desk.slot("a")
    sick(desk, "a")
    assert [called.name for called in health.slots_to_probe(desk.books)] == ["a"]
    assert health.slots_to_probe(desk.books) == [], "called once"
    assert health.begin_probe(desk.books, "a") == health.Probe(cause="failures", renderers=("preview",))
    assert slot(desk, "a")[0] == "probing"
    assert health.begin_probe(desk.books, "a") is None, "a second message finds nothing to do"
    assert health.end_probe(desk.books, "a", "right")
    assert slot(desk, "a") == ("idle", None)
    assert set(desk.sent()) == {"a"}


def test_a_slot_whose_probe_comes_out_wrong_is_out_and_called_again_later(desk: Desk) -> None:
    desk.slot("a")
    sick(desk, "a")
    health.slots_to_probe(desk.books)
    health.begin_probe(desk.books, "a")
    assert health.end_probe(desk.books, "a", "wrong", why="frame 3 is 40 levels off")
    assert slot(desk, "a") == ("out", "frame 3 is 40 levels off")
    assert health.slots_to_probe(desk.books) == [], "not yet"
    desk.books.client.hset("farm:slot:a:health", "probe_at", 0)
    assert [called.why for called in health.slots_to_probe(desk.books)] == ["frame 3 is 40 levels off"]
    pauses = []
    for _ in range(3):
        health.begin_probe(desk.books, "a")
        health.end_probe(desk.books, "a", "wrong", why="again")
        pauses.append(float(desk.books.client.hget("farm:slot:a:health", "probe_at")) / 1000 - time.time())
    assert pauses == pytest.approx([10, 20, 40], abs=2)


def test_storage_that_fails_during_a_probe_says_nothing_of_the_slot(desk: Desk) -> None:
    desk.slot("a")
    sick(desk, "a")
    health.begin_probe(desk.books, "a")
    health.end_probe(desk.books, "a", "unknown", why="storage does not answer")
    assert slot(desk, "a")[0] == "sick"


def test_a_sick_slot_stays_so_under_a_new_process_and_a_new_launcher(desk: Desk) -> None:
    desk.slot("a")
    sick(desk, "a")
    desk.slot("a", pid=2)
    assert slot(desk, "a")[0] == "sick"
    desk.books.retire_slot("a", launcher="l2", gone=False)
    desk.books.retire_slot("a", launcher="l2", gone=True)
    assert views.slot_views(desk.books) == []
    desk.slot("a", pid=3)
    assert slot(desk, "a")[0] == "sick"


def test_a_process_that_dies_in_its_probe_has_failed_it(desk: Desk) -> None:
    desk.slot("a")
    sick(desk, "a")
    health.begin_probe(desk.books, "a")
    desk.slot("a", pid=2)
    assert slot(desk, "a") == ("out", "its process died in the probe")


def test_a_slot_of_whose_probe_nothing_is_heard_is_out_and_called_again(desk: Desk) -> None:
    desk.slot("a")
    sick(desk, "a")
    health.begin_probe(desk.books, "a")
    health.slots_to_probe(desk.books)
    assert slot(desk, "a")[0] == "probing", "it has its time"
    desk.books.client.hset("farm:slot:a:health", "probe_until", 0)
    health.slots_to_probe(desk.books)
    assert slot(desk, "a") == ("out", "nothing was heard of its probe in time")
    assert not health.end_probe(desk.books, "a", "right"), "too late, it is called again"
    desk.books.client.hset("farm:slot:a:health", "probe_at", 0)
    assert [called.name for called in health.slots_to_probe(desk.books)] == ["a"]
    assert health.begin_probe(desk.books, "a") is not None


def test_a_probe_that_was_begun_but_whose_answer_was_lost_is_begun_when_the_call_is_sent_again(desk: Desk) -> None:
    desk.slot("a")
    sick(desk, "a")
    calls = [desk.books.run("probe", slot="a", call="once", most_ms=1000) for _ in range(2)]
    assert calls == [{"cause": "failures", "renderers": ["preview", "preview"]}] * 2
    assert "refused" in desk.books.run("probe", slot="a", call="another", most_ms=1000)


def test_chunks_of_two_owners_that_stitches_refused_make_a_slot_sick_however_many_it_rendered(desk: Desk) -> None:
    desk.slot("a")
    for owner in ("ann", "bob"):
        job = desk.planned(1, owner=owner)
        desk.books.record(desk.claim(job, 0, slot="a"))
        redo = Redo(
            chunk=0, number=1, redraw=Redraw(7, 0, 12), left=1, after=1, who="cpu", at=0.0, why="chunk 1 is black"
        )
        assert desk.books.refuse(desk.claim(job, STITCH, slot="cpu"), [redo], why="chunk 1 is black")
    assert slot(desk, "a")[0] == "sick"
    assert "black" in str(slot(desk, "a")[1])


def test_an_accepted_video_lets_its_slots_say_once_what_the_probe_looks_like(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(1)
    desk.books.record(desk.claim(job, 0, slot="a"))
    assert not health.take_proof(desk.books, "a")
    assert desk.books.stitched(desk.claim(job, STITCH, slot="cpu"), version=1, result="r", digest="d")
    assert health.take_proof(desk.books, "a")
    assert not health.take_proof(desk.books, "a")


def test_a_slot_that_only_took_a_segment_is_neither_proven_by_it_nor_suspected_for_it(desk: Desk) -> None:
    desk.slot("a")
    for owner in ("ann", "bob"):
        job = desk.planned(1, owner=owner)
        desk.books.record(desk.claim(job, 0, slot="a"), taken="20260101-000000-other1")
        black = Redo(chunk=0, number=1, redraw=Redraw(7, 0, 12), left=1, after=1, who="cpu", at=0.0, why="it is black")
        assert desk.books.refuse(desk.claim(job, STITCH, slot="cpu"), [black], why="it is black")
    assert slot(desk, "a") == ("idle", None)
    job = desk.planned(1)
    desk.books.record(desk.claim(job, 0, slot="a"), taken="20260101-000000-other1")
    assert desk.books.stitched(desk.claim(job, STITCH, slot="cpu"), version=1, result="r", digest="d")
    assert not health.take_proof(desk.books, "a")


def test_a_chunk_that_was_taken_and_then_rendered_anew_counts_for_its_slot(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(1)
    desk.books.record(desk.claim(job, 0, slot="a"), taken="20260101-000000-other1")
    black = Redo(chunk=0, number=1, redraw=Redraw(7, 0, 12), left=1, after=1, who="cpu", at=0.0, why="it is black")
    assert desk.books.refuse(desk.claim(job, STITCH, slot="cpu"), [black], why="it is black")
    desk.books.record(desk.claim(job, 0, slot="a"))
    assert desk.books.stitched(desk.claim(job, STITCH, slot="cpu"), version=2, result="r", digest="d")
    assert health.take_proof(desk.books, "a")


def test_what_a_slots_old_process_rendered_proves_nothing_of_the_new_one(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(1)
    desk.books.record(desk.claim(job, 0, slot="a"))
    assert desk.books.stitched(desk.claim(job, STITCH, slot="cpu"), version=1, result="r", digest="d")
    desk.slot("a", pid=2)
    assert not health.take_proof(desk.books, "a")
    later = desk.planned(1)
    desk.books.record(desk.claim(later, 0, slot="a"))
    desk.slot("a", pid=3)
    assert desk.books.stitched(desk.claim(later, STITCH, slot="cpu"), version=1, result="r", digest="d")
    assert not health.take_proof(desk.books, "a"), "accepted when the process that rendered it was gone"


def test_what_a_slot_still_delivered_when_its_task_was_terminated_waits_again_too(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(2)
    for chunk in (0, 1):
        desk.claim(job, chunk, slot="a")
    assert health.terminated(desk.books, job, "1", slot="a", launcher="l1")
    view = views.job_view(desk.books, job)
    assert [(attempt.unit, attempt.reason) for attempt in view.attempts if attempt.unit in "01"] == [
        ("1", "its task was terminated by hand on a"),
        ("0", "a task was terminated by hand on a, and with it the process that delivered this"),
    ]
    assert [desk.books.client.hget(f"farm:job:{job}:u:{chunk}", "burnt") for chunk in (0, 1)] == [None, None]


def test_a_task_terminated_in_a_process_that_was_replaced_takes_nothing_from_its_successor(desk: Desk) -> None:
    desk.slot("a", pid=1)
    job = desk.planned(1)
    desk.slot("a", pid=2)
    desk.claim(job, 0, slot="a")
    assert not health.terminated(desk.books, "20260101-000000-zzzzzz", "0", slot="a", launcher="l1")
    assert views.job_view(desk.books, job).chunks[0].state == "rendering"


def test_a_task_that_was_terminated_waits_again_and_has_lost_no_attempt(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(1)
    desk.claim(job, 0, slot="a")
    assert not health.terminated(desk.books, job, "0", slot="b", launcher="l1"), "it is another's by now"
    assert health.terminated(desk.books, job, "0", slot="a", launcher="l1")
    view = views.job_view(desk.books, job)
    assert [(attempt.outcome, attempt.reason) for attempt in view.attempts if attempt.unit == "0"] == [
        ("lost", "its task was terminated by hand on a")
    ]
    assert desk.books.client.hget(f"farm:job:{job}:u:0", "burnt") is None
    assert desk.sent() == {"a": (job, 0)}
