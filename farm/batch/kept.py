"""What storage keeps of a batch, so that it outlives the books and an interrupted submit can go on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from farm.errors import NotFoundError, StorageError
from farm.jobs.batches import batch_named, enter_batch
from farm.jobs.hooks import batch_is_entered
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.jobs.store import Books
    from farm.storage.s3 import Storage


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked of a batch: batch.json. submitted: Unix seconds. rows: jobs that it has or will have.

    max_failures: jobs that may fail, as a number or "5%", empty for any number. limit: most slots at once.
    webhook: a URL that is told how it ends.
    """

    id: str
    name: str
    owner: str
    submitted: float
    manifest: str
    rows: int = 0
    max_failures: str = ""
    limit: int | None = None
    webhook: str = ""
    version: int = 1

    def enter(self, books: Books) -> str:
        """Tell the books; the id that they know the batch by, another's where that was quicker with the name."""
        return enter_batch(
            books,
            self.id,
            name=self.name,
            owner=self.owner,
            max_failures=self.max_failures,
            limit=self.limit,
            rows=self.rows,
            submitted=self.submitted,
        )


@dataclass(frozen=True)
class Place:
    """The job that a row is, and the row's number, which no other row of the batch has."""

    job: str
    row: int


def keep(storage: Storage, asked: Asked) -> None:
    """Write down what is asked, and that the name is this batch's."""
    storage.put_json(keys.batch_json(asked.id), asdict(asked))
    storage.put_json(_name(asked.owner, asked.name), {"batch": asked.id})


def give_way(storage: Storage, asked: Asked, *, to: str) -> None:
    """Somebody else was quicker with the same name."""
    storage.put_json(_name(asked.owner, asked.name), {"batch": to})
    storage.delete(keys.batch_json(asked.id))


def asked_before(storage: Storage, owner: str, name: str) -> Asked | None:
    """What was asked of the owner's batch of that name, if there is one."""
    try:
        batch = storage.get_json(_name(owner, name))["batch"]
        return asked_of(storage, batch)
    except NotFoundError:
        return None


def asked_of(storage: Storage, batch: str) -> Asked:
    """What was asked of a batch; raises NotFoundError, StorageError for what cannot be read."""
    key = keys.batch_json(batch)
    data = storage.get_json(key)
    try:
        return Asked(**data)
    except TypeError as error:
        raise StorageError(f"{storage.address(key)} is not what the farm writes there: {error}") from error


def keep_places(storage: Storage, batch: str, submit: str, places: Mapping[str, Place]) -> None:
    """Write down which jobs rows become, by token, before there is any of them."""
    rows = [[token, place.job, place.row] for token, place in places.items()]
    storage.put_json(keys.batch_rows(batch, submit), {"version": 1, "rows": rows})


def places_of(storage: Storage, batch: str) -> dict[str, Place]:
    """The jobs that rows became at every submit until now, by token."""
    places: dict[str, Place] = {}
    for item in storage.list(keys.batch_rows_folder(batch)):
        for token, job, row in storage.get_json(item.key)["rows"]:
            places.setdefault(token, Place(job, row))
    return places


def restore_batches(books: Books, storage: Storage) -> list[str]:
    """Enter every batch of the storage that the books do not know; their ids. Its jobs come back by themselves.

    Of two that took one name at once only one has rows: the other's submit was interrupted before it gave way.
    """
    there = [item.key for item in storage.list(keys.BATCHES)]
    batches = [batch for key in there if (batch := keys.batch_of(key)) is not None]
    with books.reaching():
        lost = [batch for batch in batches if not books.client.exists(f"farm:batch:{batch}")]
    begun = {key.split("/rows/")[0] + "/" for key in there if "/rows/" in key}
    entered = []
    for batch in sorted(lost, key=lambda batch: keys.batch_folder(batch) not in begun):
        asked = asked_of(storage, batch)
        known = batch_named(books, asked.owner, asked.name) or asked.enter(books)
        if known != batch:
            give_way(storage, asked, to=known)
            continue
        batch_is_entered(books, batch, over=False, webhook=asked.webhook)
        batch_is_entered(books, batch, over=True)
        entered.append(batch)
    return entered


def _name(owner: str, name: str) -> str:
    return keys.batch_name(keys.digest_of([owner, name]))
