"""The drop folder under fire: pairs dropped while watchers are killed, and a look at very many keys.

    python bench/folder.py [--pairs N] [--keys N] [--folders N] [--flat N] [--seed N] [--json]

First, pairs (tiny recordings, one photo) are uploaded while two watcher processes run, each killed with signal 9 every
few seconds at random and started again. Wanted: a job for each pair, none twice, none lost, and nothing left in the
inbox. Then keys are listed as a watcher does it: in folders, and flat in one. A Redis and an S3 server of its own.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import wave
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from PIL import Image

from farm import Farm, Settings
from farm.folder.inbox import Inbox
from farm.folder.look import list_inbox
from farm.folder.watch import Watcher
from farm.jobs import inboxes
from farm.jobs.request import JobRequest
from farm.local.servers import redis_server, s3_server
from farm.storage import keys

if TYPE_CHECKING:
    from farm.local.servers import RedisServer, S3Server
    from farm.storage.s3 import Storage

ROOT = Path(__file__).parent.parent
WANTED_LOOK_SECONDS = 30
BUCKET = "sonic-farm"
KILLED_AFTER_SECONDS = (4.0, 20.0)
"""How long a watcher watches: mostly long enough to look twice, which it must before it takes anything."""
GIVEN_UP_AFTER_SECONDS = 3600


class Herd:
    """Watcher processes, of which one dies now and then."""

    def __init__(self, settings: Settings, folder: Path, count: int = 2) -> None:
        given = {f"FARM_{name.upper()}": _plain(getattr(settings, name)) for name in settings.model_fields_set}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FARM_")}
        self._environ = {**inherited, **given, "PYTHONPATH": str(ROOT)}
        self._logs = [folder / f"watcher-{number}.log" for number in range(count)]
        self.killed = 0
        self._watchers = [self._start(log) for log in self._logs]
        self._dies: list[float | None] = [None] * count

    def tend(self) -> None:
        """Kill those whose time has come, and start them again."""
        for number, (watcher, log) in enumerate(zip(self._watchers, self._logs, strict=True)):
            dies = self._dies[number]
            if dies is None and "watching" in log.read_text():
                self._dies[number] = time.monotonic() + random.uniform(*KILLED_AFTER_SECONDS)  # noqa: S311
            elif dies is not None and time.monotonic() > dies:
                watcher.send_signal(signal.SIGKILL)
                watcher.wait()
                self.killed += 1
                self._watchers[number], self._dies[number] = self._start(log), None

    def stop(self) -> None:
        for watcher in self._watchers:
            watcher.terminate()
            watcher.wait(60)

    def _start(self, log: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "farm.folder.watch"]
        with log.open("wb") as file:
            return subprocess.Popen(command, cwd=ROOT, env=self._environ, stderr=file)


def dropped(farm: Farm, inbox: Inbox, pairs: int, folder: Path) -> dict[str, Any]:
    """Drop pairs while watchers die; what became of them."""
    storage, photo = farm.storage.beside(inbox.bucket), small_photo()
    herd = Herd(farm.settings, folder)
    began = time.perf_counter()

    def drop(number: int) -> None:
        stem = f"{inbox.prefix}course {number % 20:02}/lesson {number:05}"
        storage.put_bytes(f"{stem}.wav", short_speech(number))
        storage.put_bytes(f"{stem}.jpg", photo)

    try:
        with ThreadPoolExecutor(4) as pool:
            dropping = [pool.submit(drop, number) for number in range(pairs)]
            while not all(one.done() for one in dropping):
                herd.tend()
                time.sleep(0.1)
            for one in dropping:
                one.result()
        uploaded = time.perf_counter() - began
        while running(farm, inbox) < pairs and time.perf_counter() - began < GIVEN_UP_AFTER_SECONDS:
            herd.tend()
            time.sleep(0.1)
        taken = time.perf_counter() - began
    finally:
        herd.stop()
    return {
        "pairs": pairs,
        "watchers_killed": herd.killed,
        "upload_seconds": round(uploaded, 1),
        "taken_seconds": round(taken, 1),
        **counted(farm, inbox, pairs),
    }


def running(farm: Farm, inbox: Inbox) -> int:
    return inboxes.claim_counts(farm.books, inbox.id).get("running", 0)


def counted(farm: Farm, inbox: Inbox, pairs: int) -> dict[str, Any]:
    """Jobs by lesson, in the books and in storage, and what lies where."""
    names = Counter(view.name for view in farm.jobs(limit=2 * pairs))
    storage = farm.storage.beside(inbox.bucket)
    kept = [item.key for item in farm.storage.list(keys.JOBS) if item.key.endswith("/job.json")]
    requests = [JobRequest.from_dict(farm.storage.get_json(key)) for key in kept]
    unknown = [request.id for request in requests if not farm.books.knows(request.id)]
    return {
        "jobs": sum(names.values()),
        "twice": sum(count > 1 for count in names.values()),
        "lost": pairs - len(names),
        "never_entered": len(unknown),  # a watcher died between job.json and the books; another entered the job anew
        "left_in_inbox": sum(1 for _ in storage.list(inbox.prefix)),
        "in_processing": sum(1 for _ in storage.list(inbox.processing)),
    }


def laid_out(buckets: Path, name: str, *, total: int, folders: int) -> None:
    """Files in so many folders, 0 for none, put where the S3 server will find them when it starts."""
    place = buckets / BUCKET / name / "inbox"
    for number in range(total):
        folder = place / f"course {number % folders:03}" if folders else place
        if number < max(folders, 1):
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"lesson {number:06}.wav").write_bytes(b"speech %d" % number)


def looked_at(farm: Farm, name: str, folders: int) -> dict[str, Any]:
    """List it as a watcher does, and look at it as one."""
    inbox = Inbox.at(f"s3://{BUCKET}/{name}/inbox", farm.settings)
    storage: Storage = farm.storage.beside(inbox.bucket)
    listed = list_inbox(storage, inbox)
    watcher = Watcher(farm, inbox)
    began = time.perf_counter()
    watcher.look()
    whole = time.perf_counter() - began
    return {
        "keys": listed.files,
        "folders": folders,
        "list_seconds": round(listed.seconds, 1),
        "look_seconds": round(whole, 1),
    }


def small_photo() -> bytes:
    found = io.BytesIO()
    with Image.open(ROOT / "samples" / "portrait.png") as image:
        image.convert("RGB").resize((160, 160)).save(found, "JPEG", quality=80)
    return found.getvalue()


def short_speech(number: int) -> bytes:
    """A third of a second that no other pair has."""
    found = io.BytesIO()
    with wave.open(found, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(random.Random(number).randbytes(2 * 16_000 // 3))  # noqa: S311
    return found.getvalue()


def _plain(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--folders", type=int, default=200)
    parser.add_argument("--flat", type=int, default=100_000, help="keys in one folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    random.seed(args.seed)
    found: dict[str, Any] = {}
    wanted = {"many": (args.keys, args.folders), "flat": (args.flat, 0)}
    sizes = {name: size for name, size in wanted.items() if size[0]}
    with TemporaryDirectory(prefix="sonic-farm-bench-") as text:
        folder = Path(text)
        for name, (total, folders) in sizes.items():
            laid_out(folder / "s3" / "buckets", name, total=total, folders=folders)
        with redis_server(folder / "redis") as redis, s3_server(folder / "s3") as s3, Farm(farm_of(redis, s3)) as farm:
            if args.pairs:
                inbox = Inbox.at(farm.settings.inboxes[0], farm.settings)
                found["dropped"] = dropped(farm, inbox, args.pairs, folder)
            found |= {name: looked_at(farm, name, folders) for name, (_, folders) in sizes.items()}
    met = judged(found, args.pairs)
    if args.json:
        print(json.dumps({**found, "met": met}))
    else:
        for name, rows in found.items():
            print("\n".join([f"\n{name}", *(f"  {what:18} {value}" for what, value in rows.items())]))
        print("\n" + "\n".join(f"{what}: {'met' if yes else 'not met'}" for what, yes in met.items()))
    sys.exit(0 if all(met.values()) else 1)


def farm_of(redis: RedisServer, s3: S3Server) -> Settings:
    return Settings(
        redis_url=redis.url,
        s3_endpoint=s3.endpoint,
        s3_access_key=s3.access_key,
        s3_secret_key=s3.secret_key,
        s3_bucket=BUCKET,
        inboxes=(f"s3://{BUCKET}/drop/inbox",),
        inbox_seconds=1,
        inbox_settle_seconds=1,
        owner="bench",
    )


def judged(found: dict[str, Any], pairs: int) -> dict[str, bool]:
    met = {}
    if (fire := found.get("dropped")) is not None:
        met[f"{pairs} pairs, {fire['watchers_killed']} watchers killed: none twice, none lost"] = fire[
            "jobs"
        ] == pairs and not (fire["twice"] or fire["lost"] or fire["left_in_inbox"])
    if (many := found.get("many")) is not None:
        what = f"a look at {many['keys']} keys in {many['folders']} folders under {WANTED_LOOK_SECONDS} s"
        met[what] = many["look_seconds"] < WANTED_LOOK_SECONDS
    return met


if __name__ == "__main__":
    main()
