"""Objects in any S3-compatible storage: put, get, exists, list, url."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import ClientError

from farm.errors import CorruptObjectError, NotFoundError, ReplacedError, StorageError
from farm.settings import Settings, masked_url
from farm.storage import keys
from farm.storage.connect import Patience, connect, tell_times
from farm.storage.download import SHA256_META, Digest, Stream, checked
from farm.storage.failures import Address, explained, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.storage.connect import OnCall
    from farm.storage.upload import OnProgress

__all__ = ["FolderPage", "ObjectInfo", "Patience", "Storage"]

COPY_AT_ONCE_BYTES = 5 << 30
"""What S3 copies in one request; larger objects are copied in parts."""

DELETE_AT_ONCE = 1000
"""Keys that S3 takes in one delete request."""
FRESH_SECONDS = 24 * 3600.0
LONGEST_URL_SECONDS = 7 * 24 * 3600
"""How long a presigned URL may live at most (Signature Version 4)."""
S3_URL = re.compile(r"s3://(?P<bucket>[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){1,61}[A-Za-z0-9])/(?P<key>.+)", re.DOTALL)


@dataclass(frozen=True)
class ObjectInfo:
    """An object as a listing shows it; `modified` in Unix seconds."""

    key: str
    size: int
    etag: str
    modified: float


@dataclass(frozen=True)
class FolderPage:
    """A page of a folder's listing: what lies in it, and the prefixes of its folders. at: the server's clock."""

    objects: tuple[ObjectInfo, ...]
    folders: tuple[str, ...]
    at: float


class Storage:
    """The farm's bucket. Safe to share between threads; connects at the first call. on_call: told of every request.

    Everything raises StorageUnreachableError (no answer, 5xx, throttled past all retries; the same call may succeed
    later), StorageError (refused or corrupt) and, where an object is read, NotFoundError; each names the object.
    """

    def __init__(self, settings: Settings, patience: Patience) -> None:
        prefix = settings.s3_prefix.strip("/")
        self._settings = settings
        self._patience = patience
        self._bucket = settings.s3_bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._lock = threading.Lock()
        self._connected: Any = None
        self._bucket_seen = False
        self.on_call: OnCall = lambda _operation, _seconds: None

    @classmethod
    def from_settings(cls, settings: Settings, patience: Patience | None = None) -> Self:
        return cls(settings, patience or Patience())

    def __repr__(self) -> str:
        return f"Storage({masked_url(self._settings.s3_endpoint or 'Amazon S3')}, {self.address('')})"

    def address(self, key: str) -> Address:
        """Where a key of the farm lies, the prefix put before it."""
        return Address(self._bucket, self._prefix + key)

    def close(self) -> None:
        """Drop the connections; the next call opens new ones."""
        with self._lock:
            if self._connected:
                self._connected.close()
            self._connected = None

    def put_bytes(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        where = self.address(key)
        with explained(where):
            self._client.put_object(
                Bucket=where.bucket,
                Key=where.key,
                Body=data,
                ContentType=content_type,
                Metadata={SHA256_META: hashlib.sha256(data).hexdigest()},
            )

    def put_json(self, key: str, value: Any) -> None:
        data = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        self.put_bytes(key, data, content_type="application/json")

    def put_file(
        self, key: str, path: Path, *, content_type: str | None = None, on_progress: OnProgress | None = None
    ) -> str:
        """Upload a file, streamed, in parts where it is large; the object appears whole or not at all.

        Answers the file's SHA-256.
        """
        from farm.storage.upload import upload  # brings boto3 in

        sha256 = sha256_of(path)
        where = self.address(key)
        with explained(where):
            upload(self._client, where, path, sha256=sha256, content_type=content_type, on_progress=on_progress)
        return sha256

    def put_asset(self, path: Path, *, on_progress: OnProgress | None = None) -> str:
        """Upload an input under its SHA-256, unless it is there already; answers the SHA-256.

        What is there for longer than FRESH_SECONDS is written anew: an input that no job names is removed some time
        after it was written (farm.retention), and never while it is being submitted again.
        """
        size, changed = _stamp(path)
        sha256 = sha256_of(path)
        key = keys.asset(sha256)
        if self._is_fresh(key, size):
            return sha256
        self.put_file(key, path, on_progress=on_progress)
        if _stamp(path) != (size, changed):
            self.delete(key)  # a wrong content under this name would never be replaced
            raise StorageError(f"{path} was changed while it was uploaded as {self.address(key)}")
        return sha256

    def delete(self, *names: str) -> None:
        """Remove objects; those that are not there are no error."""
        for first in range(0, len(names), DELETE_AT_ONCE):
            self._delete(names[first : first + DELETE_AT_ONCE])

    def ensure_bucket(self) -> None:
        """Make the bucket if it is not there."""
        with explained(Address(self._bucket)):
            try:
                self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if _status(error) != 404:
                    raise
                self._create_bucket()

    def get_bytes(self, key: str) -> bytes:
        where = self.address(key)
        with explained(where):
            return b"".join(checked(self._stream(where), where, _promised(key)))

    def get_json(self, key: str) -> Any:
        data = self.get_bytes(key)
        try:
            return json.loads(data)
        except ValueError as error:
            raise CorruptObjectError(f"{self.address(key)} is corrupt, wanted JSON: {error}") from error

    def get_file(self, key: str, path: Path, *, on_progress: OnProgress | None = None) -> None:
        """Download to `path`, which appears whole and checked or not at all."""
        self._save(self.address(key), path, _promised(key), on_progress)

    def fetch_url(self, url: str, path: Path) -> None:
        """Download s3://bucket/key, from the farm's endpoint and with its credentials, to `path`.

        The key is taken letter by letter: nothing in it is decoded and nothing of it becomes a local name.
        """
        self._save(address_of_url(url), path, None, None)

    def fetch(self, found: ObjectInfo, path: Path) -> None:
        """Download what a listing showed; raises ReplacedError when something else lies there by now."""
        where = self.address(found.key)
        if self._save(where, path, None, None).etag != found.etag:
            path.unlink()
            raise ReplacedError(f"{where} was replaced while it was taken")

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of an object, fewer where it ends before."""
        if not 0 <= start <= stop:
            raise ValueError(f"range is [{start}, {stop}), wanted 0 <= start <= stop")
        if start == stop:
            return b""
        where = self.address(key)
        with explained(where):
            try:
                return b"".join(self._stream(where, start=start, stop=stop))
            except ClientError as error:
                if _status(error) == 416:  # it ends before `start`
                    return b""
                raise

    def exists(self, key: str) -> bool:
        return self.head(key) is not None

    def size(self, key: str) -> int:
        """Bytes of an object."""
        found = self.head(key)
        if found is None:
            raise refusal(self.address(key), "NoSuchKey", "")
        return found.size

    def head(self, key: str) -> ObjectInfo | None:
        """An object as its server knows it; None where there is none."""
        where = self.address(key)
        with explained(where):
            try:
                found = self._client.head_object(Bucket=where.bucket, Key=where.key)
            except ClientError as error:
                if _status(error) != 404:
                    raise
                self._require_bucket()
                return None
        return ObjectInfo(key, found["ContentLength"], found["ETag"].strip('"'), found["LastModified"].timestamp())

    def copy_from(self, source: Address, key: str, *, size: int, etag: str | None = None) -> None:
        """Copy an object of any bucket inside the server. size: bytes of the source.

        etag: raises ReplacedError where the source has another by now; some servers do not look, so look yourself.
        """
        where = self.address(key)
        named = {"Bucket": source.bucket, "Key": source.key}
        match = {"CopySourceIfMatch": f'"{etag}"'} if etag is not None else {}
        with explained(source):
            try:
                if size > COPY_AT_ONCE_BYTES:
                    self._client.copy(named, where.bucket, where.key, ExtraArgs=match)
                else:
                    self._client.copy_object(Bucket=where.bucket, Key=where.key, CopySource=named, **match)
            except ClientError as error:
                if _status(error) == 412:
                    raise ReplacedError(f"{source} was replaced before it was copied") from error
                raise

    def beside(self, bucket: str) -> Storage:
        """Another bucket of the same server, by the same connections; no prefix is put before its keys."""
        settings = self._settings.model_copy(update={"s3_bucket": bucket, "s3_prefix": ""})
        other = type(self)(settings, self._patience)
        other._connected = self._client
        return other

    def folder(self, prefix: str = "") -> Iterator[FolderPage]:
        """What lies in a folder, and which folders, but nothing of what those hold. prefix: "" or ends with a slash."""
        where = self.address(prefix)
        with explained(where):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=where.bucket, Prefix=where.key, Delimiter="/"
            )
            for page in pages:
                yield FolderPage(
                    objects=tuple(self._info(found) for found in page.get("Contents", [])),
                    folders=tuple(one["Prefix"].removeprefix(self._prefix) for one in page.get("CommonPrefixes", [])),
                    at=parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp(),
                )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in the order of keys; pages are fetched as they are needed."""
        where = self.address(prefix)
        with explained(where):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=where.bucket, Prefix=where.key):
                for found in page.get("Contents", []):
                    yield self._info(found)

    def url(self, key: str, *, expires_s: int) -> str:
        """A URL by which anybody may read the object for `expires_s` seconds; whether it exists is not asked."""
        if not 0 < expires_s <= LONGEST_URL_SECONDS:
            raise ValueError(f"expires_s is {expires_s}, wanted 1 to {LONGEST_URL_SECONDS}")
        where = self.address(key)
        with explained(where):
            params = {"Bucket": where.bucket, "Key": where.key}
            return str(self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=expires_s))

    def _info(self, found: Any) -> ObjectInfo:
        return ObjectInfo(
            key=found["Key"].removeprefix(self._prefix),
            size=found["Size"],
            etag=found["ETag"].strip('"'),
            modified=found["LastModified"].timestamp(),
        )

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._connected is None:
                self._connected = connect(self._settings, self._patience)
                tell_times(self._connected, lambda operation, seconds: self.on_call(operation, seconds))
            return self._connected

    def _is_fresh(self, key: str, size: int) -> bool:
        found = self.head(key)
        return found is not None and found.size == size and found.modified > time.time() - FRESH_SECONDS

    def _stream(self, where: Address, *, start: int = 0, stop: int | None = None) -> Stream:
        return Stream(self._client, where, attempts=self._patience.attempts, start=start, stop=stop)

    def _save(self, where: Address, path: Path, promised: Digest | None, on_progress: OnProgress | None) -> Stream:
        part = path.with_name(f".{secrets.token_hex(8)}.part")
        stream = self._stream(where)
        try:
            with explained(where), part.open("xb") as file:
                for block in checked(stream, where, promised):
                    file.write(block)
                    if on_progress:
                        on_progress(stream.share)
            part.replace(path)
            return stream
        finally:
            part.unlink(missing_ok=True)

    def _delete(self, names: tuple[str, ...]) -> None:
        where = self.address(names[0])
        objects = [{"Key": self.address(name).key} for name in names]
        with explained(where):
            answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
        for failed in answer.get("Errors", []):
            raise refusal(Address(self._bucket, failed["Key"]), failed["Code"], failed.get("Message", ""))

    def _create_bucket(self) -> None:
        region = self._settings.s3_region
        # Amazon refuses the name of its first region here, and wants the name of any other
        extra: dict[str, Any] = (
            {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        try:
            self._client.create_bucket(Bucket=self._bucket, **extra)
        except ClientError as error:
            if _status(error) != 409:
                raise
            self._client.head_bucket(Bucket=self._bucket)  # somebody else was quicker: is it ours to use?

    def _require_bucket(self) -> None:
        """Tell a missing bucket from a missing object: the answer to a HEAD does not."""
        if self._bucket_seen:
            return
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if _status(error) == 404:
                raise refusal(Address(self._bucket), "NoSuchBucket", "") from error
            raise
        self._bucket_seen = True


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise NotFoundError(f"file {path} cannot be read: {error.strerror}") from error
    return found.st_size, found.st_mtime_ns


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NotFoundError(f"file {path} cannot be read: {error.strerror}") from error


def address_of_url(url: str) -> Address:
    """Bucket and key of an s3:// URL, letter by letter.

    Raises NotFoundError for what cannot be one, and for keys that proxies and servers would read as another path.
    """
    found = S3_URL.fullmatch(url)
    if not found:
        raise NotFoundError(f"{url!r} is no storage URL, wanted s3://bucket/key")
    key = found["key"]
    if any(part in {".", ".."} for part in key.split("/")) or any(
        ord(letter) < 32 or ord(letter) == 127 for letter in key
    ):
        raise NotFoundError(f"{url!r} is no storage URL: its key has a part '.' or '..' or a control character")
    return Address(found["bucket"], key)


def _promised(key: str) -> Digest | None:
    sha256 = keys.asset_digest(key)
    return Digest("sha256", sha256) if sha256 else None


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
