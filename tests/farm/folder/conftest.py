"""An inbox in a real S3 server, watchers for it, and a hand that ends jobs as workers would."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from moto.server import ThreadedMotoServer

from farm import Farm
from farm.folder.claims import Claim
from farm.folder.inbox import Inbox
from farm.folder.watch import Watcher
from farm.jobs import inboxes
from farm.jobs.model import PLAN
from farm.jobs.store import AttemptFailure
from tests.conftest import PORTRAIT
from tests.farm.hands import Hand
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm import Settings
    from farm.jobs.model import JobView


class Drop:
    """An inbox and what people, watchers and workers do around it. Paths are relative to the inbox."""

    def __init__(self, settings: Settings, folder: Path, stack: ExitStack) -> None:
        self.settings = settings
        self._stack = stack
        self.farm = self.another_farm()
        self.inbox = Inbox.at(f"s3://{settings.s3_bucket}/{settings.s3_prefix}-drop/inbox", settings)
        self.storage = stack.enter_context(closing(self.farm.storage.beside(settings.s3_bucket)))
        self.base = self.inbox.prefix.removesuffix("inbox/")
        self.speech = tone(folder / "tone.wav", 1).read_bytes()
        self.portrait = PORTRAIT.read_bytes()
        self.hand = Hand(self.farm)

    def another_farm(self) -> Farm:
        return self._stack.enter_context(Farm(self.settings))

    def watcher(self) -> Watcher:
        """One that has never looked, with connections of its own, as after a start."""
        return Watcher(self.another_farm(), self.inbox)

    def put(self, path: str, data: bytes = b"text") -> None:
        self.storage.put_bytes(self.inbox.prefix + path, data)

    def pair(self, stem: str, *, ending: str = "wav") -> None:
        self.put(f"{stem}.png", self.portrait)
        self.put(f"{stem}.{ending}", self.speech)

    def take(self, watcher: Watcher | None = None) -> None:
        """Two looks, and all that can be done after them."""
        watcher = watcher or self.watcher()
        watcher.look()
        watcher.look()
        self.work(watcher)

    def work(self, watcher: Watcher) -> None:
        inboxes.later(self.farm.books, self.inbox.id, [claim.token for claim in self.claims()], seconds=0)
        while watcher.work():
            pass

    def claims(self) -> list[Claim]:
        return [Claim.from_json(record) for record in inboxes.claim_records(self.farm.books, self.inbox.id)]

    def claim(self, path: str) -> Claim:
        return next(claim for claim in self.claims() if claim.main.path == path)

    def jobs(self) -> list[JobView]:
        return self.farm.jobs()

    def lies(self) -> list[str]:
        """Every object around the inbox, by its key from the inbox's parent on."""
        return [item.key.removeprefix(self.base) for item in self.storage.list(self.base)]

    def read_json(self, key: str) -> Any:
        return json.loads(self.storage.get_bytes(self.base + key))

    def finish(self, id: str) -> None:
        """Do what workers do, to the end."""
        job, hand = self.farm.job(id), self.hand
        self.farm.books.planned(hand.claim(job, PLAN), frames25=25, chunks=1)
        hand.render(job, 0)
        hand.stitch(job)

    def fail(self, id: str, message: str) -> None:
        lease = self.hand.claim(self.farm.job(id), PLAN)
        self.farm.books.fail(lease, AttemptFailure(code="render_failed", message=message, permanent=True))


@pytest.fixture
def drop(settings: Settings, tmp_path: Path) -> Iterator[Drop]:
    quick = settings.model_copy(update={"inbox_settle_seconds": 0.0, "inbox_seconds": 0.1})
    with ExitStack() as stack:
        yield Drop(quick, tmp_path, stack)


@pytest.fixture(scope="session")
def any_key_server() -> Iterator[dict[str, str]]:
    """Settings of an S3 server that takes every key that Amazon takes: on ours keys are names of files."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {"s3_endpoint": f"http://{host}:{port}", "s3_access_key": "moto-access", "s3_secret_key": "moto-secret"}
    server.stop()


@pytest.fixture
def any_key_drop(settings: Settings, any_key_server: dict[str, str], tmp_path: Path) -> Iterator[Drop]:
    changes = {**any_key_server, "inbox_settle_seconds": 0.0, "inbox_seconds": 0.1, "s3_bucket": "any-keys"}
    with ExitStack() as stack:
        drop = Drop(settings.model_copy(update=changes), tmp_path, stack)
        drop.storage.ensure_bucket()
        yield drop
