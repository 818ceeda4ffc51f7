"""The probe, rendered: by any renderer, the same job every time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.media.pcm import PcmSpeech
from engine.plan import frames25_of, plan_chunks
from engine.probe.look import Look
from engine.renderer import Inputs
from engine.spec import SPEECH_RATE, RenderSpec

if TYPE_CHECKING:
    from engine.renderer import Renderer

FOLDER = Path(__file__).parent
PORTRAIT = FOLDER / "portrait.jpg"
SPEECH = FOLDER / "speech.pcm"
PIXELS = 256
"""Of the frames' shorter side: enough to see a mouth, little to render."""
SEED, STEPS = 1, 4
"""What is sick shows after a few denoising steps; that the picture is still soft does not matter."""


def made_by(renderer: Renderer) -> dict[str, str]:
    """What decides the probe's frames: the loaded renderer, its version and its weights."""
    kind = type(renderer)
    return {"renderer": f"{kind.__module__}:{kind.__qualname__}", "version": renderer.version, **renderer.identity()}


def render_probe(renderer: Renderer, name: str) -> Look:
    """Render the probe with a loaded renderer. Raises what the renderer raises, RenderError for odd frames."""
    speech = PcmSpeech(SPEECH)
    frames25 = frames25_of(speech.samples, SPEECH_RATE)
    plan = plan_chunks(frames25, chunk_seconds=frames25, geometry=renderer.geometry)
    spec = RenderSpec(renderer=name, seed=SEED, steps=STEPS, min_resolution=PIXELS)
    features = renderer.prepare(Inputs(PORTRAIT, speech, spec, plan.frames25, plan.gen_frames))
    return Look.of(renderer.render(plan.chunks[0], features, lambda _share: None))
