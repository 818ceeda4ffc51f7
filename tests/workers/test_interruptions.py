"""The servers and the workers may go and come back: nothing is lost, nothing is done twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest

from farm import Farm, Settings
from farm.local.servers import redis_server
from tests.conftest import PORTRAIT, Workers, environment_of, running, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from pathlib import Path

    from farm import Job
    from farm.local.servers import S3Server


@dataclass
class Scene:
    """A farm whose Redis can be stopped and started on the same port and data."""

    settings: Settings
    folder: Path
    gate: Path
    port: int
    password: str

    def redis(self):
        return redis_server(self.folder / "redis", port=self.port, password=self.password)

    def running(self, farm: Farm):
        return running(farm, {"FARM_TEST_GATE": str(self.gate)})

    def submit(self, farm: Farm) -> Job:
        speech = tone(self.folder / "s.wav", 12)
        return farm.submit(PORTRAIT, speech, renderer="gated", chunk_seconds=4)


@pytest.fixture
def scene(s3_service: S3Server, tmp_path: Path) -> Scene:
    with redis_server(tmp_path / "redis") as first:
        url = first.url
    port, password = int(url.rpartition(":")[2].partition("/")[0]), url.split(":")[2].split("@")[0]
    settings = Settings(
        dir=tmp_path / "farm",
        redis_url=url,
        s3_endpoint=s3_service.endpoint,
        s3_access_key=s3_service.access_key,
        s3_secret_key=s3_service.secret_key,
        s3_prefix=tmp_path.name,
        s3_bucket="sonic-farm",
        owner="tests",
        lease_seconds=2,
        sweep_seconds=0.2,
        slots=2,
        renderers=("gated=tests.renderers:Gated",),
    )
    return Scene(settings, tmp_path, tmp_path / "gate", port, password)


def holding(farm: Farm, job: Job) -> bool:
    return any(slot.job == job.id for slot in farm.slots())


def test_a_redis_that_restarts_in_the_middle_of_a_chunk_loses_nothing(scene: Scene) -> None:
    with Farm(scene.settings) as farm, scene.redis() as redis, scene.running(farm):
        job = scene.submit(farm)
        wait_until(lambda: holding(farm, job), what="a slot at work")
        redis.child.end()
        scene.gate.touch()
        with scene.redis():
            view = job.wait(90)
    assert view.state == "done"
    assert all(chunk.state == "done" for chunk in view.chunks)


def test_a_farm_that_is_stopped_hands_its_chunks_back_and_goes_on_when_started_again(scene: Scene) -> None:
    with Farm(scene.settings) as farm, scene.redis():
        with scene.running(farm):
            job = scene.submit(farm)
            wait_until(lambda: holding(farm, job), what="a slot at work")
        view = job.view()
        assert {chunk.state for chunk in view.chunks} <= {"waiting", "sent"}
        assert "draining" in {attempt.outcome for attempt in view.attempts}
        scene.gate.touch()
        with scene.running(farm):
            assert job.wait(60).state == "done"


def test_messages_that_the_broker_lost_are_sent_again(scene: Scene) -> None:
    with Farm(scene.settings) as farm, scene.redis():
        scene.gate.touch()
        job = scene.submit(farm)
        farm.books.client.delete("cpu")
        farm.books.client.zadd("farm:outbox", {f"plan/{job.id}": 0})
        with scene.running(farm):
            assert job.wait(60).state == "done"


def test_workers_that_start_before_redis_does_get_to_work_when_it_is_there(scene: Scene) -> None:
    with Farm(scene.settings) as farm:
        workers = Workers(scene.settings, environment_of(scene.settings, FARM_TEST_GATE=str(scene.gate)))
        workers.start("slots")
        try:
            wait_until(lambda: workers_are_up(workers), what="worker processes")
            with scene.redis():
                wait_until(
                    lambda: [slot.state for slot in farm.slots()] == ["idle"] * 2, seconds=60, what="slots ready"
                )
        finally:
            workers.stop()


def workers_are_up(workers: Workers) -> bool:
    """Both slots' Celery processes are there and have had time to import what they need."""
    children = psutil.Process(workers.processes["slots"].pid).children()
    return len(children) == 2 and all(child.cpu_times().user > 0.5 for child in children)
