"""The loop: the reference's latents, whatever the memory mode; chunks that come out as one piece would."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_unet import GoldenCase, golden_case, relative_error
from torch import Tensor

from engine.plan import Geometry, plan_chunks
from engine.sonic.config import SonicConfig
from engine.sonic.context import Conditioning
from engine.sonic.denoise import NonFiniteError, denoise, noise_for, on_ring, windows
from engine.sonic.unet import SonicUNet
from engine.spec import Redraw
from tests.golden.weights import fill

LOOP = 1e-3
MOST_DIFFERENCE = 0.02


def latents_of(case: GoldenCase, **changes: object) -> Tensor:
    return denoise(
        case.unet,
        case.scheduler,
        case.conditioning(),
        config=replace(case.config, **changes),  # type: ignore[arg-type]
        span=(0, case.facts["num_frames"]),
        noise=case.tensors["noise"][0],
        on_step=lambda share: None,
    )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"memory": "lean"}, id="lean"),
        pytest.param({"audio_cache_bytes": 0}, id="nothing cached"),
    ],
)
def test_the_loop_gives_the_references_latents_another_way(changes: dict[str, object]) -> None:
    """As it runs by default, test_golden holds it to both cases."""
    case = golden_case("pipeline_b")
    assert relative_error(latents_of(case, **changes), case.tensors["latents"][0]) < LOOP


def test_nothing_of_a_render_stays_on_the_models() -> None:
    case = golden_case("pipeline_b")
    before = {key: value.clone() for key, value in case.unet.state_dict().items()}
    first = latents_of(case, steps=1)
    latents_of(case, steps=1, motion_scale=0.5, memory="lean")
    assert torch.equal(latents_of(case, steps=1), first)
    assert all(torch.equal(value, before[key]) for key, value in case.unet.state_dict().items())


def test_progress_is_told_and_what_it_raises_stops_the_render() -> None:
    case, told = golden_case("pipeline_b"), []

    class Cancelled(Exception):  # noqa: N818  (the worker's own, not the engine's)
        pass

    def on_step(share: float) -> None:
        told.append(share)
        if len(told) == 2:
            raise Cancelled

    render = partial(denoise, case.unet, case.scheduler, case.conditioning(), config=case.config, span=(0, 5))
    with pytest.raises(Cancelled):
        render(noise=case.tensors["noise"][0], on_step=on_step)
    assert told == [pytest.approx(1 / 3), pytest.approx(2 / 3)]


def test_a_number_that_is_none_is_told_with_step_and_branch() -> None:
    case = golden_case("pipeline_b")
    conditioning = replace(case.conditioning(), image_embeds=torch.full((1, 48), torch.inf))
    with pytest.raises(NonFiniteError, match=r"step 0, branch 'appearance', computed in torch\.float32"):
        denoise(
            case.unet,
            case.scheduler,
            conditioning,
            config=case.config,
            span=(0, 5),
            noise=case.tensors["noise"][0],
            on_step=lambda share: None,
        )


def test_noise_depends_on_seed_and_frame_alone() -> None:
    whole = noise_for(0, range(40), (4, 8, 8))
    assert torch.equal(noise_for(0, range(13, 17), (4, 8, 8)), whole[13:17])
    assert not torch.equal(noise_for(1, range(40), (4, 8, 8)), whole)
    redrawn = noise_for(0, range(40), (4, 8, 8), Redraw(seed=1, start=7, stop=9))
    assert torch.equal(redrawn[7:9], noise_for(1, range(7, 9), (4, 8, 8)))
    assert torch.equal(redrawn[[*range(7), *range(9, 40)]], whole[[*range(7), *range(9, 40)]])
    assert torch.isfinite(noise_for(2**63 - 1, [10**7], (4, 8, 8))).all()
    assert (abs(float(whole.mean())), float(whole.std())) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))


@given(st.integers(1, 120), st.integers(0, 30), st.integers(1, 30), st.integers(0, 12), st.data())
def test_a_whole_job_has_the_references_windows(
    n: int, step: int, window: int, shift: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, window - 1))
    config = SonicConfig(window=window, shift=shift, overlap=overlap)
    starts = range(0, n, window - overlap)
    reference = [[(s - shift * step + place) % n for place in range(window)] for s in starts]
    assert windows(step, (0, n), config) == reference


@given(st.integers(60, 900), st.integers(0, 30), st.data())
def test_every_frame_of_a_span_is_denoised_and_windows_lie_as_in_one_piece(
    n: int, step: int, data: st.DataObject
) -> None:
    config = SonicConfig()
    plan = plan_chunks(n * 2 - 1, chunk_seconds=8, geometry=Geometry(reach=25, window=25))
    chunk = data.draw(st.sampled_from(plan.chunks))
    first, stop = ring = on_ring(chunk.span, plan.gen_frames, config.window)
    found = windows(step, ring, config, plan.gen_frames)
    assert {frame for window in found for frame in window} == set(range(stop - first))
    # a window that wraps around no end of the span is a window of the whole job
    whole = {tuple(window) for window in windows(step, (0, plan.gen_frames), config)}
    inside = [window for window in found if window[-1] - window[0] == config.window - 1]
    assert all(tuple((first + frame) % plan.gen_frames for frame in window) in whole for window in inside)
    # what wraps costs at most a window at each end
    assert len(found) <= -(-(stop - first) // config.window) + 2


FRAMES, SIDE = 45, 8  # latents of 8x8


@cache
def lesson() -> Conditioning:
    """A job of 45 gen_frames, no multiple of the window of 8, at 64x64 pixels."""
    drawn = partial(torch.randn, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, 8 * SIDE, 8 * SIDE)
    mask[..., 16:48, 16:48] = 1
    return Conditioning(
        drawn(1, 48), drawn(1, 4, SIDE, SIDE), mask, drawn(FRAMES, 4, 48), drawn(4, 48), 16 + drawn(FRAMES, 2)
    )


@cache
def two_levels() -> SonicUNet:
    """Attention and convolution, through space and time, at half of a golden UNet's cost."""
    config = {
        **golden_case("pipeline_a").facts["config"]["unet"],
        "block_out_channels": [32, 64],
        "num_attention_heads": [1, 2],
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
        "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
    }
    unet: SonicUNet = fill(SonicUNet(**config)).eval().requires_grad_(False)
    return unet


