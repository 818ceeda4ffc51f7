"""Jobs through the whole farm: real Redis, real S3, real Celery workers."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.media.video import digest_of, frame_hash, read_rgb
from farm import JobFailedError
from farm.jobs.model import JobState
from farm.storage import keys
from tests.conftest import PORTRAIT, wait_until
from tests.renderers import SIDE, shade
from tests.workers.conftest import tone
from workers.scratch import scratch_home

if TYPE_CHECKING:
    from pathlib import Path

    from farm import Job
    from tests.workers.conftest import House


@pytest.fixture(autouse=True)
def _open_gate(house: House) -> None:
    house.gate.touch()


def test_three_chunks_on_two_slots_become_one_video(house: House, tmp_path: Path) -> None:
    job = house.submit("stripes")
    view = job.wait(60)
    assert [chunk.state for chunk in view.chunks] == ["done"] * 3
    frames = list(read_rgb(job.fetch(tmp_path / "lesson.mp4")))
    assert len(frames) == view.frames25 == 300
    drawn = [np.full((SIDE, SIDE, 3), shade(frame), np.uint8) for frame in range(300)]
    assert view.digest == digest_of(map(frame_hash, drawn)), "every frame is the one that was rendered"
    assert max(abs(float(seen.mean()) - float(meant.mean())) for seen, meant in zip(frames, drawn, strict=True)) < 2


def test_what_a_renderer_spoils_within_its_reach_is_never_seen_and_seams_fade(house: House, tmp_path: Path) -> None:
    job = house.submit("spoiling", seconds=20, chunk_seconds=5)
    view = job.wait(60)
    levels = [frame.mean(axis=(0, 1)) for frame in read_rgb(job.fetch(tmp_path / "lesson.mp4"))]
    assert len(view.chunks) == 4
    assert all(np.ptp(level) < 4 for level in levels), "no red frame"
    plan = house.farm.storage.get_json(keys.plan_json(job.id))
    for cut in (2 * chunk["kept"][0] for chunk in plan["chunks"][1:]):
        before, after = levels[cut - 12].mean(), levels[cut + 12].mean()
        assert {round(before / 60), round(after / 60)} == {2, 3}
        weights = [(levels[cut - 8 + k].mean() - before) / (after - before) for k in range(16)]
        assert weights == pytest.approx([(k + 1) / 17 for k in range(16)], abs=0.03), "an offset goes evenly"


def test_seams_whose_sides_differ_are_made_while_the_rest_is_drawn(house: House, tmp_path: Path) -> None:
    house.gate.unlink()
    job = house.submit("aside", seconds=20, chunk_seconds=4, name="Algebra 04")
    kept = partial(kept_seams, house, job)
    wait_until(lambda: kept() == {1, 2, 3}, what="the seams of all chunks but the last")
    assert job.view().state is JobState.RENDERING
    house.gate.touch()
    job.wait(60)
    assert len(list(read_rgb(job.fetch(tmp_path / "lesson.mp4")))) == 500
    assert 4 not in kept(), "the stitch, which was due, made that one for itself"


def kept_seams(house: House, job: Job) -> set[int]:
    """Chunks whose seam with the one before is in storage."""
    listed = (item.key.split("/") for item in house.farm.storage.list(keys.segments_folder(job.id)))
    return {int(key[-3]) for key in listed if key[-1].startswith("seam-") and key[-1].endswith(".json")}


def test_a_slot_killed_in_the_middle_costs_one_attempt_and_no_frame(house: House) -> None:
    whole = house.submit("gated").wait(60).digest
    house.gate.unlink()
    job = house.submit("gated")
    busy = wait_until(lambda: [slot for slot in house.farm.slots() if slot.job == job.id], what="a slot at work")[0]
    os.kill(busy.pid, signal.SIGKILL)
    wait_until(lambda: any(attempt.outcome == "lost" for attempt in job.view().attempts), what="loss noticed")
    house.gate.touch()
    view = job.wait(60)
    assert view.digest == whole
    assert [attempt.outcome for attempt in view.attempts].count("lost") == 1


def test_a_chunk_that_ends_its_process_is_tried_three_times_each_with_its_reason(house: House) -> None:
    job = house.submit("crashing", seconds=2)
    with pytest.raises(JobFailedError, match="chunk 1 failed 3 times, at last: "):
        job.wait(120)
    lost = [attempt for attempt in job.view().attempts if attempt.unit == "0"]
    assert [(attempt.number, attempt.outcome) for attempt in lost] == [(1, "lost"), (2, "lost"), (3, "lost")]


def test_a_bug_in_a_renderer_is_kept_with_its_traceback_in_the_chunks_log(house: House) -> None:
    job = house.submit("failing", seconds=2)
    with pytest.raises(JobFailedError, match="ArithmeticError: the picture fell off the wall"):
        job.wait(60)
    logs = job.logs(chunk=0)
    assert [log.attempt for log in logs] == [1, 2, 3]
    assert "Traceback" in logs[-1].text
    assert "tests/renderers.py" in logs[-1].text


def test_a_bad_input_found_late_fails_the_job_at_once(house: House) -> None:
    job = house.submit("refusing", seconds=2)
    with pytest.raises(JobFailedError, match="no face found, wanted one"):
        job.wait(60)
    view = job.view()
    assert view.error is not None
    assert view.error.code == "bad_portrait"
    assert len([attempt for attempt in view.attempts if attempt.unit == "0"]) == 1


def test_cancelling_stops_a_chunk_in_the_middle(house: House) -> None:
    house.gate.unlink()
    job = house.submit("gated")
    wait_until(lambda: any(slot.job == job.id for slot in house.farm.slots()), what="a slot at work")
    job.cancel()
    wait_until(lambda: all(slot.state == "idle" for slot in house.farm.slots()), what="slots free again")
    with pytest.raises(JobFailedError, match="cancelled by tests"):
        job.wait(5)


def test_a_paused_job_renders_nothing_and_goes_on_when_resumed(house: House) -> None:
    house.gate.unlink()
    job = house.submit("gated")
    wait_until(lambda: any(slot.job == job.id for slot in house.farm.slots()), what="a slot at work")
    job.pause()
    wait_until(lambda: all(slot.state == "idle" for slot in house.farm.slots()), what="slots free again")
    house.gate.touch()
    other = house.submit("stripes")
    other.wait(60)
    assert job.view().paused
    job.resume()
    assert job.wait(60).state == "done"


def test_progress_rises_while_a_chunk_renders(house: House) -> None:
    house.gate.unlink()
    job = house.submit("gated", seconds=2)
    wait_until(lambda: any(slot.job == job.id for slot in house.farm.slots()), what="a slot at work")
    house.gate.touch()
    seen: list[float] = []
    job.wait(60, on_change=lambda view: seen.append(view.percent))
    assert seen == sorted(seen)
    assert seen[-1] == 100


def test_the_same_submit_twice_is_one_job(house: House) -> None:
    speech = tone(house.folder / "twice.wav", 2)
    first = house.farm.submit(PORTRAIT, speech, renderer="stripes", seed=1)
    again = house.farm.submit(PORTRAIT, speech, renderer="stripes", seed=1)
    other = house.farm.submit(PORTRAIT, speech, renderer="stripes", seed=2)
    assert (again.id, again.created) == (first.id, False)
    assert other.created


def test_the_log_of_every_unit_is_kept(house: House) -> None:
    job = house.submit("stripes")
    job.wait(60)
    logs = {log.unit: log.text for log in job.logs()}
    assert set(logs) == {"plan", "0", "1", "2", "stitch"}
    assert "300 frames in 3 chunks" in logs["plan"]
    assert "frames 92 to 209" in logs["1"]


def test_no_scratch_folder_outlives_its_attempt(house: House) -> None:
    job = house.submit("stripes")
    job.wait(60)
    pids = [slot.pid for slot in house.farm.slots()]
    wait_until(lambda: not [path for pid in pids for path in scratch_home().glob(f"{pid}-*")], what="scratch emptied")
