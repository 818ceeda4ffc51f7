"""The plan counts the windows that Sonic's loop computes."""

from __future__ import annotations

import pytest

from engine.plan import plan_chunks
from engine.renderer import BUILT_IN
from engine.sonic.config import SonicConfig
from engine.sonic.denoise import on_ring, windows

STEPS = 25
CONFIG = SonicConfig()


@pytest.mark.parametrize(
    ("frames25", "chunk_seconds"), [(15_000, 30), (14_998, 30), (15_000, 60), (2_400, 8), (300, 30)]
)
def test_a_chunks_windows_are_as_many_as_planned_at_each_step(frames25: int, chunk_seconds: float) -> None:
    plan = plan_chunks(frames25, chunk_seconds=chunk_seconds, geometry=BUILT_IN["sonic"].geometry)
    more = 0
    for step in range(STEPS):
        for chunk in plan.chunks:
            ring = on_ring(chunk.span, plan.gen_frames, CONFIG.window)
            found = len(windows(step, ring, CONFIG, plan.gen_frames))
            assert found >= plan.windows(chunk)
            more += found - plan.windows(chunk)
    # the job's own ring has a window that overlaps the next where its length is no whole number of them
    assert more == 0 if plan.gen_frames % CONFIG.window == 0 else more <= 3 * STEPS


def test_where_a_span_begins_in_a_window_makes_no_difference_to_their_number() -> None:
    for start in range(1000, 1000 + CONFIG.window):
        counts = {len(windows(step, (start, start + 18 * 25), CONFIG, 7500)) for step in range(STEPS)}
        assert counts == {18}
    partial = [len(windows(step, (1000, 1000 + 18 * 25 + 1), CONFIG, 7500)) for step in range(STEPS)]
    assert min(partial) == 19
