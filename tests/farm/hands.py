"""Does by hand what submitters and workers do, in storage and in the books."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from engine.plan import Geometry, plan_chunks
from engine.spec import OutputSpec, RenderSpec
from farm.jobs import views
from farm.jobs.model import PLAN, STITCH
from farm.jobs.request import JobRequest
from farm.jobs.store import Lease, Recorded
from farm.storage import keys

if TYPE_CHECKING:
    from engine.spec import Redraw
    from farm import Farm, Job
    from farm.recover import Recovered

REQUEST = JobRequest(
    id="",
    name="Algebra 03",
    owner="ada",
    priority=5,
    spec=RenderSpec(),
    output=OutputSpec(smoothing=0.0),
    portrait="a" * 64,
    portrait_name="ada.jpg",
    speech="b" * 64,
    speech_name="algebra.wav",
    chunk_seconds=4,
    max_attempts=3,
    token="",
    pixels=512 * 512,
    licence="",
    submitted=1_767_225_600.25,
    warnings=("the speech is quiet",),
)


class Hand:
    """Does by hand what submitters and workers do, in storage and in the books."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.books, self.storage = farm.books, farm.storage
        self.count = 0

    def job(self, **changes: object) -> Job:
        self.count += 1
        id_ = f"20260101-000000-{self.count:06d}"
        wanted = {"id": id_, "token": f"token {id_}", "submitted": REQUEST.submitted + self.count} | changes
        request = replace(REQUEST, **wanted)  # type: ignore[arg-type]
        self.storage.put_json(keys.job_json(id_), request.to_dict())
        assert self.books.enter(id_, request.token, request.book_fields()).created
        return self.farm.job(id_)

    def planned(self, chunks: int = 3, **changes: object) -> Job:
        job = self.job(**changes)
        plan = plan_chunks(100 * chunks, chunk_seconds=4, geometry=Geometry())
        assert len(plan.chunks) == chunks
        lease = self.claim(job, PLAN)
        self.storage.put_json(keys.plan_json(job.id), {"version": 1, **plan.to_dict(), "speech": {}})
        assert self.books.planned(lease, frames25=plan.frames25, chunks=chunks)
        return job

    def claim(self, job: Job, unit: object) -> Lease:
        lease = self.books.claim(job.id, str(unit), slot="slot0", suffix=f"s{self.count}", lease_seconds=60)
        assert isinstance(lease, Lease), lease
        return lease

    def publish(self, job: Job, chunk: int) -> Lease:
        lease = self.claim(job, chunk)
        self.storage.put_bytes(keys.segment(job.id, chunk, lease.attempt, "body.mp4"), b"frames")
        self.storage.put_json(
            keys.segment(job.id, chunk, lease.attempt, "segment.json"), {"redraw": _plain(lease.redraw)}
        )
        return lease

    def render(self, job: Job, *chunks: int) -> Recorded:
        return [self.books.record(self.publish(job, chunk)) for chunk in chunks][-1]

    def report(self, job: Job, lease: Lease) -> int:
        """Publish a version, and say nothing to the books; its number."""
        version, chunks = int(lease.attempt.split("-")[0]), len(job.view().chunks)
        accepted = views.accepted_attempts(self.books, job.id, chunks)
        drawn = views.drawn_anew(self.books, job.id, chunks)
        segments = [
            {"chunk": chunk, "attempt": accepted[chunk], "slot": "slot0", "redraw": _plain(drawn[chunk].redraw)}
            for chunk in range(chunks)
        ]
        report = {"frames25": job.view().frames25, "segments": segments, "digest": f"d1ge57-{version}"}
        self.storage.put_bytes(keys.result(job.id, version, "video.mp4"), f"lesson {version}".encode())
        self.storage.put_json(keys.result(job.id, version, "report.json"), report)
        return version

    def stitch(self, job: Job, *needs_review: dict[str, object]) -> int:
        """Publish a version and record it; its number."""
        lease = self.claim(job, STITCH)
        version = self.report(job, lease)
        key, digest = keys.result(job.id, version, "video.mp4"), f"d1ge57-{version}"
        assert self.books.stitched(lease, version=version, result=key, digest=digest, needs_review=needs_review)
        return version

    def done(self, chunks: int = 3) -> Job:
        """A job with its first version."""
        job = self.planned(chunks)
        self.render(job, *range(chunks))
        self.stitch(job)
        return job

    def empty_and_recover(self) -> Recovered:
        self.books.client.flushall()
        return self.farm.recover()


def _plain(redraw: Redraw | None) -> dict[str, int] | None:
    return asdict(redraw) if redraw else None
