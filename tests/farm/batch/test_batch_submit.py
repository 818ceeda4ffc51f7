"""A manifest submitted, submitted again, mended, interrupted, forgotten by the books: each row is one job."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from farm import Farm
from farm.batch import kept
from farm.batch.intake import Order
from farm.batch.jobless import jobless_rows
from farm.batch.pilot import Pilot
from farm.errors import NotAllowedError
from farm.jobs.batches import batch_jobs, batch_numbers, batch_row
from farm.jobs.model import PLAN, JobState
from farm.jobs.request import JobRequest
from farm.jobs.store import AttemptFailure, Books
from farm.storage import keys
from tests.conftest import PORTRAIT, ROOT, environment_of, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from pathlib import Path

    from farm.batch.kept import Place
    from farm.storage.s3 import Storage
    from tests.farm.hands import Hand


@pytest.fixture
def course(tmp_path: Path) -> Path:
    folder = tmp_path / "course"
    folder.mkdir()
    tone(folder / "one.wav", 1.0)
    tone(folder / "two.wav", 2.0)
    shutil.copy(PORTRAIT, folder / "ada.png")
    return folder


def manifest(folder: Path, seeds: Any, *more: str) -> Path:
    path = folder / "term.csv"
    rows = [f"one.wav,ada.png,Lesson {seed},{seed}" for seed in seeds]
    path.write_text("\n".join(["speech,portrait,name,seed", *rows, *more]) + "\n")
    return path


def requests(hand: Hand) -> list[JobRequest]:
    """Every job.json of the storage."""
    names = [item.key for item in hand.storage.list(keys.JOBS) if item.key.endswith("/job.json")]
    return [JobRequest.from_dict(hand.storage.get_json(name)) for name in names]


def seeds_of(hand: Hand, batch: str) -> list[int]:
    """Seeds of the batch's jobs in the order of its rows, each job in the books and in storage once."""
    jobs = batch_jobs(hand.books, batch)
    found = {request.id: request for request in requests(hand) if request.batch == batch}
    assert sorted(found) == sorted(jobs)
    assert len({request.token for request in found.values()}) == len(jobs)
    return [found[job].spec.seed for job in jobs]


def test_rows_become_jobs_of_one_batch_in_their_order(hand: Hand, course: Path) -> None:
    order = Order(max_failures="5%", limit=3)
    done = hand.farm.submit_batch(manifest(course, [4, 2, 9], "two.wav,none.png,wrong,1"), order)
    assert (done.created, done.known, done.twins, [row.row.number for row in done.refused]) == (3, 0, (), [5])
    row = batch_row(hand.books, done.id)
    assert (row.name, row.owner, row.total, row.max_failures, row.limit) == ("term", "tests", 3, "5%", 3)
    assert seeds_of(hand, done.id) == [4, 2, 9]
    assert [(found.row, found.name) for found in sorted(requests(hand), key=lambda found: found.row)] == [
        (2, "Lesson 4"),
        (3, "Lesson 2"),
        (4, "Lesson 9"),
    ]
    assert [(one.row, one.name) for one in jobless_rows(hand.storage, done.id)] == [(5, "wrong")]
    assert len(list(hand.storage.list(keys.ASSETS))) == 2


def test_the_same_manifest_again_adds_only_what_is_new_or_changed(hand: Hand, course: Path) -> None:
    first = hand.farm.submit_batch(manifest(course, range(3)), Order(limit=2))
    again = hand.farm.submit_batch(manifest(course, range(3)))
    assert (again.id, again.created, again.known) == (first.id, 0, 3)
    mended = hand.farm.submit_batch(manifest(course, [0, 7, 2, 3]))
    assert (mended.id, mended.created, mended.known, mended.gone) == (first.id, 2, 2, 1)
    assert sorted(seeds_of(hand, first.id)) == [0, 1, 2, 3, 7]
    assert batch_row(hand.books, first.id).limit == 2
    tone(course / "one.wav", 1.5)  # another recording under the same name
    assert hand.farm.submit_batch(manifest(course, [0])).created == 1


