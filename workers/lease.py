"""The heartbeat of a unit: keeps the lease, reports progress, hears cancel, pause and drain."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from farm.errors import BooksUnreachableError, FarmError
from farm.logs import for_same_hand
from workers.metrics import BusyTime

if TYPE_CHECKING:
    from farm.jobs.store import Books, Lease

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
"""Longest pause between two renewals: how soon a cancel is heard and progress is seen."""
GO_ON = "go on"


class StoppedError(Exception):
    """Raised inside a render when it should not go on: the lease was lost or people decided so."""

    def __init__(self, verdict: str) -> None:
        self.verdict = verdict
        super().__init__(verdict)


class Heartbeat:
    """Renews a lease from a thread of its own; `beat` is called by the work and stops it when it must stop."""

    def __init__(self, books: Books, lease: Lease, *, lease_seconds: float) -> None:
        self._books = books
        self._lease = lease
        self._lease_seconds = lease_seconds
        self._percent = 0.0
        self._verdict = GO_ON
        self._cut_off = False
        self._over = threading.Event()
        self._busy = BusyTime(lease)
        self._thread = threading.Thread(target=for_same_hand(self._run), name=f"lease {lease}", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def beat(self, share: float) -> None:
        """Say how far the work is (0 to 1); raises StoppedError when it should not go on."""
        self._percent = 100 * share
        if self._verdict != GO_ON:
            raise StoppedError(self._verdict)

    def all_is_drawn(self, *, tries: int) -> None:
        """Say that nothing is left but to deliver; raises StoppedError when that should not be done any more.

        A pause comes too late: what the chunk cost is spent. So does a stop of the slot, but that does not wait for
        more than one of its `tries`.
        """
        too_late = {"paused", "draining"} if tries == 1 else {"paused"}
        if self._verdict not in too_late:
            self.beat(1.0)
        self._percent = 100.0

    def leave_slot(self) -> None:
        """The slot may take another chunk: what is left of this one keeps it no longer."""
        self._busy.end()

    def confirm(self) -> None:
        """Ask the books now whether the work is still this attempt's, not only at the next renewal.

        Raises StoppedError when it is not, BooksUnreachableError when they do not answer.
        """
        self._renew()
        self.beat(self._percent / 100)

    def _run(self) -> None:
        pause = min(BEAT_SECONDS, self._lease_seconds / 4)
        while not self._over.wait(pause):
            self._busy.count()
            try:
                self._renew()
            except FarmError as error:
                # the work goes on: its result is recorded when Redis is back, if the lease still stands then
                log.warning("lease not renewed: %s", error)
        self._busy.end()

    def _renew(self) -> None:
        try:
            self._verdict = self._books.renew(
                self._lease, percent=self._percent, lease_seconds=self._lease_seconds, cut_off=self._cut_off
            )
        except BooksUnreachableError:
            self._cut_off = True
            raise
        self._cut_off = False
