"""One attempt at a unit: claimed, kept alive, logged, and ended in exactly one way."""

from __future__ import annotations

import errno
import logging
import secrets
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tenacity import Retrying, before_sleep_log, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from engine.errors import EngineError, InputError, UnknownRendererError
from farm.errors import (
    BooksError,
    CorruptObjectError,
    FarmError,
    StorageError,
    StorageUnreachableError,
    UnreachableError,
)
from farm.jobs.store import AttemptFailure, Books, Lease, Refused
from farm.logs import InHand, for_same_hand, take_in_hand
from workers.attempt_log import kept_log
from workers.lease import Heartbeat, StoppedError
from workers.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor, Future
    from pathlib import Path

    from workers.process import Worker

log = logging.getLogger(__name__)

RECORD_PATIENCE_SECONDS = 600
"""How long a finished unit waits for Redis or storage to come back before it is given up."""
OUTAGE_DELAY_SECONDS = 10
UNKNOWN_DELAY_SECONDS = 60
"""Pause before a job whose renderer nobody declared is looked at again: it waits for one that does."""
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}
"""What a machine lacks when its disk or its table of files is full: no fault of the job."""


@dataclass
class Attempt:
    """What the work of one attempt gets: its lease, a folder, and the beat that it must keep."""

    lease: Lease
    folder: Path
    heartbeat: Heartbeat
    _cleanup: ExitStack = field(repr=False)

    def hand_over(self, threads: Executor, rest: Callable[[], None]) -> Future[None]:
        """A thread goes on with `rest` and ends the attempt, as if in the body; what the body does then is its own."""
        self.heartbeat.leave_slot()
        return threads.submit(for_same_hand(_finish), self._cleanup.pop_all(), rest)


def _finish(cleanup: ExitStack, rest: Callable[[], None]) -> None:
    with cleanup:
        rest()


def patiently() -> Retrying:
    """Tries what it is called with again and again until an outage is over; or a `for` whose body is a `with`."""
    return Retrying(
        retry=retry_if_exception_type(UnreachableError),
        stop=stop_after_delay(RECORD_PATIENCE_SECONDS),
        wait=wait_exponential_jitter(multiplier=0.2, max=10),
        before_sleep=before_sleep_log(log, logging.WARNING),
        reraise=True,
    )


def claim(worker: Worker, job: str, unit: str) -> Lease | None:
    """Ask for a unit: a lease on it, or None where there is nothing to do."""
    suffix, seconds = secrets.token_hex(4), worker.settings.lease_seconds
    answer = worker.books.claim(job, unit, slot=worker.name, suffix=suffix, lease_seconds=seconds)
    if isinstance(answer, Refused):
        log.info("dropped the message for %s/%s: %s", job, unit, answer.reason)
        return None
    take_in_hand(InHand(job, unit, answer.attempt))
    return answer


@contextmanager
def attempt_at(worker: Worker, lease: Lease) -> Iterator[Attempt]:
    """Run the body as one attempt; whatever it raises is recorded as the end of the attempt, with its reason.

    Errors that are nobody's bug end here; a bug is recorded and raised on, so that it is seen as a failed task;
    in what was handed over, by whoever looks at the future.
    """
    with ExitStack() as stack:
        stack.enter_context(_recorded(lease, worker.books))
        heartbeat = stack.enter_context(Heartbeat(worker.books, lease, lease_seconds=worker.settings.lease_seconds))
        folder = stack.enter_context(scratch_folder())
        stack.enter_context(kept_log(lease, folder / "attempt.log", worker.storage))
        stack.enter_context(_logged())
        yield Attempt(lease, folder, heartbeat, stack)


@contextmanager
def _recorded(lease: Lease, books: Books) -> Iterator[None]:
    """How the attempt ends, in the books, where it does not succeed."""
    try:
        yield
    except StoppedError as stop:
        _end(books, lease, stopped(stop.verdict))
    except (EngineError, FarmError) as error:
        _end(books, lease, failure_of(error))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            _end(books, lease, outage("disk", str(error), cause="disk"))
            return
        _end(books, lease, AttemptFailure(code="crash", message=f"{type(error).__name__}: {error}"))
        raise


@contextmanager
def _logged() -> Iterator[None]:
    """How the attempt ends, in its own log."""
    try:
        yield
    except StoppedError as stop:
        log.info("stopped: %s", stop.verdict)
        raise
    except (EngineError, FarmError) as error:
        log.error("%s: %s", type(error).__name__, error)  # noqa: TRY400 - expected: its words say all
        raise
    except Exception:
        log.exception("attempt failed")
        raise


def stopped(verdict: str) -> AttemptFailure:
    """The end of an attempt that was told to stop: nobody's fault."""
    return AttemptFailure(code=verdict, message=f"stopped: {verdict}", outcome=verdict, burn=False)


def outage(
    code: str,
    message: str,
    *,
    outcome: str = "outage",
    delay_seconds: float = OUTAGE_DELAY_SECONDS,
    cause: Literal["", "storage", "disk"] = "",
) -> AttemptFailure:
    """The end of an attempt whose surroundings failed: tried again later, and ever less often."""
    return AttemptFailure(
        code=code, message=message, outcome=outcome, burn=False, delay_seconds=delay_seconds, cause=cause
    )


def failure_of(error: EngineError | FarmError) -> AttemptFailure:
    """What an expected error means for the attempts to come; decided by its class."""
    if isinstance(error, CorruptObjectError):
        return AttemptFailure(code=error.code, message=str(error))
    if isinstance(error, StorageUnreachableError | StorageError):
        return outage(error.code, str(error), cause="storage")
    if isinstance(error, UnreachableError | BooksError):
        return outage(error.code, str(error))
    if isinstance(error, UnknownRendererError):
        return outage(error.code, str(error), outcome="waits", delay_seconds=UNKNOWN_DELAY_SECONDS)
    return AttemptFailure(code=error.code, message=str(error), permanent=isinstance(error, InputError))


def _end(books: Books, lease: Lease, failure: AttemptFailure) -> None:
    if not patiently()(lambda: books.fail(lease, failure)):
        log.info("%s is no longer the current attempt: nothing to record", lease)
