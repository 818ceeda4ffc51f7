"""Which chunk is next: priority, then fair share between owners, then age; few messages, always movable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.jobs.batches import decide_batch
from farm.jobs.policy import Policy, policy_of, write_policy
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


def test_the_same_books_choose_the_same_in_whatever_order_slots_reported(desk: Desk) -> None:
    job = desk.planned(chunks=3)
    for name in "cab":
        desk.slot(name)
    assert desk.sent() == {"a": (job, 0), "b": (job, 1), "c": (job, 2)}


def test_a_slot_that_the_books_lost_takes_chunks_again_at_its_next_sign_of_life(desk: Desk) -> None:
    job = desk.planned(chunks=1)
    desk.slot("a")
    desk.books.client.delete("farm:free")
    assert desk.sent() == {}
    desk.books.report_slot("a", {}, pulse=True)
    assert desk.sent() == {"a": (job, 0)}


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


def _spent(desk: Desk, owner: str, seconds: float) -> None:
    """The owner's slots were busy for so long until now."""
    job = desk.planned(chunks=1, owner=owner)
    lease = desk.claim(job, 0)
    before = float(desk.books.client.hget(f"farm:job:{job}:u:0", "started"))
    desk.books.client.hset(f"farm:job:{job}:u:0", "started", round(before - 1000 * seconds))
    desk.books.client.hincrby(f"farm:owner:{owner}", "began", -round(1000 * seconds))
    desk.books.record(lease)


def _owners(desk: Desk, names: str) -> dict[str, str]:
    """Whose chunks slots of these names get: slot -> owner."""
    for name in names:
        desk.slot(name)
    return {slot: desk.books.client.hget(f"farm:job:{job}", "owner") for slot, (job, _) in desk.sent().items()}


def test_who_used_less_slot_time_lately_goes_first_however_old_the_others_jobs_are(desk: Desk) -> None:
    _spent(desk, "ann", 100)
    _spent(desk, "bob", 50)
    desk.planned(chunks=9, owner="ann")
    desk.planned(chunks=9, owner="bob")
    assert set(_owners(desk, "a").values()) == {"bob"}


def test_time_in_hand_counts_as_it_passes(desk: Desk) -> None:
    _spent(desk, "cid", 1)  # what a chunk takes, about
    long, short = desk.planned(chunks=9, owner="ann"), desk.planned(chunks=9, owner="bob")
    desk.claim(long, 0)
    desk.claim(short, 0)
    desk.books.client.hincrby("farm:owner:ann", "began", -100_000)  # begun so long ago
    assert list(_owners(desk, "abc").values()) == ["bob", "bob", "bob"]


def test_a_weight_of_two_is_worth_twice_the_time(desk: Desk) -> None:
    write_policy(desk.books, Policy(weights={"ann": 2}))
    _spent(desk, "ann", 100)
    _spent(desk, "bob", 60)
    desk.planned(chunks=9, owner="bob")
    desk.planned(chunks=9, owner="ann")
    assert set(_owners(desk, "a").values()) == {"ann"}


def test_slots_that_come_free_together_are_shared_by_weight(desk: Desk) -> None:
    write_policy(desk.books, Policy(weights={"cid": 2}))
    for owner in ("ann", "bob", "cid"):
        desk.planned(chunks=20, owner=owner)
    owners = list(_owners(desk, "abcdefgh").values())
    assert {owner: owners.count(owner) for owner in owners} == {"ann": 2, "bob": 2, "cid": 4}


def test_slot_time_is_forgotten_by_half_in_a_half_life(desk: Desk) -> None:
    _spent(desk, "ann", 1000)
    _spent(desk, "bob", 300)
    hour_ago = float(desk.books.client.hget("farm:owner:ann", "at")) - 3600_000
    desk.books.client.hset("farm:owner:ann", "at", hour_ago)  # two half-lives: 250 s are left
    desk.planned(chunks=9, owner="ann")
    desk.planned(chunks=9, owner="bob")
    assert set(_owners(desk, "a").values()) == {"ann"}


