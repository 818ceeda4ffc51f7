"""A complete small checkpoint in the released layout: the same loading and rendering, in seconds on a CPU, of noise."""

from __future__ import annotations

import json
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file

from engine.errors import InputError
from engine.sonic.config import SIGMA_MAX, SIGMA_MIN
from engine.sonic.speech import BUCKET_LOOK, TOKEN_LOOK
from engine.sonic.weights.finder import SkinFinder
from engine.sonic.weights.layout import FILES, NEEDED, Part, WeightFile
from engine.sonic.weights.parts import wanted_shapes
from engine.sonic.weights.tensors import PREFIXES, Shape, Shapes

if TYPE_CHECKING:
    from pathlib import Path

SEED = 0
CONTEXT, AUDIO_TOKENS, INSIDE = 48, 4, 64
"""Width of the context, audio tokens a frame, and width inside the audio networks (released: 1024, 32, 1024)."""
WHISPER_WIDTH, WHISPER_LAYERS = 32, 4
_DOWN = ["CrossAttnDownBlockSpatioTemporal"] * 3 + ["DownBlockSpatioTemporal"]
_UP = ["UpBlockSpatioTemporal"] + ["CrossAttnUpBlockSpatioTemporal"] * 3

CONFIGS: dict[Part, dict[str, Any]] = {
    "unet": {
        "_class_name": "UNetSpatioTemporalConditionModel",
        "sample_size": 8,
        "in_channels": 8,
        "out_channels": 4,
        "down_block_types": _DOWN,
        "up_block_types": _UP,
        "block_out_channels": [32, 32, 32, 32],
        "addition_time_embed_dim": 32,
        "projection_class_embeddings_input_dim": 96,
        "layers_per_block": 1,
        "cross_attention_dim": CONTEXT,
        "transformer_layers_per_block": 1,
        "num_attention_heads": [1, 2, 2, 2],
        "num_frames": 25,
    },
    "vae": {
        "_class_name": "AutoencoderKLTemporalDecoder",
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * 4,  # 8 pixels a latent, as the released one
        "block_out_channels": [32, 32, 32, 32],
        "layers_per_block": 1,
        "latent_channels": 4,
        "sample_size": 64,
        "scaling_factor": 0.18215,
    },
    "image_encoder": {
        "architectures": ["CLIPVisionModelWithProjection"],
        "model_type": "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "projection_dim": CONTEXT,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 224,
        "patch_size": 32,
        "hidden_act": "gelu",
    },
    "scheduler": {
        "_class_name": "EulerDiscreteScheduler",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "interpolation_type": "linear",
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "sigma_max": SIGMA_MAX,
        "sigma_min": SIGMA_MIN,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "timestep_type": "continuous",
        "use_karras_sigmas": True,
    },
    "feature_extractor": {
        "image_processor_type": "CLIPImageProcessor",
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": 224},
    },
    "whisper": {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "d_model": WHISPER_WIDTH,
        "encoder_layers": WHISPER_LAYERS,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "num_mel_bins": 80,
        "vocab_size": 64,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
        "max_source_positions": 1500,
    },
}
WHISPER_FEATURES = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "chunk_length": 30,
    "feature_size": 80,
    "hop_length": 160,
    "n_fft": 400,
    "n_samples": 480_000,
    "nb_max_frames": 3000,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": False,
    "sampling_rate": 16_000,
}
AUDIO_SHAPES: dict[Part, Shapes] = {
    "audio2token": {
        "proj1.weight": (INSIDE, TOKEN_LOOK[1] * (WHISPER_LAYERS + 1) * WHISPER_WIDTH),
        "proj3.weight": (AUDIO_TOKENS * CONTEXT, INSIDE),
    },
    "audio2bucket": {"proj1.weight": (INSIDE, BUCKET_LOOK[1] * WHISPER_WIDTH + CONTEXT), "proj3.weight": (2, INSIDE)},
}


def write_tiny(folder: Path) -> None:
    """Write every file of the layout into `folder`, the same tensors on every machine.

    Raises InputError where any of them lies there already: released files are never written over.
    """
    if there := [file.path for file in NEEDED if (folder / file.path).exists()]:
        raise InputError(f"{folder} has model files already ({there[0]}); name an empty folder")
    for file in FILES:  # configurations first: the modules are built from them
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        if file.kind == "config":
            _write_config(file, folder)
    for file in FILES:
        if file.kind == "torchscript":
            _write_detector(folder / file.path)
        elif file.kind != "config":
            _write_weights(file, folder)


def _write_config(file: WeightFile, folder: Path) -> None:
    whisper_features = file.path.endswith("preprocessor_config.json") and file.part == "whisper"
    config = WHISPER_FEATURES if whisper_features else CONFIGS[file.part]
    (folder / file.path).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write_detector(path: Path) -> None:
    with warnings.catch_warnings():
        # the released layout holds TorchScript, which torch has begun to discourage
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        torch.jit.script(SkinFinder()).save(str(path))


def _write_weights(file: WeightFile, folder: Path) -> None:
    shapes = wanted_shapes(file.part, folder, AUDIO_SHAPES.get(file.part, {}))
    prefix = PREFIXES.get(file.part, "")
    state = {prefix + key: _drawn(key, shape) for key, shape in shapes.items()}
    if file.kind == "safetensors":
        save_file(state, folder / file.path, metadata={"format": "pt"})
    else:
        torch.save(state, folder / file.path)
    (folder / file.path).chmod(0o644)  # safetensors makes files for their owner alone


def _drawn(key: str, shape: Shape) -> torch.Tensor:
    """Half-precision numbers that depend on key and shape alone, of a size that keeps activations near 1."""
    drawn = np.random.default_rng(zlib.crc32(f"{SEED}:{key}".encode())).standard_normal(shape)
    if len(shape) >= 2:
        drawn /= np.sqrt(np.prod(shape[1:]))
    elif key.endswith(".weight"):
        drawn = 1 + 0.1 * drawn
    else:
        drawn *= 0.1
    return torch.from_numpy(np.asarray(drawn, dtype=np.float16))
