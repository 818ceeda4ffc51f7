"""render_chunk: from a claimed chunk to its published segment."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from engine.media.video import Encoding, SegmentFiles, SegmentWriter, digest_of
from engine.renderer import Inputs
from farm.jobs.model import STITCH
from farm.jobs.store import Recorded, cpu_message
from farm.reuse import Source, offer
from farm.storage import keys
from workers.attempt import Attempt, attempt_at, claim, patiently
from workers.neighbours import make_seams_of
from workers.pace import note_chunk
from workers.parts import Parts
from workers.probe import keep_expected
from workers.reuse import Taking, recipe_for
from workers.studio import Studio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from engine.media.measures import Measures
    from engine.plan import Plan
    from engine.renderer import Frame
    from engine.spec import ChunkSpec
    from farm.jobs.request import JobRequest
    from farm.jobs.store import Lease
    from farm.messages import Message
    from farm.storage.s3 import Storage
    from workers.process import SlotWorker

log = logging.getLogger(__name__)


def render(worker: SlotWorker, job: str, index: int) -> None:
    """Render a chunk, publish its segment under this attempt's own key, and record it.

    Answers when the chunk is drawn: its delivery goes on behind, while the slot comes to its next one.
    """
    lease = claim(worker, job, str(index))
    if lease is None:
        worker.dispatch()
        return
    with attempt_at(worker, lease) as attempt:
        request, plan = worker.asked_of(job)
        chunk = replace(plan.chunks[index], redraw=lease.redraw)
        log.info("chunk %d of %s: frames %d to %d", index + 1, request.name, chunk.out[0], chunk.out[1] - 1)
        recipe = recipe_for(worker, request, plan, chunk)
        source = Taking(worker.storage, chunk, attempt, recipe).take() if recipe else None
        if source is not None:
            _record(worker, request, plan, lease, source)
            return
        worker.do_aside(worker.dispatch)  # so that what this slot renders next is there when this chunk ends
        began = time.monotonic()
        studio = _studio(worker, request, plan, attempt.folder)
        making = _draw(worker, studio, request, chunk, attempt)
        spent = time.monotonic() - began
        delivery = _Delivery(worker, request, plan, chunk, attempt, recipe, studio.facts(), spent)
        delivered = attempt.hand_over(worker.porters, partial(delivery.run, making))
        worker.deliver_behind(delivered)
        if lease.alone:
            worker.leave_nothing_undelivered()
        keep_expected(worker, request.spec.renderer)


def _record(worker: SlotWorker, request: JobRequest, plan: Plan, lease: Lease, source: Source | None) -> None:
    """The books get to know of the segment, and give out what comes next. source: where it was taken from.

    Its seams with neighbours that are done are made behind. The last ones the stitch makes, which is due then.
    """
    recorded = patiently()(lambda: worker.books.record(lease, taken=source.job if source else ""))
    log.info("chunk %d: %s", int(lease.unit) + 1, recorded)
    if recorded is Recorded.DONE and not plan.geometry.agrees:
        worker.make_seams(partial(make_seams_of, worker, request, plan, int(lease.unit)))
    due: list[Message] = []
    if recorded is Recorded.LAST:
        due = [cpu_message(request.id, STITCH, request.name, priority=request.priority)]
    worker.do_aside(_see_on, worker, due)


def _see_on(worker: SlotWorker, due: list[Message]) -> None:
    """Send what is due, and more chunks where none waits for this slot."""
    if due or not worker.has_next():
        worker.dispatch(*due)


@dataclass(frozen=True)
class _Made:
    """A rendered chunk: its files, their way to storage, and what was measured of its frames."""

    files: SegmentFiles
    parts: Parts
    measures: Measures


def _draw(worker: SlotWorker, studio: Studio, request: JobRequest, chunk: ChunkSpec, attempt: Attempt) -> Future[_Made]:
    """Answers when all is drawn; the last frames are encoded behind."""
    meter, parts = studio.meter(chunk), Parts(worker, attempt.lease, chunk.index)
    beside = worker.begin_to_draw()

    def encode(frames: Iterator[Frame]) -> _Made:
        with SegmentWriter(attempt.folder, chunk, Encoding.of(request.output.quality), parts.send) as writer:
            for frame in frames:
                writer.write(frame)
            return _Made(writer.finish(), parts, meter.finish())

    return studio.draw(chunk, meter, attempt.heartbeat.beat, encode, beside)


def _studio(worker: SlotWorker, request: JobRequest, plan: Plan, folder: Path) -> Studio:
    """The one of the last chunk when that was of the same job, else one that is set up now."""
    if worker.studio is not None and worker.studio.job == request.id:
        return worker.studio
    worker.studio = None  # before the next is prepared: two jobs' features need not fit side by side
    portrait = folder / "portrait"
    worker.storage.get_file(keys.asset(request.portrait), portrait)
    speech = worker.speech_of(request.id)
    inputs = Inputs(portrait, speech, request.spec, plan.frames25, plan.gen_frames)
    worker.studio = Studio(request, worker.renderers[request.spec.renderer], inputs, worker.faces)
    return worker.studio


@dataclass(frozen=True)
class _Delivery:
    """What is left of a chunk once it is drawn. facts: what the renderer says of itself. spent: seconds of drawing."""

    worker: SlotWorker
    request: JobRequest
    plan: Plan
    chunk: ChunkSpec
    attempt: Attempt
    recipe: str | None
    facts: dict[str, str]
    spent: float

    def run(self, making: Future[_Made]) -> None:
        """Publish the segment once it is made, and record it."""
        made = making.result()
        for trial in patiently():
            with trial:
                self.attempt.heartbeat.all_is_drawn(tries=trial.retry_state.attempt_number)
                self._publish(made)
        _record(self.worker, self.request, self.plan, self.attempt.lease, None)
        note_chunk(self.worker, self.request, self.plan, self.chunk, spent=self.spent)

    def _publish(self, made: _Made) -> None:
        worker, spec = self.worker, self.request.spec
        job, index, number = self.request.id, self.chunk.index, self.attempt.lease.attempt
        segment = {
            "version": 3,
            "job": job,
            "attempt": number,
            "slot": worker.name,
            "recipe": self.recipe,
            "taken_from": None,
            "renderer": spec.renderer,
            "renderer_version": worker.renderers[spec.renderer].version,
            "renderer_facts": self.facts,
            "seed": spec.seed,
            "noise": list(self.chunk.span),
            **self.chunk.to_dict(),
            "width": made.files.width,
            "height": made.files.height,
            "measures": made.measures.to_dict(),
            "steps": made.files.steps,
            "frame_hashes": made.files.hashes,
            "digest": digest_of(made.files.hashes),
            "files": made.parts.sent(),  # last: the tail goes up while the rest is put together
        }
        # last of all: a segment without it does not exist
        worker.storage.put_json(keys.segment(job, index, number, "segment.json"), segment)
        if self.recipe is not None:
            worker.do_aside(_offer, worker.storage, self.recipe, Source(job, index, number))


def _offer(storage: Storage, recipe: str, source: Source) -> None:
    """Without it the same content would be rendered again."""
    patiently()(lambda: offer(storage, recipe, source))
