"""What a large manifest costs: checked and submitted, then killed at random moments and submitted again.

    python bench/batch.py [--rows N] [--recordings N] [--portraits N] [--seconds S] [--kills N] [--seed N] [--json]

Rows are distinct by their seeds; the recordings are pieces of the shipped lesson, the portraits the shipped one in
other lights. The command line itself is run, in a process of its own, against a real Redis and a real S3 server on
this machine; nothing renders. Exit code 1 where a target is missed or a job is there twice or lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
import wave
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from engine.media.audio import decode_speech
from engine.spec import SPEECH_RATE
from farm import Farm, Settings
from farm.jobs.batches import batch_ids, batch_jobs
from farm.local.servers import redis_server, s3_server
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLES = Path(__file__).parent.parent / "samples"
TARGET_SECONDS = 60.0
"""For 10,000 rows over 100 recordings and 30 portraits, on two cores."""


@dataclass(frozen=True)
class Size:
    """How large the manifest is. seconds: of each recording."""

    rows: int
    recordings: int
    portraits: int
    seconds: float


def write_course(folder: Path, size: Size) -> Path:
    """A manifest and all that it names."""
    decode_speech(SAMPLES / "lesson.opus", pcm=folder / "pcm", m4a=folder / "m4a", on_progress=lambda _share: None)
    sound = np.frombuffer((folder / "pcm").read_bytes(), np.int16)
    length = round(size.seconds * SPEECH_RATE)
    for number in range(size.recordings):
        piece = np.roll(np.resize(sound, max(length, len(sound))), -number * SPEECH_RATE // 4)[:length]
        with wave.open(str(folder / f"lesson-{number}.wav"), "wb") as file:
            file.setparams((1, 2, SPEECH_RATE, 0, "NONE", ""))
            file.writeframes(piece.tobytes())
    photo = np.asarray(Image.open(SAMPLES / "portrait.png").convert("RGB"), np.int16)
    for number in range(size.portraits):
        lit = np.clip(photo + number - size.portraits // 2, 0, 255).astype(np.uint8)
        Image.fromarray(lit).save(folder / f"person-{number}.jpg", quality=90)
    lines = [
        f"lesson-{row % size.recordings}.wav,person-{row % size.portraits}.jpg,Lesson {row},{row}"
        for row in range(size.rows)
    ]
    manifest = folder / "course.csv"
    manifest.write_text("\n".join(["speech,portrait,name,seed", *lines]) + "\n", encoding="utf-8")
    return manifest


def start(manifest: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    code = "from farm.cli.main import main; main()"
    command = [sys.executable, "-c", code, "batch", "submit", str(manifest), "--json"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def submit(manifest: Path, environment: Mapping[str, str]) -> tuple[float, dict[str, Any]]:
    """Seconds that a submit took, and what it said; with the seconds that it used a core itself."""
    began, before = time.perf_counter(), used()
    process = start(manifest, environment)
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"farm batch submit ended with {process.returncode}")
    return time.perf_counter() - began, {**json.loads(said), "cpu_seconds": used() - before}


def used() -> float:
    """Seconds of a core that processes took which have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def counted(farm: Farm) -> dict[str, int]:
    """Jobs of the books, of their batches and of storage; twice: lessons that more than one job is."""
    jobs = farm.books.client.zrange("farm:jobs", 0, -1)
    names = farm.books.client.pipeline(transaction=False)
    for job in jobs:
        names.hget(f"farm:job:{job}", "name")
    batches = batch_ids(farm.books)
    stored = [item.key for item in farm.storage.list(keys.JOBS) if item.key.endswith("/job.json")]
    return {
        "books": len(jobs),
        "batches": len(batches),
        "in_batches": sum(len(batch_jobs(farm.books, batch)) for batch in batches),
        "storage": len(stored),
        "twice": sum(count > 1 for count in Counter(names.execute()).values()),
    }


