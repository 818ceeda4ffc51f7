"""A segment's files go up while the chunk is still being drawn, and storage that is away for a while loses none."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from farm.errors import StorageUnreachableError
from farm.jobs.store import Books, Lease
from farm.local.servers import s3_server
from farm.messages import Bell
from farm.storage import keys
from farm.storage.s3 import Patience, Storage
from tests.conftest import wait_until
from workers.parts import Parts
from workers.process import SlotWorker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm import Settings

LEASE = Lease("20260901-081500-parts0", "4", "1-9f31c0aa", "a")


@pytest.fixture
def worker(settings: Settings) -> Iterator[SlotWorker]:
    books = Books.connect(settings)
    storage = Storage.from_settings(settings, Patience(attempts=1, connect_seconds=1))
    yield SlotWorker(settings, "a", books, storage, Bell(settings))
    storage.close()
    books.close()


def written(folder: Path) -> dict[str, bytes]:
    contents = {"head.mkv": b"first frames", "body.mp4": b"the most", "tail.mkv": b"last frames"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return contents


def key(name: keys.SegmentFile) -> str:
    return keys.segment(LEASE.job, 4, LEASE.attempt, name)


def test_a_file_is_in_storage_before_anybody_waits_for_it(worker: SlotWorker, tmp_path: Path) -> None:
    worker.storage.ensure_bucket()
    contents, parts = written(tmp_path), Parts(worker, LEASE, 4)
    parts.send(tmp_path / "head.mkv")
    wait_until(lambda: worker.storage.exists(key("head.mkv")), what="the head in storage")
    parts.send(tmp_path / "body.mp4")
    parts.send(tmp_path / "tail.mkv")
    assert parts.sent() == {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    assert worker.storage.get_bytes(key("tail.mkv")) == contents["tail.mkv"]


def test_what_storage_did_not_take_is_sent_again_when_it_is_asked_for_again(settings: Settings, tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3") as first:
        port, pair = int(first.endpoint.rpartition(":")[2]), (first.access_key, first.secret_key)
    away = {"s3_endpoint": first.endpoint, "s3_access_key": pair[0], "s3_secret_key": pair[1]}
    settings = settings.model_copy(update=away)
    books = Books.connect(settings)
    # more than one: a server may fail two uploads that make the same folder at once, as rclone does, one time in 400
    storage = Storage.from_settings(settings, Patience(attempts=3, connect_seconds=1))
    worker = SlotWorker(settings, "a", books, storage, Bell(settings))
    contents, parts = written(tmp_path), Parts(worker, LEASE, 4)
    parts.send(tmp_path / "head.mkv")
    with pytest.raises(StorageUnreachableError):
        parts.sent()
    with s3_server(tmp_path / "s3", port=port, keys=pair):
        storage.ensure_bucket()
        parts.send(tmp_path / "body.mp4")
        assert set(parts.sent()) == {"head.mkv", "body.mp4"}
        assert storage.get_bytes(key("head.mkv")) == contents["head.mkv"]
    storage.close()
    books.close()


def test_what_goes_wrong_beside_the_work_is_logged(worker: SlotWorker, caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise ArithmeticError("the picture fell off the wall")

    worker.do_aside(fails)
    worker.aside.shutdown(wait=True)
    assert "the picture fell off the wall" in caplog.text
