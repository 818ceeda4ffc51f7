"""render_chunk: from a claimed chunk to its published segment."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.media.video import Encoding, SegmentFiles, SegmentWriter, digest_of
from engine.renderer import Inputs
from farm.jobs.model import STITCH
from farm.jobs.store import Recorded, cpu_message
from farm.reuse import Source, offer
from farm.storage import keys
from workers.attempt import Attempt, attempt_at, claim, patiently
from workers.pace import pacing_chunk
from workers.parts import Parts
from workers.probe import keep_expected
from workers.reuse import Taking, recipe_for
from workers.studio import Studio

if TYPE_CHECKING:
    from pathlib import Path

    from engine.media.measures import Measures
    from engine.plan import Plan
    from engine.spec import ChunkSpec
    from farm.jobs.request import JobRequest
    from farm.messages import Message
    from farm.storage.s3 import Storage
    from workers.process import SlotWorker

log = logging.getLogger(__name__)


def render(worker: SlotWorker, job: str, index: int) -> None:
    """Render a chunk, publish its segment under this attempt's own key, and record it."""
    lease = claim(worker.books, job, str(index), slot=worker.name, lease_seconds=worker.settings.lease_seconds)
    if lease is None:
        worker.dispatch()
        return
    stitch_due: list[Message] = []
    rendered_with: str | None = None
    with attempt_at(lease, worker.books, worker.storage, lease_seconds=worker.settings.lease_seconds) as attempt:
        request, plan = worker.asked_of(job)
        chunk = replace(plan.chunks[index], redraw=lease.redraw)
        log.info("chunk %d of %s: frames %d to %d", index + 1, request.name, chunk.out[0], chunk.out[1] - 1)
        recipe = recipe_for(worker, request, plan, chunk)
        source = Taking(worker.storage, chunk, attempt, recipe).take() if recipe else None
        worker.do_aside(worker.dispatch)  # so that what this slot renders next is there when this chunk ends
        if source is None:
            with pacing_chunk(worker, request, plan, chunk):
                made = _draw(worker, request, plan, chunk, attempt)
            for trial in patiently():
                with trial:
                    attempt.heartbeat.beat(1.0)
                    _publish(worker, request, chunk, attempt, made, recipe)
        for trial in patiently():
            with trial:
                recorded = worker.books.record(lease, taken=source.job if source else "")
        log.info("chunk %d: %s", index + 1, recorded)
        if recorded is Recorded.LAST:
            stitch_due = [cpu_message(job, STITCH, request.name, priority=request.priority)]
        rendered_with = request.spec.renderer if source is None else None
    worker.do_aside(_see_on, worker, stitch_due)
    if rendered_with is not None:
        keep_expected(worker, rendered_with)


def _see_on(worker: SlotWorker, due: list[Message]) -> None:
    """Send what is due, and more chunks where none waits for this slot."""
    if due or not worker.has_next():
        worker.dispatch(*due)


@dataclass(frozen=True)
class _Made:
    """A rendered chunk: its files, their way to storage, what was measured of its frames, and what the renderer says of
    itself.
    """

    files: SegmentFiles
    parts: Parts
    measures: Measures
    facts: dict[str, str]


def _draw(worker: SlotWorker, request: JobRequest, plan: Plan, chunk: ChunkSpec, attempt: Attempt) -> _Made:
    studio = _studio(worker, request, plan, attempt.folder)
    meter, parts = studio.meter(chunk), Parts(worker, attempt.lease, chunk.index)
    with SegmentWriter(attempt.folder, chunk, Encoding.of(request.output.quality), parts.send) as writer:
        studio.draw(chunk, meter, attempt.heartbeat.beat, writer.write)
        return _Made(writer.finish(), parts, meter.finish(), studio.facts())


def _studio(worker: SlotWorker, request: JobRequest, plan: Plan, folder: Path) -> Studio:
    """The one of the last chunk when that was of the same job, else one that is set up now."""
    if worker.studio is not None and worker.studio.job == request.id:
        return worker.studio
    worker.studio = None  # before the next is prepared: two jobs' features need not fit side by side
    portrait = folder / "portrait"
    worker.storage.get_file(keys.asset(request.portrait), portrait)
    speech = worker.speech_of(request.id)
    inputs = Inputs(portrait, speech, request.spec, plan.frames25, plan.gen_frames)
    worker.studio = Studio.set_up(request, worker.renderers[request.spec.renderer], inputs, worker.faces)
    return worker.studio


def _publish(
    worker: SlotWorker,
    request: JobRequest,
    chunk: ChunkSpec,
    attempt: Attempt,
    made: _Made,
    recipe: str | None,
) -> None:
    job, number, files = request.id, attempt.lease.attempt, made.files
    segment = {
        "version": 2,
        "job": job,
        "attempt": number,
        "slot": worker.name,
        "recipe": recipe,
        "taken_from": None,
        "renderer": request.spec.renderer,
        "renderer_version": worker.renderers[request.spec.renderer].version,
        "renderer_facts": made.facts,
        "seed": request.spec.seed,
        "noise": list(chunk.span),
        **chunk.to_dict(),
        "width": files.width,
        "height": files.height,
        "measures": made.measures.to_dict(),
        "frame_hashes": files.hashes,
        "digest": digest_of(files.hashes),
        "files": made.parts.sent(),  # last: the tail goes up while the rest is put together
    }
    # last of all: a segment without it does not exist
    worker.storage.put_json(keys.segment(job, chunk.index, number, "segment.json"), segment)
    if recipe is not None:
        worker.do_aside(_offer, worker.storage, recipe, Source(job, chunk.index, number))


def _offer(storage: Storage, recipe: str, source: Source) -> None:
    """Without it the same content would be rendered again."""
    for trial in patiently():
        with trial:
            offer(storage, recipe, source)
