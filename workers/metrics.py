"""What workers count of their own work, and what their launcher answers to Prometheus for all of them.

The work is done in processes that Celery starts and replaces, so each writes into files of one folder and the launcher
sums them up at a scrape (prometheus_client's multiprocess mode). The files are named after the slot, not the process: a
successor goes on counting where the one before it died, and there is never more than one set of files for it.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

from farm.watch.serving import serving
from workers.scratch import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.jobs.speeds import Work
    from farm.jobs.store import Lease
    from farm.settings import Settings

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus_client looks for the folder; set by the launcher, for its workers alone."""

# Every metric has a label: one without would be written by Celery's own process too, which shares the worker's files.
CHUNK_SECONDS = Histogram(
    "sonic_farm_chunk_seconds",
    "Seconds from a chunk's begin to its last frame, by renderer and model of the device",
    ["renderer", "device"],
    buckets=(1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200),
    registry=None,
)
WORK_SECONDS = Counter(
    "sonic_farm_work_seconds",
    "Seconds of finished work, by renderer (or plan, stitch) and device",
    ["renderer", "device"],
    registry=None,
)
VIDEO_SECONDS = Counter(
    "sonic_farm_work_video_seconds",
    "Seconds of video that this work was for, those thrown away included",
    ["renderer", "device"],
    registry=None,
)
BUSY_SECONDS = Counter(
    "sonic_farm_slot_busy_seconds",
    "Seconds in which a slot had a chunk in hand that was not drawn yet; its rate is the slot's busy share",
    ["slot"],
    registry=None,
)


def count_work(work: Work, *, spent: float, video_seconds: float) -> None:
    """Count a finished piece of work. spent: seconds."""
    WORK_SECONDS.labels(work.renderer, work.device).inc(spent)
    VIDEO_SECONDS.labels(work.renderer, work.device).inc(video_seconds)


class BusyTime:
    """The time that a lease on a chunk keeps a slot, counted a piece at a time: a chunk may take an hour."""

    def __init__(self, lease: Lease) -> None:
        self._counter = BUSY_SECONDS.labels(lease.slot) if lease.unit.isdigit() else None
        self._until = time.monotonic()
        self._lock = threading.Lock()

    def count(self) -> None:
        """Up to now, unless it has ended."""
        with self._lock:
            now = time.monotonic()
            if self._counter:
                self._counter.inc(now - self._until)
            self._until = now

    def end(self) -> None:
        """Count up to now, and nothing of what comes."""
        self.count()
        with self._lock:
            self._counter = None


@contextmanager
def serving_workers(settings: Settings, place: int) -> Iterator[dict[str, str]]:
    """Answer for the workers of a launcher; what these must have in their environment. Raises SettingsError."""
    if not settings.metrics_port:
        yield {}
        return
    with scratch_folder() as folder:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(folder))
        with serving(registry, settings, place):
            yield {FOLDER_VARIABLE: str(folder)}


def count_as(name: str) -> None:
    """Let this process go on where its predecessor of this name ended; before anything is counted."""
    if FOLDER_VARIABLE in os.environ:
        values.ValueClass = values.MultiProcessValue(lambda: name)
