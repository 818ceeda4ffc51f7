"""plan_job: from the submitted speech to plan.json, once in a job's life."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from engine.media.audio import decode_speech
from engine.renderer import BUILT_IN, geometry_of, targets_of
from farm.errors import NotFoundError
from farm.estimate import chunk_length, geometry_for, plan_speech
from farm.jobs.load import load_of
from farm.jobs.model import PLAN
from farm.jobs.speeds import Work
from farm.storage import keys
from workers.attempt import Attempt, attempt_at, claim, patiently
from workers.pace import note_work
from workers.planfile import PlanFile

if TYPE_CHECKING:
    from engine.plan import Plan
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
    storage, folder, job, began = worker.storage, attempt.folder, request.id, time.monotonic()
    # first of all: a job whose renderer nobody offers waits, and that should cost nothing
    renders = geometry_of(request.spec.renderer, targets_of(BUILT_IN) | targets_of(worker.settings.renderers))
    geometry = geometry_for(renders, request.output)
    source, pcm, m4a = folder / "speech", folder / "speech.pcm", folder / "speech.m4a"
    storage.get_file(keys.asset(request.speech), source)
    beat = attempt.heartbeat.beat
    speech = decode_speech(source, pcm=pcm, m4a=m4a, on_progress=lambda share: beat(share / 2))
    for trial in patiently():
        with trial:
            load = load_of(worker.books, request.spec.renderer, priority=request.priority)
    length = chunk_length(request.chunk_seconds, speech.seconds, load=load, settings=worker.settings, geometry=geometry)
    made, heard = plan_speech(
        pcm,
        speech.frames25,
        chunk_seconds=length.seconds,
        geometry=geometry,
        tolerance=worker.settings.cut_tolerance,
        on_progress=lambda share: beat(0.5 + share / 2),
    )
    storage.put_file(keys.speech_pcm(job), pcm, content_type="application/octet-stream")
    storage.put_file(keys.speech_m4a(job), m4a, content_type="audio/mp4")
    told = PlanFile(made, speech, heard.voiced, length.seconds, length.because)
    storage.put_json(keys.plan_json(job), told.to_dict())
    log.info(
        "planned %s: %d frames in %d chunks of about %g s (%s), waste %.1f %%",
        job,
        made.frames25,
        len(made.chunks),
        length.seconds,
        length.because,
        100 * made.waste,
    )
    note_work(worker, Work(PLAN, "cpu"), since=began, video_seconds=speech.seconds)
    return made
