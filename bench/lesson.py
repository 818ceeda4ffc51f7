"""A long lesson through a whole farm with the preview renderer: speed, memory, idle gaps.

    python bench/lesson.py [--minutes 10] [--slots 2] [--chunk-seconds 30] [--pixels 512] [--disagree] [--json]

The speech is the shipped lesson, again and again. Speed runs from submit to the fetched file. Memory is the peak of
each of our processes (the largest of a kind), read from the kernel, servers beside. An idle gap is the time in which a
slot has no attempt in hand; there is none where it begins the next while the one before is delivered. With --disagree
every second chunk lies a pixel aside and is a level brighter, so that the sides of every seam differ, as Sonic's do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import threading
import time
import wave
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import psutil

from engine.media.audio import decode_speech, inspect_speech
from engine.media.contract import check_contract
from engine.spec import SPEECH_RATE
from farm import Farm
from farm.local import embedded_stack

if TYPE_CHECKING:
    from farm.jobs.model import JobView

SAMPLES = Path(__file__).parent.parent / "samples"
WANTED_SPEED, WANTED_MB, WANTED_GAP_MS = 4.0, 500, 150
LOOK_SECONDS = 0.25


def long_speech(folder: Path, minutes: float) -> Path:
    """The shipped lesson over and over, `minutes` long, as a 16 kHz mono wav."""
    pcm = folder / "once.pcm"
    decode_speech(SAMPLES / "lesson.opus", pcm=pcm, m4a=folder / "once.m4a", on_progress=lambda _share: None)
    once = np.fromfile(pcm, "<i2")
    left = round(minutes * 60 * SPEECH_RATE)
    path = folder / "lesson.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        while left > 0:
            file.writeframes(once[:left].tobytes())
            left -= len(once)
    return path


class MemoryWatch(threading.Thread):
    """Looks at every process below this one and keeps the peak of each kind, in MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, float] = {"submit and fetch": 0.0}
        self._over = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self._over.wait(LOOK_SECONDS):
            for process in me.children(recursive=True):
                try:
                    kind, peak = kind_of(process), peak_mb(process.pid)
                except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                    continue  # it ended between being listed and being looked at
                self.peaks[kind] = max(self.peaks.get(kind, 0.0), peak)
            self.peaks["submit and fetch"] = peak_mb(os.getpid())

    def stop(self) -> dict[str, float]:
        self._over.set()
        self.join()
        return {kind: round(peak, 1) for kind, peak in sorted(self.peaks.items())}


def kind_of(process: psutil.Process) -> str:
    """What a process is, by its command line and, for the children of Celery, by its parent's slot."""
    line = " ".join(process.cmdline())
    if "redis-server" in line:
        return "server: redis"
    if "rclone" in line:
        return "server: s3"
    if "flower" in line:
        return "server: flower"
    if "sweeper" in line:
        return "sweeper"
    if "launch" in line or "supervisor" in line:
        return "launch and supervisor"
    return "render worker" if process.environ().get("FARM_SLOT") else "cpu worker"


def peak_mb(pid: int) -> float:
    """Peak resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def idle_gaps(view: JobView) -> list[float]:
    """Seconds between two chunks of one slot, over all slots."""
    by_slot: dict[str, list[Any]] = {}
    for attempt in view.attempts:
        if attempt.unit.isdigit():
            by_slot.setdefault(attempt.slot, []).append(attempt)
    gaps = []
    for attempts in by_slot.values():
        ordered = sorted(attempts, key=lambda attempt: attempt.started)
        gaps += [max(0.0, later.started - earlier.ended) for earlier, later in itertools.pairwise(ordered)]
    return gaps


def late_ms(video: Path, speech: Path, *, at: float, seconds: float = 6.0) -> float:
    """How much later than in `speech` the video's sound is `at` seconds into it, in ms, to a sixteenth of one."""
    with wave.open(str(speech)) as file:
        file.setpos(round(at * SPEECH_RATE))
        wanted = np.frombuffer(file.readframes(round(seconds * SPEECH_RATE)), "<i2").astype(np.float64)
    heard = np.zeros(len(wanted))
    with av.open(str(video)) as file:
        stream = file.streams.audio[0]
        file.seek(int((at - 1) / stream.time_base), stream=stream)
        for frame in file.decode(stream):
            start = round((float(frame.pts * frame.time_base) - at) * SPEECH_RATE)
            samples = frame.to_ndarray().mean(axis=0)
            if start >= len(heard):
                break
            if start >= 0:
                heard[start : start + len(samples)] = samples[: len(heard) - start]
    spectrum = np.fft.rfft(heard, 2 * len(heard)) * np.conj(np.fft.rfft(wanted, 2 * len(wanted)))
    found = int(np.fft.irfft(spectrum).argmax())
    lag = found if found < len(heard) else found - 2 * len(heard)
    return 1000 * lag / SPEECH_RATE


