"""What the demo renders is cut so that there is something to see of a farm."""

from __future__ import annotations

import pytest

from engine.media.audio import inspect_speech
from engine.plan import plan_chunks
from engine.renderer import BUILT_IN
from engine.spec import OutputSpec
from farm.cli.demo import SAMPLES, SHOWS
from farm.estimate import geometry_for


@pytest.mark.parametrize("renderer", sorted(SHOWS))
def test_a_demo_has_chunks_for_more_than_one_slot(renderer: str) -> None:
    show, built_in = SHOWS[renderer], BUILT_IN[renderer]
    geometry = geometry_for(built_in.geometry, OutputSpec(smoothing=built_in.smoothing))
    frames25 = inspect_speech(SAMPLES / show.speech).frames25
    assert len(plan_chunks(frames25, chunk_seconds=show.chunk_seconds, geometry=geometry).chunks) >= 2
