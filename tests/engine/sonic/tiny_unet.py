"""A golden case's UNet and inputs, for tests that look at one layer of the engine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler
from safetensors.torch import load_file

from engine.sonic.config import SonicConfig
from engine.sonic.context import Conditioning
from engine.sonic.unet import SonicUNet
from tests.golden.weights import fill

torch.set_num_threads(1)  # beside other processes, threads of small layers wait for each other

GOLDEN = Path(__file__).parents[2] / "golden"


@dataclass(frozen=True)
class GoldenCase:
    facts: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    unet: SonicUNet
    scheduler: EulerDiscreteScheduler

    @property
    def config(self) -> SonicConfig:
        return SonicConfig(
            steps=self.facts["num_inference_steps"],
            window=self.facts["frames_per_batch"],
            shift=self.facts["shift_offset"],
            overlap=self.facts["overlap"],
            dynamic_scale=self.facts["motion_bucket_scale"],
            memory="fast",
        )

    def conditioning(self) -> Conditioning:
        vae = AutoencoderKLTemporalDecoder(**self.facts["config"]["vae"]).eval()
        with torch.inference_mode():
            image = fill(vae, self.facts["seed"]).encode(self.tensors["ref_image"]).latent_dist.mode()
        return Conditioning(
            image_embeds=self.tensors["image_embeds"],
            image_latents=image,
            face_mask=self.tensors["face_mask"],
            audio_tokens=self.tensors["audio_tokens"],
            silence_tokens=self.tensors["uncond_audio_tokens"][0],
            motion_buckets=self.tensors["motion_buckets"],
        )


@cache
def golden_case(name: str) -> GoldenCase:
    facts = json.loads((GOLDEN / name / "case.json").read_text())
    unet = fill(SonicUNet(**facts["config"]["unet"]), facts["seed"]).eval().requires_grad_(False)
    scheduler = EulerDiscreteScheduler.from_config(facts["config"]["scheduler"])
    return GoldenCase(facts, load_file(GOLDEN / name / "tensors.safetensors"), unet, scheduler)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference in standard deviations of what is wanted."""
    return float((found - wanted).abs().max() / wanted.std())
