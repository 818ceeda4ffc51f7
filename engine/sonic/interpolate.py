"""Middle frames: a flow network (RIFE HD v3) that finds what lies halfway between two pictures.

Pictures are [pairs, 3, height, width] in 0..1; a flow is [pairs, 4, height, width] in pixels: (x, y) from the middle
to the first picture, then (x, y) to the second (docs/sonic.md#pixels).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = 90
"""Channels inside a block (docs/sonic.md#pixels)."""
SCALES = (4, 2, 1)
"""How much smaller the three blocks look at the pictures, coarse to fine (docs/sonic.md#pixels)."""
RESIDUAL_PAIRS = 4
"""Pairs of convolutions inside a block (docs/sonic.md#pixels)."""
SIDE_STEP = 16
"""Pixels: both sides are a multiple, for the coarsest block sees 1/4 and halves it twice."""

_FLOW, _MASK, _PICTURES = 4, 1, 6  # channels
_TEACHER_PICTURE = 3  # the released file's unused block_tea also saw the true middle


class FlowBlock(nn.Module):
    """One level: what to add to flow and mask, seen at 1 / scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = WIDTH // 2
        self.conv0 = nn.Sequential(_down(channels, half), _down(half, WIDTH))
        for pair in range(RESIDUAL_PAIRS):
            self.add_module(f"convblock{pair}", nn.Sequential(_same(WIDTH), _same(WIDTH)))
        self.conv1 = _head(_FLOW)
        self.conv2 = _head(_MASK)

    def forward(self, seen: Tensor, flow: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        given = torch.cat((_resized(seen, 1 / scale), _resized(flow, 1 / scale) / scale), 1)
        features = self.conv0(given.to(next(self.parameters()).dtype))
        for pair in range(RESIDUAL_PAIRS):
            features = features + self.get_submodule(f"convblock{pair}")(features)
        return _resized(self.conv1(features).float(), scale) * scale, _resized(self.conv2(features).float(), scale)


class FlowNetwork(nn.Module):
    """Its state-dict keys are the released file's without "module."; `block_tea` is in that file and never runs."""

    def __init__(self) -> None:
        super().__init__()
        channels = _PICTURES + _MASK + _FLOW
        self.block0 = FlowBlock(channels)
        self.block1 = FlowBlock(channels)
        self.block2 = FlowBlock(channels)
        self.block_tea = FlowBlock(channels + _TEACHER_PICTURE)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        pairs, _, height, width = first.shape
        flow = first.new_zeros(pairs, _FLOW, height, width)
        mask = first.new_zeros(pairs, _MASK, height, width)
        seen_first, seen_second = first, second
        for block, scale in zip((self.block0, self.block1, self.block2), SCALES, strict=True):
            flow_step, mask_step = _both_ways(block, (seen_first, seen_second, mask), flow=flow, scale=scale)
            flow, mask = flow + flow_step, mask + mask_step
            seen_first, seen_second = _warped(first, flow[:, :2]), _warped(second, flow[:, 2:])
        share = torch.sigmoid(mask)
        return seen_first * share + seen_second * (1 - share)


@torch.inference_mode()
def middle_frames(network: FlowNetwork, first: Tensor, second: Tensor) -> Tensor:
    """What lies halfway between first[i] and second[i], all pairs in one batch, in float32.

    Only the convolutions run in the network's dtype: a half cannot say to a tenth where in a row of 1024 pixels it is.

    Raises ValueError for sides that are no multiples of 16.
    """
    height, width = first.shape[-2:]
    if height % SIDE_STEP or width % SIDE_STEP:
        raise ValueError(f"frames of {width}x{height} pixels, wanted multiples of {SIDE_STEP} on both sides")
    device = next(network.parameters()).device
    first, second = (frames.to(device, torch.float32) for frames in (first, second))
    middle: Tensor = network(first, second)
    return middle


def _both_ways(
    block: FlowBlock, seen: tuple[Tensor, Tensor, Tensor], *, flow: Tensor, scale: int
) -> tuple[Tensor, Tensor]:
    """The mean of the block's answers for time running forward and backward, both in one batch."""
    first, second, mask = seen
    forward, backward = torch.cat((first, second, mask), 1), torch.cat((second, first, -mask), 1)
    flows, masks = block(torch.cat((forward, backward)), torch.cat((flow, _swapped(flow))), scale)
    (flow_forward, flow_backward), (mask_forward, mask_backward) = flows.chunk(2), masks.chunk(2)
    return (flow_forward + _swapped(flow_backward)) / 2, (mask_forward - mask_backward) / 2


def _swapped(flow: Tensor) -> Tensor:
    return torch.cat((flow[:, 2:], flow[:, :2]), 1)


def _warped(frames: Tensor, flow: Tensor) -> Tensor:
    """Each pixel from where the flow points."""
    height, width = frames.shape[-2:]
    across = torch.linspace(-1, 1, width, device=flow.device)[None, None, :] + flow[:, 0] / ((width - 1) / 2)
    down = torch.linspace(-1, 1, height, device=flow.device)[None, :, None] + flow[:, 1] / ((height - 1) / 2)
    positions = torch.stack((across, down), -1)  # [pairs, height, width, 2]
    return functional.grid_sample(frames, positions, padding_mode="border", align_corners=True)


def _resized(values: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return values
    size = [int(side * factor) for side in values.shape[-2:]]
    return functional.interpolate(values, size=size, mode="bilinear", align_corners=False)


def _down(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, 2, 1), nn.PReLU(width))


def _same(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.PReLU(width))


def _head(channels: int) -> nn.Sequential:
    half = WIDTH // 2
    up, out = nn.ConvTranspose2d(WIDTH, half, 4, 2, 1), nn.ConvTranspose2d(half, channels, 4, 2, 1)
    return nn.Sequential(up, nn.PReLU(half), out)
