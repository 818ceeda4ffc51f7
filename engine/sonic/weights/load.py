"""Every model of a render, loaded straight to its device and type, strictly; nothing is guessed over a wrong file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler
from safetensors import safe_open
from torch import nn
from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection, WhisperFeatureExtractor, WhisperModel

from engine.errors import WeightsError
from engine.sonic.weights.check import problems_of_weights
from engine.sonic.weights.detector import load_detector
from engine.sonic.weights.layout import NEEDED, SVD_FOLDER, WHISPER_FOLDER, Part, WeightFile, file_of
from engine.sonic.weights.parts import config_of, skeleton
from engine.sonic.weights.tensors import header, renamed, unpickled

if TYPE_CHECKING:
    from pathlib import Path

    from engine.sonic.interpolate import FlowNetwork
    from engine.sonic.speech import AudioToBucket, AudioToToken
    from engine.sonic.unet import SonicUNet


@dataclass(frozen=True, kw_only=True)
class Models:
    """What a Sonic render computes with. Nothing of a job may be left on any of them."""

    unet: SonicUNet
    vae: AutoencoderKLTemporalDecoder
    image_encoder: CLIPVisionModelWithProjection
    feature_extractor: CLIPImageProcessorPil
    scheduler: EulerDiscreteScheduler
    whisper: WhisperModel
    whisper_features: WhisperFeatureExtractor
    audio2token: AudioToToken
    audio2bucket: AudioToBucket
    detector: torch.jit.ScriptModule
    """On the CPU in float32, whatever the others are."""
    flow: FlowNetwork

    @property
    def of_portrait(self) -> tuple[nn.Module, ...]:
        """What looks at a portrait, once a job."""
        return self.image_encoder, self.vae.encoder, self.vae.quant_conv

    @property
    def of_speech(self) -> tuple[nn.Module, ...]:
        """What listens to the speech of a chunk."""
        return self.whisper, self.audio2token, self.audio2bucket


def load(folder: Path, *, device: str, dtype: str) -> Models:
    """Every model of `folder`. Raises WeightsError: a sentence for each missing file, or for the first wrong one."""
    _require_all(folder)
    place = {"device": torch.device(device), "dtype": getattr(torch, dtype)}
    modules = {
        part: load_part(part, folder, **place)
        for part in ("unet", "vae", "image_encoder", "whisper", "audio2token", "audio2bucket", "flow")
    }
    return Models(
        **cast("dict[str, Any]", modules),
        feature_extractor=CLIPImageProcessorPil.from_pretrained(folder / SVD_FOLDER / "feature_extractor"),
        scheduler=EulerDiscreteScheduler.from_config(config_of("scheduler", folder)),
        whisper_features=WhisperFeatureExtractor.from_pretrained(folder / WHISPER_FOLDER),
        detector=load_detector(folder),
    )


def _require_all(folder: Path) -> None:
    if missing := [file for file in NEEDED if not file.found_in(folder).is_file()]:
        raise WeightsError([f"{folder / file.path} is missing; it is {file.source}" for file in missing])


def load_part(part: Part, folder: Path, *, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """One network of `folder`, ready to be asked, with nothing to train. Raises WeightsError where a file is wrong."""
    file = file_of(part)
    found = header(file, folder)
    if problems := problems_of_weights(file, folder, found):
        raise WeightsError([f"{file.found_in(folder)}: {line}; it should be {file.source}" for line in problems])
    module = skeleton(part, folder, {key: tensor.shape for key, tensor in found.items()})
    module.load_state_dict(_state(file, folder, device=device, dtype=dtype), strict=True, assign=True)
    return module.to(device).eval().requires_grad_(False)  # what no file holds, such as counters, follows


def _state(file: WeightFile, folder: Path, *, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The file's tensors, one by one to where they belong: the host never holds the whole file a second time."""
    path = file.found_in(folder)
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt", device=str(device)) as opened:
            tensors = {key: opened.get_tensor(key).to(dtype) for key in opened.keys()}  # noqa: SIM118  # it is no dict
    else:
        mapped = unpickled(file, path)
        tensors = {key: mapped.pop(key).to(device, dtype, copy=True) for key in list(mapped)}
    return renamed(file, tensors)
