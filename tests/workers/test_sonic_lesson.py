"""The Sonic renderer through the whole farm, on a tiny made-up checkpoint in the released layout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PORTRAIT, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm import Farm, Job

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    subprocess.run([sys.executable, "-m", "engine.sonic.weights", "tiny", str(folder)], check=True, capture_output=True)
    return folder


def submit(farm: Farm, folder: Path) -> Job:
    speech = tone(folder / "s.wav", 5)
    return farm.submit(
        PORTRAIT,
        speech,
        renderer="sonic",
        steps=2,
        min_resolution=128,
        chunk_seconds=2.4,
        token=str(farm.settings.slots),
    )


def test_one_slot_and_three_and_a_retry_after_a_kill_give_the_same_frames(
    run_farm: Callable[..., Farm], weights: Path, tmp_path: Path
) -> None:
    sonic = {"renderers": ("sonic",), "weights": weights, "lease_seconds": 5.0}
    one = run_farm(slots=1, **sonic)
    job = submit(one, tmp_path)
    view = job.wait(300)
    assert len(view.chunks) == 2
    assert view.frames25 == 125
    assert "CC BY-NC-SA 4.0" in view.licence
    segments = job.report()["segments"]
    assert {len(segment["renderer_facts"]["weights"]) for segment in segments} == {64}
    assert {segment["renderer_facts"]["memory_mode"] for segment in segments} <= {"fast", "lean"}

    three = run_farm(slots=3, **sonic)
    again = submit(three, tmp_path)
    busy = wait_until(
        lambda: [slot for slot in three.slots() if slot.job == again.id], seconds=60, what="a slot at work"
    )
    os.kill(busy[0].pid, signal.SIGKILL)
    retried = again.wait(300)
    assert "lost" in {attempt.outcome for attempt in retried.attempts}
    assert retried.digest == view.digest
