"""The books of inboxes: which files were taken, once and for ever, and who works on what became of them.

A claim's record is JSON with a `stage`; what else it holds is the folder's affair.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from farm.jobs.store import Books

Word = Literal["new", "known", "open", "busy", "released"]
"""What became of a claim: made; there already, ended or not; a name of it is another open claim's; let go by people."""

AT_ONCE = 200
"""Claims that one script handles: Redis serves nobody else while a script runs."""
LEASE_SECONDS = 15.0
"""How long a silent watcher keeps the claims that it works on."""
FEW_STARTS = 2
"""A claim that was begun so often in vain is given out alone: others must not suffer for it."""
NO_VIDEO = frozenset({"failed", "cancelled", None})
"""States of a job, None for one that the books do not know, that no video comes of."""
INBOXES = "farm:inboxes"
"""Hash of all inboxes that were ever watched: id -> URL."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A claim for the books. paths: the names that are its own while it is open.

    again: the stage at which a claim that has ended may be claimed again.
    """

    token: str
    record: str
    stage: str
    paths: tuple[str, ...]
    open: bool
    again: str = ""


@dataclass(frozen=True)
class Failed:
    """A claim that failed, and the jobs by which it did."""

    token: str
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LookNote:
    """What the last look at an inbox found, for those who only ask the books. at: Unix seconds, seconds: what it took.

    waiting: how many files were not taken, by why. backlog: how many of them may still be. unpaired: how many have
    lacked their other half for too long. problems: sentences about those that a person should look at.
    """

    at: float
    files: int = 0
    folders: int = 0
    seconds: float = 0.0
    waiting: dict[str, int] = field(default_factory=dict)
    backlog: int = 0
    unpaired: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Backlog:
    """files: names that may still be taken, or whose lessons have not ended. looked: Unix seconds."""

    files: int
    unpaired: int = 0
    looked: float | None = None


def claim(
    books: Books, inbox: str, entries: Sequence[Entry], *, restoring: bool = False
) -> list[tuple[Word, str | None]]:
    """Claim each, or say why not; a released one's record comes along. restoring: the books do not know the inbox."""
    found: list[tuple[Word, str | None]] = []
    for first in range(0, len(entries), AT_ONCE):
        rows = [asdict(entry) for entry in entries[first : first + AT_ONCE]]
        found += [
            (row[0], row[1] if len(row) > 1 else None)
            for row in books.run("inbox_claim", inbox=inbox, claims=rows, restoring=restoring)
        ]
    return found


def due(books: Books, inbox: str, *, few: int) -> list[tuple[str, int]]:
    """Records of open claims whose time has come, each with a right to work on it for LEASE_SECONDS.

    With each, how often it was begun, at stage "claimed", by watchers of which nothing was heard again. few: most of
    those that are not at stage "running".
    """
    lease_ms = _ms(LEASE_SECONDS)
    found = books.run("inbox_due", inbox=inbox, most=AT_ONCE, few=few, few_starts=FEW_STARTS, lease_ms=lease_ms)
    return [(record, starts) for record, starts in found]


def later(books: Books, inbox: str, tokens: Sequence[str], *, seconds: float) -> None:
    """Let open claims be due after a while; so a watcher keeps those it works on."""
    for first in range(0, len(tokens), AT_ONCE):
        books.run("inbox_later", inbox=inbox, tokens=list(tokens[first : first + AT_ONCE]), after_ms=_ms(seconds))


def keep(books: Books, inbox: str, entry: Entry, *, seconds: float = 0.0) -> bool:
    """Record where an open claim has got to, due again after `seconds`; False when it has ended meanwhile."""
    arguments = {name: value for name, value in asdict(entry).items() if name != "again"}
    return bool(books.run("inbox_keep", inbox=inbox, after_ms=_ms(seconds), **arguments)["kept"])


def release(books: Books, inbox: str, token: str, record: str) -> bool:
    """Let a failed claim be made again; False when it did not fail."""
    return bool(books.run("inbox_release", inbox=inbox, token=token, record=record)["released"])


def note_ends(books: Books, inbox: str, ends: Mapping[str, Failed | None]) -> None:
    """How the last claim of each name ended, None where it did not fail."""
    if not ends:
        return
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for name, failed in ends.items():
            if failed is None:
                pipe.hdel(f"farm:inbox:{inbox}:failed", name)
            else:
                pipe.hset(f"farm:inbox:{inbox}:failed", name, json.dumps([failed.token, *failed.jobs]))
        pipe.execute()


