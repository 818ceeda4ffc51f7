"""Peak memory of a full-size Sonic render, counted on the meta device: no GPU, no weights, no numbers.

    python bench/sonic_memory.py [--json]

The meta device stands for the GPU. What is counted is every tensor on it that is alive at once while the renderer's own
functions run: weights and activations, in float16, with attention that keeps no matrix of scores, as torch's fused
kernels have it. What is not: the host's tensors, CUDA's own context, workspaces of convolutions, and what the allocator
loses between blocks. Takes a few minutes.
"""

from __future__ import annotations

import argparse
import json
import weakref
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKLTemporalDecoder, EulerDiscreteScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, WhisperConfig, WhisperModel

from engine.sonic.config import AUDIO_CACHE_BYTES, LATENT_PIXELS, WINDOW, SonicConfig
from engine.sonic.context import Conditioning, Contexts
from engine.sonic.denoise import denoise, predict
from engine.sonic.interpolate import FlowNetwork, middle_frames
from engine.sonic.pixels import decode
from engine.sonic.portrait import encode_image
from engine.sonic.unet import SonicUNet
from engine.sonic.weights.parts import released_shapes

if TYPE_CHECKING:
    from collections.abc import Callable

GB = 1e9
HOST = torch.device("cpu")
COPIES = (torch.ops.aten.to, torch.ops.aten._to_copy)
SPANS = (50, 200)
"""gen_frames of a short and of a long span."""
CONTEXT, AUDIO_TOKENS = 1024, 32
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "layers_per_block": 2,
    "sample_size": 768,
}
CLIP = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "patch_size": 14,
    "projection_dim": CONTEXT,
}
"""The released configurations, where they differ from the libraries' defaults; the UNet's and whisper-tiny's do not."""
OF_PORTRAIT, OF_SPEECH = ("image_encoder", "vae encoder"), ("whisper", "audio2token", "audio2bucket")
"""The weights that make a render's conditioning."""


class LiveBytes(TorchDispatchMode):
    """Bytes of all storages made inside on the meta device that are alive: now, and at their most.

    A meta tensor has no numbers to bring to the host: ones come in their place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._held: set[int] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        told = (*args[1:], *(kwargs or {}).values())
        placed = operation.overloadpacket in COPIES and HOST in [one for one in told if isinstance(one, torch.device)]
        if placed and args[0].is_meta:
            dtypes = [one for one in told if isinstance(one, torch.dtype)] or [args[0].dtype]
            return torch.ones(args[0].shape, dtype=dtypes[0], device=HOST)
        answer = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(answer):
            if isinstance(tensor, Tensor) and tensor.is_meta:
                self._hold(tensor.untyped_storage())
        return answer

    def _hold(self, storage: torch.UntypedStorage) -> None:
        place = storage._cdata
        if place not in self._held:
            self._held.add(place)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._free, place, storage.nbytes())

    def _free(self, place: int, size: int) -> None:
        self._held.discard(place)
        self.now -= size


class FusedAttention(TorchFunctionMode):
    """Attention's answer alone: on the meta device torch would make the matrix of scores that fused kernels avoid."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is not functional.scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        query, value = args[0] if args else kwargs["query"], args[2] if len(args) > 2 else kwargs["value"]
        return query.new_empty(*query.shape[:-1], value.shape[-1])


@dataclass(frozen=True)
class Peaks:
    """Bytes at 512x512 or the like, in one memory mode: the weights that lie there throughout, and the most of each
    stage, with the weights that come for it alone.
    """

    side: int
    memory: str
    resident: int
    stages: dict[str, int]

    @property
    def most(self) -> int:
        return self.resident + max(self.stages.values())


@cache
def full_size(build: Callable[[], nn.Module], dtype: torch.dtype = torch.float16) -> Any:
    """A module of released size without numbers."""
    with torch.device("meta"):
        # past diffusers' own `to`, which warns of halves
        return nn.Module.to(build(), "meta", dtype).eval().requires_grad_(False)


def unet() -> SonicUNet:
    return SonicUNet()


def vae() -> AutoencoderKLTemporalDecoder:
    return AutoencoderKLTemporalDecoder(**VAE)


def whisper() -> WhisperModel:
    return WhisperModel(WhisperConfig())


def image_encoder() -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP))


@cache
def weights_bytes() -> dict[str, int]:
    """What each model of a render takes on the device in float16."""
    modules = {
        "unet": unet,
        "vae decoder": lambda: vae().decoder,
        "vae encoder": lambda: nn.ModuleList([vae().encoder, vae().quant_conv]),
        "image_encoder": image_encoder,
        "whisper": whisper,
        "flow": FlowNetwork,
    }
    sizes = {name: sum(p.nbytes for p in full_size(build).parameters()) for name, build in modules.items()}
    for part in ("audio2token", "audio2bucket"):
        sizes[part] = 2 * sum(torch.Size(shape).numel() for shape in released_shapes(part).values())
    return sizes


