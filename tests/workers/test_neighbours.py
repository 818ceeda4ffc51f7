"""Seams that are made as soon as both of their sides are there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

import pytest

from farm.jobs.model import PLAN as PLANNING
from farm.jobs.store import Books, Lease
from farm.messages import Bell
from farm.storage import keys
from farm.storage.s3 import Storage
from tests.conftest import wait_until
from tests.farm.hands import REQUEST
from tests.workers.kept import ATTEMPT, JOB, ODD, PLAN, kept_in
from workers.neighbours import make_seams_of
from workers.process import SEAMS_AT_HAND, SlotWorker, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm import Settings

CHUNKS = range(len(PLAN.chunks))


class Scene:
    """A planned job whose segments lie in storage already; the books hear of them one by one."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.request = replace(REQUEST, id=JOB, token=JOB)
        assert worker.books.enter(JOB, JOB, self.request.book_fields()).created
        assert worker.books.planned(self.claim(PLANNING), frames25=PLAN.frames25, chunks=len(CHUNKS))

    def claim(self, unit: object) -> Lease:
        suffix = ATTEMPT.partition("-")[2]
        lease = self.worker.books.claim(JOB, str(unit), slot="slot", suffix=suffix, lease_seconds=60)
        assert isinstance(lease, Lease), lease
        return lease

    def record(self, *chunks: int) -> None:
        for chunk in chunks:
            self.worker.books.record(self.claim(chunk))

    def seams(self, chunk: int) -> set[int]:
        """Chunks whose seam with the one before is kept, once those of `chunk` were made."""
        make_seams_of(self.worker, self.request, PLAN, chunk)
        return {one for one in CHUNKS[1:] if self.worker.storage.exists(keys.seam(JOB, one, ATTEMPT, ATTEMPT, "json"))}


@pytest.fixture
def scene(settings: Settings, tmp_path: Path) -> Iterator[Scene]:
    worker = Worker(settings, "slot", Books.connect(settings), Storage.from_settings(settings), Bell(settings))
    worker.storage.ensure_bucket()
    kept_in(worker.storage, tmp_path / "made")
    yield Scene(worker)
    worker.storage.close()
    worker.books.close()


def test_a_chunk_has_its_seams_made_with_those_neighbours_that_are_done(scene: Scene) -> None:
    scene.record(ODD)
    assert scene.seams(ODD) == set()
    scene.record(ODD - 1)
    assert scene.seams(ODD - 1) == {ODD}
    scene.record(ODD + 1)
    assert scene.seams(ODD + 1) == {ODD, ODD + 1}


def test_nothing_is_made_of_sides_that_are_the_same(scene: Scene) -> None:
    scene.record(0, 1)
    assert scene.seams(0) == scene.seams(1) == set()


def test_pictures_so_large_that_a_seam_would_crowd_a_slot_are_left_to_the_stitch(scene: Scene) -> None:
    facts = keys.segment(JOB, ODD - 1, ATTEMPT, "segment.json")
    scene.worker.storage.put_json(facts, scene.worker.storage.get_json(facts) | {"width": 1922, "height": 1080})
    scene.record(ODD - 1, ODD)
    assert scene.seams(ODD) == set()


def test_nothing_is_made_beside_a_stitch_that_is_due_or_for_a_job_that_is_cancelled(scene: Scene) -> None:
    scene.record(*CHUNKS[:-1])
    scene.worker.books.decide(JOB, "cancel", who="ann")
    assert scene.seams(ODD) == set()
    scene.worker.books.decide(JOB, "retry", who="ann")
    scene.record(CHUNKS[-1])
    assert scene.seams(ODD) == set()


def test_a_seam_that_cannot_be_made_is_left_to_the_stitch_with_a_word(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.record(ODD - 1, ODD)
    scene.worker.storage.put_bytes(keys.segment(JOB, ODD, ATTEMPT, "head.mkv"), b"no film")
    assert scene.seams(ODD) == set()
    assert f"the seams of chunk {ODD + 1} are left to the stitch" in caplog.text


def test_a_slot_has_few_chunks_at_hand_for_seams_and_leaves_what_waits_when_it_stops(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    books, storage = Books.connect(settings), Storage.from_settings(settings)
    worker = SlotWorker(settings, "a", books, storage, Bell(settings))
    gate, in_hand, never, done = Event(), Event(), Event(), list[int]()

    def make(number: int) -> None:
        assert gate.wait(60)
        done.append(number)

    def outlast(number: int) -> None:
        in_hand.set()
        with suppress(RuntimeError):  # raised once the thread takes nothing more
            while not never.wait(0.01):
                worker.seams.submit(int)
        done.append(number)

    for number in range(SEAMS_AT_HAND + 1):
        worker.make_seams(partial(make, number))
    gate.set()
    wait_until(lambda: worker.make_seams(partial(done.append, 9)) or 9 in done, what="room again")
    assert set(done) == {*range(SEAMS_AT_HAND), 9}
    wait_until(lambda: worker.make_seams(partial(outlast, 10)) or in_hand.is_set(), what="seams in hand")
    worker.make_seams(partial(done.append, 11))
    worker.leave_seams()
    assert done[-1] == 10
    assert not caplog.records
    storage.close()
    books.close()
