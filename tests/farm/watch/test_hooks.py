"""Webhooks: what is told, to whom, how often, and what a dead receiver costs."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from farm.batch.kept import Asked, keep
from farm.errors import InputRefusedError, NotFoundError
from farm.hooks.post import signature
from farm.jobs import hooks
from farm.jobs.batches import enter_batch
from farm.jobs.store import AttemptFailure
from farm.watch import sweeper
from farm.watch.courier import THREADS, Courier
from tests.conftest import PORTRAIT, ROOT, wait_until
from tests.farm.watch.receivers import Receiver, start_receiver
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm import Job, Settings
    from tests.farm.hands import Hand

SECRET = "a secret of 16 or more"
DAY = 24 * 3600


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_secret": SECRET, "webhook_private": True})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = start_receiver()
    yield found
    found.open.set()
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def other() -> Iterator[Receiver]:
    found = start_receiver()
    yield found
    found.open.set()
    found.server.shutdown()
    found.server.server_close()


def courier_of(hand: Hand, **changes: object) -> Courier:
    return Courier(hand.books, hand.storage, hand.farm.settings.model_copy(update=changes))


def deliver(hand: Hand, **changes: object) -> None:
    """Look until nothing is due, and wait for what is under way."""
    courier = courier_of(hand, **changes)
    while threads := courier.look():
        for thread in threads:
            thread.join()


def later(hand: Hand, seconds: float) -> None:
    """Let so much time pass for the outbox: all of its times are that much earlier."""
    client = hand.books.client
    lines = [key for key in client.scan_iter("farm:hooks*") if client.type(key) == "zset"]
    for key in lines:
        for member, at in client.zrange(key, 0, -1, withscores=True):
            client.zadd(key, {member: at - 1000 * seconds})
    for name, at in client.hgetall("farm:hooks:closed").items():
        client.hset("farm:hooks:closed", name, float(at) - 1000 * seconds)


def failed(hand: Hand, **changes: object) -> Job:
    job = hand.planned(**changes)
    failure = AttemptFailure(code="render_failed", message="the picture is black", permanent=True)
    assert hand.books.fail(hand.claim(job, 0), failure)
    return job


def finished(hand: Hand, *needs_review: dict[str, object], **changes: object) -> Job:
    job = hand.planned(1, **changes)
    hand.render(job, 0)
    hand.stitch(job, *needs_review)
    return job


def test_a_job_that_is_done_is_told_with_its_result(hand: Hand, receiver: Receiver) -> None:
    job = finished(hand, webhook=receiver.url())
    deliver(hand)
    (got,) = receiver.got
    assert got.path == "/hook?token=s3cret"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["sonic-farm-event"] == "job.done"
    assert got.headers["sonic-farm-event-id"] == got.told["id"]
    told = got.told["job"]
    assert (told["id"], told["name"], told["owner"], told["state"]) == (job.id, "Algebra 03", "ada", "done")
    assert told["result"] == str(hand.storage.address(job.view().result or ""))
    assert told["needs_review"] is False
    assert abs(got.told["at"] - time.time()) < 60


def test_every_end_of_a_job_is_told_and_nothing_else(hand: Hand, receiver: Receiver) -> None:
    url = receiver.url()
    finding = {"start": 3, "stop": 9, "timecode": "0:00:00", "sentence": "the mouth is still"}
    finished(hand, finding, webhook=url)
    assert sorted(told(hand, receiver)) == ["job.done", "job.needs_review"]
    failed(hand, webhook=url)
    assert told(hand, receiver) == ["job.failed"]
    assert receiver.got[-1].told["job"]["error"] == {"code": "render_failed", "message": "the picture is black"}
    job = hand.planned(webhook=url)
    job.pause()
    job.cancel()
    assert told(hand, receiver) == ["job.cancelled"]
    job.retry()
    assert told(hand, receiver) == []


def told(hand: Hand, receiver: Receiver) -> list[str]:
    before = len(receiver.got)
    deliver(hand)
    return receiver.types[before:]


def test_a_job_without_a_webhook_leaves_nothing_in_the_outbox(hand: Hand) -> None:
    finished(hand)
    assert hooks.backlog(hand.books).pending == 0
    assert not list(hand.books.client.scan_iter("farm:hook*"))


def test_job_batch_and_farm_are_each_told_once(hand: Hand, receiver: Receiver, other: Receiver) -> None:
    farm = {"webhook_url": other.url("/farm")}
    deliver(hand, **farm)  # from now on the books know that the farm has one
    enter_batch(hand.books, "20260101-000000-batch1", name="Algebra", owner="ada", rows=2)
    hooks.batch_is_entered(hand.books, "20260101-000000-batch1", over=False, webhook=receiver.url("/batch"))
    in_batch = {"batch": "20260101-000000-batch1"}
    failed(hand, webhook=receiver.url("/job"), row=1, **in_batch)
    failed(hand, webhook=receiver.url("/batch"), row=2, **in_batch)
    deliver(hand, **farm)
    assert sorted(got.path for got in receiver.got) == ["/batch", "/batch", "/job"]
    assert [got.path for got in other.got] == ["/farm", "/farm"]
    assert receiver.got[0].told["id"] in {got.told["id"] for got in other.got}, "one event, one id"


def test_a_batch_is_done_when_all_its_jobs_are_in_and_ended(hand: Hand, receiver: Receiver) -> None:
    batch = "20260101-000000-batch1"
    enter_batch(hand.books, batch, name="Algebra", owner="ada", rows=2)
    hooks.batch_is_entered(hand.books, batch, over=False, webhook=receiver.url())
    failed(hand, batch=batch, row=1)
    assert told(hand, receiver) == ["job.failed"], "others are to come"
    last = hand.planned(1, batch=batch, row=2)
    hooks.batch_is_entered(hand.books, batch, over=True)
    assert told(hand, receiver) == []
    hand.render(last, 0)
    hand.stitch(last)
    assert sorted(told(hand, receiver)) == ["batch.done", "job.done"]
    facts = next(got.told["batch"] for got in receiver.got if got.told["type"] == "batch.done")
    assert (facts["id"], facts["name"], facts["counts"]["done"], facts["counts"]["failed"]) == (batch, "Algebra", 1, 1)


def test_a_batch_whose_jobs_ended_while_it_was_entered_is_told_of_at_its_end(hand: Hand, receiver: Receiver) -> None:
    batch = "20260101-000000-batch1"
    enter_batch(hand.books, batch, name="Algebra", owner="ada", rows=1)
    hooks.batch_is_entered(hand.books, batch, over=False, webhook=receiver.url())
    failed(hand, batch=batch, row=1)
    told(hand, receiver)
    hooks.batch_is_entered(hand.books, batch, over=True)
    assert told(hand, receiver) == ["batch.done"]
    hooks.batch_is_entered(hand.books, batch, over=True)
    hooks.batch_is_entered(hand.books, batch, over=False)
    hooks.batch_is_entered(hand.books, batch, over=True)
    assert told(hand, receiver) == [], "the same manifest again brought nothing new"


def test_a_batch_whose_submit_died_is_told_of_when_the_next_finds_that_all_has_ended(
    hand: Hand, receiver: Receiver
) -> None:
    batch = "20260101-000000-batch1"
    enter_batch(hand.books, batch, name="Algebra", owner="ada", rows=1)
    hooks.batch_is_entered(hand.books, batch, over=False, webhook=receiver.url())
    failed(hand, batch=batch, row=1)
    assert told(hand, receiver) == ["job.failed"], "the submit died here: nobody said that this was the last"
    for _ in range(2):
        hooks.batch_is_entered(hand.books, batch, over=False, webhook=receiver.url())
        hooks.batch_is_entered(hand.books, batch, over=True)
    assert told(hand, receiver) == ["batch.done"], "once"


def test_a_batch_whose_last_job_ended_while_a_submit_brought_nothing_new_is_told_of(
    hand: Hand, receiver: Receiver
) -> None:
    batch = "20260101-000000-batch1"
    enter_batch(hand.books, batch, name="Algebra", owner="ada", rows=1)
    hooks.batch_is_entered(hand.books, batch, over=False, webhook=receiver.url())
    hooks.batch_is_entered(hand.books, batch, over=True)
    hooks.batch_is_entered(hand.books, batch, over=False)
    failed(hand, batch=batch, row=1)
    hooks.batch_is_entered(hand.books, batch, over=True)
    assert sorted(told(hand, receiver)) == ["batch.done", "job.failed"]


def test_a_batch_that_is_stopped_is_told_of_with_the_reason(hand: Hand, receiver: Receiver) -> None:
    batch = "20260101-000000-batch1"
    enter_batch(hand.books, batch, name="Algebra", owner="ada", max_failures="0", rows=9)
    hooks.batch_is_entered(hand.books, batch, over=False, webhook=receiver.url())
    failed(hand, batch=batch, row=1)
    assert sorted(told(hand, receiver)) == ["batch.stopped", "job.failed"]
    facts = next(got.told["batch"] for got in receiver.got if got.told["type"] == "batch.stopped")
    assert "1 of 9 jobs failed" in facts["reason"]


def test_a_dead_receiver_is_asked_ever_more_seldom_and_others_are_served(
    hand: Hand, receiver: Receiver, other: Receiver
) -> None:
    receiver.answer = 500
    for _ in range(30):
        failed(hand, webhook=receiver.url())
    failed(hand, webhook=other.url())
    deliver(hand)
    assert len(other.got) == 1
    assert len(receiver.got) == 1, "one try tells enough"
    pauses = []
    for _ in range(9):
        began = time.time()
        closed = float(hand.books.client.hget("farm:hooks:closed", receiver.url("")) or 0) / 1000
        pauses.append(round(closed - began))
        later(hand, closed - began + 0.1)
        deliver(hand)
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert len(receiver.got) == 10
    problems = {delivery.problem for delivery in hooks.deliveries(hand.books)} - {None}
    assert problems == {f"{receiver.url('')} answered 500"}
    receiver.answer = 200
    later(hand, 601)
    deliver(hand)
    later(hand, 601)
    deliver(hand)
    assert hooks.backlog(hand.books).pending == 0
    assert len({got.told["id"] for got in receiver.got}) == 30


def test_one_webhook_that_its_receiver_cannot_take_does_not_keep_the_next_from_it(
    hand: Hand, receiver: Receiver
) -> None:
    failed(hand, webhook=receiver.url("/wrong"))
    receiver.answer = 500
    deliver(hand)
    failed(hand, webhook=receiver.url("/right"))
    receiver.answer = 200
    later(hand, 4.9)
    deliver(hand)
    assert [got.path for got in receiver.got] == ["/wrong"], "the pause is the receiver's"
    later(hand, 0.2)
    deliver(hand)
    assert sorted(got.path for got in receiver.got[1:]) == ["/right", "/wrong"]


def test_after_a_day_a_webhook_is_given_up_visibly(
    hand: Hand, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answer = 404
    job = failed(hand, webhook=receiver.url())
    deliver(hand)
    later(hand, DAY - 60)
    deliver(hand)
    assert hooks.backlog(hand.books).pending == 1
    later(hand, 61)
    deliver(hand)
    (given_up,) = hooks.deliveries(hand.books, failed=True)
    assert (given_up.state, given_up.tries, given_up.about) == ("failed", 2, job.id)
    assert given_up.problem == f"{receiver.url('')} answered 404"
    assert "1 webhooks were given up" in caplog.text
    assert job.events()[-1].what == "webhook given up"
    assert hooks.backlog(hand.books).failed == 1
    later(hand, 8 * DAY)
    deliver(hand)
    assert hooks.deliveries(hand.books) == []
    assert not list(hand.books.client.scan_iter("farm:hook:*"))


def test_what_was_given_up_can_be_sent_again(hand: Hand, receiver: Receiver) -> None:
    receiver.answer = 404
    failed(hand, webhook=receiver.url())
    deliver(hand)
    later(hand, DAY + 1)
    deliver(hand)
    (given_up,) = hooks.deliveries(hand.books, failed=True)
    receiver.answer = 200
    hooks.send_again(hand.books, given_up.id)
    deliver(hand)
    assert len({got.told["id"] for got in receiver.got}) == 1, "one event keeps its id"
    assert [delivery.state for delivery in hooks.deliveries(hand.books)] == ["delivered"]
    with pytest.raises(NotFoundError, match="webhook 'nobody' is not in the books"):
        hooks.send_again(hand.books, "nobody")


def test_what_a_sender_that_died_had_in_hand_is_sent_by_another(hand: Hand, receiver: Receiver) -> None:
    failed(hand, webhook=receiver.url())
    (bundle,) = hooks.take(hand.books, receivers=8, farm=False).bundles
    deliver(hand)
    assert receiver.got == [], "it is in somebody's hand"
    later(hand, hooks.LEASE_SECONDS)
    deliver(hand)
    assert [got.told["id"] for got in receiver.got] == [bundle.deliveries[0].event["id"]]


def test_many_couriers_send_each_webhook_once(hand: Hand, receiver: Receiver) -> None:
    for _ in range(60):
        failed(hand, webhook=receiver.url())
    lookers = [threading.Thread(target=deliver, args=(hand,)) for _ in range(4)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    deliver(hand)
    assert len(receiver.got) == 60
    assert len({got.told["id"] for got in receiver.got}) == 60


def test_a_receiver_that_does_not_answer_holds_neither_looks_nor_others_up(
    hand: Hand, receiver: Receiver, other: Receiver
) -> None:
    receiver.open.clear()
    failed(hand, webhook=receiver.url())
    courier = courier_of(hand)
    (waiting,) = courier.look()
    wait_until(lambda: receiver.got, what="the slow one was asked")
    failed(hand, webhook=other.url())
    (quick,) = courier.look()
    quick.join()
    assert len(other.got) == 1
    assert waiting.is_alive()
    receiver.open.set()
    waiting.join()


def test_many_dead_receivers_leave_a_thread_for_those_that_live(hand: Hand, other: Receiver) -> None:
    dead = start_receiver(host="0.0.0.0")  # noqa: S104 - to be many receivers, one for each loopback address
    dead.answer = 500
    for number in range(2, 14):
        failed(hand, webhook=dead.url(host=f"127.0.0.{number}"))
    deliver(hand)
    assert len(dead.got) == 12
    dead.open.clear()
    later(hand, 6)
    courier = courier_of(hand)
    hanging = [thread for _ in range(8) for thread in courier.look()]
    assert len(hanging) == THREADS - 1
    failed(hand, webhook=other.url())
    (quick,) = courier.look()
    quick.join()
    assert len(other.got) == 1
    dead.open.set()
    for thread in hanging:
        thread.join()
    dead.server.shutdown()
    dead.server.server_close()


def test_a_redirect_is_not_followed(hand: Hand, receiver: Receiver) -> None:
    receiver.answer = 302
    failed(hand, webhook=receiver.url())
    deliver(hand)
    assert [got.path for got in receiver.got] == ["/hook?token=s3cret"]
    (waiting,) = hooks.deliveries(hand.books)
    assert waiting.problem == f"{receiver.url('')} answered 302, redirects are not followed"


def test_a_private_address_is_given_up_at_once_unless_allowed(hand: Hand, receiver: Receiver) -> None:
    job = failed(hand, webhook=receiver.url(host="localhost"))
    deliver(hand, webhook_private=False)
    assert receiver.got == []
    (refused,) = hooks.deliveries(hand.books, failed=True)
    assert "a private address" in (refused.problem or "")
    assert "webhook given up" in [event.what for event in job.events()]


def test_without_a_secret_nothing_is_sent(hand: Hand, receiver: Receiver) -> None:
    failed(hand, webhook=receiver.url())
    deliver(hand, webhook_secret=None)
    assert receiver.got == []
    (waiting,) = hooks.deliveries(hand.books)
    assert waiting.problem == "webhook_secret is not set where the sweeper runs, so nothing can be signed"


def test_paths_and_secrets_are_in_no_log_and_no_list(
    hand: Hand, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answer = 500
    failed(hand, webhook=receiver.url())
    deliver(hand)
    later(hand, 6)
    deliver(hand, webhook_private=False)
    listed = str([delivery.to_dict() for delivery in hooks.deliveries(hand.books)])
    for text in (listed, caplog.text, receiver.got[0].body.decode()):
        assert "s3cret" not in text
        assert SECRET not in text


def test_a_long_reason_is_cut_between_letters(hand: Hand, receiver: Receiver) -> None:
    job = hand.planned(webhook=receiver.url())
    failure = AttemptFailure(code="render_failed", message="ä€😀" * 500, permanent=True)
    assert hand.books.fail(hand.claim(job, 0), failure)
    deliver(hand)
    message = receiver.got[0].told["job"]["error"]["message"]
    assert 490 <= len(message.encode()) <= 500
    assert ("ä€😀" * 500).startswith(message)
    assert len(receiver.got[0].body) < 2000


def test_a_recovered_job_still_tells(hand: Hand, receiver: Receiver) -> None:
    job = hand.planned(1, webhook=receiver.url())
    hand.empty_and_recover()
    hand.render(job, 0)
    hand.stitch(job)
    assert told(hand, receiver) == ["job.done"]


def test_submit_takes_a_webhook_and_refuses_one_that_leads_nowhere(
    hand: Hand, receiver: Receiver, tmp_path: Path
) -> None:
    speech = tone(tmp_path / "a.wav", 1)
    job = hand.farm.submit(PORTRAIT, speech, webhook=receiver.url())
    job.cancel()
    assert told(hand, receiver) == ["job.cancelled"]
    with pytest.raises(InputRefusedError, match="webhook has a user or password in it"):
        hand.farm.submit(PORTRAIT, speech, webhook="https://ada:pw@example.com/")


def test_the_sweepers_process_sends(hand: Hand, receiver: Receiver) -> None:
    over = threading.Event()
    running = threading.Thread(target=sweeper.run, args=(hand.farm.settings, over))
    running.start()
    try:
        failed(hand, webhook=receiver.url())
        wait_until(lambda: receiver.got, what="told")
    finally:
        over.set()
        running.join()


def test_the_check_of_the_page_on_webhooks_tells_ours_from_others(hand: Hand, receiver: Receiver) -> None:
    failed(hand, webhook=receiver.url())
    deliver(hand)
    (got,) = receiver.got
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102
    check, header = names["is_from_the_farm"], got.headers["sonic-farm-signature"]
    assert check(header, got.body, SECRET)
    assert not check(header, got.body.replace(b"failed", b"passed"), SECRET), "another body"
    assert not check(header, got.body, SECRET + "x"), "another secret"
    later_on = re.sub(r"t=\d+", f"t={int(time.time()) + 1}", header)
    assert not check(later_on, got.body, SECRET), "another time"
    old = signature(SECRET, got.body, at=int(time.time()) - 301)
    assert not check(old, got.body, SECRET), "replayed"
    for nonsense in ("", "t=,v1=", "v1", "t=1,v1=\N{SNOWMAN}", "t=x,v1=00"):
        assert not check(nonsense, got.body, SECRET)


def test_a_recovered_batch_still_tells_of_its_jobs(hand: Hand, receiver: Receiver) -> None:
    batch = "20260101-000000-batch1"
    asked = Asked(
        id=batch,
        name="Algebra",
        owner="ada",
        submitted=time.time(),
        manifest="algebra.csv",
        rows=2,
        webhook=receiver.url(),
    )
    keep(hand.storage, asked)
    asked.enter(hand.books)
    hooks.batch_is_entered(hand.books, batch, over=False, webhook=asked.webhook)
    finished(hand, batch=batch, row=1)
    job = hand.planned(1, batch=batch, row=2)
    hand.empty_and_recover()
    hand.render(job, 0)
    hand.stitch(job)
    assert sorted(told(hand, receiver)) == ["batch.done", "job.done"], "what ended before is not told again"
