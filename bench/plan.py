"""What planning costs: windows computed beyond what is kept, and what it costs to cut where the speaker pauses.

    python bench/plan.py [--listen MINUTES] [--json]

Waste is counted in windows for lessons in which nothing is moved for a pause: for Sonic's own geometry, which is the
nominal plan, and with the motion filter behind it, as a Sonic job has it by default. Then for the shipped lesson, again
and again for so many minutes, once cut evenly and once in its pauses. Beside it stand what lies under the cuts (0 a
pause, 1 open speech), the seconds, and the peak of memory. Exit code 1 where the nominal plan wastes more than it may.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.media.audio import decode_speech
from engine.media.pauses import listen
from engine.plan import Geometry, plan_chunks
from engine.renderer import BUILT_IN
from engine.spec import FRAME_RATE, OutputSpec
from farm.estimate import geometry_for

SAMPLES = Path(__file__).parent.parent / "samples"
MINUTES = (10, 30, 60, 120)
WANTED = {30: 0.16, 60: 0.08}
"""Most waste of a nominal plan at about so many seconds kept: a setting's own length, and a busy farm's."""


def plans() -> dict[str, list[dict[str, Any]]]:
    """Sonic's own, and those of a job that says nothing of smoothing."""
    sonic = BUILT_IN["sonic"]
    by_default = geometry_for(sonic.geometry, OutputSpec(smoothing=sonic.smoothing))
    return {"nominal": unheard(sonic.geometry), "by_default": unheard(by_default)}


def unheard(renders: Geometry) -> list[dict[str, Any]]:
    """Lessons that nobody listened to, a row each."""
    rows = []
    for minutes in MINUTES:
        row: dict[str, Any] = {"minutes": minutes}
        for seconds in WANTED:
            plan = plan_chunks(minutes * 60 * FRAME_RATE, chunk_seconds=seconds, geometry=renders)
            row[f"waste_{seconds}"] = round(plan.waste, 4)
            row[f"windows_{seconds}"] = plan.computed // renders.window
            row[f"kept_{seconds}"] = round(plan.gen_frames / len(plan.chunks) / 12.5, 2)
        rows.append(row)
    return rows


def heard(minutes: float, renders: Geometry) -> dict[str, Any]:
    """The shipped lesson, as long as it takes, cut evenly and in its pauses."""
    frames25 = round(minutes * 60 * FRAME_RATE)
    with TemporaryDirectory(prefix="sonic-farm-bench-") as folder:
        pcm = long_pcm(Path(folder), frames25)
        began = time.perf_counter()
        noise = listen(pcm, frames25=frames25).noise
        listened = time.perf_counter() - began
    found: dict[str, Any] = {"minutes": minutes, "listen_seconds": round(listened, 1)}
    for seconds in WANTED:
        began = time.perf_counter()
        moved = plan_chunks(frames25, chunk_seconds=seconds, geometry=renders, noise=noise)
        found[f"plan_seconds_{seconds}"] = round(time.perf_counter() - began, 2)
        even = plan_chunks(frames25, chunk_seconds=seconds, geometry=renders)
        for name, plan in (("even", even), ("pauses", moved)):
            found[f"{name}_waste_{seconds}"] = round(plan.waste, 4)
            found[f"{name}_noise_{seconds}"] = round(sum(noise[cut] for cut in plan.cuts) / max(1, len(plan.cuts)), 3)
    return found | {"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def long_pcm(folder: Path, frames25: int) -> Path:
    """The shipped lesson over and over as speech.pcm."""
    once, path = folder / "once.pcm", folder / "speech.pcm"
    decode_speech(SAMPLES / "lesson.opus", pcm=once, m4a=folder / "once.m4a", on_progress=lambda _share: None)
    sound, left = once.read_bytes(), frames25 * 1280
    with path.open("wb") as file:
        while left > 0:
            left -= file.write(sound[:left])
    return path


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"| lesson | {' | '.join(f'chunk_seconds {s}' for s in WANTED)} |", "|---|---|---|"]
    for row in rows:
        cells = [
            f"{row[f'waste_{s}']:.1%} ({row[f'windows_{s}']} windows, {row[f'kept_{s}']:.1f} s each)" for s in WANTED
        ]
        lines.append(f"| {row['minutes']} min | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=float, default=10, metavar="MINUTES")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = {**plans(), "lesson": heard(args.listen, BUILT_IN["sonic"].geometry), "wanted": WANTED}
    reached = all(row[f"waste_{seconds}"] < most for row in found["nominal"] for seconds, most in WANTED.items())
    if args.json:
        print(json.dumps(found))
    else:
        print(f"nominal, without the motion filter:\n{table(found['nominal'])}\n")
        print(f"by default, with the motion filter:\n{table(found['by_default'])}\n")
        print("\n".join(f"{name:18} {value}" for name, value in found["lesson"].items()))
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
