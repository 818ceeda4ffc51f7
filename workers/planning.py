"""plan_job: from the submitted speech to plan.json, once in a job's life."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from engine.media.audio import decode_speech
from engine.media.pcm import PcmSpeech
from engine.plan import gen_frames_of
from engine.renderer import BUILT_IN, geometry_of, hears_of, targets_of
from farm.edit import Cutting, cutting_after, cutting_as_before
from farm.errors import NotFoundError
from farm.estimate import chunk_length, geometry_for, plan_speech
from farm.jobs.load import load_of
from farm.jobs.model import PLAN
from farm.jobs.speeds import Work
from farm.jobs.views import slot_views
from farm.reuse import ground_of, in_words, lesson_of, makers_of, note_planned, rendered_already
from farm.storage import keys
from workers.attempt import Attempt, attempt_at, claim, patiently
from workers.pace import note_work
from workers.planfile import PlanFile

if TYPE_CHECKING:
    from engine.media.audio import SpeechInfo
    from engine.plan import Geometry, Plan
    from engine.renderer import SpeechReader
    from farm.jobs.request import JobRequest
    from farm.reuse import Ground
    from workers.process import Worker

log = logging.getLogger(__name__)


def plan(worker: Worker, job: str) -> None:
    """Plan a job and give its chunks to the books."""
    lease = claim(worker, job, PLAN)
    if lease is None:
        return
    with attempt_at(worker, lease) as attempt:
        told = _stored_plan(worker, job) or _make_plan(worker, worker.request(job), attempt)
        found, remark = told.plan, in_words(told.plan, told.rendered) if told.rendered else ""
        patiently()(
            lambda: worker.books.planned(
                lease,
                frames25=found.frames25,
                chunks=len(found.chunks),
                rendered=len(told.rendered or ()),
                remark=remark,
            )
        )
    worker.dispatch()


def _stored_plan(worker: Worker, job: str) -> PlanFile | None:
    try:
        return PlanFile.from_dict(worker.storage.get_json(keys.plan_json(job)))
    except NotFoundError:
        return None


def _make_plan(worker: Worker, request: JobRequest, attempt: Attempt) -> PlanFile:
    storage, folder, job, began = worker.storage, attempt.folder, request.id, time.monotonic()
    # first of all: a job whose renderer nobody offers waits, and that should cost nothing
    name, declared = request.spec.renderer, targets_of(BUILT_IN) | targets_of(worker.settings.renderers)
    geometry = geometry_for(geometry_of(name, declared, worker.settings.reaches), request.output)
    ground = ground_of(request, hears_of(name, declared)) if worker.settings.reuse else None
    # where nobody said how it is cut, it is cut as it was when it came before
    lesson = lesson_of(ground, geometry) if ground and not request.edit_of and request.chunk_seconds is None else None
    source, pcm, m4a = folder / "speech", folder / "speech.pcm", folder / "speech.m4a"
    storage.get_file(keys.asset(request.speech), source)
    beat = attempt.heartbeat.beat
    speech = decode_speech(source, pcm=pcm, m4a=m4a, on_progress=lambda share: beat(share / 2))
    sound = PcmSpeech(pcm)
    cutting = _cutting(worker, request, speech, sound, geometry, lesson)
    length = cutting.length
    made, heard = plan_speech(
        pcm,
        speech.frames25,
        chunk_seconds=length.seconds,
        geometry=geometry,
        tolerance=worker.settings.cut_tolerance,
        keep=cutting.keep,
        on_progress=lambda share: beat(0.5 + share / 2),
    )
    storage.put_file(keys.speech_pcm(job), pcm, content_type="application/octet-stream")
    storage.put_file(keys.speech_m4a(job), m4a, content_type="audio/mp4")
    rendered = _rendered(worker, ground, made, sound) if ground else None
    told = PlanFile(made, speech, heard.voiced, length.seconds, length.because, request.edit_of, rendered)
    patiently()(attempt.heartbeat.confirm)  # another attempt's plan may lie there by now, and chunks of it be rendered
    storage.put_json(keys.plan_json(job), told.to_dict())
    if lesson:
        note_planned(storage, lesson, job)
    log.info(
        "planned %s: %d frames in %d chunks of about %g s (%s), waste %.1f %%",
        job,
        made.frames25,
        len(made.chunks),
        length.seconds,
        length.because,
        100 * made.waste,
    )
    note_work(worker, Work(PLAN, "cpu"), spent=time.monotonic() - began, video_seconds=speech.seconds)
    return told


def _cutting(
    worker: Worker, request: JobRequest, speech: SpeechInfo, sound: SpeechReader, geometry: Geometry, lesson: str | None
) -> Cutting:
    """The cuts of the job that this one edits, or of the same lesson before, or what suits the farm now."""
    gen_frames, asked = gen_frames_of(speech.frames25), request.chunk_seconds
    if request.edit_of:
        return cutting_after(worker.storage, request.edit_of, sound, gen_frames, chunk_seconds=asked, geometry=geometry)
    if lesson and (before := cutting_as_before(worker.storage, lesson, sound, gen_frames)):
        return before
    load = patiently()(
        lambda: load_of(
            worker.books,
            request.spec.renderer,
            priority=request.priority,
            pixels=request.pixels,
            owner=request.owner,
            job=request.id,
        )
    )
    return Cutting(chunk_length(asked, speech.seconds, load=load, settings=worker.settings, geometry=geometry))


def _rendered(worker: Worker, ground: Ground, plan: Plan, sound: SpeechReader) -> tuple[int, ...] | None:
    """The chunks that slots will take and not render; None where none says what it draws with."""
    makers = patiently()(lambda: makers_of(slot_views(worker.books), ground.spec.renderer))
    return rendered_already(worker.storage, ground, plan, sound, makers=makers)
