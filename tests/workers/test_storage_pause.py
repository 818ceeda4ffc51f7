"""Storage goes away in the middle of the work and comes back: nothing is begun meanwhile, nothing counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm import Farm, Settings
from farm.jobs.health import storage_pause
from farm.local.servers import redis_server, s3_server
from tests.conftest import PORTRAIT, running, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from pathlib import Path

    from farm import Job


def attempts_begun(job: Job) -> int:
    return sum(event.what == "attempt started" for event in job.events())


def test_storage_that_stops_pauses_the_farm_and_it_goes_on_by_itself_when_storage_is_back(tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3") as first:
        port, pair = int(first.endpoint.rpartition(":")[2]), (first.access_key, first.secret_key)
    with redis_server(tmp_path / "redis") as redis, s3_server(tmp_path / "s3", port=port, keys=pair) as storage:
        settings = Settings(
            dir=tmp_path / "farm",
            redis_url=redis.url,
            s3_endpoint=storage.endpoint,
            s3_access_key=pair[0],
            s3_secret_key=pair[1],
            s3_bucket="sonic-farm",
            owner="tests",
            lease_seconds=2,
            sweep_seconds=0.2,
            check=False,
            slots=2,
            renderers=("gated=tests.renderers:Gated",),
        )
        gate = tmp_path / "gate"  # shut while storage is there, so that work is left for when it is not
        with Farm(settings) as farm, running(farm, {"FARM_TEST_GATE": str(gate)}):
            job = farm.submit(PORTRAIT, tone(tmp_path / "s.wav", 24), renderer="gated", chunk_seconds=2)
            wait_until(lambda: job.view().chunks, what="planned")
            farm.books.decide(job.id, "pause", who="tests")
            storage.child.end()
            gate.touch()
            farm.books.decide(job.id, "resume", who="tests")
            pause = wait_until(lambda: storage_pause(farm.books), seconds=90, what="work paused")
            assert "storage does not answer" in pause.reason
            begun = attempts_begun(job)
            wait_until(lambda: int(farm.books.client.hget("farm:storage:paused", "checks") or 0) > 1, what="two tries")
            assert attempts_begun(job) == begun, "nothing is begun"
            with s3_server(tmp_path / "s3", port=port, keys=pair):
                wait_until(lambda: storage_pause(farm.books) is None, seconds=70, what="work goes on")
                view = job.wait(90)
                assert view.state == "done"
                assert {attempt.outcome for attempt in view.attempts} - {"paused"} == {"outage", "done"}
                burnt = [farm.books.client.hget(f"farm:job:{job.id}:u:{chunk.index}", "burnt") for chunk in view.chunks]
                assert set(burnt) == {None}