def going_on(books: Books, jobs: Sequence[str]) -> list[str]:
    """Of these jobs those that go on, or are done by now."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for job in jobs:
            pipe.hget(f"farm:job:{job}", "state")
        states = pipe.execute()
    return [job for job, state in zip(jobs, states, strict=True) if state not in NO_VIDEO]


def retried(books: Books, inbox: str) -> list[str]:
    """Records of claims that failed, the last of their names, of which a job goes on or is done by now."""
    with books.reaching():
        found = cast("dict[str, str]", books.client.hgetall(f"farm:inbox:{inbox}:failed"))
    failed = {job: token for token, *jobs in map(json.loads, found.values()) for job in jobs}
    tokens = sorted({failed[job] for job in going_on(books, list(failed))})
    with books.reaching():
        since = books.client.zmscore(f"farm:inbox:{inbox}:open", tokens) if tokens else []
    ended = [token for token, at in zip(tokens, since, strict=True) if at is None]
    return list(_records(books, inbox, ended).values())


def last_failures(books: Books, inbox: str, names: Collection[str]) -> dict[str, str]:
    """Records of the last claims of these names, where those failed, by name."""
    if not names:
        return {}
    with books.reaching():
        noted = cast("list[str | None]", books.client.hmget(f"farm:inbox:{inbox}:failed", list(names)))
    tokens = {name: json.loads(failed)[0] for name, failed in zip(names, noted, strict=True) if failed is not None}
    records = _records(books, inbox, list(tokens.values()))
    return {name: records[token] for name, token in tokens.items() if token in records}


def known_inboxes(books: Books) -> dict[str, str]:
    """Every inbox that was ever watched: its URL by its id."""
    with books.reaching():
        return cast("dict[str, str]", books.client.hgetall(INBOXES))


def note_inbox(books: Books, inbox: str, url: str) -> None:
    """From now on the books know this inbox with all its claims."""
    with books.reaching():
        books.client.hset(INBOXES, inbox, url)


def note_look(books: Books, inbox: str, note: LookNote) -> None:
    with books.reaching():
        books.client.set(f"farm:inbox:{inbox}:look", json.dumps(asdict(note), ensure_ascii=False))


def last_look(books: Books, inbox: str) -> LookNote | None:
    with books.reaching():
        found = cast("str | None", books.client.get(f"farm:inbox:{inbox}:look"))
    if found is None:
        return None
    data: dict[str, Any] = json.loads(found)
    return LookNote(**{**data, "problems": tuple(data["problems"])})


def claim_counts(books: Books, inbox: str) -> dict[str, int]:
    """How many claims are at each stage."""
    with books.reaching():
        found = cast("dict[str, str]", books.client.hgetall(f"farm:inbox:{inbox}:counts"))
    return {stage: int(count) for stage, count in found.items() if int(count)}


def claim_records(books: Books, inbox: str) -> Iterator[str]:
    """The record of every claim, in no order."""
    with books.reaching():
        for _token, record in books.client.hscan_iter(f"farm:inbox:{inbox}:claims", count=1000):
            yield record


def open_records(books: Books, inbox: str) -> list[str]:
    """The record of every claim that has not ended."""
    with books.reaching():
        tokens = cast("list[str]", books.client.zrange(f"farm:inbox:{inbox}:open", 0, -1))
    return list(_records(books, inbox, tokens).values())


def holders(books: Books, inbox: str, names: Sequence[str], *, besides: str) -> dict[str, str]:
    """Of these names those that open claims have, each with its claim's record. besides: a claim's own are left out."""
    if not names:
        return {}
    with books.reaching():
        tokens = cast("list[str | None]", books.client.hmget(f"farm:inbox:{inbox}:names", list(names)))
        held = {name: token for name, token in zip(names, tokens, strict=True) if token not in {None, besides}}
        others = sorted(set(held.values()))
        found = books.client.hmget(f"farm:inbox:{inbox}:claims", others) if others else []
        open_since = books.client.zmscore(f"farm:inbox:{inbox}:open", others) if others else []
    rows = zip(others, cast("list[str | None]", found), open_since, strict=True)
    records = {token: record for token, record, since in rows if since is not None}
    return {name: record for name, token in held.items() if (record := records.get(token))}


def bumps(books: Books, inbox: str) -> int:
    """How often somebody asked that the inbox be looked at; a watcher looks at once when it grows."""
    with books.reaching():
        return int(cast("str | None", books.client.get(f"farm:inbox:{inbox}:bumps")) or 0)


def bump(books: Books, inbox: str) -> None:
    """Ask every watcher of the inbox to look now."""
    with books.reaching():
        books.client.incr(f"farm:inbox:{inbox}:bumps")


def backlog(books: Books) -> dict[str, Backlog]:
    """What every inbox has before it, by URL: names that open claims have, and what its last look left."""
    found = {}
    for inbox, url in known_inboxes(books).items():
        with books.reaching():
            held = books.client.hlen(f"farm:inbox:{inbox}:names")
        look = last_look(books, inbox)
        found[url] = Backlog(held + look.backlog, look.unpaired, look.at) if look else Backlog(held)
    return found


def _records(books: Books, inbox: str, tokens: Sequence[str]) -> dict[str, str]:
    if not tokens:
        return {}
    with books.reaching():
        found = cast("list[str | None]", books.client.hmget(f"farm:inbox:{inbox}:claims", list(tokens)))
    return {token: record for token, record in zip(tokens, found, strict=True) if record is not None}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
