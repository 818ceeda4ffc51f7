"""`make bench`: what the farm must reach, measured on this machine, as a table.

    python bench/run.py [--full] [--json]

Without --full the hour-long lesson is left out and the stitch takes 5 minutes of video instead of 30.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Line:
    """One thing measured: what, the figure, what is wanted, whether it is reached."""

    what: str
    found: str
    wanted: str
    reached: bool


def run(script: str, *arguments: str) -> dict[str, Any]:
    """What a bench prints with --json, measured in a process of its own."""
    print(f"... bench/{script} {' '.join(arguments)}", file=sys.stderr, flush=True)
    command = [sys.executable, str(HERE / script), *arguments, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def machine() -> str:
    """The processor's name and how many cores there are."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def lesson_lines(full: bool) -> list[Line]:
    ten = run("lesson.py", "--minutes", "10")
    lines = [
        Line(
            "10-minute lesson, 512x512, two slots, submit to file",
            f"{ten['times_real_time']} x real time ({ten['seconds']} s)",
            "4 x or more",
            ten["times_real_time"] >= 4,
        ),
        Line(
            "idle gap of a slot between two chunks, median",
            f"{ten['idle_gap_ms_median']} ms",
            "under 150 ms",
            ten["idle_gap_ms_median"] < 150,
        ),
        memory_line(ten),
    ]
    return [*lines, memory_line(run("lesson.py", "--minutes", "60"))] if full else lines


def memory_line(found: dict[str, Any]) -> Line:
    kinds = ", ".join(f"{kind} {peak:.0f}" for kind, peak in found["peak_mb"].items())
    return Line(
        f"peak memory of any process of ours, {found['minutes']:g} minutes",
        f"{found['peak_mb_ours']:.0f} MB ({kinds})",
        "under 500 MB",
        found["peak_mb_ours"] < 500,
    )


def stitch_line(minutes: int) -> Line:
    found = run("stitch.py", "--minutes", str(minutes))
    return Line(
        f"stitching {minutes} minutes against decoding and encoding them",
        f"{found['ratio']} x faster ({found['stitch_seconds']} s)",
        "15 x or more",
        found["ratio"] >= 15,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="an hour-long lesson and 30 minutes of stitching too")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    lines = [*lesson_lines(args.full), stitch_line(30 if args.full else 5)]
    if args.json:
        print(json.dumps({"machine": machine(), "lines": [vars(line) for line in lines]}))
    else:
        print(f"\nMeasured on {machine()}\n\n| what | found | wanted | |\n|---|---|---|---|")
        for line in lines:
            print(f"| {line.what} | {line.found} | {line.wanted} | {'reached' if line.reached else 'MISSED'} |")
    sys.exit(0 if all(line.reached for line in lines) else 1)


if __name__ == "__main__":
    main()
