"""One attempt at a unit: claimed, kept alive, logged, and ended in exactly one way."""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenacity import Retrying, before_sleep_log, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from engine.errors import EngineError, InputError, UnknownRendererError
from farm.errors import FarmError, UnreachableError
from farm.jobs.store import AttemptFailure, Books, Lease, Refused
from farm.logs import formatter
from farm.storage import keys
from workers.lease import Heartbeat, StoppedError
from workers.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.storage.s3 import Storage

log = logging.getLogger(__name__)

RECORD_PATIENCE_SECONDS = 600
"""How long a finished unit waits for Redis or storage to come back before it is given up."""
OUTAGE_DELAY_SECONDS = 10
UNKNOWN_DELAY_SECONDS = 60
"""Pause before a job whose renderer nobody declared is looked at again: it waits for one that does."""
LOG_UPLOAD_SECONDS = 10


@dataclass(frozen=True)
class Attempt:
    """What the work of one attempt gets: its lease, a folder, and the beat that it must keep."""

    lease: Lease
    folder: Path
    heartbeat: Heartbeat


def patiently() -> Retrying:
    """Try a call again and again until an outage is over; a `for` whose body is a `with`."""
    return Retrying(
        retry=retry_if_exception_type(UnreachableError),
        stop=stop_after_delay(RECORD_PATIENCE_SECONDS),
        wait=wait_exponential_jitter(initial=0.2, max=10),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )


def claim(books: Books, job: str, unit: str, *, slot: str, lease_seconds: float) -> Lease | None:
    """Ask for a unit: a lease on it, or None where there is nothing to do."""
    answer = books.claim(job, unit, slot=slot, suffix=secrets.token_hex(4), lease_seconds=lease_seconds)
    if isinstance(answer, Refused):
        log.info("dropped the message for %s/%s: %s", job, unit, answer.reason)
        return None
    return answer


@contextmanager
def attempt_at(lease: Lease, books: Books, storage: Storage, *, lease_seconds: float) -> Iterator[Attempt]:
    """Run the body as one attempt; whatever it raises is recorded as the end of the attempt, with its reason.

    Errors that are nobody's bug end here; a bug is recorded and raised on, so that it is seen as a failed task.
    """
    with scratch_folder() as folder, _kept_log(lease, folder, storage) as upload_log:
        try:
            with Heartbeat(books, lease, lease_seconds=lease_seconds, on_beat=upload_log) as heartbeat:
                yield Attempt(lease, folder, heartbeat)
        except StoppedError as stop:
            log.info("stopped: %s", stop.verdict)
            _end(
                books,
                lease,
                AttemptFailure(code=stop.verdict, message=f"stopped: {stop.verdict}", outcome=stop.verdict, burn=False),
            )
        except (EngineError, FarmError) as error:
            log.error("%s: %s", type(error).__name__, error)  # noqa: TRY400 - expected: its words say all
            _end(books, lease, _failure_of(error))
        except Exception as error:
            log.exception("attempt failed")
            _end(books, lease, AttemptFailure(code="crash", message=f"{type(error).__name__}: {error}"))
            raise


def _failure_of(error: EngineError | FarmError) -> AttemptFailure:
    if isinstance(error, UnreachableError):
        return AttemptFailure(
            code=error.code, message=str(error), outcome="outage", burn=False, delay_seconds=OUTAGE_DELAY_SECONDS
        )
    if isinstance(error, UnknownRendererError):
        return AttemptFailure(
            code=error.code, message=str(error), outcome="waits", burn=False, delay_seconds=UNKNOWN_DELAY_SECONDS
        )
    return AttemptFailure(code=error.code, message=str(error), permanent=isinstance(error, InputError))


def _end(books: Books, lease: Lease, failure: AttemptFailure) -> None:
    for trial in patiently():
        with trial:
            recorded = books.fail(lease, failure)
    if not recorded:
        log.info("%s is no longer the current attempt: nothing to record", lease)


@contextmanager
def _kept_log(lease: Lease, folder: Path, storage: Storage) -> Iterator[Callable[[], None]]:
    """Everything this process logs during the attempt, kept in storage even if the process dies in between."""
    path = folder / "attempt.log"
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(formatter())
    root = logging.getLogger()
    key = keys.log(lease.job, lease.unit, lease.attempt)
    uploaded_at, uploaded_size = time.monotonic(), 0

    def upload(*, now: bool = False) -> None:
        nonlocal uploaded_at, uploaded_size
        size = path.stat().st_size
        if size == uploaded_size or not (now or time.monotonic() - uploaded_at > LOG_UPLOAD_SECONDS):
            return
        uploaded_at, uploaded_size = time.monotonic(), size
        try:
            storage.put_bytes(key, path.read_bytes(), content_type="text/plain; charset=utf-8")
        except FarmError as error:
            log.warning("log of the attempt not kept: %s", error)

    root.addHandler(handler)
    try:
        yield upload
    finally:
        root.removeHandler(handler)
        handler.close()
        upload(now=True)