def test_a_rows_number_names_one_lesson_whatever_comes_to_its_line_later(hand: Hand, course: Path) -> None:
    first = hand.farm.submit_batch(manifest(course, [0, 1], "*.wav,ada.png,all,2", "two.wav,none.png,wrong,9"))
    hand.farm.submit_batch(manifest(course, [5, 0, 7], "*.wav,ada.png,all,2", "two.wav,ada.png,mended,9"))
    assert [(row.row, row.name) for row in hand.farm.batch(first.id).rows(1, 99)] == [
        (2, "Lesson 0"),
        (3, "Lesson 1"),
        (4, "all one"),
        (6, "all two"),  # 5 was the line of the row that was wrong
        (7, "Lesson 5"),
        (8, "Lesson 7"),
        (9, "mended"),  # in line 6 now, which is the number of another
    ]


def test_the_same_lesson_twice_is_one_job_but_another_in_another_batch(hand: Hand, course: Path) -> None:
    path = manifest(course, [1, 2, 1], "one.wav,ada.png,other words,2")
    done = hand.farm.submit_batch(path)
    assert (done.created, [(twin.row, twin.same_as) for twin in done.twins]) == (2, [(4, 2), (5, 3)])
    other = hand.farm.submit_batch(path, Order(name="another"))
    assert (other.created, other.id == done.id) == (2, False)
    alone = hand.farm.submit(course / "ada.png", course / "one.wav", seed=1)
    assert alone.created


def test_the_report_says_which_row_another_is_the_same_as_by_its_number(hand: Hand, course: Path) -> None:
    done = hand.farm.submit_batch(manifest(course, [1, 2, 1]))
    again = hand.farm.submit_batch(manifest(course, [7, 1, 2, 1], "one.wav,ada.png,other words,2"))
    assert [(twin.row, twin.same_as) for twin in again.twins] == [(5, 2), (6, 3)]
    assert [(row.row, row.name, row.state, row.reason) for row in hand.farm.batch(done.id).report()] == [
        (2, "Lesson 1", "planning", "not done yet"),
        (3, "Lesson 2", "planning", "not done yet"),
        (5, "Lesson 1", "same", "the same as row 2"),
        (6, "other words", "same", "the same as row 3"),
        (7, "Lesson 7", "planning", "not done yet"),
    ]
    hand.empty_and_recover()
    assert hand.farm.batch(done.id).view().refused == 0


def test_a_row_that_failed_is_not_submitted_a_second_time(hand: Hand, course: Path) -> None:
    done = hand.farm.submit_batch(manifest(course, range(2)))
    for job in batch_jobs(hand.books, done.id):
        hand.farm.job(job).cancel()
    assert hand.farm.submit_batch(manifest(course, range(2))).created == 0


def test_a_batch_that_was_cancelled_takes_no_rows_until_it_is_opened_again(hand: Hand, course: Path) -> None:
    batch = hand.farm.batch(hand.farm.submit_batch(manifest(course, range(2))).id)
    batch.cancel()
    back = f"was cancelled, give the new one another --name, or .* `farm batch retry {batch.id} --cancelled`"
    with pytest.raises(NotAllowedError, match=back):
        hand.farm.submit_batch(manifest(course, range(3)))
    batch.retry(cancelled=True)
    assert hand.farm.submit_batch(manifest(course, range(3))).created == 1


