"""Jobs through the whole farm: real Redis, real S3, real Celery workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from engine.media.video import read_rgb
from engine.plan import fade_weight
from tests.conftest import PORTRAIT, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm import Farm

SPEECH = next((ROOT / "samples").glob("lesson.*"))


def test_three_chunks_on_two_slots_become_one_video(run_farm: Callable[..., Farm], tmp_path: Path) -> None:
    farm = run_farm(slots=2, renderers=("stripes=tests.renderers:Stripes",))
    job = farm.submit(PORTRAIT, SPEECH, renderer="stripes", chunk_seconds=10)
    view = job.wait(60)
    assert [chunk.state for chunk in view.chunks] == ["done"] * 3
    video = job.fetch(tmp_path / "lesson.mp4")
    frames = list(read_rgb(video))
    assert len(frames) == view.frames25
    assert view.digest == job.report()["digest"]
