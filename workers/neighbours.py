"""The seams of a chunk that was recorded just now, with those of its neighbours that are done already.

Whoever records the second of two neighbours finds the first. So where a chunk takes longer to draw than a seam to make,
all but the last ones are made while the rest of the job is drawn, and a stitch has little more to do than to join.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.media.seam import encode_seam, shared
from engine.media.video import Encoding
from farm.errors import FarmError
from farm.jobs.views import done_attempts
from workers.scratch import scratch_folder
from workers.seams import SeamName, keep_seam
from workers.segments import Segments

if TYPE_CHECKING:
    from engine.plan import Plan
    from farm.jobs.request import JobRequest
    from workers.process import Worker

log = logging.getLogger(__name__)

LARGEST = 1920 * 1080
"""Pixels of a frame up to which slots make seams: one of 4096x4096 takes a gigabyte and a minute of a core."""


def make_seams_of(worker: Worker, request: JobRequest, plan: Plan, chunk: int) -> None:
    """Make and keep what seams a chunk has by now, where the sides differ. The stitch makes what is left or fails."""
    try:
        attempts = done_attempts(worker.books, request.id, range(max(0, chunk - 1), min(len(plan.chunks), chunk + 2)))
        for first in (chunk - 1, chunk):
            if first in attempts and first + 1 in attempts:
                _make(worker, request, plan, first, (attempts[first], attempts[first + 1]))
    except (EngineError, FarmError) as error:
        log.warning("the seams of chunk %d are left to the stitch: %s", chunk + 1, error)


def _make(worker: Worker, request: JobRequest, plan: Plan, first: int, attempts: tuple[str, str]) -> None:
    storage, chunks = worker.storage, plan.chunks[first : first + 2]
    with scratch_folder() as folder:
        segments = Segments(storage, request.id, chunks, attempts, folder)
        if segments.pixels() > LARGEST:
            return
        before, after = (one.segment for one in segments.ends())
        leaving, coming = shared(before.files.hashes, after.files.hashes, after.chunk.head)
        if after.seam is not None or leaving == coming:
            return
        seam = encode_seam(before, after, folder / "seam.mp4", encoding=Encoding.of(request.output.quality))
        keep_seam(storage, SeamName(request.id, after.chunk, attempts[1], attempts[0]), seam)
    log.info("seam between chunks %d and %d: made", first + 1, first + 2)
