"""`farm job why`: one sentence for whatever a job may wait for, true on real books."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import NotFoundError
from farm.jobs.batches import decide_batch
from farm.jobs.model import PLAN, STITCH
from farm.jobs.policy import Policy, write_policy
from farm.jobs.store import AttemptFailure
from farm.jobs.why import why
from tests.conftest import wait_until

if TYPE_CHECKING:
    from tests.farm.jobs.conftest import Desk

AWAY = AttemptFailure(code="u", message="storage is away", burn=False, outcome="outage", delay_seconds=30)


def _why(desk: Desk, job: str) -> tuple[str, str]:
    found = why(desk.books, job)
    assert found.job == job
    assert found.to_dict() == {"job": job, "cause": found.cause, "sentence": found.sentence}
    return found.cause, found.sentence


def _now(desk: Desk) -> int:
    """Redis' clock, in milliseconds."""
    seconds, micros = desk.books.client.time()
    return int(1000 * seconds + micros // 1000)


def test_what_has_ended_waits_for_nothing(desk: Desk) -> None:
    job = desk.planned(chunks=1)
    desk.books.record(desk.claim(job, 0))
    desk.books.stitched(desk.claim(job, STITCH), version=1, result="key", digest="d")
    assert _why(desk, job) == ("ended", "It is done.")
    job = desk.planned()
    desk.books.decide(job, "cancel", who="bob")
    assert _why(desk, job) == ("ended", "It was cancelled: cancelled by bob.")
    job = desk.planned()
    desk.books.fail(desk.claim(job, 0), AttemptFailure(code="x", message="no face found", permanent=True))
    assert _why(desk, job) == ("ended", "It failed: no face found.")


def test_what_people_decided(desk: Desk) -> None:
    job = desk.planned()
    desk.books.decide(job, "pause", who="ann")
    assert _why(desk, job) == ("paused", f"It is paused; `farm job resume {job}` lets it go on.")
    batch = desk.batch(name="Algebra")
    held, other = desk.job(batch=batch, held=True), desk.planned(batch=batch)
    assert _why(desk, held) == ("held", f"It is held until its batch is released: `farm batch release {batch}`.")
    decide_batch(desk.books, batch, "pause", who="bob")
    goes_on = f"`farm batch resume {batch}` lets it go on."
    assert _why(desk, other) == ("batch", f"Its batch 'Algebra' is paused (paused by bob); {goes_on}")


def test_a_batch_with_too_many_failures(desk: Desk) -> None:
    batch = desk.batch(name="Algebra", max_failures="0")
    job, begun, wrong = (desk.planned(batch=batch) for _ in range(3))
    desk.claim(begun, 0)
    desk.books.fail(desk.claim(wrong, 0), AttemptFailure(code="x", message="no", permanent=True))
    stopped = "Its batch 'Algebra' is stopped (1 of 3 jobs failed, 0 may fail)"
    goes_on = f"`farm batch resume {batch}` lets it go on."
    assert _why(desk, job) == ("batch", f"{stopped}; {goes_on}")
    assert _why(desk, begun) == ("batch", f"{stopped}, what was begun (1 chunk) is finished; {goes_on}")


def test_a_plan_that_nobody_made_yet(desk: Desk) -> None:
    job = desk.job()
    assert _why(desk, job) == ("queue", "It waits to be planned, but no cpu worker is at work.")
    desk.books.report_cpu_worker("cpu-1")
    desk.books.client.rpush("cpu:5", "one", "two")
    assert _why(desk, job) == ("queue", "It waits to be planned, with 2 messages on the cpu queue.")
    batch = desk.batch()
    first, second = desk.job(batch=batch), desk.job(batch=batch)
    assert _why(desk, first) == ("queue", "It waits to be planned, with 1 job of ann before it.")
    assert _why(desk, second) == ("queue", "It waits to be planned, with 2 jobs of ann before it.")
    lease = desk.claim(job, PLAN, slot="cpu-1")
    desk.books.renew(lease, percent=40, lease_seconds=60)
    assert _why(desk, job) == ("working", "It is being planned by cpu-1, 40 % done.")
    desk.books.fail(lease, AWAY)
    assert _why(desk, job)[0] == "outage"
    assert "after an outage before it is planned" in _why(desk, job)[1]


def test_a_stitch_that_nobody_made_yet(desk: Desk) -> None:
    desk.books.report_cpu_worker("cpu-1")
    job = desk.planned(chunks=1)
    desk.books.record(desk.claim(job, 0))
    assert _why(desk, job) == ("queue", "It waits to be stitched: a cpu worker takes it in a moment.")
    desk.claim(job, STITCH, slot="cpu-1")
    assert _why(desk, job) == ("working", "It is being stitched by cpu-1, 0 % done.")


def test_chunks_that_are_in_hand(desk: Desk) -> None:
    job = desk.planned(chunks=2)
    desk.slot("a")
    desk.sent()
    assert _why(desk, job) == ("sent", "A chunk of it is sent to a and begins when that is free.")
    desk.claim(job, 0, slot="a")
    desk.sent()
    assert _why(desk, job) == ("working", "1 of its 2 chunks is being rendered on a.")
    desk.slot("b")
    desk.sent()
    desk.claim(job, 1, slot="b")
    assert _why(desk, job) == ("working", "2 of its 2 chunks are being rendered on a, b.")


def test_chunks_in_hand_while_others_wait(desk: Desk) -> None:
    job = desk.planned(chunks=5)
    desk.slot("a")
    write_policy(desk.books, Policy(limits={"ann": 1}))
    desk.sent()
    desk.claim(job, 0, slot="a")
    binds = "ann uses 1 slot, and owner_limits allows 1 at once."
    assert _why(desk, job) == ("working", f"1 of its 5 chunks is being rendered on a; for the others: {binds}")
    write_policy(desk.books, Policy())
    desk.sent()
    turn = "it waits its turn: of 1 slot for it none has room, and it is the next."
    assert _why(desk, job) == ("working", f"1 of its 5 chunks is being rendered on a; for the others: {turn}")


def test_no_slot_with_that_renderer(desk: Desk) -> None:
    job = desk.planned(renderer="sonic")
    assert _why(desk, job) == ("renderer", "No slot offers renderer 'sonic': no slot is at work.")
    desk.slot("a", renderers=("preview", "stripes"))
    assert _why(desk, job) == ("renderer", "No slot offers renderer 'sonic': they offer preview, stripes.")
    desk.slot("lost", renderers=("sonic",), ttl=0)
    assert _why(desk, job)[0] == "renderer"


def test_no_slot_with_that_memory(desk: Desk) -> None:
    job = desk.planned(pixels=1024 * 1024)
    desk.slot("a", most_pixels=512 * 512)
    said = "No slot has memory for frames of 1,048,576 pixels: the largest takes 262,144."
    assert _why(desk, job) == ("memory", said)


def test_every_slot_that_fits_is_kept_off(desk: Desk) -> None:
    job = desk.planned()
    for name in "abcde":
        desk.slot(name)
        desk.books.client.sadd(f"farm:job:{job}:off", name)
    said = "It is kept off a, b, c and 2 more, where its chunks kept failing, and no other slot could render it."
    assert _why(desk, job) == ("kept off", said)
    desk.books.client.srem(f"farm:job:{job}:off", "e")
    assert _why(desk, job)[0] == "turn"


def test_no_slot_is_ready(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a", state="sick", why_out="it failed jobs of 3 owners in a row")
    desk.slot("b", state="loading")
    said = "No slot that could render it is ready: a is sick (it failed jobs of 3 owners in a row); b is loading."
    assert _why(desk, job) == ("slots", said)


def test_storage_is_paused(desk: Desk) -> None:
    desk.slot("a")
    planned, entered = desk.planned(), desk.job()
    desk.books.client.hset("farm:storage:paused", "reason", "three attempts in a row could not write")
    said = "Nothing is begun while storage is paused: three attempts in a row could not write."
    assert _why(desk, planned) == ("storage", said)
    assert _why(desk, entered) == ("storage", said)


def test_an_outage_that_is_waited_out(desk: Desk) -> None:
    job = desk.planned(chunks=1)
    desk.books.fail(desk.claim(job, 0), AWAY)
    cause, sentence = _why(desk, job)
    assert cause == "outage"
    seconds = int(sentence.removeprefix("It waits ").split()[0])
    assert 25 <= seconds <= 31
    assert sentence.endswith(" s more after an outage before it is tried again.")


def test_a_limit_of_its_owner_or_its_batch(desk: Desk) -> None:
    batch = desk.batch(name="Algebra", limit=1)
    begun, job = desk.planned(chunks=1, batch=batch), desk.planned(batch=batch)
    for name in "abc":
        desk.slot(name)
    assert desk.sent() == {"a": (begun, 0)}
    assert _why(desk, job) == ("batch limit", "Its batch 'Algebra' uses 1 slot and may use 1 at once.")
    write_policy(desk.books, Policy(limits={"*": 1}))
    assert _why(desk, job) == ("owner limit", "ann uses 1 slot, and owner_limits allows 1 at once.")


def test_a_place_in_line(desk: Desk) -> None:
    desk.planned(chunks=9, owner="bob")
    desk.slot("a")
    desk.sent()
    desk.planned(owner="cid", priority=0)
    desk.planned(owner="dan")
    first = desk.planned()
    submitted = float(desk.books.client.hget(f"farm:job:{first}", "submitted"))
    wait_until(lambda: _now(desk) > submitted, what="a millisecond later")
    job, urgent = desk.planned(), desk.planned(priority=2)
    said = "It waits its turn: of 1 slot for it none has room, and"
    assert _why(desk, urgent) == ("turn", f"{said} 1 other owner comes first.")
    assert _why(desk, first) == ("turn", f"{said} 1 job of ann and 1 other owner come first.")
    assert _why(desk, job) == ("turn", f"{said} 2 jobs of ann and 1 other owner come first.")


def test_the_next_in_line(desk: Desk) -> None:
    job = desk.planned()
    desk.slot("a")
    assert _why(desk, job) == ("turn", "It waits its turn: of 1 slot for it 1 has room, and it is the next.")


def test_who_used_more_slot_time_waits_longer(desk: Desk) -> None:
    desk.books.client.hset("farm:owner:ann", mapping={"used": 60_000, "at": _now(desk)})
    job = desk.planned()
    desk.planned(owner="bob")
    desk.slot("a")
    assert "1 other owner comes first" in _why(desk, job)[1]
    desk.books.client.hset("farm:owner:bob", mapping={"used": 40_000, "at": _now(desk)})
    assert "1 other owner comes first" in _why(desk, job)[1]
    write_policy(desk.books, Policy(weights={"ann": 2}))
    assert "it is the next" in _why(desk, job)[1]


def test_an_unknown_job_is_named(desk: Desk) -> None:
    with pytest.raises(NotFoundError, match="'nobody' is not in the books"):
        why(desk.books, "nobody")