def conditioning(side: int, frames: int, *, like: Tensor, context: int = CONTEXT, tokens: int = AUDIO_TOKENS) -> Any:
    """Made-up conditioning for `frames` gen_frames of side x side pixels, on the device and in the type of `like`."""
    latent = side // LATENT_PIXELS
    return Conditioning(
        image_embeds=like.new_zeros(1, context),
        image_latents=like.new_zeros(1, 4, latent, latent),
        face_mask=like.new_ones(1, 1, side, side),
        audio_tokens=like.new_zeros(frames, tokens, context),
        silence_tokens=like.new_zeros(tokens, context),
        motion_buckets=like.new_zeros(frames, 2),
    )


def most_alive(compute: Callable[[], Any]) -> int:
    """Bytes that are alive at once on the meta device, at most, while `compute` runs, beyond what it finds."""
    with FusedAttention(), LiveBytes() as live, torch.inference_mode():
        compute()
    return live.peak


def loop_peak(network: SonicUNet, frames: int, config: SonicConfig, *, side: int, **sizes: int) -> int:
    """Bytes that one step of the denoising loop takes at most over a span of `frames` gen_frames; sizes as in
    `conditioning`, whose audio lies on the host as the renderer's does.
    """
    like, latent = torch.empty(0, device="meta").half(), side // LATENT_PIXELS
    given = conditioning(side, frames, like=like, **sizes)
    on_host = {name: torch.zeros_like(getattr(given, name), device=HOST) for name in ("audio_tokens", "motion_buckets")}
    run = partial(denoise, network, EulerDiscreteScheduler(), replace(given, **on_host), config=config)
    noise = torch.zeros(frames, 4, latent, latent)
    return most_alive(lambda: run(span=(0, frames), noise=noise, on_step=lambda _: None))


def peaks(side: int, memory: str, weights: dict[str, int]) -> Peaks:
    """What a render of side x side pixels takes, stage by stage, with the default batches."""
    config, latent, meta = SonicConfig(memory=memory), side // LATENT_PIXELS, torch.empty(0, device="meta").half()
    networks = {name: full_size(build) for name, build in (("unet", unet), ("vae", vae), ("flow", FlowNetwork))}
    # in `lean` the models that make the conditioning come for their own stage alone
    lent = {
        "portrait": sum(weights[name] for name in OF_PORTRAIT + OF_SPEECH) if memory == "lean" else 0,
        "speech": sum(weights[name] for name in OF_SPEECH) if memory == "lean" else 0,
    }
    resident = sum(weights.values()) - lent["portrait"]
    pictures = meta.new_empty(config.decode_batch + 1, 3, side, side)
    pairs = 1 if memory == "lean" else config.decode_batch

    def step() -> None:
        given = conditioning(side, WINDOW, like=meta)
        contexts = Contexts(networks["unet"], given, config)
        latents = meta.new_empty(WINDOW, 4, latent, latent)
        predict(networks["unet"], latents, meta.new_empty(1)[0], contexts, frames=range(WINDOW), memory=memory)

    stages: dict[str, Callable[[], Any]] = {
        "portrait": lambda: encode_image(networks["vae"], pictures[:1]),
        "speech": lambda: full_size(whisper).encoder(meta.new_empty(1, 80, 3000), output_hidden_states=True),
        "window step": step,
        "decoding": lambda: decode(networks["vae"], meta.new_empty(config.decode_batch, 4, latent, latent).float()),
        "middles": lambda: middle_frames(networks["flow"], pictures[:pairs], pictures[1 : pairs + 1]),
    }
    found = {name: most_alive(compute) + lent.get(name, 0) for name, compute in stages.items()}
    return Peaks(side, memory, resident, found)


def table(found: list[Peaks]) -> str:
    names = list(found[0].stages)
    rows = [f"| | weights | {' | '.join(names)} | peak |", "|---|---|" + "---|" * len(names) + "---|"]
    for one in found:
        figures = (one.resident, *one.stages.values(), one.most)
        figured = " | ".join(f"{figure / GB:.2f}" for figure in figures)
        rows.append(f"| {one.memory}, {one.side}x{one.side} | {figured} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    weights = weights_bytes()
    found = [peaks(side, memory, weights) for side in (512, 1024) for memory in ("fast", "lean")]
    loops = {
        f"{memory}, {frames} gen_frames, cache of {cached / 2**20:.0f} MiB": loop_peak(
            full_size(unet), frames, SonicConfig(steps=1, memory=memory, audio_cache_bytes=cached), side=512
        )
        for memory in ("fast", "lean")
        for cached in (0, AUDIO_CACHE_BYTES)
        for frames in SPANS
    }
    if args.json:
        counted = [{**vars(one), "most": one.most} for one in found]
        print(json.dumps({"weights": weights, "peaks": counted, "loops": loops}))
        return
    print("Weights in float16, GB: " + ", ".join(f"{name} {size / GB:.3f}" for name, size in weights.items()))
    print(f"\nGB of 10^9 bytes, counted\n\n{table(found)}\n\nBytes of the loop at 512x512, without weights:")
    print("\n".join(f"  {name}: {size:,}" for name, size in loops.items()))


if __name__ == "__main__":
    main()
