"""Real servers for every test that needs them: one Redis and one S3 server a process, emptied between tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import settings as hypothesis_settings

from farm import Farm, Settings
from farm.local.servers import RedisServer, S3Server, redis_server, s3_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# the same examples in every run, however slow the machine: `pytest --hypothesis-profile=default` looks for others
hypothesis_settings.register_profile("same", derandomize=True, deadline=None)
hypothesis_settings.load_profile("same")

ROOT = Path(__file__).parent.parent
PORTRAIT = ROOT / "samples" / "portrait.png"


def wait_until(condition: Callable[[], Any], *, seconds: float = 30, what: str = "") -> Any:
    """The condition's first true value; fails the test when it stays false."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what or condition}")


@pytest.fixture(scope="session")
def redis_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def redis_url(redis_service: RedisServer) -> Iterator[str]:
    client = redis.Redis.from_url(redis_service.url)
    client.flushall()
    yield redis_service.url
    client.close()


@pytest.fixture
def settings(redis_url: str, s3_service: S3Server, tmp_path: Path) -> Settings:
    """Settings of a farm of this test's own: an empty Redis and a prefix of its own in storage."""
    return Settings(
        dir=tmp_path / "farm",
        redis_url=redis_url,
        s3_endpoint=s3_service.endpoint,
        s3_access_key=s3_service.access_key,
        s3_secret_key=s3_service.secret_key,
        s3_bucket="sonic-farm",
        s3_prefix=tmp_path.name,
        owner="tests",
        lease_seconds=2,
        sweep_seconds=0.2,
        check=False,  # the renderers made for tests draw no faces
        reuse=False,  # tests submit the same lesson again and again, and want it rendered
    )


@dataclass
class Workers:
    """Real worker processes of one farm."""

    settings: Settings
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, what: str) -> None:
        command = {
            "slots": ["-m", "workers.launch", "slots"],
            "cpu": ["-m", "workers.launch", "cpu"],
            "sweeper": ["-m", "farm.watch.sweeper"],
        }[what]
        self.processes[what] = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=self.environment)

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(90)


def environment_of(settings: Settings, **more: str) -> dict[str, str]:
    """What a farm process must have in its environment to have these settings."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FARM_")}
    given = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        given[f"FARM_{name.upper()}"] = ",".join(value) if isinstance(value, tuple) else str(value)
    return {**inherited, **given, "PYTHONPATH": str(ROOT), **more}


@pytest.fixture
def run_farm(settings: Settings) -> Iterator[Callable[..., Farm]]:
    """Start a farm of real processes: run_farm(slots=2, renderers=(...)) answers when its slots are ready."""
    with ExitStack() as stack:

        def run(*, environment: dict[str, str] | None = None, **changes: Any) -> Farm:
            chosen = settings.model_copy(update=changes)
            chosen.model_fields_set.update(changes)
            farm = stack.enter_context(Farm(chosen))
            stack.enter_context(running(farm, environment or {}))
            return farm

        yield run


@contextmanager
def running(farm: Farm, environment: dict[str, str]) -> Iterator[Workers]:
    workers = Workers(farm.settings, environment_of(farm.settings, **environment))
    try:
        for what in ("cpu", "slots", "sweeper"):
            workers.start(what)
        wanted = len(farm.settings.gpus) or farm.settings.slots
        wait_until(
            lambda: sum(slot.state == "idle" for slot in farm.slots()) >= wanted and farm.cpu_workers(),
            seconds=60,
            what="workers ready",
        )
        yield workers
    finally:
        workers.stop()
