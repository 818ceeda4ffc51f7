"""`farm submit --dry-run`: the plan of a job that nobody submits; nothing is queued, nothing stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from engine.media.audio import decode_speech
from engine.renderer import known_geometry
from farm.errors import BooksUnreachableError
from farm.estimate import ChunkLength, Estimate, chunk_length, estimate, geometry_for, plan_speech
from farm.jobs.load import Load, load_of
from farm.jobs.speeds import Speed, Work, speeds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.plan import Plan
    from engine.spec import OutputSpec, RenderSpec
    from farm.jobs.store import Books
    from farm.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What decides a plan. chunk_seconds: None for what suits the farm. pixels: of a rendered frame."""

    spec: RenderSpec
    output: OutputSpec
    pixels: int
    priority: int
    chunk_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """A plan, why its chunks are as long as they are, and when it should be finished. noise: of each cut."""

    plan: Plan
    length: ChunkLength
    expected: Estimate
    noise: tuple[float, ...]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What `farm submit --dry-run --json` prints."""
        plan = self.plan
        return {
            **plan.to_dict(),
            "chunk_seconds": self.length.seconds,
            "because": self.length.because,
            "cuts": [{"gen_frame": cut, "noise": noise} for cut, noise in zip(plan.cuts, self.noise, strict=True)],
            "windows": sum(map(plan.windows, plan.chunks)),
            "waste": round(plan.waste, 4),
            "wasted_gen_frames": plan.computed - plan.gen_frames,
            "expected_seconds": self.expected.seconds,
            "expected_by": list(self.expected.words),
            "warnings": list(self.warnings),
        }


def dry_run(
    speech: Path, wanted: Wanted, *, books: Books, settings: Settings, on_progress: Callable[[float], None]
) -> DryRun:
    """Decode and hear a speech here and plan it as a worker would, for the farm as it is now.

    Where the farm does not answer, a slot for each of setting `slots` is taken for it. A renderer that does not come
    with the farm is planned as one without reach, for its class is on the workers alone. Raises SpeechError.
    """
    spec = wanted.spec
    geometry = geometry_for(known_geometry(spec.renderer), wanted.output)
    load, speeds, warnings = _look(books, wanted, settings)
    with TemporaryDirectory(prefix="sonic-farm-plan-") as folder:
        pcm = Path(folder) / "speech.pcm"
        info = decode_speech(
            speech, pcm=pcm, m4a=Path(folder) / "speech.m4a", on_progress=lambda share: on_progress(share / 2)
        )
        length = chunk_length(wanted.chunk_seconds, info.seconds, load=load, settings=settings, geometry=geometry)
        plan, heard = plan_speech(
            pcm,
            info.frames25,
            chunk_seconds=length.seconds,
            geometry=geometry,
            tolerance=settings.cut_tolerance,
            on_progress=lambda share: on_progress(0.5 + share / 2),
        )
    expected = estimate(
        plan, spec, pixels=wanted.pixels, load=load, speeds=speeds, waiting_seconds=settings.chunk_seconds
    )
    noise = tuple(heard.noise[cut] for cut in plan.cuts)
    return DryRun(plan=plan, length=length, expected=expected, noise=noise, warnings=warnings)


def _look(books: Books, wanted: Wanted, settings: Settings) -> tuple[Load, dict[Work, Speed], tuple[str, ...]]:
    try:
        return load_of(books, wanted.spec.renderer, priority=wanted.priority), speeds_of(books), ()
    except BooksUnreachableError as error:
        device = "cpu" if wanted.spec.renderer == "preview" else "a GPU"
        return Load((device,) * settings.slots, 0), {}, (f"planned for setting slots ({settings.slots}): {error}",)
