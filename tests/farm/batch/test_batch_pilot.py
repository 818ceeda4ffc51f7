"""What is shown before a batch is released: which rows, which seconds of their speeches, and for whom they stand."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from engine.media.audio import inspect_speech
from engine.media.video import Encoding, VideoSink
from farm.batch.intake import Order
from farm.batch.pilot import Candidate, Pilot, keep_samples, pilot_of, pilot_samples
from farm.errors import InputRefusedError
from farm.jobs.batches import batch_jobs
from farm.jobs.model import PLAN
from farm.storage import keys
from farm.submission import LONGEST_NAME, Lesson
from tests.conftest import PORTRAIT
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from farm import Job
    from farm.batch.submit import Submitted
    from tests.farm.hands import Hand

BATCH, CLIPS = "20260101-000000-batch0", "20260101-000000-pilot0"


def candidates(folder: Path, *presenters: str) -> list[Candidate]:
    """Rows from line 2 on, each with a speech of three seconds."""
    speech = tone(folder / "speech.wav", 3)
    return [
        Candidate(row, presenter, Lesson(portrait=folder / "face.png", speech=speech, name=f"Algebra {row}"))
        for row, presenter in enumerate(presenters, start=2)
    ]


def local(where: str) -> nullcontext[Path]:
    return nullcontext(Path(where))


def test_each_presenter_is_shown_once_for_all_rows(tmp_path: Path) -> None:
    rows = candidates(tmp_path, "anna", "ben", "anna", "anna")
    samples = pilot_samples(rows, Pilot(2), folder=tmp_path, local=local)
    assert [(one.row, one.who, one.stands_for) for one in samples] == [(2, "anna", (2, 4, 5)), (3, "ben", (3,))]


def test_rows_without_a_presenter_are_told_apart_by_their_portraits(tmp_path: Path) -> None:
    rows = candidates(tmp_path, "", "")
    other = Candidate(4, "", Lesson(portrait="s3://faces/ben.png", speech=rows[0].lesson.speech, name="Algebra 4"))
    samples = pilot_samples([*rows, other], Pilot(2), folder=tmp_path, local=local)
    assert [(one.who, one.stands_for) for one in samples] == [("portrait face.png", (2, 3)), ("portrait ben.png", (4,))]


def test_every_nth_row_stands_for_those_up_to_the_next(tmp_path: Path) -> None:
    rows = candidates(tmp_path, "anna", "anna", "anna", "ben", "ben")
    samples = pilot_samples(rows, Pilot(2, every=2), folder=tmp_path, local=local)
    assert [one.stands_for for one in samples] == [(2, 3), (4, 5), (6,)]


def test_a_clip_is_the_lesson_with_a_few_seconds_of_its_speech(tmp_path: Path) -> None:
    (row,) = candidates(tmp_path, "anna")
    lesson = Lesson(
        portrait=row.lesson.portrait,
        speech=row.lesson.speech,
        name="A" * LONGEST_NAME,
        duration=3,
        subtitles="lesson.srt",
        token="mine",
        webhook="https://school.example/told",
        edit_of="20260101-000000-aaaaaa",
        parameters={"seed": 7},
    )
    (sample,) = pilot_samples([Candidate(2, "anna", lesson)], Pilot(2), folder=tmp_path, local=local)
    clip = sample.lesson
    assert inspect_speech(Path(clip.speech)).seconds == 2
    assert (clip.portrait, clip.parameters, clip.duration, clip.subtitles) == (lesson.portrait, {"seed": 7}, None, None)
    assert clip.name is not None
    assert (len(clip.name), clip.name[-8:]) == (LONGEST_NAME, " (pilot)")
    assert clip.token not in {None, "mine"}
    assert (clip.webhook, clip.edit_of) == ("", ""), "who waits for the lesson hears of the lesson alone"


def test_the_loudest_seconds_are_shown_where_they_are_wanted(tmp_path: Path) -> None:
    import wave

    (row,) = candidates(tmp_path, "anna")
    with wave.open(str(row.lesson.speech), "rb") as file:
        parameters, sound = file.getparams(), np.frombuffer(file.readframes(file.getnframes()), "<i2").copy()
    sound[: 2 * 16_000] //= 8
    with wave.open(str(row.lesson.speech), "wb") as file:
        file.setparams(parameters)
        file.writeframes(sound.tobytes())
    levels = []
    for begin in ("start", "loudest"):
        pilot = Pilot.wanted("1s", "presenter", begin)
        (sample,) = pilot_samples([row], pilot, folder=tmp_path, local=local)
        levels.append(inspect_speech(Path(sample.lesson.speech)).loudness_dbfs)
    assert levels[1] > levels[0] + 15


def test_what_is_wanted_is_read_from_words_and_all_that_is_wrong_is_named(tmp_path: Path) -> None:
    assert Pilot.wanted("8s") == Pilot(8.0)
    assert Pilot.wanted("2.5", "10", "loudest") == Pilot(2.5, 10, "loudest")
    with pytest.raises(InputRefusedError) as refusal:
        Pilot.wanted("8 minutes", "0", "end")
    assert refusal.value.problems == [
        "pilot is '8 minutes', wanted a length from 1s to 60s, such as 8s",
        "pilot-of is '0', wanted 'presenter', or N for every N-th row",
        "pilot-from is 'end', wanted one of start, loudest",
    ]


def test_a_clip_that_was_shown_goes_on_standing_for_its_presenter(hand: Hand, tmp_path: Path) -> None:
    rows = candidates(tmp_path, "anna", "anna", "anna")
    first = pilot_samples(rows[1:], Pilot(2), folder=tmp_path, local=local)
    keep_samples(hand.storage, BATCH, CLIPS, [("clip", one) for one in first])
    before = pilot_of(hand.storage, BATCH)
    again = pilot_samples(rows, Pilot(2), folder=tmp_path, local=local, before=before)  # the first row was mended
    assert [(one.row, one.stands_for) for one in again] == [(3, (2, 3, 4))]
    keep_samples(hand.storage, BATCH, CLIPS, [("clip", one) for one in again])
    kept = pilot_of(hand.storage, BATCH)
    assert kept is not None
    assert (kept.batch, [clip.stands_for for clip in kept.clips]) == (CLIPS, [(2, 3, 4)])


def test_clips_that_are_the_same_are_one_that_stands_for_the_rows_of_all(hand: Hand, tmp_path: Path) -> None:
    samples = pilot_samples(candidates(tmp_path, "anna", "ben", "anna"), Pilot(2), folder=tmp_path, local=local)
    keep_samples(hand.storage, BATCH, CLIPS, [("clip", one) for one in samples])
    kept = pilot_of(hand.storage, BATCH)
    assert kept is not None
    assert [(clip.row, clip.stands_for) for clip in kept.clips] == [(2, (2, 4, 3))]


def rendered(hand: Hand, job: Job, video: Path) -> None:
    """A clip with its video."""
    hand.books.planned(hand.claim(job, PLAN), frames25=25, chunks=1)
    hand.render(job, 0)
    hand.stitch(job)
    hand.storage.put_file(keys.result(job.id, 1, "video.mp4"), video)
    hand.storage.put_bytes(keys.result(job.id, 1, "poster.jpg"), b"a picture")


def test_what_the_page_rejects_are_the_lessons_of_its_clip_wherever_others_were_put_in(
    hand: Hand, tmp_path: Path
) -> None:
    video = tmp_path / "clip.mp4"
    with VideoSink(video, (64, 64), Encoding()) as sink:
        for _ in range(25):
            sink.write(np.full((64, 64, 3), 90, np.uint8))
        sink.finish()
    for face, turned in (("anna", False), ("ben", True)):
        photo = Image.open(PORTRAIT).convert("RGB")
        (photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if turned else photo).save(tmp_path / f"{face}.png")
    lessons = [f"{name} {number},{name}.png,{name}{number}.wav" for name in ("anna", "ben") for number in (1, 2)]
    for number, lesson in enumerate([*lessons, "anna 0,anna.png,anna0.wav"]):
        tone(tmp_path / lesson.rpartition(",")[2], 1 + number / 10)
    course, order = tmp_path / "course.csv", Order(pilot=Pilot(1))

    def submitted(*rows: str) -> Submitted:
        course.write_text("\n".join(["name,portrait,speech", *rows]) + "\n")
        return hand.farm.submit_batch(course, order)

    submitted(*lessons)
    done = submitted("anna 0,anna.png,anna0.wav", *lessons)
    assert done.pilot is not None
    batch, clips = hand.farm.batch(done.id), batch_jobs(hand.books, done.pilot)
    for clip in clips:
        rendered(hand, hand.farm.job(clip), video)
    assert len(clips) == 2, "the clip of anna stands for the new lesson too"
    assert [(row.row, row.name) for row in batch.rows(2, 99)] == [
        *enumerate(("anna 1", "anna 2", "ben 1", "ben 2"), start=2),
        (7, "anna 0"),
    ]

    def offered() -> list[tuple[str, str]]:
        page = batch.collect_pilot(tmp_path).page.read_text(encoding="utf-8")
        return re.findall(f"<code>farm batch ([a-z]+) {done.id}([0-9 -]*)</code>", page)

    assert offered() == [("release", ""), ("reject", " 2-3 7"), ("reject", " 4-5")]
    moved = batch.reject(["2-3", "7"])
    assert [row.name for row in batch.rows_of(moved.jobs)] == ["anna 1", "anna 2", "anna 0"]
    assert offered() == [("release", ""), ("reject", " 4-5")], "only what can be done yet"
    batch.release()
    assert offered() == []
    assert "No row is held any more" in (tmp_path / "pilot.html").read_text(encoding="utf-8")
