"""A slot that is out and work that is paused are seen, with their reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.jobs import health
from farm.jobs.store import AttemptFailure
from tests.farm.jobs.conftest import Desk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.farm.cli.conftest import Answer, Hand

BUG = AttemptFailure(code="crash", message="the GPU has fallen off the bus")
NO_STORAGE = AttemptFailure(
    code="storage", message="the bucket is gone", outcome="outage", burn=False, delay_seconds=60, cause="storage"
)


def test_a_slot_that_is_out_says_why_wherever_slots_are_shown(cli: Callable[..., Answer], hand: Hand) -> None:
    desk = Desk(hand.books)
    desk.slot("gpu0")
    for owner in ("ann", "bob"):
        hand.books.fail(desk.claim(desk.planned(owner=owner), 0, slot="gpu0"), BUG)
    assert "gpu0 is sick: failed for 2 owners in a row, at last: the GPU has fallen" in words(cli("slot", "list").out)
    health.begin_probe(hand.books, "gpu0")
    health.end_probe(hand.books, "gpu0", "wrong", why="frame 3 is 40 levels off")
    assert "gpu0 is out: frame 3 is 40 levels off" in words(cli("slot", "list").out)
    (slot,) = cli("slot", "list", "--json").json
    assert (slot["state"], slot["why_out"]) == ("out", "frame 3 is 40 levels off")
    doctor = cli("doctor")
    assert doctor.code == 4
    assert "slot gpu0: out: frame 3 is 40 levels off" in words(doctor.out)


def test_paused_work_says_why_until_storage_is_back(cli: Callable[..., Answer], hand: Hand) -> None:
    desk = Desk(hand.books)
    desk.slot("gpu0")
    job = desk.planned(3)
    for chunk in range(3):
        hand.books.fail(desk.claim(job, chunk, slot="gpu0"), NO_STORAGE)
    listed = cli("slot", "list")
    assert "Nothing is begun since" in words(listed.out)
    assert "storage failed: the bucket is gone" in words(listed.out)
    assert "work: paused, storage failed: the bucket is gone" in words(cli("doctor").out)
    health.storage_works(hand.books)
    assert "Nothing is begun" not in cli("slot", "list").out


def words(text: str) -> str:
    """What was written, however its lines were broken."""
    return " ".join(text.split())
