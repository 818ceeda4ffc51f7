"""What a process logs of an attempt, kept in storage a piece at a time, even when the process dies in between."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.logs import for_same_hand, formatter, in_hand
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.jobs.store import Lease
    from farm.storage.s3 import Storage

log = logging.getLogger(__name__)

UPLOAD_SECONDS = 10


@dataclass(frozen=True)
class _Target:
    storage: Storage
    key: str


@contextmanager
def kept_log(lease: Lease, path: Path, storage: Storage) -> Iterator[None]:
    """Write what belongs to the attempt in hand to `path`, and put it into storage now and then and at the end.

    From a thread of its own: storage that hangs must hold up neither the lease nor the work. The end of an attempt that
    failed is waited for; that of one that did its work goes up beside the next.
    """
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(formatter())
    work = in_hand()
    handler.addFilter(lambda _: in_hand() == work)
    over, read = threading.Event(), threading.Event()
    key = keys.log(lease.job, lease.unit, lease.attempt)
    thread = threading.Thread(
        target=for_same_hand(_upload_until),
        args=(over, read, path, _Target(storage, key)),
        name=f"log {lease}",
        daemon=True,
    )
    root = logging.getLogger()
    root.addHandler(handler)
    thread.start()
    try:
        yield
    except BaseException:
        _end(handler, over)
        thread.join()
        raise
    _end(handler, over)
    read.wait()  # the file goes with its folder


def _end(handler: logging.Handler, over: threading.Event) -> None:
    logging.getLogger().removeHandler(handler)
    handler.close()
    over.set()


def _upload_until(over: threading.Event, read: threading.Event, path: Path, target: _Target) -> None:
    uploaded, last = 0, False
    try:
        while not last:
            last = over.wait(UPLOAD_SECONDS)
            data = path.read_bytes()
            if last:
                read.set()
            if len(data) > uploaded:
                try:
                    target.storage.put_bytes(target.key, data, content_type="text/plain; charset=utf-8")
                    uploaded = len(data)
                except FarmError as error:
                    log.warning("log of the attempt not kept yet: %s", error)
    finally:
        read.set()  # however this ends, nobody waits for it for ever
