"""What a heartbeat hears while a chunk is drawn stops it; once all is drawn, a pause or a stop comes too late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import BooksUnreachableError
from farm.jobs import views
from farm.jobs.store import Books
from farm.settings import Settings
from tests.conftest import wait_until
from tests.farm.jobs.conftest import desk  # noqa: F401 - a fixture
from workers.lease import Heartbeat, StoppedError

if TYPE_CHECKING:
    from tests.farm.jobs.conftest import Desk


def heard(desk: Desk, what: str) -> Heartbeat:  # noqa: F811
    """The heartbeat of a chunk that has heard it."""
    job = desk.planned()
    desk.slot("a")
    lease = desk.claim(job, 0, slot="a")
    if what == "draining":
        desk.books.retire_slot("a", launcher="l1", gone=False)
    else:
        desk.books.decide(job, what, who="ann")
    heartbeat = Heartbeat(desk.books, lease, lease_seconds=60)
    with pytest.raises(StoppedError):
        heartbeat.confirm()
    return heartbeat


def test_a_chunk_that_is_drawn_is_delivered_though_its_job_was_paused_however_often_it_takes(desk: Desk) -> None:  # noqa: F811
    paused = heard(desk, "pause")
    paused.all_is_drawn(tries=1)
    paused.all_is_drawn(tries=5)


def test_a_slot_that_is_stopped_tries_to_deliver_once(desk: Desk) -> None:  # noqa: F811
    draining = heard(desk, "draining")
    draining.all_is_drawn(tries=1)
    with pytest.raises(StoppedError, match="draining"):
        draining.all_is_drawn(tries=2)


def test_what_was_cancelled_is_not_delivered(desk: Desk) -> None:  # noqa: F811
    with pytest.raises(StoppedError, match="cancelled"):
        heard(desk, "cancel").all_is_drawn(tries=1)


def test_an_attempt_that_redis_did_not_hear_of_in_time_is_forgiven_when_it_is_heard_again(desk: Desk) -> None:  # noqa: F811
    job = desk.planned()
    lease = desk.claim(job, 0, seconds=0.01)
    heartbeat = Heartbeat(Books.connect(Settings(redis_url="redis://127.0.0.1:1/0")), lease, lease_seconds=60)
    with pytest.raises(BooksUnreachableError):
        heartbeat.confirm()
    wait_until(lambda: desk.books.sweep().expired, what="lease expired")
    heartbeat._books = desk.books  # the connection is back
    with pytest.raises(StoppedError, match="lost"):
        heartbeat.confirm()
    assert "attempt forgiven" in [event.what for event in views.events(desk.books, job)]
