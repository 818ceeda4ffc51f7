"""stitch_job: from a job's accepted segments to its checked and published result.

Seams first, for they say whether the chunks may be joined at all; then bodies, seams and speech, packet by packet.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.media.contract import check_contract
from engine.media.mux import PacketMuxer
from engine.media.provenance import seal, tags
from engine.media.stitch import Segment, join, make_seams
from engine.media.subtitles import fitted, read_srt
from engine.media.video import Encoding
from farm import reuse
from farm.jobs.model import STITCH
from farm.jobs.speeds import Work
from farm.jobs.views import accepted_attempts
from farm.redo import may_be_redone, refuse
from farm.storage import keys
from workers.attempt import Attempt, attempt_at, claim, patiently
from workers.inspection import Inspection
from workers.pace import note_work
from workers.planfile import PlanFile
from workers.result import Result, provenance_of, publish, taken_of
from workers.segments import Segments
from workers.speech import StoredSpeech

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from engine.media.seam import Seam
    from engine.media.subtitles import Cue
    from farm.jobs.request import JobRequest
    from workers.process import Worker

log = logging.getLogger(__name__)

SEAMS_SHARE, JOINED_SHARE, CHECKED_SHARE = 0.4, 0.8, 0.9
"""Shares of a stitch's progress that lie before joining, before checking and before storing what was made."""


def stitch(worker: Worker, job: str) -> None:
    """Make the seams; join what can be accepted, check it and publish a new version; let the rest be rendered again."""
    lease = claim(worker, job, STITCH)
    if lease is None:
        return
    with attempt_at(worker, lease) as attempt:
        work = _Stitch(worker, worker.request(job), attempt)
        seams = work.make_seams()
        if not work.refuse():
            work.deliver(seams)
    worker.dispatch()


