"""Blame: disks and storage that fail, for one machine or for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.jobs import health
from farm.jobs.model import PLAN
from farm.jobs.store import Refused
from tests.farm.jobs.test_health import NO_DISK, NO_STORAGE, fail, slot

if TYPE_CHECKING:
    from tests.farm.jobs.conftest import Desk


def test_a_full_disk_takes_out_the_slots_of_its_machine_alone_and_burns_nothing(desk: Desk) -> None:
    desk.slot("a", host="left")
    desk.slot("b", host="left", pid=2)
    desk.slot("c", host="right", pid=3)
    job = desk.planned(5)
    fail(desk, job, 0, "a", NO_DISK)
    assert slot(desk, "a") == slot(desk, "b") == ("out", "the disk of left: no space left")
    assert set(desk.sent()) == {"c"}
    desk.books.client.hset("farm:slot:b:health", "probe_at", 0)
    assert [called.name for called in health.slots_to_probe(desk.books)] == ["b"]
    assert health.begin_probe(desk.books, "b") == health.Probe(cause="disk", renderers=())
    health.end_probe(desk.books, "b", "right")
    assert slot(desk, "b") == ("idle", None)
    assert desk.books.client.hget(f"farm:job:{job}:u:0", "burnt") is None


def test_storage_that_fails_three_attempts_in_a_row_pauses_everything(desk: Desk) -> None:
    for name in "abcd":
        desk.slot(name, pid=ord(name))
    job = desk.planned(8)
    planning = desk.job()
    for chunk in range(2):
        fail(desk, job, chunk, "abcd"[chunk], NO_STORAGE)
    assert health.storage_pause(desk.books) is None
    in_hand = desk.claim(job, 4, slot="d")
    fail(desk, job, 2, "c", NO_STORAGE)
    pause = health.storage_pause(desk.books)
    assert pause is not None
    assert pause.reason == "storage does not answer"
    assert desk.sent() == {}
    assert desk.books.sweep().due == (), "no plan is rung for"
    assert desk.books.claim(planning, PLAN, slot="cpu", suffix="x", lease_seconds=9) == Refused("storage is paused")
    assert desk.books.renew(in_hand, percent=5, lease_seconds=60) == "go on", "what is in hand waits by itself"


def test_a_success_between_failures_of_storage_starts_the_count_anew(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(8)
    for chunk in (0, 1):
        fail(desk, job, chunk, "a", NO_STORAGE)
    desk.books.record(desk.claim(job, 2, slot="a"))
    fail(desk, job, 3, "a", NO_STORAGE)
    assert health.storage_pause(desk.books) is None


def test_a_slot_that_alone_cannot_reach_storage_is_out_until_it_does(desk: Desk) -> None:
    desk.slot("a")
    desk.slot("b", pid=2)
    job = desk.planned(8)
    fail(desk, job, 0, "a", NO_STORAGE)
    desk.books.client.hincrby("farm:slot:a", "cut_off_since", -1)  # some time goes by
    desk.books.record(desk.claim(job, 1, slot="b"))
    fail(desk, job, 2, "a", NO_STORAGE)
    assert slot(desk, "a") == ("idle", None), "it may have been a moment"
    fail(desk, job, 3, "a", NO_STORAGE)
    assert slot(desk, "a") == (
        "out",
        "storage fails from here, and meanwhile worked elsewhere: storage does not answer",
    )
    assert set(desk.sent()) == {"b"}
    desk.books.client.hset("farm:slot:a:health", "probe_at", 0)
    desk.books.client.hset("farm:storage:paused", mapping={"reason": "x", "since": 0, "until": 0, "checks": 1})
    assert health.slots_to_probe(desk.books) == [], "while storage fails for all, no probe says anything"
    health.storage_works(desk.books)
    assert [called.name for called in health.slots_to_probe(desk.books)] == ["a"]
    assert health.begin_probe(desk.books, "a") == health.Probe(cause="storage", renderers=())
    health.end_probe(desk.books, "a", "right")
    assert slot(desk, "a") == ("idle", None)
    fail(desk, job, 7, "a", NO_STORAGE)
    assert slot(desk, "a") == ("idle", None), "it starts with a clean sheet"


def test_storage_that_fails_for_all_takes_no_slot_out(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(8)
    desk.books.record(desk.claim(job, 0, slot="a"))
    for chunk in range(1, 6):
        desk.books.client.delete("farm:storage:paused")
        fail(desk, job, chunk, "a", NO_STORAGE)
    assert slot(desk, "a") == ("idle", None)


def test_a_slot_whose_storage_failed_when_the_sweeper_found_it_well_is_out_at_its_next_failure(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(8)
    for chunk in range(3):
        fail(desk, job, chunk, "a", NO_STORAGE)
    desk.books.client.hincrby("farm:slot:a", "cut_off_since", -1)  # some time goes by
    health.storage_works(desk.books)
    fail(desk, job, 3, "a", NO_STORAGE)
    assert slot(desk, "a")[0] == "out"


def test_storage_that_works_again_lets_everything_go_on_at_once(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(3)
    for chunk in range(3):
        fail(desk, job, chunk, "a", NO_STORAGE)
    assert health.storage_check_due(desk.books)
    assert not health.storage_check_due(desk.books), "one tries it, not each sweeper"
    health.storage_fails(desk.books, "still nothing")
    pause = health.storage_pause(desk.books)
    assert pause is not None
    assert pause.reason == "still nothing"
    assert pause.until > pause.since
    health.storage_works(desk.books)
    assert health.storage_pause(desk.books) is None
    desk.books.sweep()
    assert desk.sent() == {"a": (job, 0)}, "though each was put off for ten minutes"


def test_where_the_first_try_works_what_failed_waits_its_time(desk: Desk) -> None:
    desk.slot("a")
    job = desk.planned(4)
    for chunk in range(3):
        fail(desk, job, chunk, "a", NO_STORAGE)
    assert health.storage_check_due(desk.books)
    health.storage_works(desk.books)
    desk.books.sweep()
    assert desk.sent() == {"a": (job, 3)}, "else an object that is refused would fail again and again"
