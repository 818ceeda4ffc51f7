"""A chunk that was rendered before, for this job or another: its segment is checked and copied, not made anew."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from farm.errors import CorruptObjectError, NotFoundError
from farm.reuse import Source, ground_of, maker_of, offer, offered, recipe_of
from farm.storage import keys
from farm.storage.s3 import sha256_of

if TYPE_CHECKING:
    from engine.plan import Plan
    from engine.spec import ChunkSpec
    from farm.jobs.request import JobRequest
    from farm.storage.s3 import Storage
    from workers.attempt import Attempt
    from workers.process import SlotWorker

log = logging.getLogger(__name__)


def recipe_for(worker: SlotWorker, request: JobRequest, plan: Plan, chunk: ChunkSpec) -> str | None:
    """The recipe of a chunk on this slot; None where nothing is to be taken or offered."""
    if not worker.settings.reuse:
        return None
    name = request.spec.renderer
    renderer = worker.renderers[name]
    ground, speech = ground_of(request, renderer.hears), worker.speech_of(request.id)
    return recipe_of(ground, plan, chunk, maker=maker_of(name, renderer), speech=speech)


@dataclass(frozen=True)
class Taking:
    """A chunk that an attempt may take instead of rendering it."""

    storage: Storage
    chunk: ChunkSpec
    attempt: Attempt
    recipe: str

    def take(self) -> Source | None:
        """Copy a segment of the same recipe into this job, its commit last; None where there is none to be taken."""
        source = offered(self.storage, self.recipe)
        if source is None:
            return None
        try:
            segment = self._copied(source)
        except (NotFoundError, CorruptObjectError) as error:
            log.warning("chunk %d cannot be taken from %s, it is rendered: %s", self.chunk.index + 1, source.job, error)
            return None
        lease = self.attempt.lease
        own = {
            "job": lease.job,
            "attempt": lease.attempt,
            "slot": lease.slot,
            "index": self.chunk.index,
            "taken_from": asdict(source),
        }
        self.storage.put_json(keys.segment(lease.job, self.chunk.index, lease.attempt, "segment.json"), segment | own)
        offer(self.storage, self.recipe, Source(lease.job, self.chunk.index, lease.attempt))
        log.info("chunk %d: taken from %s, attempt %s", self.chunk.index + 1, source.job, source.attempt)
        return source

    def _copied(self, source: Source) -> dict[str, Any]:
        """Copy the files inside storage once each was read and is what its segment.json says."""
        there = keys.segment(source.job, source.chunk, source.attempt, "segment.json")
        segment: dict[str, Any] = self.storage.get_json(there)
        if not isinstance(segment, dict) or segment.get("recipe") != self.recipe:
            raise CorruptObjectError(f"{self.storage.address(there)} is of another recipe than the index says")
        lease, folder = self.attempt.lease, self.attempt.folder / "taken"
        folder.mkdir()
        for name in files_of(self.chunk):
            key = keys.segment(source.job, source.chunk, source.attempt, name)
            self.storage.get_file(key, folder / name, on_progress=self.attempt.heartbeat.beat)
            if sha256_of(folder / name) != segment["files"][name]:
                raise CorruptObjectError(f"{self.storage.address(key)} is not what was rendered")
            ours = keys.segment(lease.job, self.chunk.index, lease.attempt, name)
            self.storage.copy_from(self.storage.address(key), ours, size=(folder / name).stat().st_size)
            (folder / name).unlink()
        return segment


def files_of(chunk: ChunkSpec) -> list[keys.SegmentFile]:
    """The files of a chunk's segment, but for its commit."""
    there: dict[keys.SegmentFile, bool] = {"body.mp4": True, "head.mkv": bool(chunk.head), "tail.mkv": bool(chunk.tail)}
    return [name for name, has in there.items() if has]
