"""The UNet: the reference's numbers in one pass, the released keys at full size."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from tiny_unet import GOLDEN, golden_case, relative_error

from engine.sonic.attention import AudioCache
from engine.sonic.unet import SonicUNet
from tests.golden.tokens import context_of_tokens

ONE_PASS = 1e-4


@pytest.mark.parametrize("name", ["pipeline_a", "pipeline_b"])
@pytest.mark.parametrize("frames_per_slice", [None, 3])
def test_one_pass_gives_the_references_numbers_whole_and_in_slices(name: str, frames_per_slice: int | None) -> None:
    case = golden_case(name)
    given = case.tensors
    branches, frames, _, height, width = given["unet_sample"].shape
    with torch.inference_mode():
        context = context_of_tokens(
            case.unet,
            given["unet_image_embeds"].unflatten(0, (branches, frames)),
            given["unet_audio_tokens"].unflatten(0, (branches, frames)),
            face_mask=given["face_mask"],
            latent_size=(height, width),
        )
        context = replace(context, frames_per_slice=frames_per_slice)
        output = case.unet(given["unet_sample"], torch.tensor(0.7), context, given["unet_time_ids"])
    assert relative_error(output, given["unet_output"]) < ONE_PASS


def test_the_full_size_model_has_the_released_keys_and_shapes_and_no_others() -> None:
    released = json.loads((GOLDEN / "checkpoint_keys.json").read_text())["unet.pth"]
    with torch.device("meta"):
        unet = SonicUNet()
    assert {key: list(value.shape) for key, value in unet.state_dict().items()} == released


def test_a_released_configuration_builds_the_same_model() -> None:
    case = golden_case("pipeline_b")
    with torch.device("meta"):
        unet = SonicUNet.from_config({"_class_name": "SonicUNet", **case.facts["config"]["unet"]})
    assert {key: list(value.shape) for key, value in unet.state_dict().items()} == case.facts["keys"]["unet"]


@pytest.mark.parametrize("size", [(24, 32), (16, 16), (72, 40), (9, 11)])
def test_the_mask_is_resized_to_what_every_layer_works_at(size: tuple[int, int]) -> None:
    seen: list[int] = []
    unet = golden_case("pipeline_b").unet
    hooks = [
        layer.spatial.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].shape[1]))
        for layer in unet.layers
    ]
    given = torch.zeros(1, 2, 8, *size)
    with torch.inference_mode():
        mask = torch.ones(1, 1, 8 * size[0], 8 * size[1])
        context = context_of_tokens(
            unet, torch.zeros(1, 2, 1, 48), torch.zeros(1, 2, 4, 48), face_mask=mask, latent_size=size
        )
        assert unet(given, torch.tensor(0.7), context, torch.ones(1, 3)).shape == (1, 2, 4, *size)
    for hook in hooks:
        hook.remove()
    assert seen == [height * width for height, width in unet.resolutions(*size)]


def test_the_cache_of_audio_stays_within_its_bytes_and_changes_nothing() -> None:
    layers = golden_case("pipeline_b").unet.spatial_attentions
    tokens = torch.randn(20, 4, 48, generator=torch.Generator().manual_seed(0))
    frames = [18, 19, 0, 1, 0]  # wrapped, one of them twice
    with torch.inference_mode():
        wanted = AudioCache(0).window(layers, tokens, frames)
        a_frame = sum(part[0].nbytes for heard in wanted for part in heard)
        cache = AudioCache(2 * a_frame + 1)
        for _ in range(2):
            found = cache.window(layers, tokens, frames)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert cache.held_bytes == 2 * a_frame
