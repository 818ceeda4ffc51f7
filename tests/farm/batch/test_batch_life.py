"""A batch after its submit, on real books and storage: what is shown of it, and what people decide about it."""

from __future__ import annotations

import csv
import json
import time
from typing import TYPE_CHECKING

import pytest

from farm.batch import kept
from farm.batch.jobless import Jobless, keep_jobless
from farm.batch.kept import Asked
from farm.batch.report import write_csv
from farm.errors import InputRefusedError, NotAllowedError, NotFoundError
from farm.jobs.batches import note_batch
from farm.jobs.hooks import batch_is_entered
from farm.jobs.model import JobState
from farm.jobs.removal import forget_job
from farm.jobs.store import AttemptFailure
from farm.storage import keys
from tests.conftest import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from farm import Job
    from farm.batch.batch import Batch
    from tests.farm.hands import Hand

BATCH = "20260101-000000-batch0"
NOTHING_MOVES = AttemptFailure(code="still_mouth", message="the mouth never moves", permanent=True)


def batch_of(hand: Hand, count: int, *, held: bool = False, max_failures: str = "") -> tuple[Batch, list[Job]]:
    """A batch whose lessons stand in lines 2, 3 ... of its manifest."""
    asked = Asked(id=BATCH, name="algebra", owner="ada", submitted=1.0, manifest="algebra.csv", rows=count)
    asked = Asked(**{**asked.__dict__, "max_failures": max_failures})
    kept.keep(hand.storage, asked)
    asked.enter(hand.books)
    jobs = [
        hand.job(batch=BATCH, row=row, held=held, name=f"Algebra {row:02}", token=f"row {row}")
        for row in range(2, count + 2)
    ]
    return hand.farm.batch(BATCH), jobs


def fail(hand: Hand, job: Job) -> None:
    hand.books.fail(hand.claim(job, "plan"), NOTHING_MOVES)


def test_a_batch_shows_its_totals_and_the_rows_that_need_somebody(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 5)
    fail(hand, jobs[3])
    view = batch.view()
    assert (view.total, view.counts[JobState.FAILED], view.counts[JobState.PLANNING]) == (5, 1, 4)
    assert (view.percent, view.ended) == (20.0, False)
    assert [(row.row, row.name, row.reason) for row in view.rows] == [(5, "Algebra 05", "the mouth never moves")]
    assert json.loads(json.dumps(view.to_dict()))["name"] == "algebra"


def test_only_as_many_wrong_rows_are_named_as_are_asked_for(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 4)
    for job in jobs[1:]:
        fail(hand, job)
    assert [row.row for row in batch.view(most=2).rows] == [3, 4]


def test_rows_are_named_by_their_lines_in_the_manifest(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 5)
    assert [(row.row, row.job) for row in batch.rows(3, 4)] == [(3, jobs[1].id), (4, jobs[2].id)]


def test_a_batch_nobody_knows_is_not_found(hand: Hand) -> None:
    with pytest.raises(NotFoundError, match="batch '20260101-000000-nobody' is not in the books"):
        hand.farm.batch("20260101-000000-nobody")


def test_a_paused_batch_says_who_paused_it_and_how_it_goes_on(hand: Hand) -> None:
    batch, _ = batch_of(hand, 2)
    batch.pause()
    assert batch.view().state == "paused"
    assert batch.view().waits_for == f"paused by tests: nothing more begins until `farm batch resume {BATCH}`"
    batch.resume()
    assert batch.view().state == "open"
    with pytest.raises(NotAllowedError, match="not paused and not stopped"):
        batch.resume()


def test_an_open_batch_says_what_its_next_row_waits_for(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 2)
    fail(hand, jobs[0])
    assert batch.view().waits_for == "Row 3 waits to be planned, but no cpu worker is at work."


def test_the_chunk_in_hand_counts_for_percent_and_time_left(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 2)
    for job in jobs:
        hand.books.planned(hand.claim(job, "plan"), frames25=1000, chunks=4)
    slot = {
        "host": "here",
        "device": "cpu",
        "visible_devices": "",
        "renderers": ["preview"],
        "pid": 1,
        "ttl_ms": 60_000,
    }
    hand.books.report_slot("slot0", {**slot, "state": "ready", "process": "p", "launcher": "l"}, loaded=True)
    hand.render(jobs[0], 0)
    before = batch.view()
    hand.books.renew(hand.claim(jobs[0], 1), percent=50, lease_seconds=60)
    view = wait_until(lambda: one if (one := batch.view()).seconds_left is not None else None)
    assert before.percent < view.percent == pytest.approx(100 * 1.5 / 4 * 0.95 / 2, abs=0.2)


