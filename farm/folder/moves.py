"""Moving files between the places of an inbox: copied, checked, deleted. Every move may be made again after a crash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import CorruptObjectError, NotFoundError, ReplacedError

if TYPE_CHECKING:
    from farm.folder.claims import File
    from farm.folder.inbox import Inbox
    from farm.storage.s3 import Storage


@dataclass(frozen=True)
class Moves:
    """storage: of the inbox's bucket."""

    storage: Storage
    inbox: Inbox

    def out_of_inbox(self, file: File, place: str) -> bool:
        """Take a file out of the inbox; one that was replaced since it was claimed stays there. False: not deleted.

        The copy stays in any case: it is what was claimed, and may be all that another watcher's move left of it.
        S3 cannot delete on a condition: an upload between the last look and the delete would be lost.
        """
        source, target = self.inbox.prefix + file.path, place + file.path
        if not self._is_as_claimed(source, file):
            return False
        try:
            if not self._copy(source, target, file, etag=file.etag):
                return False
        except ReplacedError:
            return False
        if not self._is_as_claimed(source, file):
            return False
        self.storage.delete(source)
        return True

    def on(self, file: File, source: str, target: str) -> bool:
        """Take a file from one place of ours to another; False when it is not there (any more).

        Raises CorruptObjectError before anything is copied over where another file lies there. Its ETag is held to
        what was found: a copy may have another than the claim says.
        """
        found = self.storage.head(source + file.path)
        if found is None:
            return False
        if found.size != file.size:
            where = self.storage.address(source + file.path)
            raise CorruptObjectError(f"{where} has {found.size} bytes, wanted the {file.size} that were taken")
        if not self._copy(source + file.path, target + file.path, file, etag=found.etag):
            return False
        self.storage.delete(source + file.path)
        return True

    def back_into_inbox(self, file: File, place: str) -> bool:
        """Put a file back where it was uploaded; False when it is not in `place` or another lies there by now."""
        if self.storage.head(self.inbox.prefix + file.path) is not None:
            return False
        return self.on(file, place, self.inbox.prefix)

    def _copy(self, source: str, target: str, file: File, *, etag: str) -> bool:
        try:
            self.storage.copy_from(self.storage.address(source), target, size=file.size, etag=etag)
        except NotFoundError:
            return False
        found = self.storage.head(target)
        if found is None or found.size != file.size:
            size = "nothing" if found is None else f"{found.size} bytes"
            raise CorruptObjectError(f"{self.storage.address(target)} is {size} after copying, wanted {file.size}")
        return True

    def _is_as_claimed(self, key: str, file: File) -> bool:
        found = self.storage.head(key)
        return found is not None and (found.size, found.etag) == (file.size, file.etag)