def measure(minutes: float, *, slots: int, chunk_seconds: float, pixels: int, disagree: bool) -> dict[str, Any]:
    """One lesson through one farm."""
    renderer = "unlike" if disagree else "preview"
    renderers = ("unlike=unlike:Unlike",) if disagree else ("preview",)
    with TemporaryDirectory(prefix="sonic-farm-bench-") as name:
        folder = Path(name)
        speech = long_speech(folder, minutes)
        watch = MemoryWatch()
        with (
            embedded_stack(folder / "farm", slots=slots, renderers=renderers) as stack,
            Farm.from_settings(stack.settings) as farm,
        ):
            watch.start()
            began = time.perf_counter()
            job = farm.submit(
                SAMPLES / "portrait.png",
                speech,
                renderer=renderer,
                chunk_seconds=chunk_seconds,
                min_resolution=pixels,
            )
            submitted = time.perf_counter() - began
            view = job.wait()
            video = job.fetch(folder / "lesson.mp4")
            seconds = time.perf_counter() - began
            peaks, report = watch.stop(), job.report()
            gaps = idle_gaps(view)
        heard = inspect_speech(speech)
        size = report["width"], report["height"]
        check_contract(video, frames25=heard.frames25, size=size, speech=heard, seams=[])
        late = {
            "start": late_ms(video, speech, at=1.5),
            "end": late_ms(video, speech, at=60 * minutes - 8),
        }
        spans = {unit: sum(a.ended - a.started for a in view.attempts if a.unit == unit) for unit in ("plan", "stitch")}
        return {
            "minutes": minutes,
            "slots": slots,
            "chunks": len(view.chunks),
            "sides_agree": not disagree,
            "needs_review": len(report["needs_review"]),
            "size": f"{size[0]}x{size[1]}",
            "seconds": round(seconds, 1),
            "times_real_time": round(60 * minutes / seconds, 2),
            "submit_seconds": round(submitted, 1),
            "plan_seconds": round(spans["plan"], 1),
            "stitch_seconds": round(spans["stitch"], 1),
            "idle_gap_ms_median": round(1000 * statistics.median(gaps), 1) if gaps else None,
            "peak_mb": peaks,
            "peak_mb_ours": max(peak for kind, peak in peaks.items() if not kind.startswith("server")),
            "speech_late_ms": late,
            "video_mb": round(video.stat().st_size / 1e6, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--chunk-seconds", type=float, default=30)
    parser.add_argument("--pixels", type=int, default=512, help="sides of the picture")
    parser.add_argument("--disagree", action="store_true", help="let neighbours differ in their overlap")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    # the farm's own processes load the renderer that lies beside this file
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
    found = measure(
        args.minutes,
        slots=args.slots,
        chunk_seconds=args.chunk_seconds,
        pixels=args.pixels,
        disagree=args.disagree,
    )
    if args.json:
        print(json.dumps(found))
    else:
        print(json.dumps(found, indent=2))
        print(f"speed {found['times_real_time']} x real time, wanted {WANTED_SPEED}", file=sys.stderr)


if __name__ == "__main__":
    main()
