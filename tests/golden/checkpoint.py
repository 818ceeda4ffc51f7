"""A golden case's weights as files in the released layout: what the renderer's own loader then reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from engine.sonic.weights.layout import SVD_FOLDER, WHISPER_FOLDER
from engine.sonic.weights.tiny import write_tiny
from tests.golden.weights import tensor_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.golden.cases import Case

STOCK_UNET = f"{SVD_FOLDER}/unet/diffusion_pytorch_model.fp16.safetensors"
VAE = f"{SVD_FOLDER}/vae/diffusion_pytorch_model.fp16.safetensors"
IMAGE_ENCODER = f"{SVD_FOLDER}/image_encoder/model.fp16.safetensors"
IN_CONFIGS = {
    "unet": (f"{SVD_FOLDER}/unet/config.json", {"_class_name": "UNetSpatioTemporalConditionModel"}),
    "vae": (f"{SVD_FOLDER}/vae/config.json", {"_class_name": "AutoencoderKLTemporalDecoder"}),
    "clip": (f"{SVD_FOLDER}/image_encoder/config.json", {"architectures": ["CLIPVisionModelWithProjection"]}),
    "scheduler": (f"{SVD_FOLDER}/scheduler/scheduler_config.json", {"_class_name": "EulerDiscreteScheduler"}),
    "whisper": (f"{WHISPER_FOLDER}/config.json", {"model_type": "whisper"}),
}
"""Part of the case's config -> its file, and what a released file says besides."""

State = dict[str, torch.Tensor]


def write_checkpoint(folder: Path, case: Case) -> None:
    """A complete folder: the case's own parts over those of a tiny checkpoint."""
    write_tiny(folder)
    (folder / STOCK_UNET).unlink()  # nothing reads it, and it is another model's
    if case.kind == "pipeline":
        _write_configs(folder, case.facts["config"])
        _write_pipeline(folder, case)
    if case.kind == "rife":
        torch.save(_prefixed("module.", _drawn(case.facts["keys"], case.facts["seed"])), folder / "RIFE/flownet.pkl")


def _write_configs(folder: Path, configs: dict[str, Any]) -> None:
    for part, (path, besides) in IN_CONFIGS.items():
        (folder / path).write_text(json.dumps({**besides, **configs[part]}), encoding="utf-8")


def _write_pipeline(folder: Path, case: Case) -> None:
    states = {part: _drawn(shapes, case.facts["seed"]) for part, shapes in case.facts["keys"].items()}
    for part in ("unet", "audio2token", "audio2bucket"):
        torch.save(states[part], folder / f"Sonic/{part}.pth")
    save_file(states["vae"], folder / VAE)
    save_file(states["image_encoder"], folder / IMAGE_ENCODER)
    save_file(_prefixed("model.", states["whisper"]), folder / WHISPER_FOLDER / "model.safetensors")


def _drawn(shapes: dict[str, list[int]], seed: int) -> State:
    return {key: torch.from_numpy(tensor_for(key, tuple(shape), seed)) for key, shape in shapes.items()}


def _prefixed(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}
