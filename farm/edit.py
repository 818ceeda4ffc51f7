"""`farm submit --edit-of JOB`: an edited lesson keeps the earlier plan's cuts where its speech is the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.errors import PlanError
from engine.plan import GEN_RATE, Plan
from engine.spec import SAMPLES_PER_FRAME
from farm.errors import CorruptObjectError, NotFoundError
from farm.estimate import ChunkLength
from farm.reuse import planned_before
from farm.storage import keys

if TYPE_CHECKING:
    from engine.plan import Geometry
    from engine.renderer import SpeechReader
    from farm.storage.s3 import Storage

SAMPLE_BYTES = 2


@dataclass(frozen=True)
class Cutting:
    """How a job is to be cut. keep: the gen_frames [a, b) that stay a chunk each; length: that of all other chunks."""

    length: ChunkLength
    keep: tuple[tuple[int, int], ...] = ()


def edit_problems(storage: Storage, job: str) -> list[str]:
    """What is wrong with a job that is to be edited, if one is named."""
    try:
        if not job or storage.exists(keys.plan_json(job)):
            return []
    except NotFoundError as error:
        return [f"edit_of: {error}"]
    return [f"edit_of is {job}, which is no job that was planned"]


def cutting_after(
    storage: Storage,
    job: str,
    speech: SpeechReader,
    gen_frames: int,
    *,
    chunk_seconds: float | None,
    geometry: Geometry,
) -> Cutting:
    """What another speech, of `gen_frames`, keeps of a job's cuts: those around which both say the same, bit for bit.

    chunk_seconds: as asked for at submit, None for the earlier job's, as far as `geometry` allows so short ones. Raises
    PlanError where the job's plan or speech is gone.
    """
    try:
        found = _cutting(storage, job, speech, gen_frames)
    except NotFoundError as error:
        raise PlanError(f"edit_of is {job}, whose cuts cannot be kept: {error}") from error
    if chunk_seconds is None:
        chunk_seconds = max(found.length.seconds, geometry.shortest_kept / GEN_RATE)
    return replace(found, length=replace(found.length, seconds=chunk_seconds))


def cutting_as_before(storage: Storage, lesson: str, speech: SpeechReader, gen_frames: int) -> Cutting | None:
    """The cuts that a lesson had when it came before; None where it did not, or they are gone: nobody asked for them.

    lesson: its digest, see farm.reuse.
    """
    before = planned_before(storage, lesson)
    try:
        return _cutting(storage, before, speech, gen_frames) if before else None
    except (NotFoundError, CorruptObjectError):  # the job was removed since it was found
        return None


def _cutting(storage: Storage, job: str, speech: SpeechReader, gen_frames: int) -> Cutting:
    told = storage.get_json(keys.plan_json(job))
    plan = Plan.from_dict(told)
    same = {cut for cut in plan.cuts if _same_around(storage, job, speech, plan, cut)}
    edges = same | {0} | ({plan.gen_frames} & {gen_frames})
    keep = tuple(chunk.kept for chunk in plan.chunks if edges >= set(chunk.kept))
    because = f"{len(same)} of {len(plan.cuts)} cuts are those of job {job}"
    return Cutting(ChunkLength(told["chunk_seconds"], because), keep)


def _same_around(storage: Storage, job: str, speech: SpeechReader, plan: Plan, cut: int) -> bool:
    """Whether the two speeches are the same at the frames that the cut's neighbours share."""
    fade = plan.geometry.fade
    start, stop = (frame * SAMPLES_PER_FRAME for frame in (2 * cut - fade, 2 * cut + fade))
    before = storage.read_range(keys.speech_pcm(job), start * SAMPLE_BYTES, stop * SAMPLE_BYTES)
    return before == speech.read(start, min(stop, speech.samples)).astype("<i2").tobytes()
