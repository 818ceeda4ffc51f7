"""What Sonic costs on this machine's GPU: seconds, memory, and how far half precision is from the golden numbers.

    python -m bench.sonic_gpu [--tiny] [--json]

The model has the released size and weights drawn by lot: they cost what the real ones cost. Without a GPU, or with
--tiny, the tiny model runs in its place, on what there is, and its times say nothing about the real one. Prints
Markdown, or with --json one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKLTemporalDecoder

from bench.sonic_memory import AUDIO_TOKENS, CONTEXT, GB, conditioning, full_size, unet, vae
from engine.sonic.config import LATENT_PIXELS, SonicConfig
from engine.sonic.context import Contexts
from engine.sonic.denoise import predict
from engine.sonic.interpolate import FlowNetwork, middle_frames
from engine.sonic.pixels import decode
from engine.sonic.unet import SonicUNet
from engine.sonic.weights import tiny
from tests.golden.cases import load_case
from tests.golden.runner import run_case

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
MEMORY_MODES = ("fast", "lean")


@dataclass(frozen=True)
class Scale:
    """A model to measure: how its parts are built, how large its context is, and which frames it is given."""

    name: str
    unet: Callable[[], nn.Module]
    vae: Callable[[], nn.Module]
    context: int
    tokens: int
    sides: tuple[int, ...]
    window: int
    repeats: int


def tiny_unet() -> SonicUNet:
    return SonicUNet(**{name: value for name, value in tiny.CONFIGS["unet"].items() if not name.startswith("_")})


def tiny_vae() -> Any:
    return AutoencoderKLTemporalDecoder.from_config(tiny.CONFIGS["vae"])


FULL = Scale("released size", unet, vae, CONTEXT, AUDIO_TOKENS, (512, 1024), 25, 5)
TINY = Scale("tiny", tiny_unet, tiny_vae, tiny.CONTEXT, tiny.AUDIO_TOKENS, (64,), 4, 1)


@dataclass(frozen=True)
class Bench:
    """One model on one device."""

    scale: Scale
    device: str

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    def filled(self, build: Callable[[], nn.Module], dtype: torch.dtype) -> Any:
        """A module on the device, its weights of a size that keeps activations near 1, without a copy on the host."""
        module = full_size(build, dtype).to_empty(device=self.device)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if weight.ndim > 1:
                    weight.normal_(std=(weight[0].numel()) ** -0.5)
                else:
                    weight.fill_(1.0 if name.endswith("weight") else 0.0)
        return module

    def random(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.rand(shape, device=self.device).to(dtype)

    def seconds(self, compute: Callable[[], Any]) -> float:
        """The fastest of a few runs, after one that warms up."""
        found = []
        for _ in range(1 + self.scale.repeats):
            self._wait()
            started = time.perf_counter()
            compute()
            self._wait()
            found.append(time.perf_counter() - started)
        return min(found[1:])

    def peak_gb(self, compute: Callable[[], Any]) -> float | None:
        """What torch holds at most while `compute` runs, weights included; None without a GPU: nothing counts there."""
        if not self.on_gpu:
            return None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        compute()
        self._wait()
        return torch.cuda.max_memory_allocated() / GB

    def _wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()


def window_steps(bench: Bench) -> list[dict[str, Any]]:
    """Seconds and peak of the call that the denoising loop makes, by type, compiled or not, size and memory mode."""
    found = []
    for dtype, compiled in itertools.product(("float16", "bfloat16"), (False, True)):
        network = bench.filled(bench.scale.unet, getattr(torch, dtype))
        # without a GPU only that it can be traced: machine code for a CPU would take minutes to make
        called = torch.compile(network, backend="inductor" if bench.on_gpu else "eager") if compiled else network
        for side, memory in itertools.product(bench.scale.sides, MEMORY_MODES):
            if compiled and memory == "lean":
                continue
            compute = step_of(bench, network, called, side=side, memory=memory)
            facts = {"dtype": dtype, "compiled": compiled, "side": side, "memory": memory}
            found.append(facts | run_or_say(bench, compute))
        del network, called
    return found


def step_of(bench: Bench, network: Any, called: Any, *, side: int, memory: str) -> Callable[[], Any]:
    scale, like = bench.scale, network.conv_in.weight
    config = SonicConfig(memory=memory, window=scale.window)
    given = conditioning(side, scale.window, like=like, context=scale.context, tokens=scale.tokens)
    latent = side // LATENT_PIXELS
    latents, timestep = bench.random(scale.window, 4, latent, latent), torch.tensor(0.7, device=bench.device)
    with torch.inference_mode():
        contexts = Contexts(network, given, config)

    def step() -> Tensor:
        with torch.inference_mode():
            return predict(called, latents, timestep, contexts, frames=range(scale.window), memory=memory)

    return step


def pixels(bench: Bench) -> list[dict[str, Any]]:
    """Seconds a gen_frame of the VAE's decoder and seconds a middle frame of the flow network, and their peaks."""
    found = []
    batch = SonicConfig().decode_batch
    for dtype, side in itertools.product(("float16", "bfloat16"), bench.scale.sides):
        latent = side // LATENT_PIXELS
        decoder = bench.filled(bench.scale.vae, getattr(torch, dtype))
        latents, shown = bench.random(batch, 4, latent, latent), bench.random(batch + 1, 3, side, side)
        flow = bench.filled(FlowNetwork, getattr(torch, dtype))
        for what, compute in (
            ("decoding", lambda d=decoder, given=latents: decode(d, given)),
            ("middles", lambda f=flow, given=shown: middle_frames(f, given[:-1], given[1:])),
        ):
            measured = run_or_say(bench, compute)
            if "seconds" in measured:
                measured["seconds"] /= batch
            found.append({"what": what, "dtype": dtype, "side": side} | measured)
    return found