def test_a_batch_that_is_cancelled_while_it_is_submitted_gets_no_more_jobs(
    hand: Hand, course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter, entered = Books.enter, []

    def cancelled_before_the_fourth(books: Books, *job: Any) -> tuple[str, bool]:
        entered.append(job)
        if len(entered) == 4:
            hand.farm.batch(hand.farm.batches()[0].id).cancel()
        return enter(books, *job)

    monkeypatch.setattr(Books, "enter", cancelled_before_the_fourth)
    monkeypatch.setattr("farm.batch.submit.ENTER_AT_ONCE", 1)
    with pytest.raises(NotAllowedError, match="was cancelled while it was submitted"):
        hand.farm.submit_batch(manifest(course, range(9)))
    (batch,) = hand.farm.batches()
    assert seeds_of(hand, batch.id) == [0, 1, 2], "none is left in storage either, for a recovery to bring back"
    assert batch_row(hand.books, batch.id).counts[JobState.CANCELLED] == 3
    assert not hand.books.client.hexists(f"farm:batch:{batch.id}", "entering")


def test_a_submit_that_is_killed_again_and_again_loses_and_doubles_nothing(hand: Hand, course: Path) -> None:
    path, rows = manifest(course, range(150)), 150
    environment = environment_of(hand.farm.settings)
    command = [sys.executable, "-c", "from farm.cli.main import main; main()", "batch", "submit", str(path)]

    def there() -> int:
        return int(hand.books.client.zcard("farm:jobs"))

    for least, number in zip(sorted(random.sample(range(1, 120), 2)), (signal.SIGINT, signal.SIGKILL), strict=True):
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
        wait_until(lambda wanted=least, running=process: there() >= wanted or running.poll() is not None, seconds=60)
        process.send_signal(number)
        assert process.wait(60) in {0, 130 if number == signal.SIGINT else -signal.SIGKILL}
    (batch,) = hand.farm.batches()
    done = hand.farm.submit_batch(path)
    assert (done.id, done.created + done.known) == (batch.id, rows)
    assert seeds_of(hand, done.id) == list(range(rows))


def test_two_that_submit_the_same_manifest_at_once_make_each_job_once(hand: Hand, course: Path) -> None:
    path = manifest(course, range(40))
    with ThreadPoolExecutor(2) as pool, Farm(hand.farm.settings) as other:
        found = [call.result() for call in [pool.submit(farm.submit_batch, path) for farm in (hand.farm, other)]]
    (batch,) = hand.farm.batches()
    assert {done.id for done in found} == {batch.id}
    assert all(done.created + done.known == 40 for done in found)  # in a dead heat both may say that they made a job
    assert seeds_of(hand, batch.id) == list(range(40))


def test_of_two_jobs_that_submits_at_once_gave_a_row_the_one_in_the_books_is_its_job(hand: Hand, course: Path) -> None:
    path = manifest(course, range(3))
    done = hand.farm.submit_batch(path)
    jobs = batch_jobs(hand.books, done.id)
    places = kept.places_of(hand.storage, done.id)
    late = "20260101-000000-aaaaa"
    ids = {token: replace(place, job=f"{late}{place.row}") for token, place in places.items()}
    kept.keep_places(hand.storage, done.id, f"{late}a", ids)  # read before the first had written, and written after
    hand.farm.job(jobs[0]).cancel()
    hand.books.fail(hand.claim(hand.farm.job(jobs[1]), PLAN), AttemptFailure(code="bad", message="no", permanent=True))
    plan = hand.farm.plan_batch(str(path))
    assert (plan.lessons, plan.there) == (0, 3)
    again = hand.farm.submit_batch(path)
    assert (again.created, again.known) == (0, 3)
    assert [job.state for job in hand.farm.batch(done.id).rows_of(jobs)] == ["cancelled", "failed", "planning"]
    assert seeds_of(hand, done.id) == [0, 1, 2]


def test_rows_of_two_manifests_that_are_submitted_to_one_batch_at_once_have_a_number_each(
    hand: Hand, course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places_of, path, order = kept.places_of, course / "term.csv", Order(name="Term")

    def overtaken(storage: Storage, batch: str) -> dict[str, Place]:
        found = places_of(storage, batch)
        monkeypatch.setattr(kept, "places_of", places_of)
        hand.farm.submit_batch(path, order)
        return found

    other = manifest(course, range(2)).rename(course / "other.csv")
    manifest(course, range(7, 9))
    monkeypatch.setattr(kept, "places_of", overtaken)
    with Farm(hand.farm.settings) as slower:
        batch = slower.submit_batch(other, order).id
    assert sorted(batch_numbers(hand.books, batch).values()) == [2, 3, 4, 5]
    hand.farm.submit_batch(manifest(course, [9]), order)
    assert sorted(batch_numbers(hand.books, batch).values()) == [2, 3, 4, 5, 6]


def test_a_row_that_was_rejected_while_another_submitted_it_too_is_not_rendered_after_all(
    hand: Hand, course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places_of, path = kept.places_of, manifest(course, range(2))

    def overtaken(storage: Storage, batch: str) -> dict[str, Place]:
        found = places_of(storage, batch)
        monkeypatch.setattr(kept, "places_of", places_of)
        for job in batch_jobs(hand.books, hand.farm.submit_batch(path).id):
            hand.farm.job(job).cancel()
        return found

    monkeypatch.setattr(kept, "places_of", overtaken)
    with Farm(hand.farm.settings) as slower:
        done = slower.submit_batch(path)
    assert (done.created, done.known) == (0, 2)
    assert batch_row(hand.books, done.id).counts[JobState.CANCELLED] == 2
    assert seeds_of(hand, done.id) == [0, 1]


def test_books_that_were_emptied_get_the_batch_back_by_a_recovery(hand: Hand, course: Path) -> None:
    done = hand.farm.submit_batch(manifest(course, range(5)), Order(max_failures="2", limit=4))
    hand.farm.batch(done.id).pause()
    before = batch_row(hand.books, done.id)
    assert sum(hand.empty_and_recover().back.values()) == 5
    assert batch_row(hand.books, done.id) == before
    assert seeds_of(hand, done.id) == list(range(5))
    again = hand.farm.submit_batch(manifest(course, range(6)))
    assert (again.id, again.created, again.state) == (done.id, 1, "paused")


def test_a_submit_that_died_before_it_gave_way_to_another_of_its_name_stops_no_recovery(
    hand: Hand, course: Path
) -> None:
    done = hand.farm.submit_batch(manifest(course, range(2)), Order(limit=4))
    late = replace(kept.asked_of(hand.storage, done.id), id="20260101-000000-aaaaaa", limit=1)
    kept.keep(hand.storage, late)
    before = batch_row(hand.books, done.id)
    assert sum(hand.empty_and_recover().back.values()) == 2
    assert [batch_row(hand.books, batch.id) for batch in hand.farm.batches()] == [before]
    assert seeds_of(hand, done.id) == [0, 1]
    hand.books.client.flushall()
    assert hand.farm.submit_batch(manifest(course, range(2))).id == done.id, "the name is the other's in storage too"


def test_a_submit_into_emptied_books_finds_what_storage_has(hand: Hand, course: Path) -> None:
    done = hand.farm.submit_batch(manifest(course, range(5)))
    job = hand.farm.job(batch_jobs(hand.books, done.id)[1])
    job.cancel()
    hand.books.client.flushall()
    again = hand.farm.submit_batch(manifest(course, range(7)))
    assert (again.id, again.created, again.known) == (done.id, 2, 5)
    assert seeds_of(hand, done.id) == list(range(7))
    assert hand.farm.job(job.id).view().state == "cancelled"


def test_a_pilot_is_a_batch_of_its_own_and_its_rows_wait(hand: Hand, course: Path) -> None:
    order = Order(pilot=Pilot.wanted("1s"))
    done = hand.farm.submit_batch(manifest(course, range(3), "two.wav,ada.png,long,0"), order)
    assert done.pilot is not None
    assert batch_row(hand.books, done.id).held == 4
    clips = batch_row(hand.books, done.pilot)
    assert (clips.name, clips.total, clips.held) == ("term (pilot)", 1, 0)
    assert hand.farm.batch(done.id).pilot().id == done.pilot
    again = hand.farm.submit_batch(manifest(course, range(3), "two.wav,ada.png,long,0"), order)
    assert (again.created, again.pilot, batch_row(hand.books, done.pilot).total) == (0, done.pilot, 1)
    assert hand.farm.batch(done.id).release() == 4


def test_the_clip_of_a_lesson_that_is_there_twice_has_the_name_of_its_row(hand: Hand, course: Path) -> None:
    twice = manifest(course, [1], "one.wav,ada.png,other words,1")
    done = hand.farm.submit_batch(twice, Order(pilot=Pilot.wanted("1s")))
    assert done.pilot is not None
    assert [row.name for row in hand.farm.batch(done.id).rows(2, 99)] == ["Lesson 1"]
    assert [row.name for row in hand.farm.batch(done.pilot).rows(2, 99)] == ["Lesson 1 (pilot)"]
