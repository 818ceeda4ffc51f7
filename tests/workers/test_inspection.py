"""What is found in a job's chunks, and which of them must be drawn anew to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.media.measures import Look, Measures
from engine.media.seam import Segment
from engine.media.video import SegmentFiles
from engine.plan import Geometry, plan_chunks
from workers.inspection import Inspection
from workers.segments import SHOWN, Accepted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.spec import ChunkSpec

PLAN = plan_chunks(300, chunk_seconds=4, geometry=Geometry())
CUT = 2 * PLAN.cuts[0]


class Silence:
    samples = 12 * 16000

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        return np.zeros(stop - start, np.int16)


def accepted(chunk: ChunkSpec, black: range) -> Accepted:
    """A chunk in which everything moves as it should, but for black frames."""
    start, stop = chunk.out
    times = np.arange(start, stop)
    steps = (None, *(1 + 0.5 * np.sin(times[1:])).tolist())
    looks = tuple(Look(at, 0.95, (40, 40, 120, 140)) for at in range(start, stop, 25))
    light = tuple(0.0 if at in black else 200.0 for at in times)
    mouth = tuple((0.2 + 0.1 * np.sin(times * 0.9)).tolist())
    facts = dict.fromkeys(SHOWN) | {"width": 64, "height": 64, "recipe": None}
    files = SegmentFiles(Path("body.mp4"), None, None, width=64, height=64, hashes=(), steps=steps)
    return Accepted(Segment(chunk, files), facts, Measures(start, light, light, steps, steps, mouth, looks))


@pytest.mark.parametrize(
    ("black", "chunks", "across"),
    [
        pytest.param(range(CUT + 40, CUT + 53), [1], [], id="in the middle of a chunk"),
        pytest.param(range(CUT + 9, CUT + 16), [1], [0], id="where the chunk alone keeps its noise"),
        pytest.param(range(CUT + 9, CUT + 17), [1], [], id="one frame beyond that"),
    ],
)
def test_a_fault_is_mended_by_the_chunks_that_can_change_it(black: range, chunks: list[int], across: list[int]) -> None:
    inspection = Inspection(PLAN, voiced=(), speech=Silence())
    for chunk in PLAN.chunks:
        inspection.look_at(accepted(chunk, black if chunk.index == 1 else range(0)))
    wanted = inspection.wanted(range(len(PLAN.chunks)))
    assert wanted is not None
    assert (list(wanted.chunks), wanted.across) == (chunks, across)
    assert all("the picture is black" in why for why in wanted.chunks.values())
    assert inspection.wanted({0, 2}) is None, "chunk 1 was drawn anew often enough"
    assert (inspection.wanted({1, 2}) is None) == bool(across), "nor is it drawn anew without the other side"
