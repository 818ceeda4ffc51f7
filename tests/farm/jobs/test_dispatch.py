"""Which chunk is next: priority, then fair share between owners, then age; few messages, always movable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.conftest import wait_until

if TYPE_CHECKING:
    from tests.farm.jobs.conftest import Desk


def test_chunks_of_a_job_leave_in_order_and_a_slot_has_one_message_waiting(desk: Desk) -> None:
    job = desk.planned(chunks=5)
    desk.slot("a")
    desk.slot("b")
    assert sorted(desk.sent().values()) == [(job, 0), (job, 1)]
    assert desk.sent() == {}


def test_a_busy_slot_has_its_next_chunk_waiting(desk: Desk) -> None:
    job = desk.planned(chunks=5)
    desk.slot("a")
    assert desk.sent() == {"a": (job, 0)}
    desk.claim(job, 0, slot="a")
    assert desk.sent() == {"a": (job, 1)}


def test_idle_slots_choose_before_busy_ones(desk: Desk) -> None:
    job = desk.planned(chunks=2)
    desk.slot("a")
    desk.sent()
    desk.claim(job, 0, slot="a")
    desk.slot("b")
    assert desk.sent() == {"b": (job, 1)}


def test_lower_numbers_go_first(desk: Desk) -> None:
    desk.planned(priority=5)
    urgent = desk.planned(priority=0)
    desk.slot("a")
    assert desk.sent() == {"a": (urgent, 0)}


def test_a_new_priority_acts_on_what_was_already_sent(desk: Desk) -> None:
    first, second = desk.planned(chunks=1), desk.planned(chunks=1)
    desk.slot("a")
    assert desk.sent() == {"a": (first, 0)}
    desk.books.decide(first, "priority", who="ann", value=9)
    assert desk.sent() == {"a": (second, 0)}


def test_owners_share_the_slots_whoever_came_first(desk: Desk) -> None:
    for _ in range(5):
        desk.planned(chunks=10, owner="ann")
    small = desk.planned(chunks=10, owner="bob")
    for name in "abcd":
        desk.slot(name)
    jobs = [job for job, _ in desk.sent().values()]
    assert jobs.count(small) == 2


def test_one_owners_jobs_are_finished_one_after_the_other(desk: Desk) -> None:
    first = desk.planned(chunks=2)
    second = desk.planned(chunks=2)
    for name in "abc":
        desk.slot(name)
    assert sorted(desk.sent().values()) == [(first, 0), (first, 1), (second, 0)]


def test_a_slot_gets_only_what_its_renderers_can_do(desk: Desk) -> None:
    desk.planned(renderer="sonic")
    job = desk.planned(renderer="preview")
    desk.slot("a", renderers=("preview",))
    assert desk.sent() == {"a": (job, 0)}


def test_owners_share_a_slot_that_has_two_renderers(desk: Desk) -> None:
    desk.planned(chunks=9, owner="ann", renderer="preview")
    job = desk.planned(chunks=9, owner="bob", renderer="sonic")
    for name in "abcd":
        desk.slot(name, renderers=("preview", "sonic"))
    assert [found for found, _ in desk.sent().values()].count(job) == 2


def test_a_job_too_large_for_a_slots_memory_goes_elsewhere_and_holds_nobody_up(desk: Desk) -> None:
    large = desk.planned(pixels=1024 * 1024)
    small = desk.planned(pixels=512 * 512)
    desk.slot("a", most_pixels=600 * 600)
    assert desk.sent() == {"a": (small, 0)}
    desk.slot("b")
    assert desk.sent() == {"b": (large, 0)}


def test_an_idle_slot_takes_what_waits_at_a_busy_one(desk: Desk) -> None:
    job = desk.planned(chunks=2)
    desk.slot("a")
    desk.sent()
    desk.claim(job, 0, slot="a")
    assert desk.sent() == {"a": (job, 1)}
    desk.slot("b")
    assert desk.sent() == {"b": (job, 1)}
    refused = desk.books.claim(job, "1", slot="a", suffix="s", lease_seconds=60)
    assert not hasattr(refused, "attempt"), "the message that still lies at a is dropped"
    desk.claim(job, 1, slot="b")


def test_an_idle_slot_takes_what_was_sent_to_a_lost_one(desk: Desk) -> None:
    job = desk.planned(chunks=1)
    desk.slot("a", ttl=0.05)
    assert desk.sent() == {"a": (job, 0)}
    desk.slot("b")
    assert wait_until(desk.sent, what="taken over") == {"b": (job, 0)}
