"""Reading an object: in blocks, taken up again where a stream broke, checked against what is known of it."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from farm.errors import CorruptObjectError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.storage.failures import Address

BLOCK_BYTES = 1 << 20
BROKEN = (ResponseStreamingError, IncompleteReadError, ReadTimeoutError)
SHA256_META = "sha256"
"""Name of the metadata under which the farm keeps the SHA-256 of what it uploads."""


@dataclass(frozen=True)
class Digest:
    """A checksum ("sha256" or "md5") that a content must have."""

    algorithm: str
    value: str


def digest_of(answer: Any) -> Digest | None:
    """The checksum of a whole object, from what a server says of it; None where it says nothing of use."""
    for name, value in answer.get("Metadata", {}).items():
        if name.lower() == SHA256_META:  # rclone gives the name back as "Sha256"
            return Digest("sha256", value)
    etag = answer.get("ETag", "").strip('"')
    encrypted = answer.get("ServerSideEncryption", "").startswith("aws:kms") or "SSECustomerAlgorithm" in answer
    # an ETag is the MD5 of the content only where it was sent in one piece and not encrypted with a key of its own
    return Digest("md5", etag) if re.fullmatch("[0-9a-f]{32}", etag) and not encrypted else None


class Stream:
    """The bytes [start, stop) of an object; iterate once for its blocks.

    attempts: how often in a row a broken stream is taken up again without bringing anything. Iterating raises what
    boto3 raises, and StorageError for an object that changes or a server that sends another range.
    """

    def __init__(
        self, client: Any, address: Address, *, attempts: int, start: int = 0, stop: int | None = None
    ) -> None:
        self._client = client
        self._address = address
        self._attempts = attempts
        self._offset = start
        self._last = "" if stop is None else stop - 1
        self._ranged = start > 0 or stop is not None
        self._answer: Any = None

    @property
    def digest(self) -> Digest | None:
        """What the server says of the whole object; known when the first block is there or the iteration is over."""
        return digest_of(self._answer)

    @property
    def etag(self) -> str:
        """The ETag of the whole object; known when the first block is there or the iteration is over."""
        return str(self._answer["ETag"]).strip('"')

    @property
    def share(self) -> float:
        """How much of a whole object was read, 0 to 1; known when the first block is there."""
        return self._offset / int(self._answer["ContentLength"])

    def __iter__(self) -> Iterator[bytes]:
        fruitless = 0
        while True:
            before = self._offset
            try:
                for block in self._open().iter_chunks(BLOCK_BYTES):
                    self._offset += len(block)
                    yield block
                return
            except BROKEN:
                fruitless = 0 if self._offset > before else fruitless + 1
                if fruitless >= self._attempts:
                    raise
                time.sleep(min(0.1 * 2**fruitless, 5))

    def _open(self) -> Any:
        if self._ranged or self._answer:
            answer = self._ask_range()
        else:
            answer = self._client.get_object(Bucket=self._address.bucket, Key=self._address.key)
        if self._answer and answer["ETag"] != self._answer["ETag"]:
            raise CorruptObjectError(f"{self._address} was overwritten while it was read")
        self._answer = self._answer or answer
        return answer["Body"]

    def _ask_range(self) -> Any:
        wanted = f"bytes={self._offset}-{self._last}"
        answer = self._client.get_object(Bucket=self._address.bucket, Key=self._address.key, Range=wanted)
        if not answer.get("ContentRange", "").startswith(f"bytes {self._offset}-"):
            raise StorageError(f"storage ignored the range {wanted} of {self._address}")
        return answer


def checked(stream: Stream, address: Address, promised: Digest | None) -> Iterator[bytes]:
    """The blocks of a whole object; StorageError at the end when its content is not what it should be.

    promised: what the content must be, where the caller knows; else it is held against what the server says.
    """
    running = {"sha256": hashlib.sha256()} if promised else {"sha256": hashlib.sha256(), "md5": _md5()}
    for block in stream:
        for each in running.values():
            each.update(block)
        yield block
    wanted = promised or stream.digest
    if wanted and (found := running[wanted.algorithm].hexdigest()) != wanted.value:
        raise CorruptObjectError(f"{address} is corrupt: its {wanted.algorithm} is {found}, wanted {wanted.value}")


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)
