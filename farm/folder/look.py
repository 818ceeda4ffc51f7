"""A look at an inbox: everything that lies there, listed a folder at a time, many folders at once."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.folder.inbox import Inbox
    from farm.storage.s3 import ObjectInfo, Storage

FOLDERS_AT_ONCE = 16


@dataclass
class Listing:
    """What lies in an inbox: files by name, by folder. Folders end with a slash, "" is the inbox itself.

    at: the server's clock, Unix seconds. seconds: what it took.
    """

    folders: dict[str, dict[str, ObjectInfo]] = field(default_factory=dict)
    at: float = 0.0
    seconds: float = 0.0

    @property
    def files(self) -> int:
        return sum(map(len, self.folders.values()))

    def file(self, path: str) -> ObjectInfo | None:
        folder, slash, name = path.rpartition("/")
        return self.folders.get(folder + slash, {}).get(name)


def list_inbox(storage: Storage, inbox: Inbox) -> Listing:
    """List it all. storage: of the inbox's bucket."""
    found, began = Listing(), time.monotonic()
    with ThreadPoolExecutor(FOLDERS_AT_ONCE) as pool:
        pending: set[Future[tuple[str, dict[str, ObjectInfo], list[str], float]]] = set()
        pending.add(pool.submit(_list_folder, storage, inbox.prefix))
        while pending:
            ready, pending = wait(pending, return_when=FIRST_COMPLETED)
            for one in ready:
                prefix, files, folders, at = one.result()
                found.folders[prefix.removeprefix(inbox.prefix)] = files
                found.at = max(found.at, at)
                pending |= {pool.submit(_list_folder, storage, folder) for folder in folders}
    found.seconds = time.monotonic() - began
    return found


def _list_folder(storage: Storage, prefix: str) -> tuple[str, dict[str, ObjectInfo], list[str], float]:
    files: dict[str, ObjectInfo] = {}
    folders: list[str] = []
    at = 0.0
    for page in storage.folder(prefix):
        at = page.at if not at else min(at, page.at)  # the earliest: nothing may seem older than it is
        files |= {item.key.removeprefix(prefix): item for item in page.objects if item.key != prefix}
        folders += page.folders
    return prefix, files, folders, at
