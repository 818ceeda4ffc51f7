"""The four tasks. Each message only says where to look; what there is to do, the books decide."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from billiard import current_process
from billiard.pool import EX_OK
from celery.signals import task_postrun, worker_process_init, worker_process_shutdown

from farm.jobs.model import PLAN, STITCH
from farm.logs import InHand, take_in_hand
from farm.messages import PLAN_JOB, PROBE_SLOT, RENDER_CHUNK, STITCH_JOB
from farm.settings import Settings
from farm.watch.latency import time_books, time_storage
from workers.app import app
from workers.metrics import count_as
from workers.planning import plan
from workers.probe import probe
from workers.process import SlotWorker, Worker, is_slot, start_cpu_worker, start_slot_worker
from workers.rendering import render
from workers.request import NamedRequest
from workers.scratch import clear_leftovers
from workers.slots import SLOT_VARIABLE
from workers.stitching import stitch

log = logging.getLogger(__name__)

START_PAUSE_SECONDS = 5
"""Pause before a worker that could not start is replaced."""
_this: list[Worker] = []
"""The worker that this process is: filled once, when Celery has started the process."""


@worker_process_init.connect
def _start(**_: Any) -> None:
    settings = Settings.load()
    count_as(os.environ.get(SLOT_VARIABLE) or f"cpu{current_process().index}")
    try:
        worker = start_slot_worker(settings) if is_slot() else start_cpu_worker(settings)
        time_books(worker.books)
        time_storage(worker.storage)
        _this.append(worker)
        clear_leftovers()
    except Exception:
        # Celery would log this and let a process live that can do nothing; ended, it is started anew
        log.exception("this worker cannot start")
        time.sleep(START_PAUSE_SECONDS)
        os._exit(1)


@worker_process_shutdown.connect
def _deliver_what_is_drawn(exitcode: int, **_: Any) -> None:
    # not where it is ended by force: the books are told then that all it had in hand is lost
    for worker in _this:
        if isinstance(worker, SlotWorker) and exitcode == EX_OK:
            worker.leave_nothing_undelivered()
            worker.leave_seams()


@task_postrun.connect
def _put_down(**_: Any) -> None:
    # not sooner: what Celery says of a task that failed belongs to its job
    take_in_hand(InHand())


@app.task(name=PLAN_JOB, Request=NamedRequest)
def plan_job(job: str, **_: Any) -> None:
    """Decode the speech, cut the job into chunks and write plan.json."""
    take_in_hand(InHand(job, PLAN))
    plan(_this[0], job)


@app.task(name=RENDER_CHUNK, Request=NamedRequest)
def render_chunk(job: str, chunk: int, **_: Any) -> None:
    """Render one chunk and publish its segment."""
    take_in_hand(InHand(job, str(chunk)))
    worker = _this[0]
    if not isinstance(worker, SlotWorker):
        raise TypeError(f"{worker.name} is a cpu worker and renders nothing")
    render(worker, job, chunk)


@app.task(name=STITCH_JOB, Request=NamedRequest)
def stitch_job(job: str, **_: Any) -> None:
    """Join the segments, check the result and publish it."""
    take_in_hand(InHand(job, STITCH))
    stitch(_this[0], job)


@app.task(name=PROBE_SLOT)
def probe_slot(**_: Any) -> None:
    """Show whether this slot is well."""
    worker = _this[0]
    if not isinstance(worker, SlotWorker):
        raise TypeError(f"{worker.name} is a cpu worker and cannot be probed")
    probe(worker)