def run_or_say(bench: Bench, compute: Callable[[], Any]) -> dict[str, Any]:
    """Seconds and peak, or that it does not fit this card."""
    try:
        return {"seconds": bench.seconds(compute), "peak_gb": bench.peak_gb(compute)}
    except torch.OutOfMemoryError as error:
        return {"out_of_memory": str(error).splitlines()[0]}


def golden(device: str) -> list[dict[str, Any]]:
    """Every quantity of every golden case that a network computes, by type; the tolerances are those of float32."""
    runs = itertools.product(("pipeline_a", "pipeline_b", "rife"), ("float32", "float16", "bfloat16"))
    if device == "cpu":  # halves take minutes there
        runs = itertools.product(("pipeline_b", "rife"), ("float32",))
    return [
        {"case": one.case, "quantity": one.name, "dtype": dtype, "error": one.error, "tolerance": one.tolerance}
        for name, dtype in runs
        for one in run_case(load_case(GOLDEN / name), device=device, dtype=dtype)
    ]


def device_name(device: str) -> str:
    if device == "cpu":
        return f"{platform.processor() or platform.machine()} CPU, torch {torch.__version__}"
    free, whole = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    return f"{name}, {free / GB:.1f} of {whole / GB:.1f} GB free, torch {torch.__version__}"


def markdown(found: dict[str, Any]) -> str:
    lines = [f"Measured on {found['device']}; model: {found['model']}.", ""]
    lines += ["| window step | memory mode | seconds | peak GB |", "|---|---|---|---|"]
    for one in found["window_steps"]:
        compiled = ", compiled" if one["compiled"] else ""
        lines.append(f"| {one['side']}x{one['side']}, {one['dtype']}{compiled} | {one['memory']} | {measured(one)} |")
    lines += ["", "| a frame of | | seconds | peak GB |", "|---|---|---|---|"]
    for one in found["pixels"]:
        lines.append(f"| {one['what']} | {one['side']}x{one['side']}, {one['dtype']} | {measured(one)} |")
    lines += [
        "",
        "| golden quantity | error in " + " | ".join(dict.fromkeys(one["dtype"] for one in found["golden"])) + " |",
    ]
    lines += ["|---|" + "---|" * len({one["dtype"] for one in found["golden"]})]
    errors: dict[str, list[str]] = {}
    for one in found["golden"]:
        errors.setdefault(f"{one['case']} {one['quantity']}", []).append(f"{one['error']:.2g}")
    lines += [f"| {name} | {' | '.join(values)} |" for name, values in errors.items()]
    return "\n".join(lines)


def measured(one: dict[str, Any]) -> str:
    if "out_of_memory" in one:
        return "does not fit | "
    peak = "not counted" if one["peak_gb"] is None else f"{one['peak_gb']:.2f}"
    return f"{one['seconds']:.4f} | {peak}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="the tiny model, on the GPU too")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scale = TINY if args.tiny or device == "cpu" else FULL
    if device == "cpu":
        torch.set_num_threads(1)
        print("No GPU: the tiny model on the CPU; its times say nothing about the real one.", file=sys.stderr)
    bench = Bench(scale, device)
    found = {
        "device": device_name(device),
        "model": scale.name,
        "window_steps": window_steps(bench),
        "pixels": pixels(bench),
        "golden": golden(device),
    }
    print(json.dumps(found) if args.json else markdown(found))


if __name__ == "__main__":
    main()
