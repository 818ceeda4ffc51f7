"""A finished result: the video, what stands for it, and how it is published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.media.poster import contact_sheet, poster
from engine.media.provenance import Provenance, made_now, this_program
from engine.media.video import digest_of
from engine.timecode import timecode
from farm.reuse import kept_seconds
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engine.media.lipsync import Sync
    from engine.plan import Plan
    from farm.jobs.request import JobRequest
    from farm.storage.s3 import Storage

MOST_REDRAWN = 20
"""Redrawn parts that a video's own record names."""


@dataclass(frozen=True)
class Result:
    """A joined video with a hash for each of its frames, its pictures as JPEG, and where it comes from."""

    video: Path
    hashes: tuple[str, ...]
    digest: str
    poster: bytes
    sheet: bytes
    provenance: Provenance
    sync: Sync | None

    @classmethod
    def of(
        cls,
        video: Path,
        hashes: tuple[str, ...],
        provenance: Provenance,
        sync: Sync | None,
        *,
        mouth: Sequence[float | None],
    ) -> Result:
        """With the pictures drawn from the finished video. mouth: how far it is open in each frame25."""
        return cls(video, hashes, digest_of(hashes), poster(video, mouth), contact_sheet(video), provenance, sync)


def provenance_of(request: JobRequest, version: int, segments: Sequence[Mapping[str, Any]]) -> Provenance:
    """Who made a version of what; segments: as the report names them."""
    renderers = {segment["renderer_version"] for segment in segments}
    weights = {segment["renderer_facts"].get("weights", "") for segment in segments} - {""}
    return Provenance(
        job=request.id,
        result=version,
        name=request.name,
        made=made_now(),
        program=this_program(),
        renderer=request.spec.renderer,
        renderer_version=", ".join(sorted(renderers)),
        weights=", ".join(sorted(weights)),
        licence=request.licence,
        portrait=request.portrait,
        speech=request.speech,
        subtitles=request.subtitles,
        seed=request.spec.seed,
        redrawn=_in_words([segment["redraw"] for segment in segments if segment["redraw"]]),
        consent=request.consent,
    )


def taken_of(plan: Plan, segments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What of a version was taken from earlier segments: chunks, seconds of video, and the jobs they came from."""
    taken = [(segment["chunk"], segment["taken_from"]["job"]) for segment in segments if segment["taken_from"]]
    return {
        "chunks": len(taken),
        "of": len(segments),
        "seconds": kept_seconds(plan, (chunk for chunk, _ in taken)),
        "jobs": sorted({job for _, job in taken}),
    }


def _in_words(redraws: Sequence[Mapping[str, int]]) -> str:
    """'0:00:06.2 to 0:00:09.1 from seed 77', each once; the report has all of them."""
    words = dict.fromkeys(
        f"{timecode(2 * redraw['start'])} to {timecode(2 * redraw['stop'])} from seed {redraw['seed']}"
        for redraw in redraws
    )
    more = f" and {len(words) - MOST_REDRAWN} more" if len(words) > MOST_REDRAWN else ""
    return ", ".join(list(words)[:MOST_REDRAWN]) + more


def publish(storage: Storage, job: str, version: int, result: Result, report: Mapping[str, Any]) -> None:
    """Put a version into storage; the report last, for it is the commit."""

    def key(file: keys.ResultFile) -> str:
        return keys.result(job, version, file)

    storage.put_file(key("video.mp4"), result.video, content_type="video/mp4")
    storage.put_bytes(key("poster.jpg"), result.poster, content_type="image/jpeg")
    storage.put_bytes(key("sheet.jpg"), result.sheet, content_type="image/jpeg")
    storage.put_json(key("provenance.json"), result.provenance.to_dict())
    storage.put_json(key("report.json"), dict(report))
