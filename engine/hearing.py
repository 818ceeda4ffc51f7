"""What of the speech decides a chunk's frames: a fact of each renderer, in samples of speech.pcm. Pure integers.

Two chunks of the same frames and settings whose touched samples are the same come out the same, whatever else the
speech holds. It stands here, and not with the renderers, so that a farm without torch can say it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.spec import SAMPLES_PER_FRAME

if TYPE_CHECKING:
    from engine.spec import ChunkSpec, RenderSpec


@dataclass(frozen=True)
class Touched:
    """Samples [start, stop) of the speech that decide a chunk's frames; beyond its ends the speech is silent.

    length: whether the length of the job decides them too.
    """

    samples: tuple[tuple[int, int], ...]
    length: bool


Hears = Callable[["ChunkSpec", int, "RenderSpec"], Touched | None]
"""(chunk, gen_frames of the job, what the job was asked for) -> what is touched; None for all of the speech."""

PREVIEW_CONTEXT = 105 * SAMPLES_PER_FRAME + 120
"""Samples on each side of a frame that its pose depends on (engine.preview.mouth)."""

WHISPER_SAMPLES, WHISPER_TOKENS = 480_000, 1_500
"""A window of 30 s on the job's own grid, and whisper's answers to it: one sample changes all of them."""
TOKENS = 4
"""Of whisper's answers, how many lie between two gen_frames."""
LOOK = (24, 50)
"""Answers before a gen_frame's own that are seen first, and how many are seen."""
WINDOW, SHIFT = 25, 7
"""gen_frames that Sonic denoises together, and by how many its windows shift from step to step."""


def preview_hears(chunk: ChunkSpec, gen_frames: int, spec: RenderSpec) -> Touched:  # noqa: ARG001 - a Hears
    """A few seconds on each side; where the job ends matters only to what glides into a redraw and out of it."""
    start, stop = (edge * SAMPLES_PER_FRAME for edge in chunk.out)
    return Touched(((start - PREVIEW_CONTEXT, stop + PREVIEW_CONTEXT),), length=chunk.redraw is not None)


def sonic_hears(chunk: ChunkSpec, gen_frames: int, spec: RenderSpec) -> Touched:
    """Whole windows of whisper. A job is a ring for Sonic: at its ends a chunk hears both of them.

    The windows that a step shifts beyond the job's beginning come back from its end, aligned with it, and the last one
    may reach over the end to the first frames: so far from both, the job's length decides (docs/sonic.md#windows).
    """
    first, stop = chunk.span
    shifted = max(SHIFT * (spec.steps - 1), -(-(LOOK[1] - LOOK[0]) // TOKENS))
    samples = tuple(_windows(piece, gen_frames) for piece in _on_ring(chunk.span, gen_frames))
    return Touched(samples, length=first < WINDOW or stop > gen_frames - shifted)


def _on_ring(span: tuple[int, int], gen_frames: int) -> list[tuple[int, int]]:
    """What a span computes beyond the job's own ends, as ranges of its gen_frames."""
    first = span[0] - (WINDOW if span[0] == 0 else 0)
    stop = span[1] + (WINDOW if span[1] == gen_frames else 0)
    if stop - first >= gen_frames:
        return [(0, gen_frames)]
    pieces = [(max(first, 0), min(stop, gen_frames))]
    if first < 0:
        pieces.append((first + gen_frames, gen_frames))
    if stop > gen_frames:
        pieces.append((0, stop - gen_frames))
    return pieces


def _windows(span: tuple[int, int], gen_frames: int) -> tuple[int, int]:
    """Samples of the windows whose answers a range of gen_frames looks at."""
    start = max(0, TOKENS * span[0] - LOOK[0])
    stop = min(TOKENS * (span[1] - 1) - LOOK[0] + LOOK[1], TOKENS * gen_frames)
    return start // WHISPER_TOKENS * WHISPER_SAMPLES, -(-stop // WHISPER_TOKENS) * WHISPER_SAMPLES
