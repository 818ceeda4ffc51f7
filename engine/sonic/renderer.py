"""The Sonic renderer: portrait and speech to frames, chunk by chunk, with nothing of a job left behind."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from engine.errors import DeviceError, RenderError, WeightsError
from engine.hearing import sonic_hears
from engine.media.image import load_portrait
from engine.renderer import BUILT_IN, Device, Renderer
from engine.sonic.config import SonicConfig
from engine.sonic.context import Conditioning
from engine.sonic.denoise import denoise, noise_for, on_ring
from engine.sonic.frames import frames_of
from engine.sonic.memory import chosen_mode, denoise_in_what_fits, most_pixels, on_device
from engine.sonic.portrait import (
    clip_pixels,
    embed_image,
    encode_image,
    find_face,
    mask_pixels,
    picture_of,
    reference_pixels,
)
from engine.sonic.speech import audio_tokens, hear, motion_buckets, silent_tokens, sound_of
from engine.sonic.weights import identity, load_models
from engine.spec import SAMPLES_PER_FRAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.hearing import Touched
    from engine.renderer import Crop, Frame, Inputs, OnProgress
    from engine.sonic.weights.load import Models
    from engine.spec import ChunkSpec, Redraw, RenderSpec

DENOISING = 0.9
"""Share of a chunk's progress that is reported while it denoises; the rest is pixels."""


@dataclass(frozen=True)
class SonicFeatures:
    """A job made ready: what CLIP and the VAE see of its portrait, the face mask, and what silence sounds like.

    crop: the part of the photo that is rendered.
    """

    inputs: Inputs
    config: SonicConfig
    image_embeds: Tensor
    image_latents: Tensor
    face_mask: Tensor
    silence_tokens: Tensor
    crop: Crop


