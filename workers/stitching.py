"""stitch_job: from a job's accepted segments to its checked and published result."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any

from engine.media.contract import check_contract
from engine.media.stitch import Segment
from engine.media.stitch import stitch as stitch_segments
from engine.media.video import Encoding, SegmentFiles, digest_of
from farm.jobs.model import STITCH
from farm.jobs.views import accepted_attempts
from farm.storage import keys
from workers.attempt import Attempt, attempt_at, claim, patiently
from workers.planfile import PlanFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.spec import ChunkSpec
    from farm.jobs.request import JobRequest
    from workers.process import Worker

log = logging.getLogger(__name__)


def stitch(worker: Worker, job: str) -> None:
    """Join the segments that the books accepted, check the delivery contract, publish a new version."""
    lease = claim(worker.books, job, STITCH, slot=worker.name, lease_seconds=worker.settings.lease_seconds)
    if lease is None:
        return
    with attempt_at(lease, worker.books, worker.storage, lease_seconds=worker.settings.lease_seconds) as attempt:
        version = int(lease.attempt.split("-")[0])  # an attempt's number is never used twice
        digest = _make(worker, worker.request(job), attempt, version)
        for trial in patiently():
            with trial:
                recorded = worker.books.stitched(
                    lease, version=version, result=keys.result(job, version, "video.mp4"), digest=digest
                )
        log.info(
            "job %s done, version %d" if recorded else "job %s, version %d: another attempt is the current one",
            job,
            version,
        )


def _make(worker: Worker, request: JobRequest, attempt: Attempt, version: int) -> str:
    job, folder, storage = request.id, attempt.folder, worker.storage
    planned = PlanFile.from_dict(storage.get_json(keys.plan_json(job)))
    speech, video = folder / "speech.m4a", folder / "video.mp4"
    storage.get_file(keys.speech_m4a(job), speech)
    segments = Segments(worker, request, folder)
    hashes = stitch_segments(
        segments.each(planned.plan.chunks),
        plan=planned.plan,
        speech=speech,
        out=video,
        encoding=Encoding(),
        metadata={"title": request.name},
        on_progress=attempt.heartbeat.beat,
    )
    fade = planned.plan.geometry.fade
    seams = [(2 * cut - fade, 2 * cut + fade) for cut in planned.plan.cuts]
    check_contract(video, frames25=planned.plan.frames25, size=segments.size, speech=planned.speech, seams=seams)
    report = {
        "version": 1,
        "job": job,
        "result": version,
        "renderer": request.spec.renderer,
        "spec": request.spec.to_dict(),
        "licence": request.licence,
        "portrait": request.portrait,
        "speech": request.speech,
        "frames25": planned.plan.frames25,
        "width": segments.size[0],
        "height": segments.size[1],
        "segments": segments.accepted,
        "frame_hashes": hashes,
        "digest": digest_of(hashes),
    }
    for trial in patiently():
        with trial:
            attempt.heartbeat.beat(1.0)
            storage.put_file(keys.result(job, version, "video.mp4"), video, content_type="video/mp4")
            storage.put_json(keys.result(job, version, "report.json"), report)
    return digest_of(hashes)


class Segments:
    """A job's accepted segments, on disk two at a time."""

    def __init__(self, worker: Worker, request: JobRequest, folder: Path) -> None:
        self._worker = worker
        self._request = request
        self._folder = folder
        self.accepted: list[dict[str, Any]] = []
        self.size = (0, 0)

    def each(self, chunks: tuple[ChunkSpec, ...]) -> Iterator[Segment]:
        """Segments in chunk order; each one's files are gone when the one after the next is asked for."""
        attempts = accepted_attempts(self._worker.books, self._request.id, len(chunks))
        on_disk: list[Path] = []
        for chunk, attempt in zip(chunks, attempts, strict=True):
            if len(on_disk) == 2:
                shutil.rmtree(on_disk.pop(0))
            folder = self._folder / f"segment-{chunk.index}"
            folder.mkdir()
            on_disk.append(folder)
            yield Segment(chunk, self._fetch(chunk, attempt, folder))

    def _fetch(self, chunk: ChunkSpec, attempt: str, folder: Path) -> SegmentFiles:
        storage, job = self._worker.storage, self._request.id
        facts = storage.get_json(keys.segment(job, chunk.index, attempt, "segment.json"))
        paths: dict[keys.SegmentFile, Path] = {"body.mp4": folder / "body.mp4"}
        if chunk.head:
            paths["head.mkv"] = folder / "head.mkv"
        if chunk.tail:
            paths["tail.mkv"] = folder / "tail.mkv"
        for name, path in paths.items():
            storage.get_file(keys.segment(job, chunk.index, attempt, name), path)
        shown = ("attempt", "slot", "digest", "renderer_version", "renderer_facts", "redraw")
        self.accepted.append({"chunk": chunk.index} | {name: facts[name] for name in shown})
        self.size = (facts["width"], facts["height"])
        return SegmentFiles(
            paths["body.mp4"],
            paths.get("head.mkv"),
            paths.get("tail.mkv"),
            width=facts["width"],
            height=facts["height"],
            hashes=tuple(facts["frame_hashes"]),
        )
