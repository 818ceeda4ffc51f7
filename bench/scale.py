"""How much of their time slots render, on a farm of real Celery workers whose renderer only waits two seconds a chunk.

    python -m bench.scale [--slots 2,4,8] [--seconds 60] [--json]

Redis, an S3 server, the sweeper, a cpu worker and so many slots run on this machine. The renderer itself writes down
when it was inside: waiting for its frames to be taken, uploads, claims and messages are not. Measured is a stretch in
which every job is planned and chunks wait at its end. Exit code 1 where less than 97 % of slot time is spent inside.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import wave
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from bench.waiting import LOG_VARIABLE, RENDER_SECONDS
from engine.spec import SPEECH_RATE
from farm import Farm, Settings
from farm.jobs.model import STITCH
from farm.local.servers import redis_server, s3_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
WANTED = 0.97
CHUNK_SECONDS = 0.8
"""Video of a chunk: so few frames that encoding them is nearly nothing."""
CHUNKS_A_SLOT = 30
"""Chunks of one job that a slot renders, about, before the next job comes."""
STARTING_SECONDS = 90
"""The first slots render while the last ones start: chunks for so long are added to those of the stretch."""
SETTLED = 2
"""Chunks that each slot has rendered when measuring begins."""
PLANNERS = (("-m", "workers.launch", "cpu"), ("-m", "farm.watch.sweeper"))
SLOTS = ("-m", "workers.launch", "slots")


@dataclass(frozen=True)
class Render:
    """One call of Renderer.render. begin, end: as bench/waiting.py stamps them; inside: seconds."""

    begin: tuple[float, ...]
    end: tuple[float, ...]
    inside: float


@dataclass(frozen=True)
class Stretch:
    """What was measured between two moments of the clock: processor seconds by what used them, of ours and all; and how
    many chunks were stitched, of a stitch that lies within in part that part.
    """

    start: float
    stop: float
    cpu: dict[str, float]
    others: float
    stitched: float

    @property
    def seconds(self) -> float:
        return self.stop - self.start


def tone(path: Path, seconds: float) -> Path:
    """A wav file with something to hear in it."""
    times = np.arange(round(seconds * SPEECH_RATE)) / SPEECH_RATE
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        file.writeframes((8000 * np.sin(2 * np.pi * 220 * times)).astype("<i2").tobytes())
    return path


@contextmanager
def farm_of(slots: int, seconds: float, folder: Path) -> Iterator[Farm]:
    """A farm of real processes, all its slots at work, with chunks for so long."""
    with ExitStack() as stack:
        redis, s3 = stack.enter_context(redis_server(folder / "redis")), stack.enter_context(s3_server(folder / "s3"))
        given: dict[str, Any] = {
            "dir": folder / "farm",
            "redis_url": redis.url,
            "s3_endpoint": s3.endpoint,
            "s3_access_key": s3.access_key,
            "s3_secret_key": s3.secret_key,
            "slots": slots,
            "renderers": ("waiting=bench.waiting:Waiting",),
            "check": False,  # the renderer draws no faces
            "owner": "bench",
        }
        environment = environment_of(given, folder / "renders")

        def start(part: tuple[str, ...]) -> None:
            process = subprocess.Popen([sys.executable, *part], cwd=ROOT, env=environment, stdout=sys.stderr)
            stack.callback(ended, process)

        for part in PLANNERS:
            start(part)
        farm = stack.enter_context(Farm(Settings.load(given, environ={})))
        fill(farm, slots, seconds, folder)  # before there are slots: plans wait behind stitches
        start(SLOTS)
        # the first chunk of a slot comes with its studio: imports, the portrait's face
        while sum(len(of_slot) >= SETTLED for of_slot in renders_of(folder / "renders").values()) < slots:
            time.sleep(0.5)
        yield farm


def environment_of(given: Mapping[str, Any], renders: Path) -> dict[str, str]:
    """What the farm's processes must have in their environment; the slots write into the folder `renders`."""
    renders.mkdir()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FARM_")}
    words = {key: ",".join(value) if isinstance(value, tuple) else str(value) for key, value in given.items()}
    ours = {f"FARM_{key.upper()}": value for key, value in words.items()}
    return {**inherited, **ours, "PYTHONPATH": str(ROOT), LOG_VARIABLE: str(renders)}


def ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(120)


