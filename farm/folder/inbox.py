"""An inbox and the places around it: where its files go, and that none of them overlaps another."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING

from farm.errors import NotFoundError, SettingsError
from farm.folder.names import ERROR_SUFFIX, LONGEST_KEY_BYTES, without_ending
from farm.storage import keys
from farm.storage.failures import Address
from farm.storage.s3 import address_of_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.settings import Settings

LONGEST_SUFFIX = len(" row 100000.mp4")
"""What a video's name may have beyond its speech's."""
OURS = (keys.JOBS, keys.ASSETS, keys.INBOXES, keys.BATCHES, keys.RENDERED, "probes/", "trials/", "doctor/")
"""What the farm itself keeps in its bucket."""


@dataclass(frozen=True)
class Inbox:
    """A watched folder. prefixes end with a slash and are of `bucket`, but for results: their bucket is their own."""

    bucket: str
    prefix: str
    processing: str
    done: str
    failed: str
    results: Address

    @classmethod
    def at(cls, url: str, settings: Settings) -> Inbox:
        """The inbox of an s3:// URL. Raises SettingsError where it cannot be one."""
        where = _folder(url, "inbox")
        parent = where.key.rstrip("/").rpartition("/")[0]
        beside = f"{parent}/" if parent else ""
        results = (
            _folder(settings.inbox_results, "inbox_results")
            if settings.inbox_results
            else Address(where.bucket, f"{beside}results/")
        )
        inbox = cls(where.bucket, where.key, f"{beside}processing/", f"{beside}done/", f"{beside}failed/", results)
        inbox.refuse_overlaps(settings)
        return inbox

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def id(self) -> str:
        """What its keys are made of in the books and in storage."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    @property
    def written(self) -> list[str]:
        """Prefixes in the inbox's bucket below which its files end."""
        results = [self.results.key] if self.results.bucket == self.bucket else []
        return [self.processing, self.done, self.failed, *results]

    def result(self, speech: str, suffix: str = "") -> Address:
        """Where the video of a speech goes."""
        return Address(self.results.bucket, f"{self.results.key}{without_ending(speech)}{suffix}.mp4")

    def too_long(self, path: str) -> str | None:
        """Why a file cannot be moved about, None where it can: all keys made of its name must be ones."""
        found = len(path.encode("utf-8", "surrogatepass"))
        most = self._longest_name
        return f"its name has {found} bytes, wanted {most} at most" if found > most else None

    @cached_property
    def _longest_name(self) -> int:
        """Bytes of a path in the inbox."""
        prefix = max(len(place.encode()) for place in (self.prefix, self.processing, self.done, self.failed))
        return LONGEST_KEY_BYTES - max(prefix + len(ERROR_SUFFIX), len(self.results.key.encode()) + LONGEST_SUFFIX)

    def refuse_overlaps(self, settings: Settings) -> None:
        """What is written must never be found in an inbox, nor an inbox in what the farm keeps."""
        own = [f"{settings.s3_prefix.strip('/')}/{place}".lstrip("/") for place in OURS]
        if self.bucket == settings.s3_bucket and (near := next((x for x in own if _overlap(x, self.prefix)), None)):
            raise SettingsError(f"inbox {self.url!r} overlaps {near!r}, where the farm keeps its own, wanted another")
        if near := next((place for place in self.written if _overlap(place, self.prefix)), None):
            raise SettingsError(
                f"inbox {self.url!r} overlaps s3://{self.bucket}/{near}, to which its files go, wanted another name"
            )
        taken = [Address(self.bucket, place) for place in (self.processing, self.done, self.failed)]
        if self.results in taken or (
            self.results.bucket == settings.s3_bucket and any(_overlap(x, self.results.key) for x in own)
        ):
            raise SettingsError(
                f"results of inbox {self.url!r} would go to {self.results}, wanted a folder of their own"
            )


def inboxes(urls: Sequence[str], settings: Settings) -> list[Inbox]:
    """Inboxes that can be watched side by side. Raises SettingsError."""
    found = list({inbox.url: inbox for inbox in (Inbox.at(url, settings) for url in urls)}.values())
    for one, other in permutations(found, 2):
        places = [Address(other.bucket, place) for place in (other.prefix, *other.written)] + [other.results]
        around = one.bucket == other.bucket and one.done == other.done
        if around or any(place.bucket == one.bucket and _overlap(one.prefix, place.key) for place in places):
            raise SettingsError(
                f"inboxes {other.url!r} and {one.url!r} lie in one folder or in each other, "
                "wanted a folder of its own around each: done/ and failed/ lie there"
            )
        if one.results == other.results:
            raise SettingsError(
                f"videos of inboxes {one.url!r} and {other.url!r} would both go to {one.results}, where those of one "
                "name overwrite each other: wanted inbox_results empty"
            )
    return found


def _folder(url: str, what: str) -> Address:
    try:
        where = address_of_url(url)
    except NotFoundError as error:
        raise SettingsError(f"{what} is {url!r}, wanted s3://bucket/folder: {error}") from None
    if not (key := where.key.strip("/")) or "//" in key:
        raise SettingsError(f"{what} is {url!r}, wanted s3://bucket/folder")
    return Address(where.bucket, f"{key}/")


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
