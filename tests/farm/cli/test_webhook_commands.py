"""`farm webhook ...`: listed, sent again, tried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.jobs import hooks
from tests.farm.watch.receivers import Receiver, start_receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.farm.cli.conftest import Answer, Hand

SECRET = "a secret of 16 or more"


@pytest.fixture
def receiver(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("FARM_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("FARM_WEBHOOK_PRIVATE", "true")
    found = start_receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


def given_up(hand: Hand, receiver: Receiver) -> str:
    """A webhook that will not be sent any more; its id."""
    job = hand.job()
    hand.books.client.hset(f"farm:job:{job}", "webhook", receiver.url())
    hand.books.decide(job, "cancel", who="ada")
    (bundle,) = hooks.take(hand.books, receivers=1, farm=False).bundles
    (due,) = bundle.deliveries
    hooks.settle(hand.books, bundle.receiver, due.id, problem="it answered 404", final=True, last=True)
    return due.id


def test_what_was_given_up_is_listed_and_sent_again(cli: Callable[..., Answer], hand: Hand, receiver: Receiver) -> None:
    assert cli("webhook", "list").err == "No webhooks.\n"
    id_ = given_up(hand, receiver)
    answer = cli("webhook", "list", "--failed")
    assert id_ in answer.out.replace("\n", "")
    assert "it answered 404" in answer.out
    (listed,) = cli("webhook", "list", "--json").json
    assert (listed["id"], listed["type"], listed["state"]) == (id_, "job.cancelled", "failed")
    assert listed["receiver"] == receiver.url("")
    assert "s3cret" not in answer.out + str(listed)
    assert cli("webhook", "send", id_, "--json").json == {"webhook": id_, "state": "pending"}
    assert cli("webhook", "list", "--failed").err == "No webhook was given up.\n"


def test_an_unknown_webhook_is_wrong_input(cli: Callable[..., Answer]) -> None:
    answer = cli("webhook", "send", "nobody", "--json")
    assert (answer.code, answer.error["message"]) == (2, "webhook 'nobody' is not in the books")


def test_a_receiver_is_tried_out(cli: Callable[..., Answer], receiver: Receiver) -> None:
    answer = cli("webhook", "test", receiver.url(), "--json")
    assert answer.code == 0
    (got,) = receiver.got
    assert (got.told["type"], got.told["id"]) == ("test", answer.json["event"])
    receiver.answer = 403
    answer = cli("webhook", "test", receiver.url())
    assert (answer.code, answer.err) == (4, f"Error: {receiver.url('')} answered 403\n")


def test_without_url_or_secret_the_trial_says_what_is_missing(cli: Callable[..., Answer]) -> None:
    answer = cli("webhook", "test", "--json")
    assert answer.code == 2
    assert len(answer.error["problems"]) == 2


def test_settings_show_hides_what_webhooks_are_known_by(
    cli: Callable[..., Answer], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_WEBHOOK_URL", receiver.url())
    shown = cli("settings", "show", "--json")
    assert shown.code == 0
    assert SECRET not in shown.out
    assert "s3cret" not in shown.out
