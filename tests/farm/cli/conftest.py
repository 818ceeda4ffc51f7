"""The command line in this process or its own, and a hand that makes the moves of workers in the books."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from farm.cli.main import run
from farm.jobs.store import AttemptFailure, Books, Lease
from farm.storage import keys
from farm.storage.s3 import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.settings import Settings

VIDEO = b"not really a video, but fetched byte by byte"


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]


@pytest.fixture
def environ(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """This process's environment, with the farm's settings in it."""
    # a pipe, whose width nobody sets: readline exports its own to what a test run starts
    for key in [key for key in os.environ if key.startswith("FARM_") or key in {"COLUMNS", "LINES"}]:
        monkeypatch.delenv(key)
    for name in settings.model_fields_set:
        monkeypatch.setenv(f"FARM_{name.upper()}", str(getattr(settings, name)))
    return dict(os.environ)


@pytest.fixture
def cli(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command in this process."""

    def call(*arguments: str) -> Answer:
        code = run([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return call


def _hears_ctrl_c() -> None:
    """Who started the tests in the background of a shell made them deaf to it, and their children too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def farm_process(environ: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from farm.cli.main import main; main()", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, env={**environ, **more}, preexec_fn=_hears_ctrl_c, **pipes)  # type: ignore[call-overload]
        started.append(process)
        return process  # type: ignore[no-any-return]

    yield start
    for process in started:
        process.kill()
        process.communicate()


class Hand:
    """Does by hand what workers do: claims, renews, records, publishes."""

    def __init__(self, books: Books, storage: Storage) -> None:
        self.books = books
        self.storage = storage
        self._count = 0

    def job(self, name: str = "Algebra 03", *, owner: str = "ada", chunks: int = 3) -> str:
        """A job that is planned and waits."""
        self._count += 1
        job = f"20261122-181530-{self._count:06}"
        fields = {"name": name, "owner": owner, "priority": 5, "renderer": "preview", "max_attempts": 1}
        self.books.enter(job, f"token {job}", {**fields, "token": f"token {job}", "warnings": "[]"})
        self.books.planned(self.claim(job, "plan"), frames25=750, chunks=chunks)
        return job

    def claim(self, job: str, unit: str) -> Lease:
        lease = self.books.claim(job, unit, slot="slot0", suffix="abcdef", lease_seconds=60)
        assert isinstance(lease, Lease)
        return lease

    def render(self, job: str, *chunks: int) -> None:
        for chunk in chunks:
            self.books.record(self.claim(job, str(chunk)))

    def progress(self, job: str, chunk: int, percent: float) -> None:
        self.books.renew(self.claim(job, str(chunk)), percent=percent, lease_seconds=60)

    def fail(self, job: str, chunk: int, message: str) -> None:
        self.books.fail(self.claim(job, str(chunk)), AttemptFailure(code="render_failed", message=message))

    def stitch(self, job: str) -> None:
        key = keys.result(job, 1, "video.mp4")
        self.storage.put_bytes(key, VIDEO)
        self.books.stitched(self.claim(job, "stitch"), version=1, result=key, digest="d1ge57")

    def done(self, name: str = "Algebra 03", *, owner: str = "ada") -> str:
        job = self.job(name, owner=owner, chunks=1)
        self.render(job, 0)
        self.stitch(job)
        return job

    def slot(self, name: str, *, renderers: tuple[str, ...] = ("preview",), **more: object) -> None:
        fields = {"host": "here", "device": "cpu", "visible_devices": "", "renderers": renderers}
        self.books.report_slot(
            name,
            {
                **fields,
                "state": "ready",
                "pid": 7,
                "process": "p7",
                "launcher": "l7",
                "ttl_ms": 60_000,
                "load_seconds": 0.1,
                **more,
            },
        )


@pytest.fixture
def hand(settings: Settings) -> Iterator[Hand]:
    with closing(Books.connect(settings)) as books, closing(Storage.from_settings(settings)) as storage:
        yield Hand(books, storage)
