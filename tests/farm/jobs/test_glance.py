"""A glance at a farm: rates, busy shares and failures of lately, what waits, what runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from farm.jobs.batches import decide_batch
from farm.jobs.glance import glance
from farm.jobs.lately import LATELY_SECONDS, lasted, late_failures
from farm.jobs.store import AttemptFailure

if TYPE_CHECKING:
    from tests.farm.jobs.conftest import Desk

BUG = AttemptFailure(code="crash", message="the GPU has fallen off the bus")


def shift(desk: Desk, key: str, *fields: str, seconds: float) -> None:
    """Let what was noted at a moment have been noted earlier: the books' clock cannot be turned."""
    for field in fields:
        desk.books.client.hset(key, field, str(float(desk.books.client.hget(key, field)) - 1000 * seconds))  # type: ignore[arg-type]


def test_rates_are_of_lately_and_what_is_a_half_life_old_counts_half(desk: Desk) -> None:
    assert glance(desk.books).rates.chunks_per_minute == 0
    job = desk.planned(4)  # a second of video each
    leases = [desk.claim(job, chunk) for chunk in range(4)]
    for chunk, lease in enumerate(leases):
        shift(desk, f"farm:job:{job}:u:{chunk}", "started", seconds=10)
        desk.books.record(lease)
    assert glance(desk.books).rates.work_per_video == pytest.approx(10, rel=0.1)
    shift(desk, "farm:lately", "at", "since", seconds=LATELY_SECONDS)
    found = glance(desk.books).rates
    minutes = lasted(LATELY_SECONDS + 10) / 60
    assert found.chunks_per_minute == pytest.approx(4 / 2 / minutes, rel=0.05)
    assert found.video_per_minute == pytest.approx(found.chunks_per_minute, rel=0.01)
    assert found.work_per_video == pytest.approx(10, rel=0.1)


def test_a_segment_that_was_taken_or_an_attempt_that_failed_is_no_speed(desk: Desk) -> None:
    job = desk.planned(2)
    desk.books.record(desk.claim(job, 0), taken="20260101-000000-other0")
    desk.books.fail(desk.claim(job, 1), BUG)
    assert glance(desk.books).rates.chunks_per_minute == 0


def test_a_slot_was_busy_for_the_share_of_its_time_in_which_it_had_something_in_hand(desk: Desk) -> None:
    for slot in ("half", "idle", "new"):
        desk.slot(slot)
    job = desk.planned(2)
    lease = desk.claim(job, 0, slot="half")
    for slot in ("half", "idle"):
        shift(desk, f"farm:slot:{slot}", "since", seconds=100)
    shift(desk, f"farm:job:{job}:u:0", "started", seconds=50)
    expected = pytest.approx(lasted(50) / lasted(100), abs=0.02)

    def busy() -> dict[str, float | None]:
        return {slot.name: work.busy for slot, work in glance(desk.books).slots}

    assert busy() == {"half": expected, "idle": 0.0, "new": None}, "while it renders"
    desk.books.record(lease)
    assert busy() == {"half": expected, "idle": 0.0, "new": None}, "and when that is done"
    shift(desk, "farm:slot:half", "since", "busy_at", seconds=LATELY_SECONDS)
    assert busy()["half"] == pytest.approx(lasted(50) / 2 / lasted(100 + LATELY_SECONDS), abs=0.02)


def test_a_slot_shows_the_lesson_the_chunk_and_how_far_it_is(desk: Desk) -> None:
    desk.slot("gpu0")
    job = desk.planned(21)
    lease = desk.claim(job, 3, slot="gpu0")
    desk.books.renew(lease, percent=42.0, lease_seconds=60)
    (((slot, work),), running) = glance(desk.books).slots, glance(desk.books).jobs
    assert (work.title, slot.chunk, work.chunks, work.percent) == ("Lesson 1", 3, 21, 42.0)
    assert [(one.id, one.chunks, one.done) for one in running] == [(job, 21, 0)]


def test_the_last_failures_are_told_newest_first_and_what_was_stopped_on_purpose_is_none(desk: Desk) -> None:
    stopped = desk.planned(1)
    lease = desk.claim(stopped, 0)
    desk.books.decide(stopped, "cancel", who="ann")
    desk.books.record(lease)
    job = desk.planned(1, attempts=2)
    for _ in range(2):
        desk.books.fail(desk.claim(job, 0, slot="gpu0"), BUG)
    found = late_failures(desk.books)
    assert [(one.job, one.title, one.unit, one.slot, one.over) for one in found] == [
        (job, "Lesson 2", "0", "gpu0", True),
        (job, "Lesson 2", "0", "gpu0", False),
    ]
    assert {one.reason for one in found} == {BUG.message}
    assert abs(found[0].at - time.time()) < 60
    for _ in range(30):
        desk.books.fail(desk.claim(desk.planned(1), 0), BUG)
    assert len(late_failures(desk.books)) == 20, "however many fail"


def test_what_waits_is_told_by_owner_and_priority_without_what_a_paused_batch_keeps(desk: Desk) -> None:
    for renderer in ("preview", "sonic"):
        desk.planned(3, owner="ann", renderer=renderer)
    desk.planned(2, owner="bob: the second", priority=0)
    paused = desk.batch(owner="cid")
    desk.planned(5, owner="cid", batch=paused)
    decide_batch(desk.books, paused, "pause", who="cid")
    found = glance(desk.books)
    assert [(row.owner, row.priority, row.chunks) for row in found.queue] == [("bob: the second", 0, 2), ("ann", 5, 6)]
    assert all(0 <= row.oldest < 60 for row in found.queue)


def test_batches_that_go_on_come_before_newer_ones_that_have_ended(desk: Desk) -> None:
    old = desk.batch(name="old")
    desk.planned(1, batch=old)
    new = desk.batch(name="new")
    desk.books.decide(desk.planned(1, batch=new), "cancel", who="ann")
    assert [row.name for row in glance(desk.books).batches] == ["old", "new"]


def test_a_glance_asks_redis_as_much_about_many_jobs_as_about_few(desk: Desk) -> None:
    def asked() -> int:
        before = int(desk.books.client.info("stats")["total_commands_processed"])  # type: ignore[index]
        glance(desk.books)
        return int(desk.books.client.info("stats")["total_commands_processed"]) - before  # type: ignore[index]

    desk.slot("gpu0")
    desk.planned(3)
    few = asked()
    for _ in range(60):
        desk.planned(3)
    assert asked() == few