def test_a_batch_that_failed_too_often_says_so_and_can_be_resumed(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 4, max_failures="1")
    fail(hand, jobs[0])
    assert batch.view().state == "open"
    fail(hand, jobs[1])
    view = batch.view()
    assert view.state == "stopped"
    assert view.waits_for.startswith("2 of 4 jobs failed, 1 may fail: nothing more begins until `farm batch resume")
    batch.resume()
    assert batch.view().state == "open"


def test_cancelling_ends_every_row_that_has_not_ended(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 4)
    fail(hand, jobs[0])
    assert batch.cancel().changed == 3
    view = batch.view()
    assert (view.state, view.ended, view.counts[JobState.CANCELLED]) == ("cancelled", True, 3)


def test_a_batch_that_has_ended_is_not_cancelled_unless_rows_are_being_added(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 2)
    fail(hand, jobs[0])
    jobs[1].cancel()
    with pytest.raises(NotAllowedError, match=f"cannot cancel batch {BATCH}: it has ended; submit its manifest again"):
        batch.cancel()
    assert batch.view().state == "open"
    assert not hand.storage.exists(keys.batch_decision(BATCH, "cancel"))
    batch_is_entered(hand.books, BATCH, over=False)
    assert batch.cancel().changed == 0, "of a submit that is under way nothing more begins"
    assert batch.cancel().changed == 0, "twice is no error"
    assert batch.view().state == "cancelled"


def test_retry_takes_up_failed_rows_alone_unless_cancelled_ones_are_meant(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 3)
    fail(hand, jobs[0])
    jobs[1].cancel()
    assert batch.retry().changed == 1
    assert [job.view().state for job in jobs] == ["planning", "cancelled", "planning"]
    batch.cancel()
    with pytest.raises(NotAllowedError, match="cancelled by tests"):
        batch.retry()
    assert batch.retry(cancelled=True).changed == 3
    assert batch.view().state == "open"
    assert [job.view().state for job in jobs] == ["planning"] * 3


def test_a_row_that_was_submitted_again_is_named_when_it_is_not_retried(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 2)
    fail(hand, jobs[0])
    again = hand.job(token="row 2")
    moved = batch.retry()
    assert moved.changed == 0
    assert again.id in moved.refused[jobs[0].id]


def test_priority_goes_to_all_rows_that_have_not_ended(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 3)
    fail(hand, jobs[0])
    assert batch.set_priority(1).changed == 2
    assert [job.view().priority for job in jobs] == [5, 1, 1]
    with pytest.raises(InputRefusedError, match="priority is 10, wanted 0 to 9"):
        batch.set_priority(10)


def test_held_rows_wait_for_their_release_and_rejected_ones_die(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 5, held=True)
    assert batch.view().waits_for == f"5 rows are held until `farm batch release {BATCH}`"
    assert batch.reject(["3", "5-6"]).changed == 3
    assert batch.release() == 2
    assert [job.view().state for job in jobs] == ["planning", "cancelled", "planning", "cancelled", "cancelled"]
    assert batch.view().held == 0
    with pytest.raises(NotAllowedError, match="none of its rows is held"):
        batch.release()


def test_every_row_that_cannot_be_rejected_is_named_at_once(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 2)
    with pytest.raises(InputRefusedError) as refusal:
        batch.reject(["2", "9"])
    assert refusal.value.problems == [
        f"row 2 ({jobs[0].id}) is not held, it is planning",
        f"row 9 is not in batch {BATCH}",
    ]
    with pytest.raises(InputRefusedError, match="row is 'two', wanted a number such as 7"):
        batch.reject(["two"])


def test_what_was_decided_about_a_batch_outlives_the_books(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 4, held=True)
    batch.reject(["2"])
    batch.release()
    batch.set_limit(3)
    batch.pause()
    hand.empty_and_recover()
    view = batch.view()
    assert (view.state, view.limit, view.held, view.total) == ("paused", 3, 0, 4)
    assert [job.view().state for job in jobs] == ["cancelled", "planning", "planning", "planning"]
    batch.resume()
    hand.empty_and_recover()
    assert batch.view().state == "open"


