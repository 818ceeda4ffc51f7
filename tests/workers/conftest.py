"""A whole farm of real processes, kept for a file of tests, with renderers made for tests."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from farm import Farm, Settings
from farm.local.servers import redis_server
from tests.conftest import PORTRAIT, Workers, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm import Job
    from farm.local.servers import S3Server

MADE_FOR_TESTS = ("Stripes", "Spoiling", "Aside", "Gated", "Crashing", "Failing", "Refusing")


def tone(path: Path, seconds: float, *, rate: int = 16_000) -> Path:
    """A wav file with something to hear in it."""
    time = np.arange(round(seconds * rate)) / rate
    samples = (8000 * np.sin(2 * np.pi * 220 * time)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


@dataclass
class House:
    """A running farm and what a test needs to play with it."""

    farm: Farm
    workers: Workers
    gate: Path
    folder: Path

    def submit(self, renderer: str, *, seconds: float = 12, name: str = "Algebra 03", **more: object) -> Job:
        speech = tone(self.folder / f"{seconds}.wav", seconds)
        token = f"{renderer}-{len(self.farm.jobs())}"
        return self.farm.submit(
            PORTRAIT, speech, name=name, renderer=renderer, token=token, **{"chunk_seconds": 4} | more
        )


@pytest.fixture(scope="module")
def house(s3_service: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    gate = folder / "gate"
    gate.touch()
    with redis_server(folder / "redis") as redis:
        settings = Settings(
            dir=folder / "farm",
            redis_url=redis.url,
            s3_endpoint=s3_service.endpoint,
            s3_access_key=s3_service.access_key,
            s3_secret_key=s3_service.secret_key,
            s3_bucket="sonic-farm",
            s3_prefix=folder.name,
            owner="tests",
            lease_seconds=2,
            sweep_seconds=0.2,
            check=False,
            reuse=False,
            slots=2,
            renderers=tuple(f"{name.lower()}=tests.renderers:{name}" for name in MADE_FOR_TESTS),
        )
        with Farm(settings) as farm, running(farm, {"FARM_TEST_GATE": str(gate)}) as workers:
            yield House(farm, workers, gate, folder)
