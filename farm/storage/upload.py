"""Writing a file as an object: streamed, in parts where it is large."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from s3transfer.subscribers import BaseSubscriber

from farm.storage.download import SHA256_META

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s3transfer.futures import TransferFuture

    from farm.storage.failures import Address

    OnProgress = Callable[[float], None]
    """Called with the share done, 0 to 1, from other threads; it must not raise."""

PART_BYTES = 16 << 20
"""Larger files go up in parts of this size."""
SMALL_BYTES = 4 << 20
"""Files up to this size are read before they are sent: for what it reads itself, botocore first asks the server whether
it may send, and waits for the answer.
"""
PARTS_AT_ONCE = 4
"""Parts in flight; servers that write them in order hold the others in memory."""


def upload(
    client: Any,
    address: Address,
    path: Path,
    *,
    sha256: str,
    content_type: str | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Send a file whose SHA-256 is known; the object appears whole or not at all. Raises what boto3 raises."""
    extra: dict[str, Any] = {"Metadata": {SHA256_META: sha256}}
    if content_type:
        extra["ContentType"] = content_type
    size = path.stat().st_size
    if size <= PART_BYTES:  # boto3's manager starts a dozen threads for any file
        with path.open("rb") as file:
            body = file.read() if size <= SMALL_BYTES else file
            client.put_object(Bucket=address.bucket, Key=address.key, Body=body, **extra)
        if on_progress:
            on_progress(1.0)
        return
    config = TransferConfig(
        multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARTS_AT_ONCE
    )
    watchers = [_Watcher(size, on_progress)] if on_progress else []
    with create_transfer_manager(client, config) as manager:
        manager.upload(str(path), address.bucket, address.key, extra_args=extra, subscribers=watchers).result()


class _Watcher(BaseSubscriber):
    """Turns s3transfer's counts of bytes, which come from several threads, into the share done."""

    def __init__(self, size: int, tell: OnProgress) -> None:
        self._size = size
        self._tell = tell
        self._sent = 0
        self._lock = threading.Lock()

    def on_progress(self, future: TransferFuture, bytes_transferred: int, **_: Any) -> None:  # noqa: ARG002
        with self._lock:
            self._sent += bytes_transferred  # negative when a part is sent again
            self._tell(self._sent / self._size)
