"""What the built-in renderers say they hear is what they read, and all that decides their frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.hearing import PREVIEW_CONTEXT, preview_hears, sonic_hears
from engine.plan import Geometry, gen_frames_of, plan_chunks
from engine.preview.mouth import CONTEXT_SAMPLES
from engine.preview.renderer import PreviewRenderer
from engine.renderer import BUILT_IN, Inputs, Renderer, hears_of
from engine.sonic import speech as sonic_speech
from engine.sonic.config import SHIFT, WINDOW, SonicConfig
from engine.sonic.denoise import on_ring, windows
from engine.sonic.renderer import pieces_of
from engine.spec import ChunkSpec, Redraw, RenderSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

PORTRAIT = Path(__file__).parents[2] / "samples" / "portrait.png"
RATE = 16_000


class Listened:
    """Noise of so many seconds that remembers what was read of it; the rest may be other noise."""

    def __init__(self, seconds: int, *, same: tuple[int, int] | None = None) -> None:
        self.samples = seconds * RATE
        self._sound = np.random.default_rng(1).normal(0, 3000, self.samples).astype(np.int16)
        if same is not None:
            other = np.random.default_rng(2).normal(0, 3000, self.samples).astype(np.int16)
            other[max(0, same[0]) : same[1]] = self._sound[max(0, same[0]) : same[1]]
            self._sound = other
        self.read_from, self.read_to = self.samples, 0

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        self.read_from, self.read_to = min(start, self.read_from), max(stop, self.read_to)
        out = np.zeros(stop - start, np.int16)
        first, last = max(0, start), min(stop, self.samples)
        if first < last:
            out[first - start : last - start] = self._sound[first:last]
        return out


def chunk_of(span: tuple[int, int], **more: Any) -> ChunkSpec:
    return ChunkSpec(0, span, span, (2 * span[0], 2 * span[1]), 0, 0, **more)


def test_preview_reads_what_it_says_and_draws_the_same_whatever_lies_beyond() -> None:
    renderer, spec = PreviewRenderer(), RenderSpec(min_resolution=128)
    renderer.load("cpu")
    chunk = plan_chunks(30 * 25, chunk_seconds=3, geometry=Geometry()).chunks[4]
    touched = renderer.hears(chunk, gen_frames_of(30 * 25), spec)
    assert touched is not None
    assert not touched.length

    def drawn(speech: Listened) -> bytes:
        frames25 = speech.samples // 640
        inputs = Inputs(PORTRAIT, speech, spec, frames25, gen_frames_of(frames25))
        frames = renderer.render(chunk, renderer.prepare(inputs), lambda _share: None)
        return b"".join(frame.tobytes() for frame in frames)

    one = Listened(30)
    pictures = drawn(one)
    assert touched.samples == ((one.read_from, one.read_to),)
    assert drawn(Listened(60, same=touched.samples[0])) == pictures
    assert drawn(Listened(60, same=(touched.samples[0][0] + 5 * RATE, touched.samples[0][1]))) != pictures


def test_the_length_of_a_job_matters_to_preview_where_something_is_drawn_anew() -> None:
    assert preview_hears(chunk_of((50, 90), redraw=Redraw(7, 58, 82)), 500, RenderSpec()).length
    assert PREVIEW_CONTEXT == CONTEXT_SAMPLES


class Stub:
    """A whisper of one layer and one channel that answers nothing."""

    encoder_layers, d_model = 0, 1


@pytest.mark.parametrize("gen_frames", [4, 30, 370, 380, 1200])
@pytest.mark.parametrize("span", [(0, 4), (0, 25), (1, 26), (3, 378), (200, 375), (370, 1200), (381, 756)])
def test_sonic_reads_the_windows_of_whisper_that_it_says(
    monkeypatch: pytest.MonkeyPatch, span: tuple[int, int], gen_frames: int
) -> None:
    if span[1] > gen_frames:
        return
    import torch

    read = []

    def sound(start: int, stop: int) -> NDArray[np.float32]:
        read.append((start, stop))
        return np.zeros(max(0, stop - start), np.float32)

    class Whisper:
        config = Stub
        dtype = torch.float32

    def picture(_extractor: object, heard: Any, *, samples: int, window: int) -> torch.Tensor:
        heard(window * sonic_speech.WINDOW_SAMPLES, (window + 1) * sonic_speech.WINDOW_SAMPLES)
        return torch.zeros(1)

    monkeypatch.setattr(sonic_speech, "log_mel", picture)
    monkeypatch.setattr(sonic_speech, "_hidden_states", lambda *_: torch.zeros(sonic_speech.WINDOW_TOKENS, 1, 1))
    ring = on_ring(span, gen_frames, WINDOW)
    for piece in pieces_of(ring, gen_frames):
        sonic_speech.hear(Whisper, None, sound, samples=gen_frames * 1280, span=piece)
    touched = sonic_hears(chunk_of(span), gen_frames, RenderSpec(steps=25))
    told = {at for start, stop in touched.samples for at in range(start, stop, sonic_speech.WINDOW_SAMPLES)}
    assert {start for start, _ in read} == told


@given(
    span=st.tuples(st.integers(WINDOW, 400), st.integers(1, 400)),
    behind=st.tuples(st.integers(1, 1600), st.integers(1, 1600)),
    steps=st.integers(1, 40),
)
def test_a_span_that_sonic_calls_free_of_the_length_meets_the_same_windows_in_any_job(
    span: tuple[int, int], behind: tuple[int, int], steps: int
) -> None:
    span = span[0], span[0] + span[1]
    lengths = [span[1] + more for more in behind]
    spec = RenderSpec(renderer="sonic", steps=steps)
    assume(not any(sonic_hears(chunk_of(span), length, spec).length for length in lengths))
    config = SonicConfig(steps=steps)
    assert (config.window, config.shift) == (WINDOW, SHIFT)
    one, other = ([windows(step, span, config, length) for step in range(steps)] for length in lengths)
    assert one == other
    assert all(on_ring(span, length, WINDOW) == span for length in lengths)
    first, second = (sonic_hears(chunk_of(span), length, spec).samples for length in lengths)
    assert first == second


def test_a_job_is_a_ring_for_sonic_and_its_ends_hear_each_other() -> None:
    spec = RenderSpec(renderer="sonic", steps=25)
    assert sonic_hears(chunk_of((0, 400)), 2000, spec).samples == ((0, 2 * 480_000), (5 * 480_000, 6 * 480_000))
    assert sonic_hears(chunk_of((0, 400)), 2000, spec).length
    assert sonic_hears(chunk_of((1800, 1900)), 2000, spec).length
    assert not sonic_hears(chunk_of((400, 800)), 2000, spec).length


def test_a_renderer_from_elsewhere_hears_everything_unless_it_says_what() -> None:
    assert Renderer.hears(chunk_of((0, 25)), 100, RenderSpec()) is None
    declared = {"stripes": "tests.renderers:Stripes", "blackout": "tests.renderers:Blackout"}
    assert hears_of("stripes", declared)(chunk_of((0, 25)), 100, RenderSpec()) is None
    assert hears_of("blackout", declared)(chunk_of((0, 25)), 100, RenderSpec()) is not None
    assert hears_of("sonic", {}) is BUILT_IN["sonic"].hears