def killed(farm: Farm, manifest: Path, environment: Mapping[str, str], kills: int, rows: int) -> dict[str, Any]:
    """Submit, killed at once when a random number of jobs is there, so often; then once more to the end."""
    before = []
    for wanted in sorted(random.sample(range(rows), kills)):  # more each time: the one before has left some
        process = start(manifest, environment)
        while process.poll() is None and int(farm.books.client.zcard("farm:jobs")) < wanted:
            time.sleep(0.02)
        process.kill()
        process.wait()
        before.append(int(farm.books.client.zcard("farm:jobs")))
    seconds, said = submit(manifest, environment)
    return {"jobs_before": before, "seconds": seconds, "created": said["created"], **counted(farm)}


def measure(size: Size, kills: int) -> dict[str, Any]:
    with TemporaryDirectory(prefix="sonic-farm-bench-") as name:
        folder = Path(name)
        for part in ("redis", "s3", "course"):
            (folder / part).mkdir()
        manifest = write_course(folder / "course", size)
        with redis_server(folder / "redis") as redis, s3_server(folder / "s3") as s3:
            access = {"s3_access_key": s3.access_key, "s3_secret_key": s3.secret_key}
            given = {"redis_url": redis.url, "s3_endpoint": s3.endpoint, **access, "dir": str(folder)}
            found: dict[str, Any] = {}
            for part in ("whole", "killed"):
                given |= {"s3_prefix": part}
                environment = {**os.environ, **{f"FARM_{key.upper()}": value for key, value in given.items()}}
                with Farm(Settings(**given)) as farm:
                    farm.storage.ensure_bucket()
                    farm.books.client.flushall()
                    if part == "whole":
                        seconds, said = submit(manifest, environment)
                        again, said_again = submit(manifest, environment)
                        found |= {"cpu_seconds": said["cpu_seconds"]}
                        found |= {"seconds": seconds, "created": said["created"], "again_seconds": again}
                        found |= {"again_created": said_again["created"], "once": counted(farm)}
                    elif kills:
                        found["killed"] = killed(farm, manifest, environment, kills, size.rows)
            return found


def judged(found: dict[str, Any], rows: int) -> list[str]:
    """What was not reached, in words."""
    wrong = []
    if rows == 10_000 and found["seconds"] >= TARGET_SECONDS:
        wrong.append(f"not met: {found['seconds']:.1f} s, wanted under {TARGET_SECONDS:g} s")
    if found["again_created"]:
        wrong.append(f"not met: the second submit made {found['again_created']} jobs, wanted none")
    for part in ("once", "killed"):
        told = found.get(part, found["once"])
        if not (told["books"] == told["in_batches"] == told["storage"] == rows and told["batches"] == 1):
            wrong.append(f"not met ({part}): {told}, wanted {rows} jobs in the books, in one batch and in storage")
        if told["twice"]:
            wrong.append(f"not met ({part}): {told['twice']} lessons are there twice")
    return wrong


def told(found: dict[str, Any], args: argparse.Namespace) -> list[str]:
    lines = [
        f"{args.rows} rows, {args.recordings} recordings of {args.seconds:g} s, {args.portraits} portraits:",
        f"checked and submitted in {found['seconds']:.1f} s, {found['cpu_seconds']:.1f} s of a core in the command",
        f"submitted again, nothing new, in {found['again_seconds']:.1f} s",
    ]
    if "killed" in found:
        last = found["killed"]
        there = ", ".join(map(str, last["jobs_before"]))
        lines.append(f"killed when {there} jobs were there; the last run took {last['seconds']:.1f} s")
        lines.append(f"and made {last['created']} more: {last['books']} jobs, {last['twice']} of them twice")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("--portraits", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    random.seed(args.seed)
    found = measure(Size(args.rows, args.recordings, args.portraits, args.seconds), args.kills)
    wrong = judged(found, args.rows)
    if args.json:
        print(json.dumps({**found, "reached": not wrong}))
    else:
        print("\n".join([*told(found, args), *(wrong or ["all met"])]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
