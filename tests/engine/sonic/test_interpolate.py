"""Middle frames: the released network's keys, and what must hold whatever its weights are."""

from __future__ import annotations

import json

import pytest
import torch

from engine.sonic.interpolate import FlowNetwork, middle_frames
from tests.conftest import ROOT
from tests.golden.weights import fill

KEYS = json.loads((ROOT / "engine" / "sonic" / "checkpoint_keys.json").read_text())["RIFE/flownet.pkl"]


@pytest.fixture(scope="module")
def network() -> FlowNetwork:
    return fill(FlowNetwork(), 3)


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.rand(4, 3, 48, 64, generator=torch.Generator().manual_seed(5))


def test_keys_and_shapes_are_the_released_ones_without_their_prefix(network: FlowNetwork) -> None:
    shapes = {f"module.{key}": list(value.shape) for key, value in network.state_dict().items()}
    assert shapes == KEYS


def test_a_batch_gives_what_its_pairs_give_one_by_one(network: FlowNetwork, frames: torch.Tensor) -> None:
    batch = middle_frames(network, frames[:-1], frames[1:])
    alone = [middle_frames(network, frames[i : i + 1], frames[i + 1 : i + 2]) for i in range(3)]
    assert batch.shape == (3, 3, 48, 64)
    torch.testing.assert_close(batch, torch.cat(alone), rtol=0, atol=1e-4)


def test_the_middle_is_the_same_from_either_end(network: FlowNetwork, frames: torch.Tensor) -> None:
    forward, backward = (
        middle_frames(network, a, b) for a, b in ((frames[:1], frames[1:2]), (frames[1:2], frames[:1]))
    )
    torch.testing.assert_close(forward, backward, rtol=0, atol=1e-4)


def test_the_middle_of_a_plain_picture_and_itself_is_that_picture(network: FlowNetwork) -> None:
    grey = torch.full((2, 3, 32, 32), 0.25)
    torch.testing.assert_close(middle_frames(network, grey, grey), grey, rtol=0, atol=1e-6)


def test_the_teachers_block_never_runs(network: FlowNetwork, frames: torch.Tensor) -> None:
    before = middle_frames(network, frames[:1], frames[1:2])
    changed = FlowNetwork()
    changed.load_state_dict(network.state_dict())
    torch.nn.init.constant_(changed.block_tea.conv0[0][0].weight, float("nan"))
    assert torch.equal(middle_frames(changed, frames[:1], frames[1:2]), before)


def test_sides_that_cannot_be_halved_are_named(network: FlowNetwork) -> None:
    with pytest.raises(ValueError, match="50x48 pixels, wanted multiples of 16"):
        middle_frames(network, torch.zeros(1, 3, 48, 50), torch.zeros(1, 3, 48, 50))


def test_half_precision_finds_the_same_middle_of_a_smooth_picture(network: FlowNetwork) -> None:
    x, y = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="xy")
    first = torch.stack((x, y, (1 + torch.sin(6 * x) * torch.cos(5 * y)) / 2))[None]
    second = first.roll(2, dims=3) * 0.9
    half = FlowNetwork()
    half.load_state_dict(network.state_dict())
    narrow = middle_frames(half.to(torch.bfloat16), first, second)
    # the last place of an 8-bit picture is 0.004
    assert (narrow - middle_frames(network, first, second)).abs().mean() < 0.004
