"""How much of a span's end must be thrown away, measured on a checkpoint, a portrait and a voice.

A job of five windows is denoised in one piece, and as two spans that overlap in its middle. The nearer a frame lies to
the end of its span, the more it differs from the one piece (docs/sonic.md#windows).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from engine.errors import InputError
from engine.media.audio import decode_speech
from engine.media.pcm import PcmSpeech
from engine.renderer import Inputs
from engine.sonic.config import WINDOW
from engine.sonic.renderer import SonicRenderer
from engine.spec import FRAME_RATE, RenderSpec

if TYPE_CHECKING:
    from engine.renderer import OnProgress

TRIED = (0, 12, 25, 38)
"""gen_frames."""
MOST_DIFFERENCE = 0.02
"""Of the mean difference between neighbouring frames: what a frame that is kept may differ by."""
JOB = 5 * WINDOW
"""gen_frames of the one piece: 10 s."""
SPANS = ((0, 4 * WINDOW), (WINDOW, JOB))
"""Of gen_frames; each has one end inside the job, far from the other one's."""
DEVICES = {True: "cuda", False: "cpu"}


@dataclass(frozen=True)
class Reach:
    """What was measured: for each reach tried, how much the first frame that it keeps differs from the one piece."""

    differences: dict[int, float]

    @property
    def proposed(self) -> int | None:
        """The smallest of the tried ones from which on all differences are small; None where none is."""
        fitting = [
            reach
            for reach in self.differences
            if all(value <= MOST_DIFFERENCE for other, value in self.differences.items() if other >= reach)
        ]
        return min(fitting, default=None)

    def to_dict(self) -> dict[str, Any]:
        tried = [{"reach": reach, "difference": value} for reach, value in self.differences.items()]
        return {"tried": tried, "most": MOST_DIFFERENCE, "proposed": self.proposed}


def measure_reach(portrait: Path, speech: Path, spec: RenderSpec, on_progress: OnProgress) -> Reach:
    """Measure with the checkpoint that the renderer loads, on a GPU where there is one.

    Raises InputError for speech that is too short, and what the renderer raises.
    """
    renderer = SonicRenderer()
    renderer.load(DEVICES[torch.cuda.is_available()])
    with TemporaryDirectory(prefix="sonic-reach-") as folder:
        heard = _speech(speech, Path(folder))
        features = renderer.prepare(Inputs(portrait, heard, spec, 2 * JOB - 1, JOB))
        whole = renderer.latents(features, (0, JOB), on_step=lambda share: on_progress(share / 3))
        first = renderer.latents(features, SPANS[0], on_step=lambda share: on_progress((1 + share) / 3))
        second = renderer.latents(features, SPANS[1], on_step=lambda share: on_progress((2 + share) / 3))
    neighbours = (whole[1:] - whole[:-1]).abs().mean()
    ends = (first - whole[slice(*SPANS[0])]).flip(0), second - whole[slice(*SPANS[1])]  # from the inner end on
    by_distance = sum(end.abs().mean((1, 2, 3)) for end in ends) / len(ends) / neighbours
    return Reach({reach: float(by_distance[reach]) for reach in TRIED})


def _speech(path: Path, folder: Path) -> PcmSpeech:
    pcm = folder / "speech.pcm"
    info = decode_speech(path, pcm=pcm, m4a=folder / "speech.m4a", on_progress=lambda _: None)
    wanted = (2 * JOB - 1) / FRAME_RATE
    if info.seconds < wanted:
        raise InputError(f"the speech {path.name} lasts {info.seconds:.1f} s, wanted {wanted:g} s or more")
    return PcmSpeech(pcm)
