"""What happens when memory runs out or a number overflows, and that a small card is enough."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tiny_unet import GoldenCase, golden_case, relative_error
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from bench.sonic_gpu import tiny_unet, tiny_vae
from bench.sonic_memory import LiveBytes, full_size, loop_peak, most_alive, peaks, weights_bytes
from engine.errors import RenderError
from engine.sonic.config import AUDIO_CACHE_BYTES, SonicConfig
from engine.sonic.denoise import NonFiniteError, denoise
from engine.sonic.memory import FAST_BYTES_PER_POSITION, LEAN_BYTES_PER_POSITION, denoise_in_what_fits, on_device
from engine.sonic.pixels import decoded_batches
from engine.sonic.speech import AudioToToken, Heard, audio_tokens, hear
from engine.sonic.weights import tiny

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.sonic.unet import SonicUNet

SHORTAGE = "CUDA out of memory. Tried to allocate 6.00 GiB. GPU 0 has 2.00 GiB free"
POSITIONS = 64 * 64
SMALL_CARD = 10e9
TO_SPARE = 1e9
"""Bytes left for what is not counted: CUDA's context, workspaces of convolutions, gaps between blocks."""


class Card:
    """The loop on a card where what `too_much` names does not fit; notes what was tried."""

    def __init__(self, too_much: Callable[[SonicUNet, str], bool] = lambda unet, memory: False) -> None:
        self.too_much = too_much
        self.tried: list[tuple[torch.dtype, str]] = []

    def __call__(self, unet: SonicUNet, *inputs: object, **named: object) -> Tensor:
        memory = named["config"].memory  # type: ignore[attr-defined]
        self.tried.append((unet.dtype, memory))
        if self.too_much(unet, memory):
            raise torch.OutOfMemoryError(SHORTAGE)
        return denoise(unet, *inputs, **named)  # type: ignore[arg-type]


def rendered(case: GoldenCase, loop: Card, **conditioning: Tensor) -> Tensor:
    """Two frames in one step: halves take long on a CPU."""
    return in_what_fits(case, loop, replace(case.config, steps=1, window=2), frames=2, **conditioning)


def in_what_fits(case: GoldenCase, loop: Card, config: SonicConfig, *, frames: int, **conditioning: Tensor) -> Tensor:
    return denoise_in_what_fits(
        loop,
        case.unet,
        case.scheduler,
        replace(case.conditioning(), **conditioning),
        config=config,
        span=(0, frames),
        noise=case.tensors["noise"][0, :frames],
        on_step=lambda share: None,
    )


def test_what_does_not_fit_fast_is_rendered_lean_to_the_same_numbers() -> None:
    case, loop = golden_case("pipeline_b"), Card(lambda unet, memory: memory == "fast")
    latents = in_what_fits(case, loop, case.config, frames=case.facts["num_frames"])
    assert relative_error(latents, case.tensors["latents"][0]) < 1e-3
    assert [memory for _, memory in loop.tried] == ["fast", "lean"]


def test_what_fits_in_no_way_says_what_was_needed_and_what_is_free() -> None:
    with pytest.raises(RenderError, match=r"denoising in lean mode ran out of memory: .* 6.00 GiB.* 2.00 GiB free"):
        rendered(golden_case("pipeline_b"), Card(lambda unet, memory: True))


@pytest.fixture
def half() -> Iterator[GoldenCase]:
    """Golden case b with its UNet in half precision, and as it was afterwards."""
    case = golden_case("pipeline_b")
    kept = {key: value.clone() for key, value in case.unet.state_dict().items()}
    case.unet.to(torch.float16)
    yield case
    case.unet.to(torch.float32).load_state_dict(kept)


def test_a_number_that_overflows_in_half_precision_is_computed_once_more_in_float32(half: GoldenCase) -> None:
    loop, beyond_half = Card(), torch.full((1, 48), 1e5)
    assert rendered(half, loop, image_embeds=beyond_half).isfinite().all()
    assert loop.tried == [(torch.float16, "fast"), (torch.float32, "lean")]
    assert half.unet.dtype == torch.float16


def test_a_number_that_overflows_in_float32_too_fails_with_step_and_branch(half: GoldenCase) -> None:
    loop = Card()
    with pytest.raises(NonFiniteError, match=r"step 0, branch 'appearance', computed in torch\.float32") as caught:
        rendered(half, loop, image_embeds=torch.full((1, 48), torch.inf))
    assert (caught.value.step, caught.value.branch) == (0, "appearance")
    assert [dtype for dtype, _ in loop.tried] == [torch.float16, torch.float32]
    assert half.unet.dtype == torch.float16