def rendered(span: tuple[int, int], *, seed: int = 5, phase: int = 0) -> Tensor:
    """A span of the lesson; another phase moves its windows away from where the whole job has them."""
    job = lesson()
    frames = [frame % FRAMES for frame in range(*span)]
    part = replace(job, audio_tokens=job.audio_tokens[frames], motion_buckets=job.motion_buckets[frames])
    return denoise(
        two_levels(),
        golden_case("pipeline_a").scheduler,
        part,
        config=SonicConfig(steps=4, window=8, shift=3, memory="fast"),
        span=(span[0] + phase, span[1] + phase),
        noise=noise_for(seed, frames, (4, SIDE, SIDE)),
        on_step=lambda share: None,
        gen_frames=FRAMES + 8 * phase,
    )


def test_chunks_come_out_as_one_piece_would() -> None:
    one_piece = rendered((0, FRAMES))
    neighbours = float((one_piece[1:] - one_piece[:-1]).abs().mean())

    def differences(latents: Tensor, span: tuple[int, int], kept: tuple[int, int]) -> Tensor:
        """Mean absolute difference of every kept frame, in units of what neighbouring frames differ by."""
        own = latents[kept[0] - span[0] : kept[1] - span[0]]
        return (own - one_piece[kept[0] : kept[1]]).abs().mean((1, 2, 3)) / neighbours

    plan = plan_chunks(2 * FRAMES - 1, chunk_seconds=1.7, geometry=Geometry(reach=8, window=8, fade=2))
    assert len(plan.chunks) == 2
    found = []
    for chunk in plan.chunks:
        span = on_ring(chunk.span, FRAMES, 8)
        assert span != (0, FRAMES)
        found.append(differences(rendered(span), span, chunk.kept))
    ours = torch.cat(found)
    chunk, span = plan.chunks[1], on_ring(plan.chunks[1].span, FRAMES, 8)
    phase = differences(rendered(span, phase=3), span, chunk.kept)
    noise = differences(rendered(span, seed=77), span, chunk.kept)
    for name, values in (("absolute phase and noise", ours), ("another phase", phase), ("noise of its own", noise)):
        print(f"{name}: mean {float(values.mean()):.4f}, worst kept frame {float(values.max()):.4f}")  # noqa: T201
    assert float(ours.mean()) <= MOST_DIFFERENCE
    assert min(float(phase.mean()), float(noise.mean())) > MOST_DIFFERENCE  # so the measure can tell
