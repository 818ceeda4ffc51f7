"""plan_job on a real farm's books and storage: what plan.json says, and what the farm's state makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine.media.audio import decode_speech
from engine.spec import OutputSpec, RenderSpec
from farm import Farm, InputRefusedError, edit
from farm.dryrun import Wanted, dry_run
from farm.jobs.policy import Policy, write_policy
from farm.jobs.speeds import Work, speeds_of
from farm.storage import keys
from tests.conftest import PORTRAIT
from tests.workers.conftest import tone
from workers.planfile import PlanFile
from workers.planning import plan
from workers.process import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm import Job, Settings
    from farm.storage.s3 import Storage

# a worker's own process does not turn what a library will change one day into an error

LESSON = PORTRAIT.parent / "lesson.opus"
PORTRAIT_SHA256 = "0" * 64


@pytest.fixture
def worker(settings: Settings) -> Iterator[Worker]:
    worker = Worker.start(settings, "cpu0")
    yield worker
    worker.books.close()
    worker.bell.close()


def planned(worker: Worker, job: Job) -> PlanFile:
    plan(worker, job.id)
    return PlanFile.from_dict(worker.storage.get_json(keys.plan_json(job.id)))


def add_slots(worker: Worker, count: int, **more: object) -> None:
    for number in range(count):
        facts = {
            "state": "ready",
            "host": "here",
            "pid": number,
            "process": f"p{number}",
            "launcher": "l",
            "device": "cpu",
            "visible_devices": "",
            "renderers": ["preview"],
            "ttl_ms": 60_000,
            **more,
        }
        worker.books.report_slot(f"slot{number}", facts, loaded=True)


def test_a_plan_tells_its_cuts_in_pauses_the_voices_and_why_its_chunks_are_so_long(
    worker: Worker, settings: Settings
) -> None:
    with Farm(settings) as farm:
        job = farm.submit(PORTRAIT, LESSON, chunk_seconds=10)
        found = planned(worker, job)
        assert (found.chunk_seconds, found.because) == (10, "asked for at submit")
        assert len(job.view().chunks) == len(found.plan.chunks) == 3
    for start, stop in found.voiced:
        assert 0 <= start < stop <= found.plan.frames25
    silent = set(range(found.plan.frames25)).difference(*(range(*span) for span in found.voiced))
    assert {2 * cut for cut in found.plan.cuts} <= silent
    assert 0.1 < len(silent) / found.plan.frames25 < 0.3


def test_a_speech_without_pauses_is_cut_evenly(worker: Worker, settings: Settings, tmp_path: Path) -> None:
    with Farm(settings) as farm:
        found = planned(worker, farm.submit(PORTRAIT, tone(tmp_path / "s.wav", 12), chunk_seconds=4))
    assert found.plan.cuts == (50, 101) or found.plan.cuts == (50, 100)
    assert found.voiced == ()


def test_a_lesson_that_comes_again_is_cut_as_it_was_however_busy_the_farm_is_by_then(
    worker: Worker, settings: Settings, tmp_path: Path
) -> None:
    reusing = settings.model_copy(update={"reuse": True})
    worker.settings = reusing
    add_slots(worker, 8)
    speech = tone(tmp_path / "s.wav", 96)
    with Farm(reusing) as farm:
        job = farm.submit(PORTRAIT, speech)
        first = planned(worker, job)
        add_slots(worker, 12)
        again = planned(worker, farm.submit(PORTRAIT, speech, token="again"))
        assert again.plan == first.plan
        assert again.because == f"7 of 7 cuts are those of job {job.id}"
        assert farm.dry_run(PORTRAIT, speech).plan == first.plan
        for more in ({"seed": 7}, {"chunk_seconds": 10}):
            other = planned(worker, farm.submit(PORTRAIT, speech, token=str(more), **more))
            assert other.plan.cuts != first.plan.cuts


def test_a_lesson_whose_plan_is_cleaned_away_while_it_comes_again_is_cut_anew(
    worker: Worker, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reusing = settings.model_copy(update={"reuse": True})
    worker.settings = reusing
    add_slots(worker, 2)
    speech = tone(tmp_path / "s.wav", 96)
    found = edit.planned_before

    def then_removed(storage: Storage, lesson: str) -> str | None:
        """A `farm clean` of the job right after it was found."""
        job = found(storage, lesson)
        if job is not None:
            storage.delete(*(item.key for item in storage.list(keys.job_folder(job))))
        return job

    monkeypatch.setattr(edit, "planned_before", then_removed)
    with Farm(reusing) as farm:
        first = planned(worker, farm.submit(PORTRAIT, speech))
        again = planned(worker, farm.submit(PORTRAIT, speech, token="again"))
        assert again.plan == first.plan
        assert again.because.startswith("setting chunk_seconds: 2 slots"), "not by cuts that are gone"
        assert farm.dry_run(PORTRAIT, speech).plan == first.plan


def test_an_attempt_that_was_given_up_while_it_hung_leaves_the_plan_of_the_next_one_alone(
    worker: Worker, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = worker.storage.put_file
    other = Worker.start(settings, "cpu1")

    def hanging(key: str, path: Path, **options: Any) -> str:
        """Until the lease has run out, and another worker has planned the job: finer, for there are more slots now."""
        monkeypatch.undo()
        worker.books.client.zadd("farm:leases", {f"{job.id}/plan": 0})
        assert worker.books.sweep().expired == 1
        add_slots(worker, 8)
        plan(other, job.id)
        return put(key, path, **options)

    with Farm(settings) as farm:
        job = farm.submit(PORTRAIT, tone(tmp_path / "s.wav", 96))
        monkeypatch.setattr(worker.storage, "put_file", hanging)
        kept = planned(worker, job).plan
        assert len(kept.chunks) == len(job.view().chunks), "the plan that the books know"
        ended = [(attempt.outcome, attempt.slot) for attempt in job.view().attempts]
        assert ended == [("lost", "cpu0"), ("done", "cpu1")]
    other.books.close()
    other.bell.close()


def test_a_lone_job_on_many_slots_is_cut_finer_and_one_behind_a_queue_is_not(
    worker: Worker, settings: Settings, tmp_path: Path
) -> None:
    add_slots(worker, 8)
    with Farm(settings) as farm:
        found = planned(worker, farm.submit(PORTRAIT, tone(tmp_path / "s.wav", 96)))
        assert found.chunk_seconds == 12
        assert found.because == "1 chunk a slot: 8 slots, 0 chunks waiting for 96 s of speech"
        assert len(found.plan.chunks) == 8
        planned(worker, farm.submit(PORTRAIT, tone(tmp_path / "t.wav", 20), chunk_seconds=1))
        behind = planned(worker, farm.submit(PORTRAIT, tone(tmp_path / "u.wav", 95)))
        assert behind.chunk_seconds > 30
        assert behind.because.startswith("longer than setting chunk_seconds (30): 8 slots, 20 ")


def test_the_first_of_a_burst_is_not_cut_as_if_it_were_alone(
    worker: Worker, settings: Settings, tmp_path: Path
) -> None:
    add_slots(worker, 8)
    speech = tone(tmp_path / "s.wav", 96)
    with Farm(settings) as farm:
        first, *_ = [farm.submit(PORTRAIT, speech, seed=seed) for seed in range(3)]
        found = planned(worker, first)
    said = "setting chunk_seconds: 8 slots, 0 chunks waiting, 2 other jobs not planned yet"
    assert (found.chunk_seconds, found.because) == (settings.chunk_seconds, said)


def test_a_dry_run_is_the_plan_that_a_worker_makes_and_leaves_nothing_behind(
    worker: Worker, settings: Settings
) -> None:
    add_slots(worker, 3)
    wanted = Wanted(
        spec=RenderSpec(),
        output=OutputSpec(smoothing=0.5),
        pixels=512 * 512,
        owner="tests",
        priority=5,
        chunk_seconds=None,
        portrait=PORTRAIT_SHA256,
    )
    shares: list[float] = []
    with Farm(settings) as farm:
        before = list(farm.storage.list("")), sorted(farm.books.client.keys())  # type: ignore[type-var]
        found = dry_run(
            LESSON, wanted, books=farm.books, storage=farm.storage, settings=settings, on_progress=shares.append
        )
        assert (list(farm.storage.list("")), sorted(farm.books.client.keys())) == before  # type: ignore[type-var]
        real = planned(worker, farm.submit(PORTRAIT, LESSON, smoothing=0.5))
    assert found.plan == real.plan
    assert (found.length.seconds, found.length.because) == (real.chunk_seconds, real.because)
    assert found.length.seconds == pytest.approx(32.2 / 3, abs=0.01)
    assert shares == sorted(shares)
    assert found.to_dict()["expected_seconds"] > 0
    assert len(found.noise) == len(found.plan.cuts)


def test_a_dry_run_counts_or_names_what_will_hold_the_job(worker: Worker, settings: Settings, tmp_path: Path) -> None:
    add_slots(worker, 4, most_pixels=512 * 512)
    write_policy(worker.books, Policy(limits={"ada": 1}))
    speech = tone(tmp_path / "s.wav", 2)
    with Farm(settings) as farm:
        small = farm.dry_run(PORTRAIT, speech, owner="ada")
        assert "its owner may have 1 of 4 slots at once" in small.expected.words
        farm.submit(PORTRAIT, speech)
        behind = farm.dry_run(PORTRAIT, speech)
        assert behind.expected.words[-1].startswith("1 other job is not planned yet")
        large = farm.dry_run(PORTRAIT, speech, size="1080p")
    assert large.expected.seconds is None
    assert large.expected.words == ("frames of 1,048,576 pixels fit into the memory of none of 4 slots",)
    assert [warning for warning in large.warnings if "no slot has memory" in warning]


def test_a_dry_run_without_a_farm_plans_for_the_slots_of_the_settings(settings: Settings) -> None:
    lost = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0", "slots": 4})
    wanted = Wanted(
        spec=RenderSpec(),
        output=OutputSpec(),
        pixels=512 * 512,
        owner="tests",
        priority=5,
        chunk_seconds=10,
        portrait=PORTRAIT_SHA256,
    )
    with Farm(lost) as farm:
        found = dry_run(
            LESSON, wanted, books=farm.books, storage=farm.storage, settings=lost, on_progress=lambda _share: None
        )
    assert len(found.plan.chunks) == 3
    (warning,) = found.warnings
    assert warning.startswith("planned for setting slots (4): Redis at redis://127.0.0.1:1/0")
    assert found.expected.words == ("preview on cpu: 0.28 s for a second of video, assumed, not measured",)


def test_a_dry_run_says_that_it_does_not_know_the_geometry_of_a_renderer_of_ones_own(
    settings: Settings, tmp_path: Path
) -> None:
    with Farm(settings) as farm:
        found = farm.dry_run(PORTRAIT, tone(tmp_path / "s.wav", 2), renderer="spoiling")
    (warning,) = [each for each in found.to_dict()["warnings"] if "does not come with the farm" in each]
    assert warning.startswith("renderer 'spoiling' does not come")
    assert "its reach and window are known to the workers alone: planned as if it had neither" in warning


def test_the_reach_that_is_set_is_what_sonic_is_planned_and_checked_with(
    worker: Worker, settings: Settings, tmp_path: Path
) -> None:
    add_slots(worker, 1)
    speech = tone(tmp_path / "s.wav", 40)
    plans = []
    for reach in (25, 38):
        set_so = settings.model_copy(update={"sonic_reach": reach})
        worker.settings = set_so
        with Farm(set_so) as farm:
            asked: dict[str, Any] = {"renderer": "sonic", "chunk_seconds": 15}
            found = farm.dry_run(PORTRAIT, speech, **asked).plan
            assert planned(worker, farm.submit(PORTRAIT, speech, token=f"reach-{reach}", **asked)).plan == found
            with pytest.raises(InputRefusedError, match=f"wanted {reach / 12.5:g} or more for this renderer and"):
                farm.submit(PORTRAIT, speech, renderer="sonic", chunk_seconds=1)
        plans.append(found)
    assert [plan.geometry.reach for plan in plans] == [25, 38]
    assert plans[0].computed < plans[1].computed


def test_how_long_planning_took_is_kept_for_the_next_estimate(
    worker: Worker, settings: Settings, tmp_path: Path
) -> None:
    with Farm(settings) as farm:
        planned(worker, farm.submit(PORTRAIT, tone(tmp_path / "s.wav", 2)))
    speed = speeds_of(worker.books)[Work("plan", "cpu")]
    assert speed.pieces == 1
    assert 0 < speed.pace < 10


def test_what_renderers_read_is_what_was_heard(worker: Worker, settings: Settings, tmp_path: Path) -> None:
    with Farm(settings) as farm:
        job = farm.submit(PORTRAIT, LESSON, chunk_seconds=10)
        planned(worker, job)
    decode_speech(LESSON, pcm=tmp_path / "a.pcm", m4a=tmp_path / "a.m4a", on_progress=lambda _share: None)
    stored = np.frombuffer(worker.storage.get_bytes(keys.speech_pcm(job.id)), "<i2")
    assert np.array_equal(stored, np.fromfile(tmp_path / "a.pcm", "<i2"))
