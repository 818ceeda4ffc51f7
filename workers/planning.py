"""plan_job: from the submitted speech to plan.json, once in a job's life."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from engine.media.audio import decode_speech
from engine.plan import Plan, plan_chunks
from engine.renderer import BUILT_IN, geometry_of, targets_of
from farm.errors import NotFoundError
from farm.jobs.model import PLAN
from farm.storage import keys
from workers.attempt import Attempt, attempt_at, claim, patiently
from workers.planfile import PlanFile

if TYPE_CHECKING:
    from farm.jobs.request import JobRequest
    from workers.process import Worker

log = logging.getLogger(__name__)


def plan(worker: Worker, job: str) -> None:
    """Plan a job and give its chunks to the books."""
    lease = claim(worker.books, job, PLAN, slot=worker.name, lease_seconds=worker.settings.lease_seconds)
    if lease is None:
        return
    with attempt_at(lease, worker.books, worker.storage, lease_seconds=worker.settings.lease_seconds) as attempt:
        found = _stored_plan(worker, job) or _make_plan(worker, worker.request(job), attempt)
        for trial in patiently():
            with trial:
                worker.books.planned(lease, frames25=found.frames25, chunks=len(found.chunks))
    worker.dispatch()


def _stored_plan(worker: Worker, job: str) -> Plan | None:
    try:
        return PlanFile.from_dict(worker.storage.get_json(keys.plan_json(job))).plan
    except NotFoundError:
        return None


def _make_plan(worker: Worker, request: JobRequest, attempt: Attempt) -> Plan:
    storage, folder, job = worker.storage, attempt.folder, request.id
    # first of all: a job whose renderer nobody offers waits, and that should cost nothing
    geometry = geometry_of(request.spec.renderer, targets_of(BUILT_IN) | targets_of(worker.settings.renderers))
    source, pcm, m4a = folder / "speech", folder / "speech.pcm", folder / "speech.m4a"
    storage.get_file(keys.asset(request.speech), source)
    speech = decode_speech(source, pcm=pcm, m4a=m4a, on_progress=attempt.heartbeat.beat)
    seconds = request.chunk_seconds or worker.settings.chunk_seconds
    made = plan_chunks(speech.frames25, chunk_seconds=seconds, geometry=geometry)
    storage.put_file(keys.speech_pcm(job), pcm, content_type="application/octet-stream")
    storage.put_file(keys.speech_m4a(job), m4a, content_type="audio/mp4")
    storage.put_json(keys.plan_json(job), PlanFile(made, speech).to_dict())
    log.info("planned %s: %d frames in %d chunks", job, made.frames25, len(made.chunks))
    return made
