"""Chunks that were rendered before: what decides a segment, in one digest, and who has one like it.

The digest of all that decides a chunk's frames is its recipe. `rendered/<recipe>.json` names the last segment that was
made or taken by it, written after that segment's own commit; a marker beside it says that acceptance refused it.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from engine.media.smoothing import grown
from engine.plan import GEN_RATE
from engine.spec import SPEECH_RATE
from farm.errors import CorruptObjectError, NotFoundError
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from engine.hearing import Hears
    from engine.plan import Geometry, Plan
    from engine.renderer import Renderer, SpeechReader
    from engine.spec import ChunkSpec, OutputSpec, RenderSpec
    from farm.jobs.model import SlotView
    from farm.jobs.request import JobRequest
    from farm.storage.s3 import Storage

RECIPE_VERSION = 3
"""Changes whenever what is done to frames behind a renderer would give other pixels, measures or files."""
FORM = ("size", "fit", "paste_back", "quality", "smoothing", "mark")
"""The fields of OutputSpec that change a segment; the others act on the joined video."""
BLOCK = 30 * SPEECH_RATE
"""Samples that are hashed at once."""


@dataclass(frozen=True)
class Source:
    """A segment in storage. chunk: its index in that job."""

    job: str
    chunk: int
    attempt: str


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all chunks of a job share. portrait, speech: SHA-256 of the files that were submitted."""

    spec: RenderSpec
    output: OutputSpec
    portrait: str
    speech: str
    hears: Hears


def ground_of(request: JobRequest, hears: Hears) -> Ground:
    """What decides the frames of a job's chunks, of all that it was asked for."""
    return Ground(
        spec=request.spec, output=request.output, portrait=request.portrait, speech=request.speech, hears=hears
    )


def maker_of(name: str, renderer: Renderer) -> str:
    """A loaded renderer in a word: two slots that give the same one draw the same frames."""
    kind = type(renderer)
    return keys.digest_of([name, f"{kind.__module__}:{kind.__qualname__}", renderer.version, renderer.identity()])


def makers_of(slots: Iterable[SlotView], renderer: str) -> set[str]:
    """What the slots that live now draw with."""
    return {slot.makers[renderer] for slot in slots if slot.state != "lost" and renderer in slot.makers}


def recipe_of(ground: Ground, plan: Plan, chunk: ChunkSpec, *, maker: str, speech: SpeechReader) -> str:
    """The digest of all that decides a chunk's frames. chunk: one of the plan's, with its redraw."""
    place = chunk.to_dict()
    del place["index"]  # how many chunks lie before it decides nothing
    drawn = grown(chunk, plan.frames25) if ground.output.smoothing else chunk
    touched = ground.hears(drawn, plan.gen_frames, ground.spec)
    return keys.digest_of(
        {
            **_shared(ground),
            "maker": maker,
            "chunk": place,
            "drawn": drawn.out,
            "heard": [[*part, _sound(speech, *part)] for part in touched.samples] if touched else ground.speech,
            "frames25": plan.frames25 if touched is None or touched.length else None,
        }
    )


def lesson_of(ground: Ground, geometry: Geometry) -> str:
    """The digest of all that decides a job's frames but how it is cut: a lesson that comes again is cut as it was."""
    return keys.digest_of({**_shared(ground), "speech": ground.speech, "geometry": asdict(geometry)})


def planned_before(storage: Storage, lesson: str) -> str | None:
    """The job whose plan a lesson keeps to; None where there is none any more."""
    try:
        job = str(storage.get_json(keys.planned(lesson))["job"])
        return job if storage.exists(keys.plan_json(job)) and storage.exists(keys.speech_pcm(job)) else None
    except (NotFoundError, CorruptObjectError):
        return None


def note_planned(storage: Storage, lesson: str, job: str) -> None:
    """Say whose plan a lesson has, once its plan.json is written."""
    storage.put_json(keys.planned(lesson), {"version": 1, "job": job})


def offered(storage: Storage, recipe: str) -> Source | None:
    """A segment made by this recipe; None where there is none, or acceptance refused it."""
    try:
        found = storage.get_json(keys.rendered(recipe))
    except (NotFoundError, CorruptObjectError):
        return None
    source = _source(found)
    return None if source is None or storage.exists(keys.refused(recipe)) else source


def offer(storage: Storage, recipe: str, source: Source) -> None:
    """Say who has a segment, once its segment.json is written."""
    storage.put_json(keys.rendered(recipe), {"version": 1, **asdict(source)})


def refuse(storage: Storage, recipe: str) -> None:
    """Let nobody take what acceptance refused; drawn anew, a chunk has another recipe."""
    storage.put_json(keys.refused(recipe), {"version": 1})


def rendered_already(
    storage: Storage, ground: Ground, plan: Plan, speech: SpeechReader, *, makers: Collection[str]
) -> tuple[int, ...] | None:
    """The chunks of a plan that need not be rendered, whichever of `makers` they come to; None where none is known."""
    if not makers:
        return None

    def there(recipe: str) -> bool:
        return storage.exists(keys.rendered(recipe)) and not storage.exists(keys.refused(recipe))

    return tuple(
        chunk.index
        for chunk in plan.chunks
        if all(there(recipe_of(ground, plan, chunk, maker=maker, speech=speech)) for maker in makers)
    )


def kept_seconds(plan: Plan, chunks: Iterable[int]) -> float:
    """Seconds of video that these chunks of a plan keep."""
    kept = (plan.chunks[chunk].kept for chunk in chunks)
    return round(sum(stop - start for start, stop in kept) / GEN_RATE, 2)


def in_words(plan: Plan, chunks: Collection[int]) -> str:
    """'14 of 21 chunks are rendered already (420 s of video)'."""
    chunks_are = "chunks are" if len(plan.chunks) > 1 else "chunk is"
    if not chunks:
        return f"none of {len(plan.chunks)} {chunks_are} rendered already"
    seconds = kept_seconds(plan, chunks)
    return f"{len(chunks)} of {len(plan.chunks)} {chunks_are} rendered already ({seconds:g} s of video)"


def _shared(ground: Ground) -> dict[str, object]:
    output = ground.output.to_dict()
    return {
        "version": RECIPE_VERSION,
        "spec": ground.spec.to_dict(),
        "form": {name: output[name] for name in FORM},
        "portrait": ground.portrait,
    }


def _source(found: object) -> Source | None:
    """What an index entry says; None for what the farm does not write there."""
    try:
        return Source(found["job"], found["chunk"], found["attempt"])  # type: ignore[index]
    except (KeyError, TypeError):
        return None


def _sound(speech: SpeechReader, start: int, stop: int) -> str:
    digest = hashlib.sha256()
    for at in range(start, stop, BLOCK):
        digest.update(speech.read(at, min(at + BLOCK, stop)).astype("<i2").tobytes())
    return digest.hexdigest()
