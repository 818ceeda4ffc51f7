"""What a window step costs at full size, counted on the meta device over the call that the loop makes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.sonic_memory import full_size, unet
from engine.sonic.config import SonicConfig
from engine.sonic.context import Conditioning, Contexts
from engine.sonic.denoise import predict

TERA = 1e12
MOST_TERA = 95.3
FRAMES = 25


def empty(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def test_a_window_step_costs_no_more_than_promised() -> None:
    """512x512, 25 frames, three branches; what steps share is added as its share of 25 steps."""
    config = SonicConfig(memory="fast")
    given = Conditioning(
        image_embeds=empty(1, 1024),
        image_latents=empty(1, 4, 64, 64),
        face_mask=empty(1, 1, 512, 512),
        audio_tokens=empty(FRAMES, 32, 1024),
        silence_tokens=empty(32, 1024),
        motion_buckets=empty(FRAMES, 2),
    )
    with torch.device("meta"), torch.inference_mode():
        network = full_size(unet, torch.float32)
        with FlopCounterMode(display=False) as once:
            contexts = Contexts(network, given, config)
        steps = []
        for _ in range(2):  # the second finds the audio's keys and values in the cache
            with FlopCounterMode(display=False) as counted:
                predict(network, empty(FRAMES, 4, 64, 64), empty(1)[0], contexts, frames=range(FRAMES), memory="fast")
            steps.append(counted.get_total_flops())
    shared = once.get_total_flops() + steps[0] - steps[1]
    total = (steps[1] + shared / config.steps) / TERA
    parts = {str(operation): flops / TERA for operation, flops in counted.get_flop_counts()["Global"].items()}
    print(f"{total:.3f} TFLOP a window step, of it shared {shared / config.steps / TERA:.4f}; {parts}")  # noqa: T201
    assert shared > 0
    assert total <= MOST_TERA