def test_a_rejected_row_that_is_retried_is_not_held_again_by_a_recovery(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 2, held=True)
    note_batch(hand.books, BATCH, pilot="20260101-000000-pilot0")
    batch.reject(["2"])
    assert batch.retry(cancelled=True).jobs == (jobs[0].id,)
    hand.empty_and_recover()
    assert [row.held for row in batch.rows(2, 3)] == [False, True]


def test_held_rows_are_held_after_a_recovery_too(hand: Hand) -> None:
    batch, _ = batch_of(hand, 3, held=True)
    hand.empty_and_recover()
    assert batch.view().held == 3
    assert batch.release() == 3


def test_the_report_has_a_row_for_every_lesson_of_the_manifest(hand: Hand, tmp_path: Path) -> None:
    batch, jobs = batch_of(hand, 3)
    keep_jobless(hand.storage, BATCH, [Jobless(3, "=Algebra", ("no face", "no sound"))])
    fail(hand, jobs[2])
    jobs[1].cancel()
    rows = list(batch.report())
    assert [(row.row, row.state, row.reason) for row in rows] == [
        (2, "planning", "not done yet"),
        (3, "cancelled", "cancelled by tests"),
        (3, "refused", "no face; no sound"),
        (4, "failed", "the mouth never moves"),
    ]
    write_csv(rows, tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["state"] for row in table] == ["planning", "cancelled", "refused", "failed"]
    assert table[2]["name"] == "'=Algebra"  # no formula


def test_the_report_says_of_every_row_without_a_video_what_keeps_it(hand: Hand) -> None:
    batch, jobs = batch_of(hand, 3, held=True, max_failures="0")

    def reasons() -> list[str]:
        return [row.reason for row in batch.report()]

    assert reasons() == [f"held until `farm batch release {BATCH}`"] * 3
    batch.release()
    jobs[1].pause()
    assert reasons() == ["not done yet", f"paused until `farm job resume {jobs[1].id}`", "not done yet"]
    jobs[1].resume()
    batch.pause()
    assert reasons() == ["the batch is paused by tests"] * 3
    batch.resume()
    fail(hand, jobs[0])
    stopped = "the batch is stopped: 1 of 3 jobs failed, 0 may fail"
    assert reasons() == ["the mouth never moves", stopped, stopped]


def test_the_report_links_results_and_names_what_to_look_at(hand: Hand) -> None:
    batch, (job,) = batch_of(hand, 1)
    lease = hand.claim(job, "plan")
    hand.books.planned(lease, frames25=100, chunks=1)
    hand.render(job, 0)
    hand.stitch(job, {"start": 50, "stop": 60, "timecode": "0:02", "sentence": "the mouth is still"})
    (row,) = batch.report()
    assert (row.state, row.seconds, row.reason) == ("done", 4.0, "")
    assert row.url == f"s3://sonic-farm/{hand.farm.settings.s3_prefix}/{keys.result(job.id, 1, 'video.mp4')}"
    assert row.needs_review == ("0:02 the mouth is still",)
    assert [(found.row, found.wrong) for found in batch.view().rows] == [(2, True)]
    (linked,) = batch.report(url_seconds=3600)
    assert linked.url.startswith("http")
    with pytest.raises(InputRefusedError, match="urls is 200 hours, wanted above 0 to 168"):
        list(batch.report(url_seconds=200 * 3600))


def test_chunks_that_were_rendered_before_are_counted_by_row_and_batch(hand: Hand) -> None:
    batch, _ = batch_of(hand, 1)
    jobs = [hand.planned(batch=BATCH, row=row) for row in (3, 4)]
    for job in jobs:
        for chunk in (0, 1):
            hand.books.record(hand.claim(job, chunk), taken="20260101-000000-other1")
        hand.render(job, 2)
    assert ([row.taken for row in batch.report()], batch.view().taken) == ([0, 2, 2], 4)
    hand.stitch(jobs[0])
    jobs[0].redo(chunks=[0])
    assert batch.view().taken == 4, "until it is drawn anew"
    hand.render(jobs[0], 0)
    assert ([row.taken for row in batch.report()], batch.view().taken) == ([0, 1, 2], 3)
    hand.stitch(jobs[0])
    jobs[0].redo(chunks=[1])
    hand.render(jobs[0], 1)
    hand.stitch(jobs[0])
    assert batch.view().taken == 2
    jobs[1].cancel()
    for job in jobs:
        assert forget_job(hand.books, job.id, before=time.time() + 60)
    assert ([row.taken for row in batch.report()], batch.view().taken) == ([0], 0)
