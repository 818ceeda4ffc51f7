"""How long a worker took for its work, told to the books, so that the next job's end can be foretold."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from engine.plan import GEN_RATE
from farm.errors import BooksUnreachableError
from farm.jobs.speeds import REFERENCE_PIXELS, Work, note_speed
from workers.metrics import CHUNK_SECONDS, count_work

if TYPE_CHECKING:
    from engine.plan import Plan
    from engine.spec import ChunkSpec
    from farm.jobs.request import JobRequest
    from workers.process import SlotWorker, Worker

log = logging.getLogger(__name__)


def note_work(
    worker: Worker, work: Work, *, spent: float, video_seconds: float, pixels: int = REFERENCE_PIXELS
) -> None:
    """Tell the books of finished work. spent: seconds that it took. video_seconds: what it made or handled."""
    count_work(work, spent=spent, video_seconds=video_seconds)
    try:
        note_speed(worker.books, work, spent=spent, video_seconds=video_seconds, pixels=pixels)
    except BooksUnreachableError as error:
        log.warning("not noted how fast %s is: %s", work.renderer, error)


def note_chunk(worker: SlotWorker, request: JobRequest, plan: Plan, chunk: ChunkSpec, *, spent: float) -> None:
    """Tell of a chunk that a slot drew in so many seconds: all that its span computes, kept or not."""
    work = Work(request.spec.renderer, worker.facts["device"], request.spec.steps)
    CHUNK_SECONDS.labels(work.renderer, work.device).observe(spent)
    seconds = plan.windows(chunk) * plan.geometry.window / GEN_RATE
    note_work(worker, work, spent=spent, video_seconds=seconds, pixels=request.pixels)