class SonicRenderer(Renderer):
    """Renders with the released Sonic checkpoints, or tiny ones of the same layout, in the folder FARM_WEIGHTS.

    Half precision on a GPU, float32 on a CPU; FARM_MEMORY_MODE says how it spends memory (docs/sonic.md#memory).
    """

    geometry = BUILT_IN["sonic"].geometry
    version = "1"

    @staticmethod
    def hears(chunk: ChunkSpec, gen_frames: int, spec: RenderSpec) -> Touched:
        return sonic_hears(chunk, gen_frames, spec)

    def __init__(self) -> None:
        self._memory = os.environ.get("FARM_MEMORY_MODE") or "auto"
        self._models: Models | None = None

    def load(self, device: str) -> None:
        """Read every model.

        Raises WeightsError for a folder that is not named, not there, or holds other files; DeviceError where torch
        cannot use the GPU asked for.
        """
        folder = weights_folder()
        require_device(device)
        self._device, self._dtype = device, "float32" if device == "cpu" else "float16"
        if device == "cpu":
            torch.set_num_threads(1)  # how a sum is split, and so its last bits, depends on the number of threads
        self._models = load_models(folder, device=device, dtype=self._dtype)
        self.weights_identity = identity(folder)

    def prepare(self, inputs: Inputs) -> SonicFeatures:
        """Find the face and encode the portrait. Raises PortraitError where there is none."""
        models = self._loaded()
        config = SonicConfig.from_spec(inputs.spec, device=self._device, dtype=self._dtype, memory=self._memory)
        photo = load_portrait(inputs.portrait)
        picture = picture_of(photo, find_face(models.detector, photo, name=inputs.portrait.name), config)
        away_when_lean = (*models.of_portrait, *models.of_speech)
        config = replace(config, memory=chosen_mode(config, picture.image.shape[:2], away_when_lean))
        with on_device(config, *away_when_lean):
            latents = encode_image(models.vae, reference_pixels(picture.image))
            embeds = embed_image(models.image_encoder, clip_pixels(models.feature_extractor, picture.image))
            silence = silent_tokens(models.audio2token)[0]
        return SonicFeatures(inputs, config, embeds, latents, mask_pixels(picture.mask), silence, picture.crop)

    def render(self, chunk: ChunkSpec, features: SonicFeatures, on_progress: OnProgress) -> Iterator[Frame]:
        models, job = self._loaded(), features.inputs
        ring = on_ring(chunk.span, job.gen_frames, features.config.window)
        latents = self.latents(
            features, ring, redraw=chunk.redraw, on_step=lambda share: on_progress(share * DENOISING)
        )
        start = chunk.span[0] - ring[0]
        latents = latents[start : start + chunk.span[1] - chunk.span[0]]
        total = chunk.frames25
        for done, frame in enumerate(frames_of(models, latents, chunk, features.config), start=1):
            yield frame
            on_progress(DENOISING + (1 - DENOISING) * done / total)

    def latents(
        self, features: SonicFeatures, ring: tuple[int, int], *, on_step: OnProgress, redraw: Redraw | None = None
    ) -> Tensor:
        """Latents [n, 4, h, w], float32 on the host, of a span of n gen_frames on the job's ring (see `on_ring`)."""
        models, gen_frames = self._loaded(), features.inputs.gen_frames
        shape = features.image_latents.shape[1:]
        return denoise_in_what_fits(
            denoise,
            models.unet,
            models.scheduler,
            conditioning_of(models, features, ring),
            config=features.config,
            span=ring,
            noise=noise_for(features.config.seed, frames_on_ring(ring, gen_frames), shape, redraw=redraw),
            on_step=on_step,
            gen_frames=gen_frames,
        )

    def crop(self, features: SonicFeatures) -> Crop:
        return features.crop

    def identity(self) -> dict[str, str]:
        """The weights by their identity, and the precision."""
        return {"weights": self.weights_identity, "dtype": self._dtype}

    def facts(self, features: SonicFeatures) -> dict[str, str]:
        """The same, and how memory was spared."""
        return {**self.identity(), "memory_mode": features.config.memory}

    def device(self) -> Device | None:
        """The GPU; none on a CPU, whose memory is everybody's."""
        if self._device == "cpu":
            return None
        properties = torch.cuda.get_device_properties(self._device)
        return Device(properties.name, properties.total_memory // 2**20, most_pixels(self._device))

    def close(self) -> None:
        self._models = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _loaded(self) -> Models:
        if self._models is None:
            raise RenderError("the Sonic renderer is not loaded")
        return self._models


def weights_folder() -> Path:
    """The folder that FARM_WEIGHTS names. Raises WeightsError where none is."""
    named = os.environ.get("FARM_WEIGHTS", "")
    if not named:
        raise WeightsError(
            ["FARM_WEIGHTS is not set, wanted the folder of Sonic's checkpoints (farm weights fetch DIR)"]
        )
    if not Path(named).is_dir():
        raise WeightsError([f"FARM_WEIGHTS is {named}, which is no folder (farm weights fetch {named})"])
    return Path(named)


def require_device(device: str) -> None:
    """Raise DeviceError where `device` is a GPU that torch does not see."""
    if device == "cpu" or torch.cuda.is_available():
        return
    if torch.version.cuda is None and torch.version.hip is None:
        raise DeviceError(
            f"{device} was asked for, and this torch ({torch.__version__}) is built for CPUs alone: install torch for "
            "your GPU (https://pytorch.org/get-started/locally), or use the CPU"
        )
    raise DeviceError(
        f"{device} was asked for, and torch sees no GPU: does `nvidia-smi` list it, is its driver as new as torch "
        f"{torch.__version__} wants, is CUDA_VISIBLE_DEVICES ({os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')!r}) "
        "right?"
    )


def frames_on_ring(ring: tuple[int, int], gen_frames: int) -> list[int]:
    """The job's own gen_frames along a span on its ring."""
    return [frame % gen_frames for frame in range(*ring)]


def conditioning_of(models: Models, features: SonicFeatures, ring: tuple[int, int]) -> Conditioning:
    """What the denoising loop of a span needs, heard from no more of the speech than the span touches."""
    job = features.inputs
    # the speech padded or cut to the job's gen_frames, two frames25 each (docs/sonic.md#time)
    samples = job.gen_frames * 2 * SAMPLES_PER_FRAME
    tokens, buckets = [], []
    with on_device(features.config, *models.of_speech):
        for piece in pieces_of(ring, job.gen_frames):
            heard = hear(models.whisper, models.whisper_features, sound_of(job.speech), samples=samples, span=piece)
            tokens.append(audio_tokens(models.audio2token, heard, span=piece))
            buckets.append(motion_buckets(models.audio2bucket, heard, image_embeds=features.image_embeds, span=piece))
    given: dict[str, Any] = {
        name: getattr(features, name) for name in ("image_embeds", "image_latents", "face_mask", "silence_tokens")
    }
    return Conditioning(**given, audio_tokens=torch.cat(tokens), motion_buckets=torch.cat(buckets))


def pieces_of(ring: tuple[int, int], gen_frames: int) -> list[tuple[int, int]]:
    """A span on the ring as ranges of the job's own gen_frames, in order."""
    first, stop = ring
    ranges = [(first + gen_frames, gen_frames)] if first < 0 else []
    ranges.append((max(first, 0), min(stop, gen_frames)))
    if stop > gen_frames:
        ranges.append((0, stop - gen_frames))
    return ranges