class _Stitch:
    """One attempt at a job's stitch."""

    def __init__(self, worker: Worker, request: JobRequest, attempt: Attempt) -> None:
        self._worker, self._request, self._attempt = worker, request, attempt
        self._began = time.monotonic()
        self._planned = PlanFile.from_dict(worker.storage.get_json(keys.plan_json(request.id)))
        speech = StoredSpeech(worker.storage, keys.speech_pcm(request.id))
        plan, folder = self._planned.plan, attempt.folder
        attempts = accepted_attempts(worker.books, request.id, len(plan.chunks))
        self._segments = Segments(worker.storage, request.id, plan.chunks, attempts, folder)
        self._inspection = Inspection(plan, self._planned.voiced, speech)

    def make_seams(self) -> list[Seam]:
        """Every seam as a small file; everything that is known of chunks and seams goes to the inspection."""
        plan, encoding = self._planned.plan, Encoding.of(self._request.output.quality)
        seams = []
        with closing(self._looked_at()) as segments:
            for seam in make_seams(segments, plan=plan, directory=self._attempt.folder, encoding=encoding):
                self._inspection.look_at_seam(seam.numbers)
                seams.append(seam)
            for _ in segments:  # a job of one chunk has no seams
                pass
        return seams

    def _looked_at(self) -> Generator[Segment]:
        chunks = len(self._planned.plan.chunks)
        for done, accepted in enumerate(self._segments.ends(), start=1):
            self._attempt.heartbeat.beat(SEAMS_SHARE * done / chunks)
            self._inspection.look_at(accepted)
            yield accepted.segment

    def refuse(self) -> bool:
        """Whether chunks are to be rendered again first, or another attempt is the current one."""
        worker, request, plan = self._worker, self._request, self._planned.plan
        if not request.output.check:
            return False
        wanted = self._inspection.wanted(may_be_redone(worker.books, request.id, len(plan.chunks)))
        if wanted is None:
            return False
        for trial in patiently():
            with trial:
                for recipe in self._inspection.recipes_of(wanted.chunks):
                    reuse.refuse(worker.storage, recipe)
                recorded = refuse(
                    worker.books, worker.storage, self._attempt.lease, wanted, plan, seed=request.spec.seed
                )
        if recorded:
            log.info("not joined, to be rendered again: %s", "; ".join(wanted.chunks.values()))
        else:
            log.info("not joined: another attempt is the current one")
        return True

    def deliver(self, seams: Sequence[Seam]) -> None:
        """Join, check, publish, record."""
        worker, request, lease = self._worker, self._request, self._attempt.lease
        version = int(lease.attempt.split("-")[0])  # an attempt's number is never used twice
        result = self._join(seams, version)
        report = self._report(result, seams, version)
        for trial in patiently():
            with trial:
                self._attempt.heartbeat.beat(CHECKED_SHARE)
                publish(worker.storage, request.id, version, result, report)
        review = report["needs_review"]
        recorded = patiently()(
            lambda: worker.books.stitched(
                lease,
                version=version,
                result=keys.result(request.id, version, "video.mp4"),
                digest=result.digest,
                needs_review=review,
            )
        )
        note_work(
            worker,
            Work(STITCH, "cpu"),
            spent=time.monotonic() - self._began,
            video_seconds=self._planned.speech.seconds,
        )
        if recorded:
            log.info("job %s done, version %d%s", request.id, version, ", to be looked at" if review else "")
        else:
            log.info("job %s, version %d: another attempt is the current one", request.id, version)

    def _join(self, seams: Sequence[Seam], version: int) -> Result:
        folder, plan, inspection = self._attempt.folder, self._planned.plan, self._inspection
        speech, video = folder / "speech.m4a", folder / "video.mp4"
        self._worker.storage.get_file(keys.speech_m4a(self._request.id), speech)
        sync = inspection.sync() if self._request.output.calibrate else None
        offset = sync.offset_s if sync else 0.0
        cues = self._cues(folder)
        provenance = provenance_of(self._request, version, inspection.accepted)
        with PacketMuxer(video, speech, tags(provenance), offset=offset, cues=cues) as muxer:
            hashes = join(self._segments.bodies(), seams, plan=plan, muxer=muxer, on_progress=self._joined)
        provenance = seal(video, provenance)
        check_contract(
            video,
            frames25=plan.frames25,
            size=inspection.size,
            speech=self._planned.speech,
            seams=plan.seams,
            offset=offset,
            cues=cues,
        )
        return Result.of(video, hashes, provenance, sync, mouth=inspection.mouth)

    def _joined(self, share: float) -> None:
        self._attempt.heartbeat.beat(SEAMS_SHARE + (JOINED_SHARE - SEAMS_SHARE) * share)

    def _cues(self, folder: Path) -> tuple[Cue, ...]:
        if not self._request.subtitles:
            return ()
        path = folder / "subtitles.srt"
        self._worker.storage.get_file(keys.asset(self._request.subtitles), path)
        return fitted(read_srt(path), self._planned.plan.frames25)

    def _report(self, result: Result, seams: Sequence[Seam], version: int) -> dict[str, Any]:
        request, inspection = self._request, self._inspection
        width, height = inspection.size
        return {
            "version": 1,
            "job": request.id,
            "result": version,
            "renderer": request.spec.renderer,
            "spec": request.spec.to_dict(),
            "output": request.output.to_dict(),
            "licence": request.licence,
            "consent": request.consent,
            "portrait": request.portrait,
            "speech": request.speech,
            "subtitles": request.subtitles,
            "frames25": self._planned.plan.frames25,
            "width": width,
            "height": height,
            "segments": inspection.accepted,
            "taken": taken_of(self._planned.plan, inspection.accepted),
            "seams": [
                {**seam.numbers.to_dict(), "accepted": cut not in inspection.refused_seams}
                for cut, seam in enumerate(seams)
            ],
            "sync": asdict(result.sync) if result.sync else None,
            "needs_review": inspection.findings() if request.output.check else [],
            "frame_hashes": result.hashes,
            "digest": result.digest,
        }
