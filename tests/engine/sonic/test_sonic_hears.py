"""A chunk that hears the same is the same, bit for bit, in a longer job with other words at its end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.hearing import sonic_hears
from engine.plan import ChunkSpec, plan_chunks
from engine.renderer import Inputs
from engine.sonic.renderer import SonicRenderer
from engine.spec import RenderSpec

if TYPE_CHECKING:
    import pytest
    from numpy.typing import NDArray

PORTRAIT = Path(__file__).parents[3] / "samples" / "portrait.png"
WINDOW = 480_000
SPEC = RenderSpec(renderer="sonic", steps=1, min_resolution=128)


class Speech:
    """Noise, the same in the first 30 s whatever lies behind them."""

    def __init__(self, frames25: int) -> None:
        self.samples = 640 * frames25
        first, rest = np.random.default_rng(1), np.random.default_rng(frames25)
        self._sound = np.concatenate([first.normal(0, 3000, WINDOW), rest.normal(0, 3000, self.samples - WINDOW)])

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        out = np.zeros(stop - start, np.int16)
        heard = self._sound[max(0, start) : max(0, min(stop, self.samples))]
        out[max(0, -start) : max(0, -start) + len(heard)] = heard
        return out


def drawn(renderer: SonicRenderer, frames25: int, index: int) -> tuple[ChunkSpec, NDArray[np.uint8]]:
    plan = plan_chunks(frames25, chunk_seconds=4, geometry=renderer.geometry, keep=((0, 50), (50, 100), (100, 140)))
    chunk = replace(plan.chunks[index], out=(220, 226))  # the latents of all of its span go into each frame
    inputs = Inputs(PORTRAIT, Speech(frames25), SPEC, plan.frames25, plan.gen_frames)
    return chunk, np.stack(list(renderer.render(chunk, renderer.prepare(inputs), lambda _share: None)))


def test_an_appended_speech_leaves_the_chunks_that_do_not_hear_it_as_they_were(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("FARM_WEIGHTS", str(tiny))
    renderer = SonicRenderer()
    renderer.load("cpu")
    shorter, longer = 31 * 25, 38 * 25 + 1
    chunk, before = drawn(renderer, shorter, 2)
    same, after = drawn(renderer, longer, 2)
    assert chunk == same
    touched = [sonic_hears(chunk, frames25 // 2 + 1, SPEC) for frames25 in (shorter, longer)]
    assert [(one.samples, one.length) for one in touched] == [(((0, WINDOW),), False)] * 2
    assert (before == after).all()
    assert renderer.identity() == {"weights": renderer.weights_identity, "dtype": "float32"}
