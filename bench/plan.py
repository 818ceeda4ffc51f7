"""What planning costs: windows computed beyond what is kept, and what it costs to cut where the speaker pauses.

    python bench/plan.py [--listen MINUTES] [--json]

Waste is counted for Sonic's own geometry, with and without its motion filter, in windows, for lessons in which nothing
is moved for a pause; then for the shipped lesson, again and again for so many minutes, once cut evenly and once in its
pauses. Beside it stand what lies under the cuts (0 a pause, 1 open speech), the seconds, and the peak of memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from engine.media.audio import decode_speech
from engine.media.pauses import listen
from engine.plan import Geometry, plan_chunks
from engine.renderer import BUILT_IN
from engine.spec import FRAME_RATE, OutputSpec
from farm.estimate import geometry_for

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLES = Path(__file__).parent.parent / "samples"
MINUTES = (10, 30, 60, 120)
WANTED = {30: 0.16, 60: 0.08}
"""Most waste at about so many seconds kept."""
FILTERED = {31: 0.16, 63: 0.08}
"""The same with the motion filter, whose neighbours make spans longer: on chunks that are longer by as much."""


def nominal(renders: Geometry, lengths: Mapping[int, float]) -> list[dict[str, Any]]:
    """Lessons that nobody listened to, a row each. lengths: seconds kept, about, and the most waste."""
    rows = []
    for minutes in MINUTES:
        row: dict[str, Any] = {"minutes": minutes}
        for seconds in lengths:
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


def table(rows: list[dict[str, Any]], lengths: Mapping[int, float]) -> str:
    lines = [f"| lesson | {' | '.join(f'chunk_seconds {s}' for s in lengths)} |", "|---|---|---|"]
    for row in rows:
        cells = [
            f"{row[f'waste_{s}']:.1%} ({row[f'windows_{s}']} windows, {row[f'kept_{s}']:.1f} s each)" for s in lengths
        ]
        lines.append(f"| {row['minutes']} min | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=float, default=10, metavar="MINUTES")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    sonic = BUILT_IN["sonic"].geometry
    filtered = geometry_for(sonic, OutputSpec(smoothing=BUILT_IN["sonic"].smoothing))
    plain, steadied = nominal(replace(sonic, radius=0), WANTED), nominal(filtered, FILTERED)
    found = {"nominal": plain, "with_filter": steadied, "lesson": heard(args.listen, sonic)}
    reached = all(
        row[f"waste_{seconds}"] < most
        for rows, lengths in ((plain, WANTED), (steadied, FILTERED))
        for row in rows
        for seconds, most in lengths.items()
    )
    if args.json:
        print(json.dumps({**found, "reached": reached}))
    else:
        print(table(plain, WANTED), "\n\nwith the motion filter:\n" + table(steadied, FILTERED), sep="\n")
        print("\n" + "\n".join(f"{name:18} {value}" for name, value in found["lesson"].items()))
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
