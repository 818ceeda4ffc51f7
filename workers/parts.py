"""A segment's files on their way to storage, each as soon as it is complete: the rest is still being drawn then."""

from __future__ import annotations

from concurrent.futures import wait
from typing import TYPE_CHECKING, Final, cast

from farm.logs import for_same_hand
from farm.storage import keys

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from farm.jobs.store import Lease
    from workers.process import SlotWorker

CONTENT_TYPES: Final = {".mp4": "video/mp4", ".mkv": "video/x-matroska"}


class Parts:
    """The files of one attempt. Until segment.json lies beside them they are nobody's, so an attempt may end anywhere.

    No attempt waits for the uploads of one that ended: what they find gone they leave.
    """

    def __init__(self, worker: SlotWorker, lease: Lease, index: int) -> None:
        self._worker = worker
        self._lease = lease
        self._index = index
        self._uploads: dict[Path, Future[str]] = {}

    def send(self, path: Path) -> None:
        """Begin to upload a file that is complete; it must stay as it is until `sent`."""
        name = cast("keys.SegmentFile", path.name)
        key = keys.segment(self._lease.job, self._index, self._lease.attempt, name)
        put = for_same_hand(self._worker.storage.put_file)
        self._uploads[path] = self._worker.aside.submit(put, key, path, content_type=CONTENT_TYPES[path.suffix])

    def sent(self) -> dict[str, str]:
        """SHA-256 of each file by name, once all are in storage.

        Raises what kept one from it; asked again, it tries that one again.
        """
        for path, upload in list(self._uploads.items()):
            if upload.done() and upload.exception() is not None:
                self.send(path)
        wait(self._uploads.values())
        return {path.name: upload.result() for path, upload in sorted(self._uploads.items())}