def test_an_owner_uses_no_more_slots_than_the_limit(desk: Desk) -> None:
    write_policy(desk.books, Policy(limits={"ann": 2, "*": 3}))
    desk.planned(chunks=20, owner="ann")
    desk.planned(chunks=20, owner="bob")
    assert sorted(_owners(desk, "abcdefgh").values()) == ["ann"] * 2 + ["bob"] * 3
    assert desk.sent() == {}


def test_a_limit_lets_a_slot_have_its_next_chunk_waiting_but_none_else(desk: Desk) -> None:
    write_policy(desk.books, Policy(limits={"*": 1}))
    job = desk.planned(chunks=5)
    desk.slot("a")
    desk.sent()
    desk.claim(job, 0, slot="a")
    desk.slot("b")
    assert desk.sent() == {"a": (job, 1)}
    assert desk.sent() == {}, "b may not take it: it would be the second slot"
    write_policy(desk.books, Policy(limits={"*": 2}))
    assert desk.sent() == {"b": (job, 2)}


def test_a_chunk_behind_anothers_moves_to_a_free_slot_within_the_limit(desk: Desk) -> None:
    write_policy(desk.books, Policy(limits={"bob": 1}))
    mine, other = desk.planned(chunks=1, owner="ann"), desk.planned(chunks=1, owner="bob")
    desk.slot("a")
    assert desk.sent() == {"a": (mine, 0)}
    desk.claim(mine, 0, slot="a")
    assert desk.sent() == {"a": (other, 0)}
    desk.slot("b")
    assert desk.sent() == {"b": (other, 0)}


def test_a_batch_uses_no_more_slots_than_its_limit_and_others_of_its_owner_go_on(desk: Desk) -> None:
    batch = desk.batch(limit=1)
    first, second = desk.planned(chunks=5, batch=batch), desk.planned(chunks=5)
    for name in "abc":
        desk.slot(name)
    assert sorted(desk.sent().values()) == [(first, 0), (second, 0), (second, 1)]
    decide_batch(desk.books, batch, "limit", who="ann", value=2)
    desk.slot("d")
    assert desk.sent() == {"d": (first, 1)}
    decide_batch(desk.books, batch, "limit", who="ann")
    desk.slot("e")
    assert desk.sent() == {"e": (first, 2)}


def test_a_slot_gets_nothing_of_a_job_that_it_is_kept_off(desk: Desk) -> None:
    job, other = desk.planned(chunks=2), desk.planned(chunks=1)
    desk.books.client.sadd(f"farm:job:{job}:off", "a")
    desk.slot("a")
    assert desk.sent() == {"a": (other, 0)}
    desk.slot("b")
    assert desk.sent() == {"b": (job, 0)}
    desk.claim(other, 0, slot="a")
    desk.books.record(desk.books.claim(other, "0", slot="a", suffix="abcd", lease_seconds=60))  # type: ignore[arg-type]
    desk.claim(job, 0, slot="b")
    assert desk.sent() == {"b": (job, 1)}
    assert desk.sent() == {}, "nor does it take what waits elsewhere"


def test_nothing_is_given_out_while_storage_is_away(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a")
    desk.books.client.hset("farm:storage:paused", "reason", "it does not answer")
    assert desk.sent() == {}
    desk.books.client.delete("farm:storage:paused")
    assert desk.sent() == {"a": (job, 0)}


def test_a_job_of_another_priority_stands_in_another_line(desk: Desk) -> None:
    job = desk.planned(chunks=2, priority=9)
    urgent = desk.planned(chunks=1, priority=3)
    desk.books.decide(job, "priority", who="ann", value=0)
    desk.slot("a")
    assert desk.sent() == {"a": (job, 0)}
    desk.slot("b")
    desk.slot("c")
    assert sorted(desk.sent().values()) == [(job, 1), (urgent, 0)]


def test_a_policy_is_what_was_written_last(desk: Desk) -> None:
    assert policy_of(desk.books) == Policy()
    policy = Policy(weights={"ann": 1.5}, limits={"*": 4, "bob": 8}, half_life_seconds=60)
    write_policy(desk.books, policy)
    assert policy_of(desk.books) == policy
    assert (policy.limit("bob"), policy.limit("ann"), Policy().limit("ann")) == (8, 4, None)
