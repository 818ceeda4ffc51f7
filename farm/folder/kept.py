"""Claims in storage, where they outlive the books: written before a job is made of them, and when they end."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

from farm.errors import StorageError
from farm.folder.claims import Claim
from farm.folder.names import ERROR_SUFFIX
from farm.jobs import inboxes
from farm.jobs.batches import batch_jobs
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.folder.claims import File
    from farm.folder.inbox import Inbox
    from farm.jobs.store import Books
    from farm.service import Farm
    from farm.storage.s3 import Storage

log = logging.getLogger(__name__)

READ_AT_ONCE = 16


def keep_claim(storage: Storage, inbox: Inbox, claim: Claim) -> None:
    storage.put_json(keys.claim(inbox.id, claim.token), {"version": 1, "inbox": inbox.url, **asdict(claim)})


def entry_of(claim: Claim, *, again: str = "") -> inboxes.Entry:
    """A claim as the books take it."""
    return inboxes.Entry(
        token=claim.token,
        record=claim.to_json(),
        stage=claim.stage,
        paths=tuple(file.path for file in claim.moving),
        open=not claim.ended,
        again=again,
    )


def note_ends(books: Books, inbox: Inbox, claims: Iterable[Claim]) -> None:
    """Tell the books of claims as they end, in the order in which they were taken."""
    ends = {
        claim.name: inboxes.Failed(claim.token, claim.failed_jobs) if claim.stage == "failed" else None
        for claim in claims
        if claim.ended and not claim.took_nothing
    }
    inboxes.note_ends(books, inbox.id, ends)


def claimed_jobs(books: Books) -> set[str]:
    """Jobs that open claims of any inbox wait for, with all of their batches."""
    found = set()
    for inbox in inboxes.known_inboxes(books):
        for claim in map(Claim.from_json, inboxes.open_records(books, inbox)):
            found.add(claim.job)
            found.update(batch_jobs(books, claim.batch) if claim.batch else ())
    return found


def held_by_others(books: Books, inbox: Inbox, token: str, paths: Sequence[str]) -> dict[str, File]:
    """Of these names those that other open claims have, each with the file as it was taken under it."""
    held = inboxes.holders(books, inbox.id, paths, besides=token)
    taken = {record: {file.path: file for file in Claim.from_json(record).files} for record in set(held.values())}
    return {path: taken[record][path] for path, record in held.items() if path in taken[record]}


def tries_before(books: Books, inbox: Inbox, claim: Claim) -> int:
    """How often it was taken before, where it is what people let go: a copy may have another ETag, so another token."""
    records = map(Claim.from_json, inboxes.claim_records(books, inbox.id))
    before = [one for one in records if one.main.path == claim.main.path and one.token != claim.token]
    last = max(before, key=lambda one: one.taken, default=None)
    return last.tries + 1 if last is not None and last.let_go else 0


def archived_names(books: Books, inbox: Inbox) -> set[str]:
    """What ended claims left below done/ and failed/: their files, and reasons beside them."""
    names = set()
    for claim in map(Claim.from_json, inboxes.claim_records(books, inbox.id)):
        if claim.ended:
            paths = {*(file.path for file in claim.moving), *claim.wrong}
            names |= paths | {path + ERROR_SUFFIX for path in paths}
    return names


def make_known(farm: Farm, inbox: Inbox) -> int:
    """Bring the claims of an inbox from storage into books that do not know it; how many there were.

    Jobs come first: a claim whose job the books have lost would be submitted again.
    """
    if inbox.id in inboxes.known_inboxes(farm.books):
        return 0
    kept = [item.key for item in farm.storage.list(keys.claims_folder(inbox.id))]
    if kept:
        log.warning("the books do not know %s: %d claims come back from storage, and its jobs", inbox.url, len(kept))
        farm.recover()
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        claims = sorted(pool.map(lambda key: _read(farm.storage, key), kept), key=lambda claim: claim.taken)
    inboxes.claim(farm.books, inbox.id, [entry_of(claim) for claim in claims], restoring=True)
    note_ends(farm.books, inbox, claims)
    inboxes.note_inbox(farm.books, inbox.id, inbox.url)
    return len(kept)


def _read(storage: Storage, key: str) -> Claim:
    data = storage.get_json(key)
    try:
        return Claim.from_dict({name: value for name, value in data.items() if name not in {"version", "inbox"}})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{storage.address(key)} is not what the farm writes there: {error!r}") from error
