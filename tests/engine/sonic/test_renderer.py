"""The renderer on a tiny checkpoint: loaded from a folder, exact frame counts, nothing of one job in the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from engine.errors import DeviceError, RenderError, WeightsError
from engine.plan import Geometry, gen_frames_of, plan_chunks
from engine.renderer import Inputs
from engine.sonic.memory import smaller_when_full
from engine.sonic.renderer import SonicRenderer, frames_on_ring, pieces_of
from engine.spec import RenderSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

PORTRAIT = Path(__file__).parents[3] / "samples" / "portrait.png"
FRAMES25 = 8
MOST_DIFFERENCE = 0.02
"""Of the mean difference between neighbouring frames."""


class Tone:
    """Speech of a steady tone."""

    def __init__(self, frames25: int) -> None:
        self.samples = 640 * frames25

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        at = np.arange(start, stop)
        heard = (3000 * np.sin(at / 20)).astype(np.int16)
        return np.where((at >= 0) & (at < self.samples), heard, 0).astype(np.int16)


@pytest.fixture(scope="module")
def renderer(tiny: Path) -> SonicRenderer:
    torch.set_num_threads(1)
    renderer = SonicRenderer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARM_WEIGHTS", str(tiny))
        renderer.load("cpu")
    return renderer


def frames_of(renderer: SonicRenderer, told: list[float], **parameters: object) -> NDArray[np.uint8]:
    spec = RenderSpec(renderer="sonic", steps=1, min_resolution=128, **parameters)  # type: ignore[arg-type]
    inputs = Inputs(PORTRAIT, Tone(FRAMES25), spec, FRAMES25, gen_frames_of(FRAMES25))
    (chunk,) = plan_chunks(FRAMES25, chunk_seconds=30, geometry=renderer.geometry).chunks
    return np.stack(list(renderer.render(chunk, renderer.prepare(inputs), told.append)))


def test_a_job_has_its_frames_and_leaves_nothing_for_the_next(renderer: SonicRenderer) -> None:
    told: list[float] = []
    first = frames_of(renderer, told, seed=0)
    other = frames_of(renderer, [], seed=1, motion_scale=1.5)
    again = frames_of(renderer, [], seed=0)
    assert first.shape == (FRAMES25, 128, 128, 3)
    assert first.dtype == np.uint8
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    assert not np.array_equal(first, other)
    assert np.array_equal(first, again)


@pytest.mark.parametrize(("named", "words"), [("", "FARM_WEIGHTS is not set"), ("/no/where", "which is no folder")])
def test_weights_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch, named: str, words: str) -> None:
    monkeypatch.setenv("FARM_WEIGHTS", named)
    with pytest.raises(WeightsError, match=words):
        SonicRenderer().load("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")
def test_a_gpu_that_torch_does_not_see_is_told_with_what_would_help(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FARM_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(DeviceError, match=r"cuda was asked for, and this torch .* is built for CPUs alone: install"):
        SonicRenderer().load("cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(DeviceError, match=r"torch sees no GPU: does `nvidia-smi` list it, is its driver as new"):
        SonicRenderer().load("cuda")


JOB = 2 * 23 - 1
SMALL = Geometry(reach=5, window=4, fade=2)
"""Of a sixth of the usual window, for a sixth of the time."""


@pytest.fixture(scope="module")
def cut_and_whole(renderer: SonicRenderer) -> tuple[int, NDArray[np.uint8], NDArray[np.uint8]]:
    """Where a job of two chunks is cut, in frames25; its frames out of the chunks; and out of one piece."""
    spec = RenderSpec(renderer="sonic", steps=2, min_resolution=128, seed=3)
    inputs = Inputs(PORTRAIT, Tone(JOB), spec, JOB, gen_frames_of(JOB))
    features = renderer.prepare(inputs)
    features = replace(features, config=replace(features.config, window=SMALL.window, shift=1))

    def kept(chunk_seconds: float) -> tuple[list[int], NDArray[np.uint8]]:
        plan = plan_chunks(JOB, chunk_seconds=chunk_seconds, geometry=SMALL)
        frames = []
        for chunk in plan.chunks:
            first, stop = max(chunk.out[0], 2 * chunk.kept[0]), min(chunk.out[1], 2 * chunk.kept[1])
            rendered = list(renderer.render(chunk, features, lambda share: None))
            assert len(rendered) == chunk.frames25
            frames += rendered[first - chunk.out[0] : stop - chunk.out[0]]
        return [2 * chunk.kept[1] for chunk in plan.chunks], np.stack(frames)

    (cut, _), chunked = kept(0.9)
    _, whole = kept(60)
    return cut, chunked, whole


def test_two_chunks_make_exactly_the_jobs_frames(
    cut_and_whole: tuple[int, NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    cut, chunked, whole = cut_and_whole
    assert len(chunked) == len(whole) == JOB
    assert 0 < cut < JOB


def test_the_middle_frame_across_a_cut_is_there_and_comes_out_as_in_one_piece(
    cut_and_whole: tuple[int, NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    """frame25 cut - 1 lies between the last kept gen_frame of one chunk and the first of the next."""
    cut, chunked, whole = cut_and_whole
    pictures = whole.astype(float)
    neighbours = np.abs(pictures[1:] - pictures[:-1]).mean()
    differences = np.abs(chunked - pictures).mean((1, 2, 3)) / neighbours
    print(f"middle across the cut {differences[cut - 1]:.4f}, mean of all frames {differences.mean():.4f}")  # noqa: T201
    assert differences[cut - 1] <= MOST_DIFFERENCE
    assert differences.mean() <= MOST_DIFFERENCE
    # a middle, and no repetition of what is beside it
    assert not np.array_equal(chunked[cut - 1], chunked[cut - 2])
    assert not np.array_equal(chunked[cut - 1], chunked[cut])


@pytest.mark.parametrize(
    ("ring", "pieces"), [((-3, 4), [(7, 10), (0, 4)]), ((6, 13), [(6, 10), (0, 3)]), ((0, 10), [(0, 10)])]
)
def test_a_span_on_the_ring_is_heard_in_its_own_order(ring: tuple[int, int], pieces: list[tuple[int, int]]) -> None:
    assert pieces_of(ring, 10) == pieces
    assert [frame for piece in pieces for frame in range(*piece)] == frames_on_ring(ring, 10)


def test_when_memory_runs_out_batches_halve_and_nothing_is_done_twice() -> None:
    done: list[int] = []

    def rest(batch: int):
        for start in range(len(done), 8, batch):
            if batch > 2:
                raise torch.OutOfMemoryError("Tried to allocate 3 GiB, 1 GiB is free")
            yield torch.arange(start, start + batch)

    for part in smaller_when_full(rest, 8, "decoding"):
        done.extend(part.tolist())
    assert done == list(range(8))


def test_when_one_is_too_much_the_chunk_fails_with_what_was_needed() -> None:
    def rest(batch: int):
        raise torch.OutOfMemoryError("Tried to allocate 3 GiB, 1 GiB is free")
        yield

    with pytest.raises(RenderError, match="decoding ran out of memory: Tried to allocate 3 GiB, 1 GiB is free"):
        list(smaller_when_full(rest, 4, "decoding"))
