"""render_chunk: from a claimed chunk to its published segment."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from engine.media.video import Encoding, SegmentFiles, SegmentWriter, digest_of
from engine.renderer import Inputs
from farm.jobs.model import STITCH
from farm.jobs.store import Recorded, cpu_message
from farm.logs import InHand, take_in_hand
from farm.messages import Message
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
    from farm.storage.s3 import Storage
    from workers.process import SlotWorker

log = logging.getLogger(__name__)


def render(worker: SlotWorker, job: str, index: int) -> None:
    """Render a chunk, publish its segment under this attempt's own key, and record it: the last two in a thread.

    So the slot's next message comes meanwhile. Whoever takes it waits for that thread first, so that a slot has one
    attempt at a time: see SlotWorker.wait_for_end.
    """
    lease = claim(worker.books, job, str(index), slot=worker.name, lease_seconds=worker.settings.lease_seconds)
    if lease is None:
        worker.dispatch()
        return
    rest, rendered_with = None, ""
    with ExitStack() as opened:
        attempt = opened.enter_context(
            attempt_at(lease, worker.books, worker.storage, lease_seconds=worker.settings.lease_seconds)
        )
        request, plan = worker.asked_of(job)
        chunk = replace(plan.chunks[index], redraw=lease.redraw)
        log.info("chunk %d of %s: frames %d to %d", index + 1, request.name, chunk.out[0], chunk.out[1] - 1)
        recipe = recipe_for(worker, request, plan, chunk)
        source = Taking(worker.storage, chunk, attempt, recipe).take() if recipe else None
        worker.do_aside(worker.dispatch)  # so that what this slot renders next is there when this chunk ends
        made = None
        if source is None:
            with pacing_chunk(worker, request, plan, chunk):
                made = _draw(worker, request, plan, chunk, attempt)
            rendered_with = request.spec.renderer
        rest = _Rest(worker, request, chunk, attempt, made, source, recipe)
        rest.still_open = opened.pop_all()
    if rest is not None:
        worker.end_aside(rest.end)
    if rendered_with:
        keep_expected(worker, rendered_with)


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


@dataclass
class _Rest:
    """What is left of an attempt whose frames are drawn, or whose segment was taken. still_open: the attempt."""

    worker: SlotWorker
    request: JobRequest
    chunk: ChunkSpec
    attempt: Attempt
    made: _Made | None
    source: Source | None
    recipe: str | None
    still_open: ExitStack = field(default_factory=ExitStack)

    def end(self) -> None:
        """Publish and record, and see that work goes on."""
        worker, lease, due = self.worker, self.attempt.lease, list[Message]()
        try:
            with self.still_open:
                if self.made is not None:
                    for trial in patiently():
                        with trial:
                            self.attempt.heartbeat.beat(1.0)
                            self._publish(self.made)
                for trial in patiently():
                    with trial:
                        recorded = worker.books.record(lease, taken=self.source.job if self.source else "")
                log.info("chunk %d: %s", self.chunk.index + 1, recorded)
                if recorded is Recorded.LAST:
                    due = [cpu_message(lease.job, STITCH, self.request.name, priority=self.request.priority)]
            worker.do_aside(_see_on, worker, due)
        finally:
            take_in_hand(InHand())

    def _publish(self, made: _Made) -> None:
        job, number, chunk, request = self.request.id, self.attempt.lease.attempt, self.chunk, self.request
        segment = {
            "version": 2,
            "job": job,
            "attempt": number,
            "slot": self.worker.name,
            "recipe": self.recipe,
            "taken_from": None,
            "renderer": request.spec.renderer,
            "renderer_version": self.worker.renderers[request.spec.renderer].version,
            "renderer_facts": made.facts,
            "seed": request.spec.seed,
            "noise": list(chunk.span),
            **chunk.to_dict(),
            "width": made.files.width,
            "height": made.files.height,
            "measures": made.measures.to_dict(),
            "frame_hashes": made.files.hashes,
            "digest": digest_of(made.files.hashes),
            "files": made.parts.sent(),  # last: the tail goes up while the rest is put together
        }
        # last of all: a segment without it does not exist
        self.worker.storage.put_json(keys.segment(job, chunk.index, number, "segment.json"), segment)
        if self.recipe is not None:
            self.worker.do_aside(_offer, self.worker.storage, self.recipe, Source(job, chunk.index, number))


def _see_on(worker: SlotWorker, due: list[Message]) -> None:
    """Send what is due, and more chunks where none waits for this slot."""
    if due or not worker.has_next():
        worker.dispatch(*due)


def _offer(storage: Storage, recipe: str, source: Source) -> None:
    """Without it the same content would be rendered again."""
    for trial in patiently():
        with trial:
            offer(storage, recipe, source)
