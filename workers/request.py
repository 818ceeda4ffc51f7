"""A task as the parent of the process at work sees it: what Celery says there of its end names the job.

Terminated from outside, by Flower's button or a revoke, its process is killed without a word. The parent sees it happen
and tells the books at once; nobody waits for the lease to run out.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from celery.worker.request import Request

from farm.errors import FarmError
from farm.jobs.health import terminated
from farm.jobs.store import Books, unit_of
from farm.logs import InHand, take_in_hand
from farm.settings import Settings
from workers.slots import LAUNCHER_VARIABLE, SLOT_VARIABLE, cpu_worker_name

log = logging.getLogger(__name__)


class NamedRequest(Request):  # type: ignore[misc]  # Celery carries no types
    """A task in hand. Celery tells of its end in the parent, where no task runs that would name its job."""

    def on_failure(self, *arguments: Any, **more: Any) -> None:
        """Called when the task raised or its process died."""
        take_in_hand(InHand(str(self.kwargs.get("job", "")), unit_of(self.task.name, self.kwargs)))
        try:
            super().on_failure(*arguments, **more)
        finally:
            take_in_hand(InHand())

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Kill the process at work; before it has begun Celery only notes that, and calls again."""
        super().terminate(pool, signal)
        if self.time_start and "job" in self.kwargs:
            slot = os.environ.get(SLOT_VARIABLE) or cpu_worker_name(self.worker_pid)
            tell(self.kwargs["job"], unit_of(self.task.name, self.kwargs), slot)


def tell(job: str, unit: str, slot: str) -> None:
    """Tell the books; without them the next process on the slot does, or the lease runs out."""
    books = Books.connect(Settings.load())
    try:
        if terminated(books, job, unit, slot=slot, launcher=os.environ.get(LAUNCHER_VARIABLE, "")):
            log.warning("%s of %s was terminated by hand on %s", unit, job, slot)
    except FarmError as error:
        log.warning("the books were not told that %s of %s was terminated: %s", unit, job, error)
    finally:
        books.close()
