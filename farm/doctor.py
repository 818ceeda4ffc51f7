"""Is this farm well? One check after another, each with what was found and how to mend it. Nothing is printed here."""

from __future__ import annotations

import secrets
import shutil
import ssl
import tempfile
import time
import urllib.request
from contextlib import closing
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.errors import FarmError, NotFoundError
from farm.jobs.health import storage_pause
from farm.jobs.store import Books
from farm.jobs.views import cpu_workers, slot_views
from farm.settings import masked_url
from farm.storage.s3 import Patience, Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.jobs.model import SlotView
    from farm.settings import Settings

OLDEST_REDIS = (6, 2)
MOST_SKEW_SECONDS = 5.0
"""Clocks further apart than this make times in history and logs misleading; S3 itself refuses from 15 minutes on."""
LEAST_FREE_BYTES = 2 << 30
"""An hour of video with all that a worker keeps beside it while it stitches stays below this."""
ANSWER_SECONDS = 10
PROBE_PREFIX = "doctor/"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `mend` says what to do when it is not ok."""

    name: str
    ok: bool
    found: str
    mend: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def checks(settings: Settings) -> Iterator[Check]:
    """Look at Redis, storage, workers, clocks and disks, one after another; what cannot be asked is left out."""
    with closing(Books.connect(settings)) as books:
        yield from _redis(books, settings)
    with closing(Storage.from_settings(settings, Patience(attempts=2))) as storage:
        yield from _storage(storage, settings)
    for name, folder in (
        ("disk of the farm's folder", settings.dir),
        ("disk for temporary files", Path(tempfile.gettempdir())),
    ):
        yield _disk(name, folder)


def _redis(books: Books, settings: Settings) -> Iterator[Check]:
    where = masked_url(settings.redis_url)
    try:
        with books.reaching():
            info: dict[str, Any] = books.client.info()
            before = time.time()
            seconds, micros = books.client.time()
    except FarmError as error:
        yield Check("Redis", ok=False, found=str(error), mend="start it (`farm up`), or set redis_url to where it is")
        return
    yield Check("Redis", ok=True, found=where)
    yield _redis_version(str(info["redis_version"]))
    yield Check(
        "Redis append-only file",
        ok=info["aof_enabled"] == 1,
        found="on" if info["aof_enabled"] == 1 else "off: a restart loses the books",
        mend="CONFIG SET appendonly yes, and the same in redis.conf",
    )
    yield Check(
        "Redis eviction policy",
        ok=info["maxmemory_policy"] == "noeviction",
        found=info["maxmemory_policy"],
        mend="CONFIG SET maxmemory-policy noeviction: any other throws away parts of the books when memory is short",
    )
    yield _skew("Redis", seconds + micros / 1e6 - before)
    yield from _workers(books)


def _redis_version(found: str) -> Check:
    wanted = ".".join(map(str, OLDEST_REDIS))
    ok = tuple(int(part) for part in found.split(".")[:2]) >= OLDEST_REDIS
    return Check("Redis version", ok, found, mend=f"install Redis {wanted} or later")


def _workers(books: Books) -> Iterator[Check]:
    cpus = cpu_workers(books)
    yield Check(
        "cpu workers",
        ok=bool(cpus),
        found=", ".join(cpus) or "none: nothing is planned or stitched",
        mend="start one: `farm up`, and look at its log if it is up",
    )
    slots = slot_views(books)
    alive = [slot for slot in slots if slot.state != "lost"]
    lost = [slot.name for slot in slots if slot.state == "lost"]
    found = ", ".join(f"{slot.name} ({slot.state})" for slot in alive) or "none: nothing is rendered"
    yield Check(
        "slots", ok=bool(alive), found=found, mend="start render workers: `farm up`, and look at their logs if it is up"
    )
    if lost:
        yield Check(
            "lost slots", ok=False, found=", ".join(lost), mend="start these workers again, or look at why they ended"
        )
    yield from _unwell(books, slots)


def _unwell(books: Books, slots: list[SlotView]) -> Iterator[Check]:
    for slot in slots:
        if slot.why_out is not None:
            yield Check(
                f"slot {slot.name}",
                ok=False,
                found=f"{slot.state}: {slot.why_out}",
                mend="mend its machine (nvidia-smi, dmesg, df); it is tried again by itself, every 10 minutes at least",
            )
    if pause := storage_pause(books):
        yield Check(
            "work",
            ok=False,
            found=f"paused, storage failed: {pause.reason}",
            mend="mend storage; it is tried again by itself, every minute at least, and work goes on",
        )


def _storage(storage: Storage, settings: Settings) -> Iterator[Check]:
    """Write, read, presign and delete one small object; the first that fails ends the row."""
    key, content = f"{PROBE_PREFIX}{secrets.token_hex(8)}", secrets.token_bytes(1024)
    written = _tried("storage write", lambda: storage.put_bytes(key, content), mend=_storage_mend(settings))
    yield written
    if not written.ok:
        return
    yield _tried(
        "storage read", lambda: _same(storage.get_bytes(key), content), mend="give the access key s3:GetObject"
    )
    yield from _presigned(storage, key, content, settings)
    yield _tried("storage delete", lambda: _gone(storage, key), mend="give the access key s3:DeleteObject")


def _presigned(storage: Storage, key: str, content: bytes, settings: Settings) -> Iterator[Check]:
    date: list[float] = []

    def fetch() -> str:
        trusted = ssl.create_default_context(cafile=str(settings.s3_ca) if settings.s3_ca else None)
        url = storage.url(key, expires_s=60)
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS, context=trusted) as answer:  # noqa: S310  # http(s) by its setting
            if sent := answer.headers["Date"]:
                date.append(parsedate_to_datetime(sent).timestamp() - time.time())
            return _same(answer.read(), content)

    yield _tried(
        "storage presigned link", fetch, mend="check s3_region, s3_style and the clocks; a proxy must not change links"
    )
    if date:
        yield _skew("storage", date[0])


def _tried(name: str, act: Callable[[], str | None], *, mend: str) -> Check:
    try:
        return Check(name, ok=True, found=act() or "works")
    except (FarmError, OSError) as error:  # OSError: what urllib raises
        return Check(name, ok=False, found=str(error), mend=mend)


def _storage_mend(settings: Settings) -> str:
    where = masked_url(settings.s3_endpoint) if settings.s3_endpoint else "Amazon S3"
    return f"check that {where} is up, that bucket {settings.s3_bucket} exists and that the access key may write to it"


def _same(found: bytes, wanted: bytes) -> str:
    if found != wanted:
        raise OSError(f"read {len(found)} bytes that differ from the {len(wanted)} written")
    return "works"


def _gone(storage: Storage, key: str) -> str:
    storage.delete(key)
    try:
        storage.get_bytes(key)
    except NotFoundError:
        return "works"
    raise OSError(f"{key} is still there after it was deleted")


def _skew(other: str, seconds: float) -> Check:
    # a Date header has whole seconds, so up to one second of it is rounding
    return Check(
        f"clock against {other}",
        ok=abs(seconds) <= MOST_SKEW_SECONDS,
        found=f"{seconds:+.1f} s",
        mend="set both clocks by NTP (timedatectl set-ntp true)",
    )


def _disk(name: str, folder: Path) -> Check:
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    return Check(
        name,
        ok=free >= LEAST_FREE_BYTES,
        found=f"{free / 2**30:.1f} GiB free at {there}",
        mend=f"make room: at least {LEAST_FREE_BYTES / 2**30:.0f} GiB are wanted",
    )
