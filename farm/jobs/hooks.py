"""The outbox of webhooks in the books: what is due, what became of it, what is listed.

Written by the script that moves the job or the batch (lua/webhooks.lua). A receiver is where several webhooks go:
scheme, host and port, or "farm" for the one of the settings. One sender at a time has a receiver in hand.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from farm.errors import NotFoundError

if TYPE_CHECKING:
    from farm.jobs.store import Books

HOOKS = "farm:hooks"
LEASE_SECONDS = 120.0
"""How long a receiver is left to a sender that gives no sign: longer than what it took and one slow answer need."""
BUNDLE = 20
"""Webhooks that a sender takes for one receiver."""
DELAY_SECONDS, LONGEST_DELAY_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 3600.0, 600.0
"""Before a webhook is sent again: doubled with every try, up to an hour. A receiver that took none is left alone for as
long, counted over all that it did not take, up to ten minutes."""
GIVE_UP_SECONDS = 24 * 3600.0
KEEP_SECONDS = 7 * 24 * 3600.0
MOST_KEPT = 10_000
"""Delivered and given-up ones that are listed, of each kind."""


@dataclass(frozen=True)
class Due:
    """A webhook to be sent. url: empty for the one of the settings. event: what is told."""

    id: str
    url: str
    event: dict[str, Any]


@dataclass(frozen=True)
class Bundle:
    """What is due at one receiver, oldest first."""

    receiver: str
    deliveries: tuple[Due, ...]


@dataclass(frozen=True)
class Taken:
    """What there is to send; given_up: how many waited too long and now never will be sent by themselves."""

    bundles: tuple[Bundle, ...]
    given_up: int


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A webhook as it stands. state: "pending", "delivered" or "failed". about: the job or batch. to: whose webhook
    it is, "job", "batch" or "farm". receiver: scheme, host and port. at: when it happened; due, ended: Unix seconds.
    problem: of the last try.
    """

    id: str
    type: str
    about: str
    to: str
    receiver: str
    state: str
    tries: int
    at: float
    due: float | None
    ended: float | None
    problem: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Backlog:
    """Webhooks that wait, the age of the oldest in seconds, and how many were given up of late."""

    pending: int
    oldest_seconds: float
    failed: int


def take(books: Books, *, receivers: int, farm: bool) -> Taken:
    """What is due at so many receivers at most, half of them such as failed before: one that works never waits for
    those. farm: whether the settings name a receiver of everything.
    """
    found = books.run(
        "hooks_take",
        receivers=receivers,
        failing=receivers // 2,
        bundle=BUNDLE,
        farm=farm,
        lease_ms=_ms(LEASE_SECONDS),
        give_up_ms=_ms(GIVE_UP_SECONDS),
        keep_ms=_ms(KEEP_SECONDS),
        most=MOST_KEPT,
    )
    bundles = tuple(map(_bundle, found["bundles"] or ()))
    return Taken(bundles, found["given_up"])


def settle(
    books: Books, receiver: str, delivery: str, *, problem: str | None, final: bool = False, last: bool = False
) -> None:
    """Say what became of a delivery. problem: why it did not arrive. final: it never can. last: of its bundle."""
    told: dict[str, Any] = {} if problem is None else {"problem": problem, "final": final}
    books.run(
        "hooks_settle",
        receiver=receiver,
        id=delivery,
        last=last,
        delay_ms=_ms(DELAY_SECONDS),
        longest_delay_ms=_ms(LONGEST_DELAY_SECONDS),
        longest_pause_ms=_ms(LONGEST_PAUSE_SECONDS),
        **told,
    )


def batch_is_entered(books: Books, batch: str, *, over: bool, webhook: str = "") -> None:
    """Say that jobs are being entered into a batch, before the first; and that they are all there, `over`.

    Until then nobody is told that the batch is done; one whose jobs had all ended before stays as it was told.
    webhook: who is told of it and of its jobs. Raises NotFoundError.
    """
    told = {"webhook": webhook} if webhook else {}
    found = books.run("batch_entering", batch=batch, entering=not over, **told)
    if "refused" in found:
        raise NotFoundError(f"batch {batch!r} is not in the books")


def send_again(books: Books, delivery: str) -> None:
    """Send a webhook now, delivered or given up or waiting. Raises NotFoundError."""
    if "refused" in books.run("hooks_send", id=delivery):
        raise NotFoundError(f"webhook {delivery!r} is not in the books")


def deliveries(books: Books, *, failed: bool = False, limit: int = 50) -> list[Delivery]:
    """Webhooks, newest first. failed: only those that were given up."""
    indexes = [f"{HOOKS}:failed"] if failed else [HOOKS, f"{HOOKS}:delivered", f"{HOOKS}:failed"]
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for index in indexes:
            pipe.zrevrange(index, 0, limit - 1)
        ids = [id_ for found in pipe.execute() for id_ in found]
        for id_ in ids:
            pipe.hgetall(f"farm:hook:{id_}")
        rows = pipe.execute()
        for id_, row in zip(ids, rows, strict=True):
            pipe.zscore(f"{HOOKS}:to:{row.get('receiver')}", id_)
        dues = pipe.execute()
    # one may have been forgotten between the two looks
    found = [_delivery(id_, row, due) for id_, row, due in zip(ids, rows, dues, strict=True) if row]
    return sorted(found, key=lambda delivery: (delivery.at, delivery.id), reverse=True)[:limit]


def backlog(books: Books) -> Backlog:
    """How much waits, for dashboards."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        pipe.zcard(HOOKS)
        pipe.zrange(HOOKS, 0, 0, withscores=True)
        pipe.zcard(f"{HOOKS}:failed")
        pipe.time()
        pending, oldest, failed, (seconds, micros) = pipe.execute()
    age = seconds + micros / 1e6 - oldest[0][1] / 1000 if oldest else 0.0
    return Backlog(pending, max(0.0, age), failed)


def _bundle(row: dict[str, Any]) -> Bundle:
    taken = (Due(one["id"], one["url"], json.loads(one["event"])) for one in row["deliveries"])
    return Bundle(row["receiver"], tuple(taken))


def _delivery(id_: str, row: dict[str, str], due: float | None) -> Delivery:
    event = json.loads(row["event"])
    kind = event["type"].partition(".")[0]
    ended = row.get("ended")
    return Delivery(
        id=id_,
        type=event["type"],
        about=event[kind]["id"],
        to=row["to"],
        receiver=row["receiver"],
        state=row["state"],
        tries=int(row["tries"]),
        at=event["at"],
        due=None if due is None else due / 1000,
        ended=None if ended is None else float(ended) / 1000,
        problem=row.get("problem"),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
