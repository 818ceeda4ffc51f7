"""Calls slots that are out to their probe, and tries storage while it is paused. The books let one of many act."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

from farm.errors import CorruptObjectError, FarmError
from farm.jobs.health import slots_to_probe, storage_check_due, storage_fails, storage_works
from farm.messages import PROBE_SLOT, Message
from farm.storage.s3 import Patience

if TYPE_CHECKING:
    from farm.jobs.store import Books
    from farm.messages import Bell
    from farm.storage.s3 import Storage

log = logging.getLogger(__name__)

TRIALS = "trials/"
QUICK = Patience(attempts=1, connect_seconds=3, read_seconds=5)
"""One look at storage, after which sweeping goes on."""


class Nurse:
    """Looks after slots that are out and storage that failed."""

    def __init__(self, books: Books, bell: Bell, storage: Storage) -> None:
        self._books = books
        self._bell = bell
        self._storage = storage

    def look(self) -> None:
        """Raises BooksUnreachableError; storage that fails is what this is about."""
        called = slots_to_probe(self._books)
        for slot in called:
            log.warning("slot %s is called to a probe: %s", slot.name, slot.why)
        self._bell.ring([Message(PROBE_SLOT, slot.name, None, title=f"{slot.name}, probe") for slot in called])
        if storage_check_due(self._books):
            self._try_storage()

    def _try_storage(self) -> None:
        try:
            try_storage(self._storage)
        except FarmError as error:
            log.warning("work stays paused, storage fails: %s", error)
            storage_fails(self._books, str(error))
            return
        storage_works(self._books)
        log.info("storage works again, work goes on")
        self._bell.ring(self._books.dispatch())


def try_storage(storage: Storage) -> None:
    """Write, read and delete one small object. Raises what storage raises."""
    key, content = f"{TRIALS}{secrets.token_hex(8)}", secrets.token_bytes(64)
    storage.put_bytes(key, content)
    if storage.get_bytes(key) != content:
        raise CorruptObjectError(f"{storage.address(key)} is not what was put there")
    storage.delete(key)