def test_where_float32_has_no_room_the_failure_says_so(half: GoldenCase) -> None:
    loop = Card(lambda unet, memory: unet.dtype == torch.float32)
    with pytest.raises(RenderError, match=r"ran out of memory: .* 6.00 GiB.* 2.00 GiB free"):
        rendered(half, loop, image_embeds=torch.full((1, 48), 1e5))
    assert half.unet.dtype == torch.float16


def test_lean_at_512_fits_a_card_of_10_gb() -> None:
    """Counted, not measured: the whole model's weights, and the most that is alive at once (docs/performance.md)."""
    counted = peaks(512, "lean", weights_bytes())
    print(counted)  # noqa: T201
    assert counted.most + TO_SPARE <= SMALL_CARD
    assert counted.stages["window step"] < LEAN_BYTES_PER_POSITION * POSITIONS
    # where it does not fit at once, decoding goes on with half the batch
    assert counted.stages["decoding"] / 2 < LEAN_BYTES_PER_POSITION * POSITIONS


def test_what_auto_wants_free_for_fast_is_enough() -> None:
    stages = peaks(512, "fast", weights_bytes()).stages
    assert max(stages.values()) < FAST_BYTES_PER_POSITION * POSITIONS
    assert max(stages.values()) > 0.8 * FAST_BYTES_PER_POSITION * POSITIONS  # and not much more than needed


NO_CACHE, SMALL_CACHE = 0, 2**16
SHORT, LONG = 50, 75
"""gen_frames of a span: two windows and three."""


@cache
def tiny_loop(frames: int, cached: int) -> int:
    """Device memory of a tiny model's loop; the meta device, on which nothing has numbers, stands for a GPU."""
    config = SonicConfig(steps=1, memory="fast", audio_cache_bytes=cached)
    return loop_peak(full_size(tiny_unet), frames, config, side=128, context=tiny.CONTEXT, tokens=tiny.AUDIO_TOKENS)


def test_a_longer_span_takes_no_more_of_the_device_than_its_bounded_cache() -> None:
    assert tiny_loop(SHORT, NO_CACHE) == tiny_loop(LONG, NO_CACHE)
    assert tiny_loop(LONG, SMALL_CACHE) <= tiny_loop(LONG, NO_CACHE) + SMALL_CACHE
    # and until the cache is full a frame takes its keys and values: two halves a token and channel, at every layer
    layers = full_size(tiny_unet).spatial_attentions
    a_frame = sum(2 * 2 * tiny.AUDIO_TOKENS * layer.inner_dim for layer in layers)
    grown = tiny_loop(LONG, AUDIO_CACHE_BYTES) - tiny_loop(SHORT, AUDIO_CACHE_BYTES)
    assert grown == a_frame * (LONG - SHORT)


def test_longer_speech_and_more_pictures_take_no_more_of_the_device() -> None:
    whisper, vae = full_size(tiny_whisper), full_size(tiny_vae)
    network = full_size(tiny_audio2token)

    def listened(frames: int) -> int:
        silence, span = (lambda start, stop: np.zeros(stop - start, np.float32)), (50, 50 + frames)
        heard = most_alive(lambda: hear(whisper, WhisperFeatureExtractor(), silence, samples=480_000, span=span))
        states = Heard(0, torch.zeros(1200, tiny.WHISPER_LAYERS + 1, tiny.WHISPER_WIDTH), 1500)
        return max(heard, most_alive(lambda: audio_tokens(network, states, span=span)))

    def decoded(frames: int) -> int:
        latents, span = torch.zeros(frames, 4, 8, 8), (0, frames)
        return most_alive(
            lambda: [len(part) for part in decoded_batches(vae, latents, span=span, wanted=span, batch=8)]
        )

    assert listened(SHORT) == listened(LONG)
    assert decoded(2 * 8) == decoded(6 * 8)


def tiny_whisper() -> WhisperModel:
    return WhisperModel(WhisperConfig.from_dict(tiny.CONFIGS["whisper"]))


def tiny_audio2token() -> AudioToToken:
    hidden, inputs = tiny.AUDIO_SHAPES["audio2token"]["proj1.weight"]
    return AudioToToken(inputs=inputs, hidden=hidden, tokens=tiny.AUDIO_TOKENS, width=tiny.CONTEXT)


@pytest.mark.parametrize(("memory", "stays"), [("fast", True), ("lean", False)])
def test_what_makes_the_conditioning_leaves_the_device_after_use_in_lean_alone(memory: str, stays: bool) -> None:
    model = torch.nn.Linear(2, 2).requires_grad_(False)
    with LiveBytes():  # in which the meta device stands for a GPU
        with on_device(SonicConfig(device="meta", memory=memory), model):
            assert model.weight.is_meta
        assert model.weight.is_meta == stays
