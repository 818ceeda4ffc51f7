"""Redis is emptied in the middle of a job: it ends as if nothing had been, no finished chunk is rendered again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm import Farm, Settings
from farm.jobs.views import accepted_attempts
from farm.storage import keys
from tests.conftest import PORTRAIT, running, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from farm import Job
    from tests.conftest import Workers

SECONDS, CHUNK_SECONDS = 16, 2


class Scene:
    """A farm whose renderer works only while its gate is open."""

    def __init__(self, farm: Farm, folder: Path) -> None:
        self.farm = farm
        self.gate = folder / "gate"
        self.speech = tone(folder / "s.wav", SECONDS)

    def running(self) -> AbstractContextManager[Workers]:
        return running(self.farm, {"FARM_TEST_GATE": str(self.gate)})

    def submit(self, token: str) -> Job:
        return self.farm.submit(
            PORTRAIT, self.speech, renderer="gated", chunk_seconds=CHUNK_SECONDS, owner="ann", token=token
        )

    def undisturbed(self) -> str | None:
        self.gate.touch()
        return self.submit("undisturbed").wait(60).digest

    def half_rendered(self) -> Job:
        """A job with a few chunks done and others in hand, the gate closed."""
        job = self.submit("disturbed")
        wait_until(lambda: any(chunk.state == "done" for chunk in job.view().chunks), what="a chunk done")
        self.gate.unlink()
        return job

    def segments(self, job: Job) -> dict[int, list[str]]:
        """The finished attempts in storage, by chunk."""
        found: dict[int, list[str]] = {}
        for item in self.farm.storage.list(keys.segments_folder(job.id)):
            chunk, attempt, file = item.key.split("/")[-3:]
            if file == "segment.json":
                found.setdefault(int(chunk), []).append(attempt)
        return found

    def check(self, job: Job, before: dict[int, list[str]], digest: str | None) -> None:
        view = job.wait(60)
        after = self.segments(job)
        chunks = len(view.chunks)
        assert 0 < len(before) < chunks
        assert {chunk: after[chunk] for chunk in before} == before, "what was finished is not rendered again"
        assert sorted(after) == list(range(chunks))
        accepted = accepted_attempts(self.farm.books, job.id, chunks)
        assert all(attempt in after[chunk] for chunk, attempt in enumerate(accepted))
        assert [entry["attempt"] for entry in job.report()["segments"]] == accepted
        assert view.digest == digest


@pytest.fixture
def scene(settings: Settings, tmp_path: Path) -> Iterator[Scene]:
    changes = {"slots": 2, "renderers": ("gated=tests.renderers:Gated",)}
    chosen = settings.model_copy(update=changes)
    chosen.model_fields_set.update(changes)
    with Farm(chosen) as farm:
        yield Scene(farm, tmp_path)


def test_a_job_goes_on_from_storage_after_redis_was_emptied_between_two_starts(scene: Scene) -> None:
    with scene.running():
        digest = scene.undisturbed()
        job = scene.half_rendered()
    before = scene.segments(job)
    scene.farm.books.client.flushall()
    found = scene.farm.recover()
    assert (found.back, found.chunks) == ({"done": 1, "queued": 1}, len(before) + SECONDS // CHUNK_SECONDS)
    scene.gate.touch()
    with scene.running():
        scene.check(job, before, digest)


def test_redis_emptied_under_running_workers_costs_only_the_chunks_in_hand(scene: Scene) -> None:
    with scene.running():
        digest = scene.undisturbed()
        job = scene.half_rendered()
        wait_until(lambda: all(slot.job == job.id for slot in scene.farm.slots()), what="both slots at work")
        before = scene.segments(job)
        pids = sorted(slot.pid for slot in scene.farm.slots())
        scene.farm.books.client.flushall()
        scene.farm.recover()
        wait_until(lambda: sorted(slot.pid for slot in scene.farm.slots()) == pids, what="slots known again")
        scene.gate.touch()
        scene.check(job, before, digest)
