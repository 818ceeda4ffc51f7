"""`python -m farm.watch.sweeper`: puts back what fell by the way and rings again. Any number may run, one acts."""

from __future__ import annotations

import logging
import secrets
import signal
import sys
import threading

from farm.errors import FarmError, SettingsError
from farm.jobs.policy import Policy, write_policy
from farm.jobs.store import Books
from farm.logs import log_to_stderr
from farm.messages import Bell
from farm.settings import Settings
from farm.storage.s3 import Storage
from farm.watch.courier import Courier
from farm.watch.latency import time_books, time_storage
from farm.watch.metrics import registry_of
from farm.watch.nurse import QUICK, Nurse
from farm.watch.serving import SWEEPER, serving

log = logging.getLogger("farm.watch.sweeper")  # __name__ is __main__ where it runs

LOCK = "farm:sweeper"


class Sweeper:
    """One look at a time: leases that ran out, messages nobody took, outbox entries that stayed."""

    def __init__(self, books: Books, bell: Bell, settings: Settings) -> None:
        self._books = books
        self._bell = bell
        self._policy = Policy.of(settings)
        self._lease_seconds = settings.lease_seconds
        self._lock_ms = round(settings.sweep_seconds * 5000)
        self._name = secrets.token_hex(8)

    def look(self) -> bool:
        """Sweep once; False when another sweeper is at work."""
        if not self._books.hold(LOCK, self._name, self._lock_ms):
            return False
        write_policy(self._books, self._policy)  # each time: Redis may have been emptied
        swept = self._books.sweep(lease_seconds=self._lease_seconds)
        if swept.expired or swept.unsent:
            log.info("%d leases ran out, %d chunks sent in vain", swept.expired, swept.unsent)
        if swept.broken:
            log.error(
                "%d entries of the books could not be dealt with and were dropped, Redis' log names them", swept.broken
            )
        self._bell.ring([*swept.due, *self._books.dispatch()])
        return True


def run(settings: Settings, over: threading.Event) -> None:
    """Sweep until `over` is set."""
    books = Books.connect(settings)
    time_books(books)
    bell = Bell(settings)
    sweeper = Sweeper(books, bell, settings)
    quick, patient = Storage.from_settings(settings, QUICK), Storage.from_settings(settings)
    for storage in (quick, patient):
        time_storage(storage)
    nurse = Nurse(books, bell, quick)
    courier = Courier(books, patient, settings)
    threading.Thread(target=courier.run, args=(over,), name="courier", daemon=True).start()
    with serving(registry_of(books), settings, SWEEPER):
        while not over.wait(settings.sweep_seconds):
            try:
                sweeper.look()
                nurse.look()
            except FarmError as error:
                log.warning("no look: %s", error)


def main() -> int:
    """Run until SIGTERM or Ctrl-C; the exit code."""
    settings = Settings.load()
    log_to_stderr(settings)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        run(settings, over)
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - an error of ours is its sentence
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
