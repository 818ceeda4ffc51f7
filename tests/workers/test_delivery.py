"""A chunk that is drawn is delivered while its slot draws the next one: never more than two, and none is lost."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest

from farm import Farm, Settings
from farm.local.servers import redis_server, s3_server
from tests.conftest import PORTRAIT, Workers, running, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm import Job

CHUNKS = 4


@dataclass
class Scene:
    """A slot that has drawn two chunks of a job, which storage that hangs keeps it from delivering."""

    farm: Farm
    job: Job
    workers: Workers
    storage: psutil.Process

    def of_chunks(self) -> list[tuple[str, str, str]]:
        """Each attempt at a chunk, in order of chunks: which, how it ended, why."""
        attempts = [attempt for attempt in self.job.view().attempts if attempt.unit.isdigit()]
        return sorted((attempt.unit, attempt.outcome or "at work", attempt.reason or "") for attempt in attempts)


@pytest.fixture
def scene(settings: Settings, tmp_path: Path) -> Iterator[Scene]:
    gate = tmp_path / "gate"
    with redis_server(tmp_path / "redis") as redis, s3_server(tmp_path / "s3") as storage:
        own = settings.model_copy(
            update={
                "redis_url": redis.url,
                "s3_endpoint": storage.endpoint,
                "s3_access_key": storage.access_key,
                "s3_secret_key": storage.secret_key,
                "slots": 1,
                "lease_seconds": 60,
                "renderers": ("begun=tests.renderers:Begun",),
            }
        )
        own.model_fields_set.update(("slots", "lease_seconds", "renderers"))
        (server,) = psutil.Process(storage.child.process.pid).children()
        with Farm(own) as farm, running(farm, {"FARM_TEST_GATE": str(gate)}) as workers:
            job = farm.submit(PORTRAIT, tone(tmp_path / "s.wav", 2 * CHUNKS), renderer="begun", chunk_seconds=2)
            name = farm.slots()[0].name
            wait_until(lambda: job.view().chunks and job.view().chunks[0].percent == 50, what="the first is drawn")
            server.suspend()
            try:
                gate.touch()
                wait_until(lambda: farm.slots()[0].chunk == 1 and farm.books.has_next(name), what="the second is drawn")
                yield Scene(farm, job, workers, server)
            finally:
                server.resume()


def test_a_slot_draws_on_while_storage_hangs_but_no_further_than_one_chunk(scene: Scene) -> None:
    wait_until(lambda: scene.job.view().chunks[1].percent == 100, what="the second is drawn")
    assert [chunk.state for chunk in scene.job.view().chunks] == ["rendering", "rendering", "sent", "waiting"]
    scene.storage.resume()
    assert scene.job.wait(60).state == "done"
    assert scene.of_chunks() == [(str(chunk), "done", "") for chunk in range(CHUNKS)]


def test_each_attempt_keeps_its_own_log_though_two_are_in_hand(scene: Scene) -> None:
    scene.storage.resume()
    scene.job.wait(60)
    for chunk in range(CHUNKS):
        (log,) = scene.job.logs(chunk)
        said = log.text
        assert f"chunk {chunk + 1} of" in said
        assert f"chunk {chunk + 1}: recorded" in said
        assert not any(f"chunk {other + 1}" in said for other in range(CHUNKS) if other != chunk)


def test_a_slot_killed_between_two_deliveries_loses_both_at_once_and_draws_them_again(scene: Scene) -> None:
    os.kill(scene.farm.slots()[0].pid, signal.SIGKILL)
    lost = wait_until(
        lambda: (found := [entry for entry in scene.of_chunks() if entry[1] == "lost"]) and len(found) == 2 and found,
        what="both are known to be lost",
    )
    assert {unit for unit, _, _ in lost} == {"0", "1"}
    assert all(reason.startswith("the process of") for _, _, reason in lost), "no lease had to run out"
    scene.storage.resume()
    assert scene.job.wait(60).state == "done"


def test_a_slot_that_is_stopped_delivers_what_it_has_drawn(scene: Scene) -> None:
    wait_until(lambda: scene.job.view().chunks[1].percent == 100, what="the second is drawn")
    slots = scene.workers.processes.pop("slots")
    slots.terminate()
    wait_until(
        lambda: not scene.farm.slots() or scene.farm.slots()[0].state == "draining", what="the slot is being stopped"
    )
    scene.storage.resume()
    slots.wait(60)
    assert scene.of_chunks() == [("0", "done", ""), ("1", "done", "")]
    assert [chunk.state for chunk in scene.job.view().chunks] == ["done", "done", "waiting", "waiting"]
