"""What a process logs during an attempt, kept in storage a chunk at a time, even when the process dies in between."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.logs import formatter
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.jobs.store import Lease
    from farm.storage.s3 import Storage

log = logging.getLogger(__name__)

UPLOAD_SECONDS = 10


@contextmanager
def kept_log(lease: Lease, path: Path, storage: Storage) -> Iterator[None]:
    """Write the log to `path` and put it into storage now and then, and at the end.

    From a thread of its own: storage that hangs must hold up neither the lease nor the work.
    """
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(formatter())
    over = threading.Event()
    key = keys.log(lease.job, lease.unit, lease.attempt)
    thread = threading.Thread(target=_upload_until, args=(over, key, path, storage), name=f"log {lease}", daemon=True)
    root = logging.getLogger()
    root.addHandler(handler)
    thread.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        over.set()
        thread.join()


def _upload_until(over: threading.Event, key: str, path: Path, storage: Storage) -> None:
    uploaded = 0
    while True:
        last = over.wait(UPLOAD_SECONDS)
        data = path.read_bytes()
        if len(data) > uploaded:
            try:
                storage.put_bytes(key, data, content_type="text/plain; charset=utf-8")
                uploaded = len(data)
            except FarmError as error:
                log.warning("log of the attempt not kept yet: %s", error)
        if last:
            return
