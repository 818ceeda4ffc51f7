"""The pipeline cases: speech and portrait to frames, each step fed by what the renderer computed before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.sonic.config import SonicConfig
from engine.sonic.context import Conditioning
from engine.sonic.denoise import denoise
from engine.sonic.pixels import decoded_batches
from engine.sonic.portrait import embed_image, encode_image
from engine.sonic.speech import WINDOW_SAMPLES, audio_tokens, hear, log_mel, motion_buckets, silent_tokens
from tests.golden.cases import LOOP, ONE_PASS, Against, Case, Quantity
from tests.golden.tokens import context_of_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.sonic.weights.load import Models

UNET_TIMESTEP = 0.7
PARAMETERS = {
    "num_inference_steps": ("steps", 25),
    "motion_bucket_scale": ("dynamic_scale", 1.0),
    "guidance_appearance": ("appearance_guidance", 2.0),
    "guidance_audio": ("audio_guidance", 7.5),
    "frames_per_batch": ("window", 25),
    "shift_offset": ("shift", 7),
    "overlap": ("overlap", 0),
    "decode_chunk_size": ("decode_batch", 8),
}
"""The case's word -> the engine's, and the usual value: where a case has that, the engine's own default is used."""


def pipeline(case: Case, models: Models) -> Iterator[Quantity]:
    """Each quantity as soon as it is computed: who looks for a first error need not wait for the frames."""
    against, given = Against(case), {name: torch.from_numpy(value) for name, value in case.tensors.items()}
    embeds = embed_image(models.image_encoder, given["clip_pixels"])
    yield against.reference("image_embeds", embeds, tolerance=ONE_PASS)
    speech = _speech(case, models, embeds)
    shown = {**speech, "uncond_audio_tokens": speech["uncond_audio_tokens"].expand_as(given["uncond_audio_tokens"])}
    for name, value in shown.items():
        yield against.reference(name, value, tolerance=ONE_PASS)
    with torch.inference_mode():
        unet_output = _one_pass(models, given)
    yield against.reference("unet_output", unet_output, tolerance=ONE_PASS)
    conditioning = Conditioning(
        image_embeds=embeds,
        image_latents=encode_image(models.vae, given["ref_image"]),
        face_mask=given["face_mask"],
        audio_tokens=speech["audio_tokens"],
        silence_tokens=speech["uncond_audio_tokens"][0],
        motion_buckets=speech["motion_buckets"],
    )
    latents = _latents(case, models, conditioning, noise=given["noise"][0])
    yield against.reference("latents", latents[None], tolerance=LOOP)
    # [n, 3, H, W] -> [1, 3, n, H, W]
    frames = _frames(case, models, latents).transpose(0, 1)[None]
    yield against.reference("frames", frames, tolerance=LOOP)


def config_of(case: Case) -> SonicConfig:
    """The case's parameters; what they are computed in and where, the models say."""
    changed = {ours: case.facts[theirs] for theirs, (ours, usual) in PARAMETERS.items() if case.facts[theirs] != usual}
    return SonicConfig(**changed)


def _span(case: Case) -> tuple[int, int]:
    return 0, case.facts["num_frames"]


def _speech(case: Case, models: Models, embeds: torch.Tensor) -> dict[str, Any]:
    waveform = case.tensors["waveform"].astype(np.float32)
    span, samples = _span(case), len(waveform)

    def sound(start: int, stop: int) -> np.ndarray:
        return waveform[start:stop]

    windows = range(-(-samples // WINDOW_SAMPLES))
    mel = [log_mel(models.whisper_features, sound, samples=samples, window=window) for window in windows]
    heard = hear(models.whisper, models.whisper_features, sound, samples=samples, span=span)
    return {
        # the case keeps as much of the padded windows as the speech is long
        "log_mel": torch.cat(mel, dim=1)[:, : case.tensors["log_mel"].shape[1]],
        "audio_tokens": audio_tokens(models.audio2token, heard, span=span),
        "uncond_audio_tokens": silent_tokens(models.audio2token),
        "motion_buckets": motion_buckets(models.audio2bucket, heard, image_embeds=embeds, span=span),
    }


def _one_pass(models: Models, given: dict[str, torch.Tensor]) -> torch.Tensor:
    weight = models.unet.conv_in.weight
    given = {name: value.to(weight) for name, value in given.items() if value.is_floating_point()}
    sample = given["unet_sample"]
    branches, frames, _, height, width = sample.shape
    context = context_of_tokens(
        models.unet,
        given["unet_image_embeds"].unflatten(0, (branches, frames)),
        given["unet_audio_tokens"].unflatten(0, (branches, frames)),
        face_mask=given["face_mask"],
        latent_size=(height, width),
    )
    output: torch.Tensor = models.unet(
        sample, torch.tensor(UNET_TIMESTEP, device=weight.device), context, given["unet_time_ids"]
    )
    return output


def _latents(case: Case, models: Models, conditioning: Conditioning, *, noise: torch.Tensor) -> torch.Tensor:
    return denoise(
        models.unet,
        models.scheduler,
        conditioning,
        config=config_of(case),
        span=_span(case),
        noise=noise,
        on_step=lambda share: None,
    )


def _frames(case: Case, models: Models, latents: torch.Tensor) -> torch.Tensor:
    span = _span(case)
    batches = decoded_batches(models.vae, latents, span=span, wanted=span, batch=config_of(case).decode_batch)
    return torch.cat(list(batches))
