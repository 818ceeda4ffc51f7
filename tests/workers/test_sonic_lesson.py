"""The Sonic renderer through the whole farm, on a tiny made-up checkpoint in the released layout."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from farm import Farm
from tests.conftest import PORTRAIT, running, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm import Job, Settings
    from farm.jobs.model import SlotView

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    subprocess.run([sys.executable, "-m", "engine.sonic.weights", "tiny", str(folder)], check=True, capture_output=True)
    return folder


def submit(farm: Farm, folder: Path, token: str = "") -> Job:
    speech = tone(folder / "s.wav", 5)
    return farm.submit(
        PORTRAIT,
        speech,
        renderer="sonic",
        steps=2,
        min_resolution=128,
        chunk_seconds=2.4,
        token=token or str(farm.settings.slots),
    )


def test_one_slot_and_three_and_a_retry_after_a_kill_give_the_same_frames(
    settings: Settings, weights: Path, tmp_path: Path
) -> None:
    sonic = {"renderers": ("sonic",), "weights": weights, "lease_seconds": 5.0}
    with started(settings, slots=1, reuse=True, **sonic) as farm:
        job = submit(farm, tmp_path)
        whole = job.wait(300)
        segments = job.report()["segments"]
        same = submit(farm, tmp_path, "again").wait(60)
    assert (len(whole.chunks), whole.frames25) == (2, 125)
    assert [chunk.taken_from for chunk in same.chunks] == [job.id, job.id]
    assert same.digest == whole.digest
    assert "CC BY-NC-SA 4.0" in whole.licence
    assert {len(segment["renderer_facts"]["weights"]) for segment in segments} == {64}
    assert {segment["renderer_facts"]["memory_mode"] for segment in segments} <= {"fast", "lean"}

    with started(settings, slots=3, **sonic) as farm:
        again = submit(farm, tmp_path)
        at_work = wait_until(lambda: slots_at(farm, again), seconds=60, what="a slot at work")
        os.kill(at_work[0].pid, signal.SIGKILL)
        retried = again.wait(300)
    assert "lost" in {attempt.outcome for attempt in retried.attempts}
    assert retried.digest == whole.digest


@contextmanager
def started(settings: Settings, **changes: object) -> Iterator[Farm]:
    chosen = settings.model_copy(update=changes)
    chosen.model_fields_set.update(changes)
    with Farm(chosen) as farm, running(farm, {}):
        yield farm


def slots_at(farm: Farm, job: Job) -> list[SlotView]:
    return [slot for slot in farm.slots() if slot.job == job.id]
