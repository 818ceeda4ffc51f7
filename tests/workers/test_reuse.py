"""Same content is never rendered twice: through a real farm with the preview renderer."""

from __future__ import annotations

import hashlib
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from engine.media.pcm import PcmSpeech
from engine.media.video import Encoding, SegmentWriter
from engine.preview.renderer import PreviewRenderer
from engine.renderer import Inputs
from engine.spec import Redraw
from farm import Farm, Settings
from farm.errors import InputRefusedError
from farm.jobs.request import JobRequest
from farm.jobs.speeds import Work, speeds_of
from farm.local.servers import redis_server
from farm.storage import keys
from tests.conftest import PORTRAIT, ROOT, running, wait_until
from workers.beside import Beside
from workers.planfile import PlanFile
from workers.studio import Faces, Studio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.media.video import SegmentFiles
    from engine.renderer import Frame
    from farm import Job
    from farm.local.servers import S3Server

pytestmark = pytest.mark.timeout(300)

RATE = 16_000
SECONDS = 24
GREETING = ROOT / "samples" / "greeting.opus"
PREVIEW = Work("preview", "cpu", 25)


def babble(seconds: float, *, seed: int) -> NDArray[np.int16]:
    """Noise in syllables and pauses: no second of it is like another."""
    chance = np.random.default_rng(seed)
    loud = np.repeat(chance.random(round(seconds * 5)) > 0.3, RATE // 5)
    return (loud * chance.normal(0, 3000, len(loud))).astype(np.int16)


def written(path: Path, samples: NDArray[np.int16]) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def replaced(samples: NDArray[np.int16], at: float, seconds: float) -> NDArray[np.int16]:
    """The same speech with other words for a while."""
    start = round(at * RATE)
    other = babble(seconds, seed=99)
    return np.concatenate([samples[:start], other, samples[start + len(other) :]])


@dataclass
class Course:
    """A farm that rendered one lesson, and the lesson."""

    farm: Farm
    folder: Path
    speech: NDArray[np.int16]
    first: Job

    def lesson(self, name: str, samples: NDArray[np.int16]) -> Path:
        return written(self.folder / f"{name}.wav", samples)

    def submit(self, token: str, samples: NDArray[np.int16] | None = None, **more: Any) -> Job:
        speech = self.lesson(token, self.speech if samples is None else samples)
        asked = {"portrait": PORTRAIT, "min_resolution": 128, "smoothing": 0.3, "chunk_seconds": 4} | more
        return self.farm.submit(asked.pop("portrait"), speech, token=token, **asked)

    def said(self, name: str, **more: Any) -> tuple[int, ...] | None:
        """The chunks that a dry run says are rendered already."""
        asked = {"portrait": PORTRAIT, "min_resolution": 128, "smoothing": 0.3, "chunk_seconds": 4} | more
        return self.farm.dry_run(asked.pop("portrait"), self.folder / f"{name}.wav", **asked).rendered


@pytest.fixture(scope="module")
def course(s3_service: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    folder = tmp_path_factory.mktemp("course")
    with redis_server(folder / "redis") as redis:
        settings = Settings(
            dir=folder / "farm",
            redis_url=redis.url,
            s3_endpoint=s3_service.endpoint,
            s3_access_key=s3_service.access_key,
            s3_secret_key=s3_service.secret_key,
            s3_bucket="sonic-farm",
            s3_prefix=folder.name,
            owner="tests",
            sweep_seconds=0.2,
            check=False,  # noise moves the lips of nobody
            slots=2,
            renderers=("preview",),
        )
        with Farm(settings) as farm, running(farm, {}):
            course = Course(farm, folder, babble(SECONDS, seed=1), None)  # type: ignore[arg-type]
            course.first = course.submit("first")
            course.first.wait(120)
            yield course


def taken_by(job: Job) -> dict[int, str | None]:
    """Chunk -> the job it was taken from, None where it was rendered."""
    return {chunk.index: chunk.taken_from for chunk in job.wait(120).chunks}


def plan_of(farm: Farm, job: Job) -> PlanFile:
    return PlanFile.from_dict(farm.storage.get_json(keys.plan_json(job.id)))


def segment_of(farm: Farm, job: Job, chunk: int) -> dict[str, Any]:
    attempt = job.report()["segments"][chunk]["attempt"]
    found: dict[str, Any] = farm.storage.get_json(keys.segment(job.id, chunk, attempt, "segment.json"))
    return found


def drawn(farm: Farm, job: Job, chunk: int, folder: Path) -> tuple[list[str], str]:
    """What a render of the chunk gives here and now: its frame hashes, and the SHA-256 of its body."""
    request = JobRequest.from_dict(farm.storage.get_json(keys.job_json(job.id)))
    plan = plan_of(farm, job).plan
    portrait, pcm, out = folder / "portrait", folder / "speech.pcm", folder / "out"
    out.mkdir()
    farm.storage.get_file(keys.asset(request.portrait), portrait)
    farm.storage.get_file(keys.speech_pcm(job.id), pcm)
    renderer = PreviewRenderer()
    renderer.load("cpu")
    inputs = Inputs(portrait, PcmSpeech(pcm), request.spec, plan.frames25, plan.gen_frames)
    studio = Studio(request, renderer, inputs, Faces())
    spec = plan.chunks[chunk]

    def encode(frames: Iterator[Frame]) -> SegmentFiles:
        with SegmentWriter(out, spec, Encoding.of(request.output.quality)) as writer:
            for frame in frames:
                writer.write(frame)
            return writer.finish()

    with ThreadPoolExecutor(1) as threads:
        files = studio.draw(spec, studio.meter(spec), lambda _share: None, encode, Beside(threads)).result()
    return list(files.hashes), hashlib.sha256(files.body.read_bytes()).hexdigest()


def test_the_same_lesson_for_another_owner_is_taken_whole_and_no_slot_draws_it(course: Course) -> None:
    farm = course.farm
    before = speeds_of(farm.books)[PREVIEW].pieces
    again = course.submit("again", name="Algebra 03", owner="school-7")
    assert set(taken_by(again).values()) == {course.first.id}
    assert again.view().digest == course.first.view().digest
    assert speeds_of(farm.books)[PREVIEW].pieces == before
    assert {attempt.outcome for attempt in again.view().attempts if attempt.unit.isdecimal()} == {"taken"}
    details = [event.detail for event in again.events()]
    count = len(again.view().chunks)
    assert f"chunk 1, attempt {again.report()['segments'][0]['attempt']}, taken from {course.first.id}" in details
    assert any(f"{count} of {count} chunks are rendered already ({SECONDS:g}" in detail for detail in details)
    assert again.report()["taken"] == {
        "chunks": count,
        "of": count,
        "seconds": pytest.approx(SECONDS, abs=0.1),
        "jobs": [course.first.id],
    }


def test_an_edit_of_very_short_chunks_has_longer_ones_where_its_motion_filter_needs_them(course: Course) -> None:
    speech = course.speech[: 3 * RATE]
    first = course.submit("short", speech, chunk_seconds=0.8, smoothing=0.0)
    assert first.wait(120).state == "done"
    asked = {"edit_of": first.id, "chunk_seconds": None, "smoothing": 0.3}
    assert course.said("short", **asked) == ()
    assert course.submit("smoothed", speech, **asked).wait(120).state == "done"


def test_an_edit_in_the_middle_renders_only_what_hears_it_bit_for_bit(course: Course, tmp_path: Path) -> None:
    edited = replaced(course.speech, 13, 1)
    course.lesson("middle", edited)
    said = course.said("middle", edit_of=course.first.id)
    job = course.submit("middle", edited, edit_of=course.first.id)
    taken = taken_by(job)
    plan, first = plan_of(course.farm, job), plan_of(course.farm, course.first)
    assert plan.plan == first.plan
    assert (plan.edit_of, plan.because) == (
        course.first.id,
        f"{len(first.plan.cuts)} of {len(first.plan.cuts)} cuts are those of job {course.first.id}",
    )
    unheard = [chunk.index for chunk in plan.plan.chunks if chunk.out[1] / 25 < 8.5 or chunk.out[0] / 25 > 18.5]
    assert [index for index, source in taken.items() if source] == unheard
    assert (said, plan.rendered) == (tuple(unheard), tuple(unheard))
    assert 0 < len(unheard) < len(taken)
    segment = segment_of(course.farm, job, unheard[-1])
    assert drawn(course.farm, job, unheard[-1], tmp_path) == (segment["frame_hashes"], segment["files"]["body.mp4"])


def test_appended_speech_renders_the_end_alone(course: Course, tmp_path: Path) -> None:
    longer = np.concatenate([course.speech, babble(6, seed=5)])
    job = course.submit("appended", longer, edit_of=course.first.id)
    taken, plan = taken_by(job), plan_of(course.farm, job).plan
    first = plan_of(course.farm, course.first).plan
    assert plan.cuts[: len(first.cuts)] == first.cuts
    unheard = [chunk.index for chunk in first.chunks if chunk.tail and chunk.out[1] / 25 < SECONDS - 4.3]
    assert [index for index, source in taken.items() if source] == unheard
    assert len(unheard) > len(first.chunks) / 2
    segment = segment_of(course.farm, job, unheard[-1])
    assert drawn(course.farm, job, unheard[-1], tmp_path) == (segment["frame_hashes"], segment["files"]["body.mp4"])


def test_behind_an_insertion_everything_is_new(course: Course) -> None:
    at = round(13.3 * RATE)
    longer = np.concatenate([course.speech[:at], babble(2, seed=7), course.speech[at:]])
    job = course.submit("inserted", longer, edit_of=course.first.id)
    taken, plan = taken_by(job), plan_of(course.farm, job).plan
    assert [index for index, source in taken.items() if source] == [
        chunk.index for chunk in plan.chunks if chunk.out[1] / 25 < 13.3 - 4.3
    ]


def test_another_seed_size_portrait_or_strength_is_another_picture(course: Course) -> None:
    mirrored = course.folder / "mirrored.png"
    cv2.imwrite(str(mirrored), np.ascontiguousarray(cv2.imread(str(PORTRAIT))[:, ::-1]))
    course.lesson("other", course.speech)
    for what in ({"seed": 7}, {"size": "320x320"}, {"portrait": mirrored}, {"smoothing": 0.2}, {"mark": True}):
        assert course.said("other", **what) == ()
    assert course.said("other", calibrate=False, priority=1) == tuple(range(len(course.first.view().chunks)))
    short = course.speech[: 8 * RATE]
    for seed in (7, 8):
        assert set(taken_by(course.submit(f"other-{seed}", short, seed=seed)).values()) == {None}


def test_a_damaged_or_missing_segment_is_rendered_as_usual(course: Course) -> None:
    farm, speech = course.farm, course.speech[: 16 * RATE]
    one = course.submit("spoilt-1", speech, seed=11)
    one.wait(120)
    attempts = [segment["attempt"] for segment in one.report()["segments"]]
    farm.storage.put_bytes(keys.segment(one.id, 0, attempts[0], "body.mp4"), b"this is no video")
    farm.storage.delete(keys.segment(one.id, 1, attempts[1], "segment.json"))
    farm.storage.delete(keys.segment(one.id, 2, attempts[2], "head.mkv"))
    other = course.submit("spoilt-2", speech, seed=11)
    assert [source is None for source in taken_by(other).values()] == [True, True, True, False]
    assert other.view().digest == one.view().digest


def test_what_was_taken_outlives_the_job_it_came_from_and_books_that_were_lost(course: Course) -> None:
    farm, speech = course.farm, course.speech[: 8 * RATE]
    one = course.submit("source", speech, seed=12)
    one.wait(120)
    other = course.submit("keeper", speech, seed=12)
    digest = other.wait(120).digest
    farm.storage.delete(*(item.key for item in farm.storage.list(keys.segments_folder(one.id))))
    farm.storage.delete(*(item.key for item in farm.storage.list(keys.results_folder(other.id))))
    farm.books.client.delete(*farm.books.client.keys(f"farm:job:{other.id}*"))
    farm.books.client.zrem("farm:jobs", other.id)
    farm.recover()
    back = farm.job(other.id).wait(120)
    assert back.digest == digest
    assert {attempt.unit for attempt in back.attempts} == {"stitch"}
    third = course.submit("third", speech, seed=12)
    assert set(taken_by(third).values()) == {other.id}


def test_a_redo_that_was_drawn_once_is_taken_the_next_time(course: Course) -> None:
    job = course.submit("redone")
    first = job.wait(120)
    job.redo(chunks=[1], seed=77)
    drawn_anew = job.wait(120)
    job.rollback(1)
    job.redo(chunks=[1], seed=77)
    wait_until(lambda: len(job.view().versions) == 3, seconds=60)
    again = job.wait(120)
    assert again.digest == drawn_anew.digest != first.digest
    assert job.report()["segments"][1]["taken_from"]["job"] == job.id
    assert Redraw(**job.report()["segments"][1]["redraw"]).seed == 77


def test_a_job_to_edit_that_is_none_is_refused_before_anything_is_queued(course: Course) -> None:
    with pytest.raises(InputRefusedError) as refusal:
        course.submit("nothing", edit_of="20260101-000000-aaaaaa", priority=11)
    assert refusal.value.problems == [
        "edit_of is 20260101-000000-aaaaaa, which is no job that was planned",
        "priority is 11, wanted 0 to 9",
    ]


def test_what_acceptance_refused_is_never_taken_and_what_it_then_accepted_is(run_farm: Callable[..., Farm]) -> None:
    farm = run_farm(slots=2, renderers=("blackout=tests.renderers:Blackout",), reuse=True)

    def rendered(token: str) -> dict[str, list[str | None]]:
        job = farm.submit(
            PORTRAIT, GREETING, token=token, renderer="blackout", chunk_seconds=2, min_resolution=256, check=True
        )
        attempts: dict[str, list[str | None]] = {}
        for attempt in job.wait(120).attempts:
            attempts.setdefault(attempt.unit, []).append(attempt.outcome)
        assert attempts.pop("stitch") == ["refused", "done"]
        assert attempts.pop("plan") == ["done"]
        return attempts

    first = rendered("one")
    assert first == {unit: ["done", "done"] if unit == "1" else ["done"] for unit in first}
    assert rendered("other") == {unit: ["done", "taken"] if unit == "1" else ["taken"] for unit in first}


def test_a_farm_that_is_told_not_to_takes_nothing(course: Course) -> None:
    settings = course.farm.settings.model_copy(update={"reuse": False})
    with Farm(settings) as farm:
        course.lesson("plain", course.speech)
        assert replace(course, farm=farm).said("plain") is None
