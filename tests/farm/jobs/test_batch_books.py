"""Jobs of a batch: counted by state, held and let go, stopped together when too many fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import NotAllowedError, NotFoundError
from farm.jobs.batches import (
    MOST_AT_ONCE,
    batch_ids,
    batch_jobs,
    batch_named,
    batch_row,
    decide_batch,
    enter_batch,
    hold_jobs,
)
from farm.jobs.load import load_of
from farm.jobs.model import PLAN, STITCH, JobState
from farm.jobs.standing import Standing
from farm.jobs.store import PLANS_OF_AN_OWNER, AttemptFailure, Refused

if TYPE_CHECKING:
    from farm.messages import Message
    from tests.farm.jobs.conftest import Desk

BROKEN = AttemptFailure(code="bad_portrait", message="no face found", permanent=True)


def _counts(desk: Desk, batch: str) -> dict[str, int]:
    return {str(state): number for state, number in batch_row(desk.books, batch).counts.items() if number}


def _fail(desk: Desk, job: str) -> None:
    desk.books.fail(desk.claim(job, PLAN), BROKEN)


def _due(desk: Desk) -> list[str]:
    due: tuple[Message, ...] = desk.books.sweep().due
    return [message.job for message in due]


def _in_queue(desk: Desk) -> list[str]:
    return sorted(member.removeprefix("plan/") for member in desk.books.client.zrange("farm:outbox", 0, -1))


def test_a_batch_counts_its_jobs_through_their_life(desk: Desk) -> None:
    batch = desk.batch()
    first, second = desk.planned(chunks=1, batch=batch), desk.job(batch=batch)
    desk.job(batch=desk.batch(name="Other"))
    desk.job()
    assert _counts(desk, batch) == {"planning": 1, "queued": 1}
    desk.books.record(desk.claim(first, 0))
    assert _counts(desk, batch) == {"planning": 1, "stitching": 1}
    finding = {"start": 0, "stop": 5, "timecode": "00:00", "sentence": "look here"}
    desk.books.stitched(desk.claim(first, STITCH), version=1, result="key", digest="d", needs_review=[finding])
    _fail(desk, second)
    row = batch_row(desk.books, batch)
    assert (row.total, row.ended, row.needs_review) == (2, 2, 1)
    assert _counts(desk, batch) == {"done": 1, "failed": 1}
    desk.books.decide(second, "retry", who="ann")
    assert _counts(desk, batch) == {"done": 1, "planning": 1}
    assert batch_jobs(desk.books, batch) == [first, second]


def test_a_batch_is_known_by_owner_and_name_and_goes_on_with_what_is_asked_for_last(desk: Desk) -> None:
    batch = desk.batch(name="Algebra", limit=3)
    assert desk.batch(name="Algebra", max_failures="5%") == batch
    other = desk.batch(name="Algebra", owner="bob")
    assert other != batch
    row = batch_row(desk.books, batch)
    assert (row.name, row.owner, row.max_failures, row.limit, row.state) == ("Algebra", "ann", "5%", None, "open")
    assert batch_ids(desk.books) == [other, batch]
    assert batch_ids(desk.books, owner="ann") == [batch]
    assert batch_named(desk.books, "bob", "Algebra") == other
    assert batch_named(desk.books, "ann", "Biology") is None


def test_owners_and_names_that_look_alike_when_joined_are_two_batches(desk: Desk) -> None:
    assert desk.batch(owner="a:b", name="c") != desk.batch(owner="a", name="b:c")


def test_a_held_job_is_neither_planned_nor_rendered_until_it_is_let_go(desk: Desk) -> None:
    batch = desk.batch()
    held, other = desk.job(batch=batch, held=True), desk.job(batch=batch)
    assert _due(desk) == [other]
    assert desk.books.claim(held, PLAN, slot="cpu", suffix="s", lease_seconds=60) == Refused("job is held")
    assert batch_row(desk.books, batch).held == 1
    assert hold_jobs(desk.books, [held, other], held=False, who="ann") == 1
    assert batch_row(desk.books, batch).held == 0
    assert _due(desk) == [held]
    desk.books.planned(desk.claim(held, PLAN), frames25=25, chunks=1)
    assert hold_jobs(desk.books, [held], held=True, who="ann") == 1
    desk.slot("a")
    assert desk.sent() == {}
    hold_jobs(desk.books, [held], held=False, who="ann")
    assert desk.sent() == {"a": (held, 0)}


def test_holding_hands_back_what_renders(desk: Desk) -> None:
    job = desk.planned(batch=desk.batch())
    lease = desk.claim(job, 0)
    hold_jobs(desk.books, [job], held=True, who="ann")
    assert desk.books.renew(lease, percent=1, lease_seconds=60) == "paused"


def test_a_held_job_that_is_cancelled_is_held_no_more(desk: Desk) -> None:
    batch = desk.batch()
    job = desk.job(batch=batch, held=True)
    desk.books.decide(job, "cancel", who="ann")
    assert batch_row(desk.books, batch).held == 0
    assert _counts(desk, batch) == {"cancelled": 1}
    desk.books.decide(job, "retry", who="ann")
    assert _due(desk) == [job]


def test_more_jobs_than_a_script_should_move_are_refused(desk: Desk) -> None:
    with pytest.raises(NotAllowedError, match="at most 500"):
        hold_jobs(desk.books, ["x"] * (MOST_AT_ONCE + 1), held=True, who="ann")
    assert hold_jobs(desk.books, [], held=True, who="ann") == 0
    assert hold_jobs(desk.books, ["20260101-000000-nobody"], held=True, who="ann") == 0


def test_a_paused_batch_gives_everything_back_and_goes_on_when_resumed(desk: Desk) -> None:
    batch = desk.batch()
    job = desk.planned(chunks=3, batch=batch)
    desk.slot("a")
    lease = desk.claim(job, 0, slot="a")
    assert desk.sent() == {"a": (job, 1)}
    decide_batch(desk.books, batch, "pause", who="bob")
    assert desk.books.renew(lease, percent=1, lease_seconds=60) == "paused"
    desk.books.fail(lease, AttemptFailure(code="paused", message="stopped", outcome="paused", burn=False))
    assert desk.sent() == {}
    assert desk.books.claim(job, "1", slot="a", suffix="s", lease_seconds=60) == Refused("batch is paused")
    assert load_of(desk.books, "preview", priority=9).waiting == 0
    row = batch_row(desk.books, batch)
    assert (row.state, row.reason) == ("paused", "paused by bob")
    decide_batch(desk.books, batch, "resume", who="bob")
    assert load_of(desk.books, "preview", priority=9).waiting == 3
    assert desk.sent() == {"a": (job, 0)}


def test_jobs_of_a_paused_batch_are_not_planned_and_others_are(desk: Desk) -> None:
    batch = desk.batch()
    decide_batch(desk.books, batch, "pause", who="ann")
    job, other = desk.job(batch=batch), desk.job(batch=desk.batch(name="Biology"))
    assert _due(desk) == [other]
    decide_batch(desk.books, batch, "resume", who="ann")
    assert _due(desk) == [job]


@pytest.mark.parametrize(("may_fail", "rows", "failures"), [("1", 0, 2), ("0", 0, 1), ("25%", 8, 3), ("50%", 0, 3)])
def test_a_batch_stops_when_more_jobs_fail_than_may(desk: Desk, may_fail: str, rows: int, failures: int) -> None:
    batch = desk.batch(max_failures=may_fail, rows=rows)
    jobs = [desk.job(batch=batch) for _ in range(5)]
    for job in jobs[: failures - 1]:
        _fail(desk, job)
    assert batch_row(desk.books, batch).state == "open"
    _fail(desk, jobs[failures - 1])
    row = batch_row(desk.books, batch)
    assert row.state == "stopped"
    assert row.reason == f"{failures} of {rows or 5} jobs failed, {may_fail} may fail"
    assert _due(desk) == []


def test_what_a_stopped_batch_has_begun_is_finished_and_nothing_more_begins(desk: Desk) -> None:
    batch = desk.batch(max_failures="0")
    begun, wrong = desk.planned(chunks=2, batch=batch), desk.job(batch=batch)
    almost = desk.planned(chunks=1, batch=batch)
    desk.slot("a")
    lease, last = desk.claim(begun, 0, slot="a"), desk.claim(almost, 0)
    assert desk.sent() == {"a": (begun, 1)}
    _fail(desk, wrong)
    assert desk.books.renew(lease, percent=1, lease_seconds=60) == "go on"
    desk.books.record(lease)
    desk.books.record(last)
    assert desk.sent() == {}
    assert desk.books.claim(begun, "1", slot="a", suffix="s", lease_seconds=60) == Refused("batch is stopped")
    desk.books.client.zadd("farm:outbox", {f"stitch/{almost}": 0})
    assert _due(desk) == [almost]
    assert desk.books.stitched(desk.claim(almost, STITCH), version=1, result="key", digest="d")


def test_a_stopped_batch_that_is_resumed_stops_again_only_for_new_failures(desk: Desk) -> None:
    batch = desk.batch(max_failures="1")
    jobs = [desk.job(batch=batch) for _ in range(6)]
    for job in jobs[:2]:
        _fail(desk, job)
    decide_batch(desk.books, batch, "resume", who="ann")
    _fail(desk, jobs[2])
    assert batch_row(desk.books, batch).state == "open"
    _fail(desk, jobs[3])
    assert batch_row(desk.books, batch).state == "stopped"


def test_a_failure_that_was_forgiven_and_retried_is_not_forgiven_again(desk: Desk) -> None:
    batch = desk.batch(max_failures="1")
    jobs = [desk.job(batch=batch) for _ in range(4)]
    for job in jobs[:2]:
        _fail(desk, job)
    decide_batch(desk.books, batch, "resume", who="ann")
    for job in jobs[:2]:
        desk.books.decide(job, "retry", who="ann")
    for job in jobs[:2]:
        _fail(desk, job)
    assert batch_row(desk.books, batch).state == "stopped"


@pytest.mark.parametrize("in_batch", [True, False], ids=["of a batch", "one by one"])
def test_thousands_of_plans_leave_the_queue_to_others(desk: Desk, in_batch: bool) -> None:
    batch = desk.batch(name="Large") if in_batch else ""
    jobs = [desk.job(batch=batch) for _ in range(PLANS_OF_AN_OWNER + 10)]
    _due(desk)
    assert _in_queue(desk) == jobs[:PLANS_OF_AN_OWNER], "the oldest of them"
    other = desk.job(owner="bob", batch=desk.batch(name="Small", owner="bob"))
    assert _due(desk) == [other], "it waits for nobody else's"
    for job in jobs[:4]:
        desk.claim(job, PLAN)
    assert sorted(_due(desk)) == jobs[PLANS_OF_AN_OWNER : PLANS_OF_AN_OWNER + 4]


def test_whoever_submits_one_job_rings_for_it_at_once_and_for_a_thousandth_the_sweeper_does(desk: Desk) -> None:
    entered = []
    for number in range(PLANS_OF_AN_OWNER + 1):
        fields = {"owner": "ann", "priority": 5, "token": str(number), "max_attempts": 3, "name": "x", "renderer": "p"}
        entered.append(desk.books.enter(f"20260101-000000-{number:06}", str(number), fields))
    assert [one.ring for one in entered] == [True] * PLANS_OF_AN_OWNER + [False]


def test_an_owners_most_urgent_plan_comes_first_whatever_it_belongs_to(desk: Desk) -> None:
    batch = desk.batch()
    jobs = [desk.job(batch=batch) for _ in range(PLANS_OF_AN_OWNER + 4)]
    urgent = desk.job(batch=desk.batch(name="Other"), priority=1)
    desk.books.decide(jobs[-1], "priority", who="ann", value=0)
    assert sorted(_due(desk)) == sorted([*jobs[: PLANS_OF_AN_OWNER - 2], jobs[-1], urgent])


def test_urgent_plans_are_let_in_past_those_that_are_less_so(desk: Desk) -> None:
    late = [desk.job(priority=9) for _ in range(PLANS_OF_AN_OWNER + 2)]
    assert _in_queue(desk) == late[:PLANS_OF_AN_OWNER]
    urgent = desk.job(priority=0)
    assert urgent in _in_queue(desk), "at once"
    desk.books.decide(late[-1], "priority", who="ann", value=1)
    assert _due(desk) == [late[-1]]


def test_plans_that_fail_and_are_tried_again_leave_the_queue_to_others(desk: Desk) -> None:
    batch = desk.batch()
    jobs = [desk.job(batch=batch) for _ in range(PLANS_OF_AN_OWNER + 4)]
    _due(desk)
    passing = AttemptFailure(code="storage_unreachable", message="storage does not answer", burn=False)
    for job in jobs[:6]:
        desk.books.fail(desk.claim(job, PLAN), passing)
    assert sorted(_due(desk)) == jobs[PLANS_OF_AN_OWNER:], "those that were not tried yet come first"
    assert _in_queue(desk) == jobs[6:]
    for job in jobs[6:]:
        desk.books.planned(desk.claim(job, PLAN), frames25=25, chunks=1)
    assert sorted(_due(desk)) == jobs[:6], "none is forgotten"


def test_a_plan_in_the_queue_that_becomes_urgent_is_rung_for_by_its_new_priority(desk: Desk) -> None:
    job = desk.job()
    assert _due(desk) == []
    desk.books.decide(job, "priority", who="ann", value=0)
    (message,) = desk.books.sweep().due
    assert (message.job, message.priority) == (job, 0)


def test_a_paused_batch_gives_its_place_in_the_queue_to_its_owners_others(desk: Desk) -> None:
    paused, other = desk.batch(name="Paused"), desk.batch(name="Other")
    jobs = [desk.job(batch=paused) for _ in range(PLANS_OF_AN_OWNER)]
    assert sorted(_due(desk)) == jobs
    decide_batch(desk.books, paused, "pause", who="ann")
    job = desk.job(batch=other)
    desk.books.client.zadd("farm:outbox", {f"plan/{one}": 0 for one in jobs})  # nobody answered for a while
    assert _due(desk) == []
    assert _due(desk) == [job]
    decide_batch(desk.books, paused, "resume", who="ann")
    assert sorted(_due(desk)) == jobs[:-1], "with those of the other"


def test_jobs_that_are_held_take_no_place_in_the_queue(desk: Desk) -> None:
    batch = desk.batch()
    for _ in range(PLANS_OF_AN_OWNER + 1):
        desk.job(batch=batch, held=True)
    job = desk.job(batch=batch)
    assert _due(desk) == [job]


def test_jobs_that_are_paused_one_by_one_or_held_give_their_place_in_the_queue_to_others(desk: Desk) -> None:
    batch = desk.batch()
    jobs = [desk.job(batch=batch) for _ in range(PLANS_OF_AN_OWNER + 4)]
    assert sorted(_due(desk)) == jobs[:PLANS_OF_AN_OWNER]
    paused, held = jobs[:2], jobs[2:4]
    for job in paused:
        desk.books.decide(job, "pause", who="ann")
    hold_jobs(desk.books, held, held=True, who="ann")
    assert _due(desk) == jobs[PLANS_OF_AN_OWNER:]
    for job in jobs[4:]:
        desk.books.planned(desk.claim(job, PLAN), frames25=25, chunks=1)
    assert _due(desk) == []
    for job in paused:
        desk.books.decide(job, "resume", who="ann")
    hold_jobs(desk.books, held, held=False, who="ann")
    desk.books.sweep()
    for job in paused + held:
        assert desk.books.planned(desk.claim(job, PLAN), frames25=25, chunks=1)
    assert not desk.books.client.exists("farm:planning", f"farm:plans:{batch}/ann")


def test_a_cancelled_batch_begins_nothing(desk: Desk) -> None:
    batch = desk.batch()
    job, planned = desk.job(batch=batch), desk.planned(batch=batch)
    decide_batch(desk.books, batch, "cancel", who="ann")
    desk.slot("a")
    assert desk.sent() == {}
    assert _due(desk) == []
    assert desk.books.claim(job, PLAN, slot="cpu", suffix="s", lease_seconds=60) == Refused("batch is cancelled")
    assert desk.books.claim(planned, "0", slot="a", suffix="s", lease_seconds=60) == Refused("batch is cancelled")


def test_jobs_that_come_back_from_storage_are_counted_again(desk: Desk) -> None:
    fields: dict[str, str | int | float] = {
        "name": "Lesson", "owner": "ann", "priority": 5, "renderer": "preview", "max_attempts": 3, "batch": "b1",
        "submitted": 1000,
    }  # fmt: skip
    held = {**fields, "token": "t1", "row": 2, "held": 1}
    gone = {**fields, "token": "t2", "row": 1, "held": 1}
    assert desk.books.restore(Standing(job="j1", state=JobState.PLANNING, fields=held), who="ann")
    assert desk.books.restore(Standing(job="j2", state=JobState.CANCELLED, fields=gone), who="ann")
    assert batch_jobs(desk.books, "b1") == ["j2", "j1"]
    with pytest.raises(NotFoundError, match="batch 'b1' is not in the books"):
        batch_row(desk.books, "b1")
    enter_batch(desk.books, "b1", name="Algebra", owner="ann", submitted=5.0)
    row = batch_row(desk.books, "b1")
    assert (row.submitted, row.total, row.held) == (5.0, 2, 1)
    assert _counts(desk, "b1") == {"planning": 1, "cancelled": 1}


def test_an_unknown_batch_is_named(desk: Desk) -> None:
    with pytest.raises(NotFoundError, match="batch 'nobody' is not in the books"):
        decide_batch(desk.books, "nobody", "pause", who="ann")
