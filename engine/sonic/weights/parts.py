"""Each part as a module without numbers, built from the folder's own configurations: what its file must hold."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from accelerate import init_empty_weights
from diffusers import AutoencoderKLTemporalDecoder
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, WhisperConfig, WhisperModel

from engine.errors import WeightsError
from engine.sonic.config import SIGMA_MAX, SIGMA_MIN
from engine.sonic.interpolate import FlowNetwork
from engine.sonic.speech import BUCKET_LOOK, TOKEN_LOOK, AudioToBucket, AudioToToken
from engine.sonic.unet import SonicUNet
from engine.sonic.weights.layout import Part, file_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import nn

    from engine.sonic.weights.tensors import Shapes

WANTED_IN_CONFIG: Mapping[Part, Mapping[str, Any]] = {
    "unet": {"_class_name": "UNetSpatioTemporalConditionModel", "in_channels": 8, "out_channels": 4},
    "vae": {"_class_name": "AutoencoderKLTemporalDecoder", "latent_channels": 4},
    "image_encoder": {"architectures": ["CLIPVisionModelWithProjection"]},
    "scheduler": {
        "_class_name": "EulerDiscreteScheduler",
        "prediction_type": "v_prediction",
        "timestep_type": "continuous",
        "use_karras_sigmas": True,
        "sigma_min": SIGMA_MIN,
        "sigma_max": SIGMA_MAX,
    },
    "whisper": {"model_type": "whisper"},
}
"""What the mathematics of docs/sonic.md rests on, whatever a model's size."""
RELEASED_UNET = {"block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 1024, "layers_per_block": 2}
"""By these a configuration is the released model's, whose keys and shapes are known by heart."""
KEY_LISTS: Mapping[Part, str] = {
    "unet": "unet.pth",
    "audio2token": "audio2token.pth",
    "audio2bucket": "audio2bucket.pth",
    "flow": "RIFE/flownet.pkl",
}
SIZED_BY: Mapping[Part, tuple[str, ...]] = {
    "audio2token": ("proj1.weight", "proj3.weight"),
    "audio2bucket": ("proj1.weight",),
}
"""Matrices that say how wide an audio network is inside: no configuration does."""
ADDED = ".attn2.processor."
"""In the keys of what Sonic adds to the stock UNet."""


class ConfigError(WeightsError):
    """Raised when a configuration is missing or another model's: what depends on it cannot be judged."""


def config_of(part: Part, folder: Path) -> dict[str, Any]:
    """A part's configuration. Raises ConfigError where it is missing, unreadable or another model's."""
    file = file_of(part, config=True)
    path = folder / file.path
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError([f"{path} is missing; it is {file.source}"]) from error
    except ValueError as error:
        raise ConfigError([f"{path} is no JSON ({error}); it is {file.source}"]) from error
    if problems := [
        f"{path}: {name} is {config.get(name)!r}, wanted {wanted!r}; it should be {file.source}"
        for name, wanted in WANTED_IN_CONFIG.get(part, {}).items()
        if config.get(name) != wanted
    ]:
        raise ConfigError(problems)
    return dict(config)


def is_released(folder: Path) -> bool:
    """Whether the folder's UNet is configured as the released one, not as a tiny one."""
    config = config_of("unet", folder)
    return all(config.get(name) == wanted for name, wanted in RELEASED_UNET.items())


@cache
def released_shapes(part: Part) -> Shapes:
    """Key -> shape of a part of the released checkpoint, keys without the prefix of its file."""
    lists = json.loads(files("engine.sonic").joinpath("checkpoint_keys.json").read_bytes())
    return {key.removeprefix("module."): tuple(shape) for key, shape in lists[KEY_LISTS[part]].items()}


def wanted_shapes(part: Part, folder: Path, found: Shapes) -> Shapes:
    """Key -> shape that a part's file must hold beside the folder's configurations.

    For a model of another size than the released one, what SIZED_BY names is taken from `found`.
    """
    if part == "stock unet":
        return {key: shape for key, shape in wanted_shapes("unet", folder, {}).items() if ADDED not in key}
    if part in KEY_LISTS and is_released(folder):
        return released_shapes(part)
    if part in _MODULES:
        return _shapes_of_config(part, json.dumps(config_of(part, folder)))
    return _shapes(skeleton(part, folder, found))


@cache
def _shapes_of_config(part: Part, config: str) -> Shapes:
    return _shapes(_without_numbers(part, lambda: _MODULES[part](json.loads(config))))


def _shapes(module: nn.Module) -> Shapes:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def skeleton(part: Part, folder: Path, found: Shapes) -> nn.Module:
    """A part's module with its parameters on the meta device; buffers that no file holds are real.

    Raises ConfigError where its configuration describes no model that can be built.
    """
    return _without_numbers(part, lambda: _built(part, folder, found))


def _without_numbers(part: Part, build: Callable[[], nn.Module]) -> nn.Module:
    try:
        with init_empty_weights(include_buffers=False):
            return build()
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError([f"{part}: its configuration describes no model that can be built ({error!r})"]) from error


def _built(part: Part, folder: Path, found: Shapes) -> nn.Module:
    if part == "flow":
        return FlowNetwork()
    if part == "audio2token":
        return _audio2token(folder, found)
    if part == "audio2bucket":
        return _audio2bucket(folder, found)
    return _MODULES[part](config_of(part, folder))


_MODULES: Mapping[Part, Callable[[dict[str, Any]], nn.Module]] = {
    "unet": lambda config: SonicUNet(**{name: value for name, value in config.items() if not name.startswith("_")}),
    "vae": AutoencoderKLTemporalDecoder.from_config,
    "image_encoder": lambda config: CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(config)),
    "whisper": lambda config: WhisperModel(WhisperConfig.from_dict(config)),
}


def _audio2token(folder: Path, found: Shapes) -> AudioToToken:
    whisper, width = config_of("whisper", folder), config_of("unet", folder)["cross_attention_dim"]
    seen = TOKEN_LOOK[1] * (whisper["encoder_layers"] + 1) * whisper["d_model"]
    hidden, tokens = found["proj1.weight"][0], found["proj3.weight"][0] // width
    return AudioToToken(inputs=seen, hidden=hidden, tokens=tokens, width=width)


def _audio2bucket(folder: Path, found: Shapes) -> AudioToBucket:
    whisper, clip = config_of("whisper", folder), config_of("image_encoder", folder)
    seen = BUCKET_LOOK[1] * whisper["d_model"] + clip["projection_dim"]
    return AudioToBucket(inputs=seen, hidden=found["proj1.weight"][0], outputs=2)
