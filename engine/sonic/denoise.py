"""From noise to latents: Sonic's loop over steps and shifted windows (docs/sonic.md#denoising)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor

from engine.errors import RenderError
from engine.sonic.config import LATENT_SCALE, SIGMA_MAX, SIGMA_MIN
from engine.sonic.context import BRANCHES, Conditioning, Contexts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.sonic.config import SonicConfig
    from engine.sonic.unet import SonicUNet
    from engine.spec import Redraw

LEAN_SLICE = 5
"""Frames that go through a transformer at once in `lean` mode (docs/sonic.md#memory)."""


class NonFiniteError(RenderError):
    """Raised when a number overflowed; `step` and `branch` say where."""

    code = "non_finite"

    def __init__(self, step: int, branch: str, dtype: torch.dtype) -> None:
        self.step, self.branch = step, branch
        super().__init__(f"latents are not finite after step {step}, branch {branch!r}, computed in {dtype}")


@torch.inference_mode()
def denoise(
    unet: SonicUNet,
    scheduler: EulerDiscreteScheduler,
    conditioning: Conditioning,
    *,
    config: SonicConfig,
    span: tuple[int, int],
    noise: Tensor,
    on_step: Callable[[float], None],
    gen_frames: int | None = None,
) -> Tensor:
    """Latents [n, 4, h, w], float32, of the span's n gen_frames, from unit noise of the same shape.

    They stay on the host, a window's alone go to the UNet's device: there a long span takes no more than a short one.
    span lies on the ring of a job of `gen_frames` (see `on_ring`), and is the whole job where none is given. on_step
    gets the share done after every window of every step and may raise to stop. Raises NonFiniteError.
    """
    schedule = _schedule(scheduler, config.steps)
    contexts = Contexts(unet, conditioning, config)
    latents = (conditioning.image_latents * LATENT_SCALE).to("cpu", torch.float32)
    latents = latents + noise.to(latents) * SIGMA_MAX
    for step, timestep in enumerate(schedule.timesteps):
        velocity, hits = torch.zeros_like(latents), [0] * len(latents)
        starts = windows(step, span, config, gen_frames)
        for done, frames in enumerate(starts, start=1):
            scaled = schedule.scale_model_input(latents[frames], timestep).to(unet.device)
            predicted = predict(unet, scaled, timestep, contexts, frames=frames, memory=config.memory)
            check_finite(predicted, step, unet.dtype)
            # one after another, for a window of a short job holds a frame twice
            for frame, guided in zip(frames, guide(predicted, config).cpu(), strict=True):
                velocity[frame] += guided
                hits[frame] += 1
            on_step((step + done / len(starts)) / config.steps)
        velocity /= latents.new_tensor(hits)[:, None, None, None]
        latents = schedule.step(velocity, timestep, latents).prev_sample
    return latents


def predict(
    unet: SonicUNet, latents: Tensor, timestep: Tensor, contexts: Contexts, *, frames: Sequence[int], memory: str
) -> Tensor:
    """The UNet's answer for one window's scaled latents, in all branches: [3, frames, 4, h, w] in float32."""
    lean = memory == "lean"
    batches = [(branch,) for branch in BRANCHES] if lean else [BRANCHES]
    timestep = timestep.to(latents.device)
    answers = [
        unet(
            contexts.sample(branches, latents),
            timestep,
            contexts.window(branches, frames, LEAN_SLICE if lean else None),
            contexts.time_ids(branches, frames),
        )
        for branches in batches
    ]
    return torch.cat(answers).float()


def guide(predicted: Tensor, config: SonicConfig) -> Tensor:
    """[3, frames, ...] -> [frames, ...]: away from nothing towards the portrait, and on towards the speech."""
    nothing, appearance, everything = predicted
    towards_portrait = config.appearance_guidance * (appearance - nothing)
    guided: Tensor = nothing + towards_portrait + config.audio_guidance * (everything - appearance)
    return guided


def windows(step: int, span: tuple[int, int], config: SonicConfig, gen_frames: int | None = None) -> list[list[int]]:
    """The windows of a step, as frames counted from the span's start (docs/sonic.md#windows).

    They are the job's windows (starts `stride * j - shift * step` modulo its length) that touch the span; what
    sticks out wraps around the span, and two that then begin at the same frame are one.
    """
    first, stop = span
    total = stop if gen_frames is None else gen_frames
    stride = config.window - config.overlap
    starts = [(start - config.shift * step) % total for start in range(0, total, stride)]
    laps = [start + lap for start in starts for lap in (-total, 0, total)]
    touching = [start - first for start in laps if start < stop and start + config.window > first]
    length = stop - first
    kept = dict.fromkeys(start % length for start in touching)
    return [[(start + place) % length for place in range(config.window)] for start in kept]


def on_ring(span: tuple[int, int], gen_frames: int, window: int) -> tuple[int, int]:
    """A chunk's span with a window more behind the job's own end, if it touches one: -3 and N - 3 are one frame.

    The job's last frames share windows with its first ones; without them a job's ends would not come out as in one
    piece (docs/sonic.md#windows). A span that would meet itself is the whole job.
    """
    first, stop = span
    if first == 0:
        first -= window
    if span[1] == gen_frames:
        stop += window
    return (first, stop) if stop - first < gen_frames else (0, gen_frames)


def noise_for(seed: int, frames: Sequence[int], shape: tuple[int, ...], redraw: Redraw | None = None) -> Tensor:
    """Unit noise [frames, *shape], each gen_frame's drawn from (seed, frame) alone, on the CPU whatever the device.

    The gen_frames of `redraw` are drawn from its seed.
    """
    anew = range(redraw.start, redraw.stop) if redraw else ()
    keys = [(redraw.seed if redraw and frame in anew else seed, frame) for frame in frames]
    generators = [np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64))) for key in keys]
    return torch.from_numpy(np.stack([one.standard_normal(shape, dtype=np.float32) for one in generators]))


def check_finite(predicted: Tensor, step: int, dtype: torch.dtype) -> None:
    """Raise NonFiniteError for the first branch of [3, ...] that holds a number that is none."""
    finite = predicted.isfinite().flatten(1).all(dim=1).tolist()
    if not all(finite):
        raise NonFiniteError(step, BRANCHES[finite.index(False)].name, dtype)


def _schedule(scheduler: EulerDiscreteScheduler, steps: int) -> EulerDiscreteScheduler:
    """A scheduler of this render's own, for one counts its steps: nothing of a job may stay on the shared one."""
    own: EulerDiscreteScheduler = EulerDiscreteScheduler.from_config(
        scheduler.config,
        sigma_min=SIGMA_MIN,
        sigma_max=SIGMA_MAX,
        use_karras_sigmas=True,
        prediction_type="v_prediction",
        timestep_type="continuous",
    )
    own.set_timesteps(steps)
    return own
