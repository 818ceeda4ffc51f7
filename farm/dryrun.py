"""`farm submit --dry-run`: the plan of a job that nobody submits; nothing is queued, nothing stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from engine.media.audio import decode_speech
from engine.media.pcm import PcmSpeech
from engine.plan import gen_frames_of
from engine.renderer import BUILT_IN, known_geometry
from farm.edit import Cutting, cutting_after, cutting_as_before
from farm.errors import BooksUnreachableError
from farm.estimate import ChunkLength, Estimate, chunk_length, estimate, geometry_for, plan_speech, unknown_geometry
from farm.jobs.load import Load, load_of
from farm.jobs.speeds import Speed, Work, speeds_of
from farm.jobs.views import slot_views
from farm.reuse import Ground, kept_seconds, lesson_of, makers_of, rendered_already
from farm.storage.s3 import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.plan import Plan
    from engine.spec import OutputSpec, RenderSpec
    from farm.jobs.store import Books
    from farm.settings import Settings
    from farm.storage.s3 import Storage


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What decides a plan, and when it is rendered. chunk_seconds: None for what suits the farm.

    pixels: of a rendered frame. portrait: SHA-256 of the file. edit_of: the job whose cuts are kept, or nothing.
    """

    spec: RenderSpec
    output: OutputSpec
    pixels: int
    owner: str
    priority: int
    chunk_seconds: float | None
    portrait: str
    edit_of: str = ""


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """A plan, why its chunks are as long as they are, and when it should be finished. noise: of each cut.

    rendered: the chunks that were rendered already and will be taken; None where that is not known, or not wanted.
    """

    plan: Plan
    length: ChunkLength
    expected: Estimate
    noise: tuple[float, ...]
    rendered: tuple[int, ...] | None = None
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
            "wasted_windows": plan.wasted_windows,
            "waste": round(plan.waste, 4),
            "wasted_gen_frames": plan.computed - plan.gen_frames,
            "rendered": self.rendered,
            "rendered_seconds": None if self.rendered is None else kept_seconds(plan, self.rendered),
            "expected_seconds": self.expected.seconds,
            "expected_by": list(self.expected.words),
            "warnings": list(self.warnings),
        }


def dry_run(
    speech: Path,
    wanted: Wanted,
    *,
    books: Books,
    storage: Storage,
    settings: Settings,
    on_progress: Callable[[float], None],
) -> DryRun:
    """Decode and hear a speech here and plan it as a worker would, for the farm as it is now.

    Where the farm does not answer, a slot for each of setting `slots` is taken for it. A renderer that does not come
    with the farm is planned as one without reach and window, for its class is on the workers alone, and the warnings
    say so. Raises SpeechError.
    """
    spec = wanted.spec
    geometry = geometry_for(known_geometry(spec.renderer, settings.reaches), wanted.output)
    look = _look(books, wanted, settings)
    ground = _ground(speech, wanted) if settings.reuse and look.reached else None
    with TemporaryDirectory(prefix="sonic-farm-plan-") as folder:
        pcm = Path(folder) / "speech.pcm"
        info = decode_speech(
            speech, pcm=pcm, m4a=Path(folder) / "speech.m4a", on_progress=lambda share: on_progress(share / 2)
        )
        heard_by = PcmSpeech(pcm)
        gen_frames, asked = gen_frames_of(info.frames25), wanted.chunk_seconds
        if wanted.edit_of:
            cutting = cutting_after(
                storage, wanted.edit_of, heard_by, gen_frames, chunk_seconds=asked, geometry=geometry
            )
        else:
            # nobody says how it is cut: as it was when it came before
            lesson = lesson_of(ground, geometry) if ground and asked is None else None
            before = cutting_as_before(storage, lesson, heard_by, gen_frames) if lesson else None
            cutting = before or Cutting(
                chunk_length(asked, info.seconds, load=look.load, settings=settings, geometry=geometry)
            )
        plan, heard = plan_speech(
            pcm,
            info.frames25,
            chunk_seconds=cutting.length.seconds,
            geometry=geometry,
            tolerance=settings.cut_tolerance,
            keep=cutting.keep,
            on_progress=lambda share: on_progress(0.5 + share / 2),
        )
        rendered = rendered_already(storage, ground, plan, heard_by, makers=look.makers) if ground else None
    expected = estimate(
        plan,
        spec,
        pixels=wanted.pixels,
        load=look.load,
        speeds=look.speeds,
        waiting_seconds=settings.chunk_seconds,
        rendered=rendered or (),
    )
    noise = tuple(heard.noise[cut] for cut in plan.cuts)
    return DryRun(
        plan=plan,
        length=cutting.length,
        expected=expected,
        noise=noise,
        rendered=rendered,
        warnings=(*look.warnings, *unknown_geometry(spec.renderer)),
    )


@dataclass(frozen=True)
class _Look:
    """The farm as it is now, if it was reached. makers: what its slots draw with."""

    load: Load
    speeds: dict[Work, Speed]
    makers: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    reached: bool = True


def _look(books: Books, wanted: Wanted, settings: Settings) -> _Look:
    name = wanted.spec.renderer
    try:
        makers = frozenset(makers_of(slot_views(books), name))
        load = load_of(books, name, priority=wanted.priority, pixels=wanted.pixels, owner=wanted.owner)
        return _Look(load, speeds_of(books), makers)
    except BooksUnreachableError as error:
        device = "cpu" if name == "preview" else "a GPU"
        told = f"planned for setting slots ({settings.slots}): {error}"
        return _Look(Load((device,) * settings.slots, 0), {}, warnings=(told,), reached=False)


def _ground(speech: Path, wanted: Wanted) -> Ground | None:
    """What decides the frames; None for a renderer that is not known here."""
    built_in = BUILT_IN.get(wanted.spec.renderer)
    if built_in is None:
        return None
    return Ground(
        spec=wanted.spec,
        output=wanted.output,
        portrait=wanted.portrait,
        speech=sha256_of(speech),
        hears=built_in.hears,
    )
