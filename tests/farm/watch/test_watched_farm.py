"""A farm of real processes, watched: what its three parts answer Prometheus, and what its workers log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from farm import Farm, JobFailedError, Settings
from farm.jobs import inboxes
from farm.local.servers import redis_server
from farm.storage import keys
from farm.watch.serving import CPU, SLOTS, SWEEPER
from tests.conftest import PORTRAIT, ROOT, Workers, environment_of, wait_until
from tests.farm.watch.conftest import row_of_ports
from tests.test_dashboards import named
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm import Job
    from farm.local.servers import S3Server

RENDERERS = (
    "stripes=tests.renderers:Stripes",
    "failing=tests.renderers:Failing",
    "crashing=tests.renderers:Crashing",
    "noisy=tests.farm.watch.noisy:Noisy",
)
WARNINGS = "default,ignore:You're running the worker with superuser"  # Celery says that before anybody can log


class Quiet(Workers):
    """Workers whose log is kept."""

    def start(self, what: str) -> None:
        command = {"slots": ["workers.launch", "slots"], "cpu": ["workers.launch", "cpu"]}.get(what)
        with (self.settings.dir / f"{what}.log").open("wb") as log:
            self.processes[what] = subprocess.Popen(
                [sys.executable, "-m", *(command or ["farm.watch.sweeper"])], cwd=ROOT, env=self.environment, stderr=log
            )

    close = Workers.stop

    def lines(self, what: str) -> list[dict[str, Any]]:
        """What it logged up to now, each line a JSON object."""
        return [json.loads(line) for line in (self.settings.dir / f"{what}.log").read_text().splitlines()]


@dataclass
class Watched:
    """A running farm that did a good lesson, a noisy and a failing one."""

    farm: Farm
    workers: Quiet
    folder: Path
    good: Job
    noisy: Job
    failing: Job

    def submit(self, renderer: str, **more: Any) -> Job:
        speech = self.folder / "speech.wav"
        if not speech.exists():
            tone(speech, 12)
        chosen = {"renderer": renderer, "chunk_seconds": 4, "seed": len(self.farm.jobs())} | more
        return self.farm.submit(PORTRAIT, speech, **chosen)

    def samples(self, place: int) -> dict[str, list[tuple[dict[str, str], float]]]:
        """What one of its parts answers: name -> (labels, value) of each of its samples."""
        port = self.farm.settings.metrics_port + place
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    def total(self, place: int, name: str, **labels: str) -> float:
        values = [value for given, value in self.samples(place).get(name, []) if labels.items() <= given.items()]
        return sum(values)


@pytest.fixture(scope="module")
def watched(s3_service: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    with redis_server(folder / "redis") as redis:
        settings = Settings(
            dir=folder,
            redis_url=redis.url,
            s3_endpoint=s3_service.endpoint,
            s3_access_key=s3_service.access_key,
            s3_secret_key=s3_service.secret_key,
            s3_bucket="sonic-farm",
            s3_prefix=folder.name,
            owner="ada",
            lease_seconds=2,
            sweep_seconds=0.2,
            max_attempts=1,
            check=False,
            slots=1,
            renderers=RENDERERS,
            log_format="json",
            metrics_port=row_of_ports(),
        )
        workers = Quiet(settings, environment_of(settings, PYTHONWARNINGS=WARNINGS))
        with Farm(settings) as farm, closing(workers):
            for what in ("sweeper", "cpu", "slots"):
                workers.start(what)
            wait_until(
                lambda: [slot for slot in farm.slots() if slot.state == "idle"] and farm.cpu_workers(),
                seconds=60,
                what="workers ready",
            )
            here = Watched(farm, workers, folder, *([None] * 3))  # type: ignore[arg-type]
            here.good, here.noisy, here.failing = map(here.submit, ("stripes", "noisy", "failing"))
            for job in (here.good, here.noisy):
                job.wait(120)
            with pytest.raises(JobFailedError):
                here.failing.wait(120)
            yield here


def test_what_a_slot_did_is_counted_by_renderer_and_device(watched: Watched) -> None:
    assert watched.total(SLOTS, "sonic_farm_chunk_seconds_count", renderer="stripes", device="cpu") >= 3
    assert watched.total(SLOTS, "sonic_farm_chunk_seconds_count", renderer="noisy") == 3
    assert watched.total(SLOTS, "sonic_farm_chunk_seconds_count", renderer="failing") == 0, "it rendered nothing"
    assert watched.total(SLOTS, "sonic_farm_work_video_seconds_total", renderer="noisy") > 12
    (slot,) = watched.farm.slots()
    assert 0 < watched.total(SLOTS, "sonic_farm_slot_busy_seconds_total", slot=slot.name) < 60
    assert watched.total(SLOTS, "sonic_farm_redis_seconds_count", operation="record") >= 6
    assert watched.total(SLOTS, "sonic_farm_storage_seconds_count", operation="PutObject") >= 6


def test_what_a_cpu_worker_did_is_counted_too(watched: Watched) -> None:
    for work in ("plan", "stitch"):
        assert watched.total(CPU, "sonic_farm_work_seconds_total", renderer=work, device="cpu") > 0
    assert watched.total(CPU, "sonic_farm_storage_seconds_count", operation="GetObject") > 0


def test_the_sweeper_tells_how_attempts_and_lessons_ended(watched: Watched) -> None:
    assert watched.total(SWEEPER, "sonic_farm_attempts_total", unit="chunk", outcome="done") >= 6
    assert watched.total(SWEEPER, "sonic_farm_jobs_total", state="failed") == 1
    assert watched.total(SWEEPER, "sonic_farm_job_failures_total", code="crash") == 1
    assert watched.total(SWEEPER, "sonic_farm_slots", state="idle") == 1
    assert watched.total(SWEEPER, "sonic_farm_sweeper_age_seconds") < 30


def test_every_metric_and_label_that_alerts_and_dashboards_name_is_there(watched: Watched) -> None:
    books = watched.farm.books
    inboxes.note_inbox(books, "i1", "s3://lessons/inbox")
    inboxes.note_look(books, "i1", inboxes.LookNote(at=1.0))
    waiting = watched.submit("stripes", name="waits")
    watched.farm.slots()
    books.client.hset("farm:depth", "stripes:5:1::ada", 1)  # a line that lasts: a real chunk is gone too soon
    try:
        told: dict[str, set[str]] = {"up": {"job", "instance"}}
        for place in (SWEEPER, SLOTS, CPU):
            for name, samples in watched.samples(place).items():
                for labels, _ in samples:
                    told[name] = told.get(name, set()) | labels.keys()
    finally:
        books.client.hdel("farm:depth", "stripes:5:1::ada")
    waiting.wait(120)
    missing = {name: labels - told[name] for name, labels in named().items() if name in told}
    assert set(named()) - told.keys() == set()
    assert {name: labels for name, labels in missing.items() if labels} == {}


def test_every_metric_is_explained(watched: Watched) -> None:
    text = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")
    told = {name for place in (SWEEPER, SLOTS, CPU) for name in watched.samples(place)}
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in told}
    assert sorted(name for name in plain if f"`{name}`" not in text) == []


def test_no_label_is_about_a_single_job_or_process(watched: Watched) -> None:
    (slot,) = watched.farm.slots()
    values = {
        value
        for place in (SWEEPER, SLOTS, CPU)
        for samples in watched.samples(place).values()
        for labels, _ in samples
        for value in labels.values()
    }
    jobs = [job.id for job in (watched.good, watched.noisy, watched.failing)]
    assert not [value for value in values for word in [*jobs, str(slot.pid)] if word in value]


def test_counting_goes_on_when_the_process_that_did_the_work_died(watched: Watched) -> None:
    name = "sonic_farm_chunk_seconds_count"
    before = watched.total(SLOTS, name, renderer="noisy")
    (slot,) = watched.farm.slots()
    crashing = watched.submit("crashing")
    with pytest.raises(JobFailedError):
        crashing.wait(120)
    wait_until(
        lambda: [now for now in watched.farm.slots() if now.pid != slot.pid and now.state == "idle"],
        seconds=60,
        what="the slot's next process",
    )
    assert watched.total(SLOTS, name, renderer="noisy") == before
    assert watched.total(SWEEPER, "sonic_farm_leases_lost_total") == 1, "by its successor or by the lease's end"
    watched.submit("noisy").wait(120)
    assert watched.total(SLOTS, name, renderer="noisy") == before + 3

    def last_words() -> list[dict[str, Any]]:
        return [line for line in watched.workers.lines("slots") if line["logger"] == "celery.worker.request"]

    (line,) = wait_until(last_words, what="Celery's line on the process that died")
    assert "Worker exited prematurely" in line["message"]
    assert (line["job"], line["unit"][:5]) == (crashing.id, "chunk")


def test_every_line_of_workers_is_json_and_names_its_job_chunk_and_attempt(watched: Watched) -> None:
    lines = watched.workers.lines("slots")
    ours = [line for line in lines if line["logger"] == "workers.rendering" and line.get("job") == watched.good.id]
    assert {line["unit"] for line in ours} == {"chunk 1", "chunk 2", "chunk 3"}
    assert not [line for line in lines if line["logger"].startswith("workers.rendering") and "attempt" not in line]
    assert {line["unit"] for line in watched.workers.lines("cpu") if line.get("job") == watched.good.id} == {
        "plan",
        "stitch",
    }
    assert watched.workers.lines("sweeper")


def test_lines_of_libraries_and_of_celery_name_them_too(watched: Watched) -> None:
    lines = watched.workers.lines("slots")
    for words in ("low on memory", "from a thread", "an old call"):
        found = [line for line in lines if words in line["message"] and line.get("job") == watched.noisy.id]
        assert {line["unit"] for line in found} == {"chunk 1", "chunk 2", "chunk 3"}, words
        assert all(line["attempt"].startswith("1-") for line in found)
    (celery,) = [line for line in lines if line["logger"] == "celery.app.trace" and watched.failing.id == line["job"]]
    assert celery["unit"].startswith("chunk ")
    assert "the picture fell off the wall" in celery["exception"]


def test_the_log_of_an_attempt_in_storage_stays_readable(watched: Watched) -> None:
    (log,) = watched.noisy.logs(chunk=0)
    assert "WARNING torch.made_up: low on memory" in log.text
    assert watched.noisy.id not in log.text.splitlines()[0], "its key says whose it is"
    assert keys.log(watched.noisy.id, "0", "1-x").startswith("jobs/")


def test_a_launcher_whose_port_is_taken_says_so_in_a_sentence_and_ends(watched: Watched) -> None:
    for module in (["farm.watch.sweeper"], ["workers.launch", "slots"]):
        done = subprocess.run(
            [sys.executable, "-m", *module], cwd=ROOT, env=watched.workers.environment,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        (line,) = [json.loads(line) for line in done.stderr.splitlines()]
        assert "Address already in use" in line["message"]
        assert f"metrics_port is {watched.farm.settings.metrics_port}" in line["message"]
