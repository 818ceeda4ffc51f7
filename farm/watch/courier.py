"""Sends webhooks from the sweeper's process, in threads of its own: no receiver, dead or slow, holds a sweep up.

One thread for a receiver and THREADS in all. Several couriers may run: the books give each webhook to one of them. One
that dies leaves what it had in hand to the next, so a webhook may arrive twice, under the same event id.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from farm.errors import DeliveryError, FarmError, InputRefusedError
from farm.hooks.post import Message, Sender
from farm.jobs import hooks

if TYPE_CHECKING:
    from farm.jobs.hooks import Bundle, Due
    from farm.jobs.store import Books
    from farm.settings import Settings
    from farm.storage.s3 import Storage

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
THREADS = 8
BUNDLE_SECONDS = 15.0
"""After that a sender begins no other webhook of its bundle, so that a slow receiver holds its thread no longer."""


class Courier:
    """Takes what is due from the books and sends it."""

    def __init__(self, books: Books, storage: Storage, settings: Settings) -> None:
        self._books = books
        self._storage = storage
        self._settings = settings
        self._free = threading.Semaphore(THREADS)
        self._wake = threading.Event()

    def run(self, over: threading.Event) -> None:
        """Look until `over` is set; what is being sent then is left to whoever looks next."""
        while not over.is_set():
            try:
                self.look()
            except FarmError as error:
                log.warning("no webhooks sent: %s", error)
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()

    def look(self) -> list[threading.Thread]:
        """Take what is due, for as many receivers as there are free threads, and begin to send it."""
        free = 0
        while free < THREADS and self._free.acquire(blocking=False):
            free += 1
        bundles: tuple[Bundle, ...] = ()
        try:
            if free:
                taken = hooks.take(self._books, receivers=free, farm=self._settings.webhook_url is not None)
                bundles = taken.bundles
                if taken.given_up:
                    log.error("%d webhooks were given up, `farm webhook list --failed` names them", taken.given_up)
        finally:
            if free > len(bundles):
                self._free.release(free - len(bundles))
        return [self._begin(bundle) for bundle in bundles]

    def _begin(self, bundle: Bundle) -> threading.Thread:
        # daemons: a receiver that takes its time must not keep the process from ending
        thread = threading.Thread(target=self._send_all, args=(bundle,), name="webhook", daemon=True)
        thread.start()
        return thread

    def _send_all(self, bundle: Bundle) -> None:
        try:
            began = time.monotonic()
            for place, due in enumerate(bundle.deliveries, start=1):
                late = time.monotonic() - began > BUNDLE_SECONDS
                last = place == len(bundle.deliveries)
                if not self._send(bundle.receiver, due, last=last or late) or late:
                    break
        except FarmError as error:
            log.warning("what became of webhooks is not in the books, they are sent again: %s", error)
        finally:
            self._free.release()
            self._wake.set()

    def _send(self, receiver: str, due: Due, *, last: bool) -> bool:
        """Send one and say what became of it; whether its receiver may get the next."""
        try:
            self._post(due)
        except InputRefusedError as refusal:
            log.warning("webhook %s is given up: %s", due.id, refusal)
            hooks.settle(self._books, receiver, due.id, problem=str(refusal), final=True, last=last)
        except DeliveryError as error:
            log.info("webhook %s did not arrive: %s", due.id, error)
            hooks.settle(self._books, receiver, due.id, problem=str(error), last=True)
            return False
        else:
            log.debug("webhook %s arrived", due.id)
            hooks.settle(self._books, receiver, due.id, problem=None, last=last)
        return True

    def _post(self, due: Due) -> None:
        settings, url = self._settings, due.url or self._settings.webhook_url
        if url is None:
            raise InputRefusedError(["webhook_url is no longer set where the sweeper runs"])
        if settings.webhook_secret is None:
            raise DeliveryError("webhook_secret is not set where the sweeper runs, so nothing can be signed")
        sender = Sender(settings.webhook_secret, settings.webhook_private)
        sender.post(url, message_of(due.event, self._storage))


def message_of(event: dict[str, Any], storage: Storage) -> Message:
    """What a receiver reads: the event as the books wrote it, with the result's place in storage."""
    told = dict(event)
    if (job := told.get("job")) and job.get("result"):
        told["job"] = {**job, "result": str(storage.address(job["result"]))}
    return Message(event["id"], event["type"], json.dumps({"version": 1, **told}).encode())