def fill(farm: Farm, slots: int, seconds: float, folder: Path) -> None:
    """Enough jobs for the stretch, all of them planned when this returns."""
    chunks = CHUNKS_A_SLOT * slots
    speech = tone(folder / "speech.wav", CHUNK_SECONDS * chunks)
    for seed in range(-(-round((seconds + STARTING_SECONDS) / RENDER_SECONDS) // CHUNKS_A_SLOT) + 1):
        farm.submit(
            ROOT / "samples" / "portrait.png",
            speech,
            name=f"Waiting {seed}",
            renderer="waiting",
            chunk_seconds=CHUNK_SECONDS,
            seed=seed,
        )
    while any(job.state == "planning" for job in farm.jobs()):
        time.sleep(0.5)


def watch(farm: Farm, slots: int, seconds: float) -> Stretch:
    """Let the farm work for so long; raises RuntimeError when its chunks do not last."""
    start, cpu, whole = time.monotonic(), cpu_by_kind(), psutil.cpu_times()
    time.sleep(seconds)
    stop, after, whole_after = time.monotonic(), cpu_by_kind(), psutil.cpu_times()
    left = sum(chunk.state != "done" for job in farm.jobs() for chunk in job.chunks)
    if left < 2 * slots:
        raise RuntimeError(f"{left} chunks are left for {slots} slots: the queue ran empty, nothing was measured")
    ours = {kind: after[kind] - cpu.get(kind, 0.0) for kind in after}
    busy = (whole_after.user + whole_after.nice + whole_after.system) - (whole.user + whole.nice + whole.system)
    stitched = stitched_within(farm, time.time() - (time.monotonic() - start), time.time() - (time.monotonic() - stop))
    return Stretch(start, stop, ours, busy - sum(ours.values()), stitched)


def stitched_within(farm: Farm, start: float, stop: float) -> float:
    """Chunks that were stitched between two moments, in Unix seconds."""
    chunks = 0.0
    for job in farm.jobs():
        for attempt in job.attempts:
            if attempt.unit == STITCH:
                ended = attempt.ended or stop
                within = max(0.0, min(ended, stop) - max(attempt.started, start))
                chunks += len(job.chunks) * within / max(ended - attempt.started, 1e-9)
    return chunks


def cpu_by_kind() -> dict[str, float]:
    """Processor seconds so far of every process below this one, by what it is."""
    spent: dict[str, float] = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a helper that lived for a moment
            times, kind = process.cpu_times(), kind_of(process)
            spent[kind] = spent.get(kind, 0.0) + times.user + times.system
    return spent


def kind_of(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    for word, kind in (("redis-server", "redis"), ("rclone", "s3"), ("sweeper", "sweeper"), ("launch", "launcher")):
        if word in line:
            return kind
    if not process.environ().get("FARM_SLOT"):
        return "cpu worker"
    return "slot's child" if "billiard" in line else "slot's parent"


def renders_of(folder: Path) -> dict[str, list[Render]]:
    """Every render, by slot."""
    found = {}
    for path in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        found[path.stem] = [Render(tuple(row["begin"]), tuple(row["end"]), row["inside"]) for row in rows]
    return found


def inside_share(renders: Mapping[str, list[Render]], start: float, stop: float) -> float:
    """Share of slot time in [start, stop) inside the renderer; a render at an end counts as far as it lies within."""
    inside = 0.0
    for of_slot in renders.values():
        for render in of_slot:
            begin, end = render.begin[0], render.end[0]
            within = max(0.0, min(end, stop) - max(begin, start))
            inside += render.inside * within / (end - begin)
    return inside / (len(renders) * (stop - start))


def measure(slots: int, seconds: float) -> dict[str, Any]:
    """One farm of so many slots, watched for so long."""
    with TemporaryDirectory(prefix="sonic-farm-bench-") as name:
        folder = Path(name)
        with farm_of(slots, seconds, folder) as farm:
            stretch = watch(farm, slots, seconds)
        renders = renders_of(folder / "renders")
    return found_in(renders, stretch)


def found_in(renders: Mapping[str, list[Render]], stretch: Stretch) -> dict[str, Any]:
    """Figures of a stretch; milliseconds are medians of a chunk, `mean` and `cpu_ms` means: of the time between two
    renders, and of all processor time for one.
    """
    within = [
        (before, after)
        for of_slot in renders.values()
        for before, after in pairwise(of_slot)
        if stretch.start <= before.end[0] and after.begin[0] < stretch.stop
    ]
    between = [tuple(b - a for a, b in zip(one.end, two.begin, strict=True)) for one, two in within]
    columns = list(zip(*between, strict=True))
    gap, own, waited, _ = (round(1000 * statistics.median(column), 1) for column in columns)
    means = [round(1000 * statistics.mean(column), 1) for column in columns]
    return {
        "slots": len(renders),
        "seconds": round(stretch.seconds, 1),
        "chunks": len(within),
        "inside": round(inside_share(renders, stretch.start, stretch.stop), 4),
        "render_ms": round(1000 * statistics.median(render.inside for render, _ in within), 1),
        "gap_ms": gap,
        "gap_cpu_ms": own,
        "gap_waited_for_core_ms": waited,
        "mean": dict(zip(("gap_ms", "gap_cpu_ms", "gap_waited_for_core_ms"), means, strict=False)),
        "handing_over_ms": round(1000 * statistics.median(r.end[0] - r.begin[0] - r.inside for r, _ in within), 1),
        "drawing_cpu_ms": round(1000 * statistics.median(r.end[3] - r.begin[3] for r, _ in within), 1),
        "cpu_ms": {kind: round(1000 * spent / len(within), 1) for kind, spent in sorted(stretch.cpu.items())},
        "stitched": round(stretch.stitched, 1),
        "cores_used": round(sum(stretch.cpu.values()) / stretch.seconds, 2),
        "cores_used_by_others": round(stretch.others / stretch.seconds, 2),
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", default="2,4,8", help="numbers of slots, a farm for each")
    parser.add_argument("--seconds", type=float, default=60, help="of each farm, in steady work")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [measure(int(slots), args.seconds) for slots in args.slots.split(",")]
    reached = all(row["inside"] >= WANTED for row in rows)
    if args.json:
        print(json.dumps({"rows": rows, "reached": reached, "cores": cores()}))
    else:
        for row in rows:
            print(json.dumps(row))
        print(f"{WANTED:.0%} of slot time inside the renderer: {'met' if reached else 'not met'}")
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
