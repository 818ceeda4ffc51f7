"""`make bench`: what the farm must reach, measured on this machine, as a table.

    python bench/run.py [--full] [--json]

With --full every bench of which something is wanted runs whole, which takes hours; without it some are left out or
made smaller, as --help says one by one. Exit code 1 where a figure misses what is wanted of it, or a bench says so of
itself.
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
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
JUDGED_SEAMS = ("preview, head 3 pixels aside and 8 levels brighter", "tiny Sonic, a reach of 25 and one of 0")
"""The materials of bench/seams.py of which something is wanted: others show one fault of the first alone."""
VERDICTS = {True: "reached", False: "MISSED", None: "not judged"}


@dataclass(frozen=True)
class Line:
    """One thing measured: what, the figure, what is wanted, and whether it is reached; None where nothing is wanted."""

    what: str
    found: str
    wanted: str
    reached: bool | None


@dataclass(frozen=True)
class Bench:
    """A script and what its figures say. full, quick: its arguments with --full and without; None: it is left out."""

    script: str
    lines: Callable[[dict[str, Any]], list[Line]]
    full: str = ""
    quick: str | None = ""


def run(script: str, arguments: str, *, folder: Path) -> tuple[dict[str, Any], bool]:
    """What a bench prints with --json, measured in a process of its own, and whether it says that all was reached.

    It works in `folder`, and what it printed is left there for those that read it.
    """
    print(f"... bench/{script} {arguments}", file=sys.stderr, flush=True)
    command = [sys.executable, str(HERE / script), *arguments.split(), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment, cwd=folder)
    if done.returncode not in {0, 1} or not done.stdout:
        raise subprocess.CalledProcessError(done.returncode, command)
    printed = done.stdout.strip().splitlines()[-1]
    (folder / script).with_suffix(".json").write_text(printed, encoding="utf-8")
    found: dict[str, Any] = json.loads(printed)
    return found, done.returncode == 0


def measured(bench: Bench, arguments: str, *, folder: Path) -> list[Line]:
    """Its lines, and one more where the bench itself misses what none of them tells."""
    found, reached = run(bench.script, arguments, folder=folder)
    lines = bench.lines(found)
    if reached or any(line.reached is False for line in lines):
        return lines
    return [*lines, Line(f"bench/{bench.script} {arguments}".strip(), "its own verdict", "exit code 0", reached=False)]


def machine() -> str:
    """The processor's name and how many cores there are."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def lesson_lines(found: dict[str, Any]) -> list[Line]:
    speed, gap = found["times_real_time"], found["idle_gap_ms_median"]
    what = "10-minute lesson, 512x512, two slots, submit to file"
    return [
        Line(what, f"{speed} x real time ({found['seconds']} s)", "4 x or more", speed >= 4),
        Line("idle gap of a slot between two chunks, median", f"{gap} ms", "under 150 ms", gap < 150),
        memory_line(found),
    ]


def hour_lines(found: dict[str, Any]) -> list[Line]:
    return [memory_line(found)]


def two_hours_lines(found: dict[str, Any]) -> list[Line]:
    late = max(map(abs, found["speech_late_ms"].values()))
    what = "speech against pictures, start and end of two hours"
    seconds, sides = found["stitch_seconds"], "agree" if found["sides_agree"] else "differ"
    return [
        memory_line(found, most=600),
        Line(what, f"{late:.2f} ms", "under 2 ms", late < 2),
        Line(f"its stitch, with storage and checks; sides {sides}", f"{seconds} s", "under 60 s", seconds < 60),
    ]


def memory_line(found: dict[str, Any], *, most: int = 500) -> Line:
    kinds = ", ".join(f"{kind} {peak:.0f}" for kind, peak in found["peak_mb"].items())
    return Line(
        f"peak memory of any process of ours, {found['minutes']:g} minutes",
        f"{found['peak_mb_ours']:.0f} MB ({kinds})",
        f"under {most} MB",
        found["peak_mb_ours"] < most,
    )


def stitch_lines(found: dict[str, Any]) -> list[Line]:
    ratio = found["ratio"]
    what = f"stitching {found['minutes']:g} minutes against decoding and encoding them"
    figure = f"{ratio} x faster ({found['stitch_seconds']} s)"
    if found["sides_agree"]:
        return [Line(what, figure, "15 x or more", ratio >= 15)]
    return [Line(f"{what}, where all seams' sides differ", figure, "", None)]


def long_stitch_lines(found: dict[str, Any]) -> list[Line]:
    seconds = found["stitch_seconds"]
    what = "stitching 120 minutes whose seams' sides agree, speech encoded before"
    return [Line(what, f"{seconds} s", "under 60 s", seconds < 60)]


def plan_lines(found: dict[str, Any]) -> list[Line]:
    lines = []
    for seconds, most in found["wanted"].items():
        nominal, usual = (max(row[f"waste_{seconds}"] for row in found[name]) for name in ("nominal", "by_default"))
        what = f"Sonic's waste, chunk_seconds {seconds}"
        lines += [
            Line(f"{what}, nominal: no motion filter", f"{nominal:.2%} at most", f"under {most:.0%}", nominal < most),
            Line(f"{what}, by default: with the motion filter", f"{usual:.2%} at most", "", None),
        ]
    return lines


def seam_lines(found: dict[str, Any]) -> list[Line]:
    seams = dict(found["seams"])
    judged = [seam_step(material, seams.pop(material)) for material in JUDGED_SEAMS]
    shown = [seam_step(*material)[:2] for material in seams.items()]
    return [
        *(Line(what, figures, "lower than both", reached) for what, figures, reached in judged),
        *(Line(*step, "", None) for step in shown),
    ]


def seam_step(material: str, ways: dict[str, Any]) -> tuple[str, str, bool]:
    """What was joined, our step with how much higher the others' are, and whether ours is the lowest."""
    ours, others = ways["ours"]["step"], {way: ways[way]["step"] for way in ("hard cut", "linear fade")}
    figures = ", ".join(f"{way} {step:.4f}: {step / ours - 1:+.2%}" for way, step in others.items())
    return f"seam step, {material}", f"{ours:.4f} ({figures})", ours < min(others.values())


def sonic_lines(found: dict[str, Any]) -> list[Line]:
    wanted = found["wanted"]
    return [
        Line(
            f"tiny Sonic in chunks against one piece, {row['cuts']}",
            f"{row['beside']:.4f} of a frame's step beside a cut",
            f"{wanted} or less",
            row["beside"] <= wanted,
        )
        for row in found["rows"]
        if row["name"] == found["farm"]
    ]


def lag_lines(found: dict[str, Any]) -> list[Line]:
    return [
        Line(
            "injected lags of mouth against speech",
            f"{found['recovered']} of {found['of']} recovered, largest error {found['largest_error_ms']} ms",
            "all, within 10 ms",
            found["recovered"] == found["of"],
        )
    ]


def jitter_lines(found: dict[str, Any]) -> list[Line]:
    ours = found["ours, 0.3"]
    lost = found["as rendered"]["mouth_and_speech"] - ours["mouth_and_speech"]
    return [
        Line(
            "one pixel of jitter at 25 frames a second, smoothing 0.3",
            f"{ours['jitter']:.2f} left, correlation of mouth and speech {-lost:+.3f}",
            "0.5 or less, -0.02 or better",
            ours["jitter"] <= 0.5 and lost < 0.02,
        )
    ]


def generated_jitter_lines(found: dict[str, Any]) -> list[Line]:
    ours = found["ours, 0.3"]
    figure = f"{ours['jitter']:.2f} left, {ours['step']:.2f} of it from frame to frame"
    return [Line("the same at the 12.5 frames a second that Sonic generates", figure, "", None)]


def acceptance_lines(found: dict[str, Any]) -> list[Line]:
    return [
        Line(
            f"defects found, {found['renders']} clean renders accepted, seams joined",
            "; ".join(f"{name} {times} of {of}" for name, (times, of) in found["found"].items()),
            "all that can be told, and no clean one refused",
            not found["wrong"],
        )
    ]


def batch_lines(found: dict[str, Any]) -> list[Line]:
    last = found["killed"]
    return [
        Line(
            "10,000 rows, 100 recordings, 30 portraits: checked and submitted",
            f"{found['seconds']:.1f} s",
            "under 60 s",
            found["seconds"] < 60,
        ),
        Line(
            f"the same, killed when {', '.join(map(str, last['jobs_before']))} jobs were there",
            f"{last['books']} jobs, {last['twice']} of them twice",
            "10000 jobs, 0 of them twice",
            (last["books"], last["twice"]) == (10_000, 0),
        ),
    ]


def show_lines(found: dict[str, Any]) -> list[Line]:
    return [Line(f"farm batch show, {found['rows']:,} rows", f"{found['show_s']} s", "under 1 s", found["show_s"] < 1)]


def books_lines(found: dict[str, Any]) -> list[Line]:
    p99 = found["choose_ms"]["p99"]
    return [
        Line("Redis for a chunk", f"{found['chunk_bytes']} bytes", "under 1 KB", found["chunk_bytes"] < 1024),
        Line("Redis for a job", f"{found['job_bytes']} bytes", "under 4 KB", found["job_bytes"] < 4096),
        Line(f"next of {found['chunks']} chunks, 99th percentile", f"{p99} ms", "under 5 ms", p99 < 5),
        Line(f"counting a batch of {found['jobs']}", f"{found['count_ms']} ms", "under 1 s", found["count_ms"] < 1000),
    ]


def share_lines(found: dict[str, Any]) -> list[Line]:
    what = "slot time of owners weighted 1:1:2"
    return [Line(what, f"{found['worst']:.1%} off", "within 5 %", found["reached"])]


def folder_lines(found: dict[str, Any]) -> list[Line]:
    fire, many, flat = found["dropped"], found["many"], found["flat"]
    wrong = fire["twice"] + fire["lost"] + fire["left_in_inbox"]
    return [
        Line(
            f"{fire['pairs']:,} pairs dropped, {fire['watchers_killed']} watchers killed",
            f"{fire['jobs']:,} jobs, {fire['twice']} twice, {fire['lost']} lost",
            "a job each",
            fire["jobs"] == fire["pairs"] and not wrong,
        ),
        Line(
            f"a look at {many['keys']:,} keys in {many['folders']} folders",
            f"{many['look_seconds']} s ({flat['look_seconds']} s in one folder)",
            "under 30 s",
            many["look_seconds"] < 30,
        ),
    ]


def scale_lines(found: dict[str, Any]) -> list[Line]:
    return [
        Line(
            f"slot time inside a renderer that waits 2 s a chunk, {row['slots']} slots",
            f"{row['inside']:.1%} (others used {row['cores_used_by_others']} cores)",
            "97 % or more",
            row["inside"] >= 0.97,
        )
        for row in found["rows"]
    ]


def model_lines(found: dict[str, Any]) -> list[Line]:
    off = {slots: 100 * abs(inside - model) for slots, (inside, model) in found["held"].items()}
    figures = ", ".join(f"{points:.1f}" for points in off.values())
    what = f"the model of that, {', '.join(off)} slots"
    return [Line(what, f"{figures} points off", "1 point at most", max(off.values()) <= 1)]


def scrape_lines(found: dict[str, Any]) -> list[Line]:
    return [watching_line("a scrape of /metrics", found)]


def glance_lines(found: dict[str, Any]) -> list[Line]:
    return [watching_line("a look of farm top", found)]


def watching_line(what: str, found: dict[str, Any]) -> Line:
    wanted = found["wanted"]
    return Line(
        f"{what} with {found['jobs']:,} jobs and {found['slots']} slots",
        f"{found['core_ms']} ms of a core, {found['redis_ms']} ms of Redis",
        f"{wanted['core_ms']:g} and {wanted['redis_ms']:g} ms or less",
        all(found[name] <= most for name, most in wanted.items()),
    )


BENCHES = (
    Bench("lesson.py", lesson_lines, full="--minutes 10", quick="--minutes 10"),
    Bench("lesson.py", hour_lines, full="--minutes 60", quick=None),
    Bench("lesson.py", two_hours_lines, full="--minutes 120", quick=None),
    Bench("lesson.py", two_hours_lines, full="--minutes 120 --disagree", quick=None),
    Bench("stitch.py", stitch_lines, full="--minutes 30", quick="--minutes 5"),
    Bench("stitch.py", stitch_lines, full="--minutes 30 --disagree", quick=None),
    Bench("stitch.py", long_stitch_lines, full="--minutes 120", quick=None),
    Bench("plan.py", plan_lines),
    Bench("seams.py", seam_lines),
    Bench("sonic_seams.py", sonic_lines, quick=None),
    Bench("lipsync.py", lag_lines),
    Bench("smoothing.py", jitter_lines),
    Bench("smoothing.py", generated_jitter_lines, full="--every 2", quick="--every 2"),
    Bench("acceptance.py", acceptance_lines, quick=None),
    Bench("batch.py", batch_lines),
    Bench("batch_life.py", show_lines, full="--look", quick="--look"),
    Bench("books.py", books_lines, full="--jobs 10000", quick="--jobs 1000"),
    Bench("fairness.py", share_lines),
    Bench("scale.py", scale_lines, full="--slots 2,8,16,24,32,40", quick="--slots 2"),
    Bench("scale_model.py", model_lines, full="scale.json", quick=None),
    Bench("scrape.py", scrape_lines),
    Bench("glance.py", glance_lines),
    Bench("folder.py", folder_lines, full="--pairs 5000", quick="--pairs 500"),
)
"""What `make bench` runs, in order; the model reads what the bench before it printed."""


def reduced() -> Iterator[tuple[str, str, str]]:
    """What is not whole without --full: a script, how it runs with it, and how without."""
    for bench in BENCHES:
        if bench.quick != bench.full:
            yield bench.script, bench.full or "whole", "left out" if bench.quick is None else bench.quick


def main() -> None:
    table = "\n".join(f"  {script:15} {full:26} {quick}" for script, full, quick in reduced())
    words = f"{__doc__}\n  {'script':15} {'with --full':26} without\n{table}\n"
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="leave nothing out")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    lines = []
    with TemporaryDirectory(prefix="sonic-farm-bench-") as folder:
        for bench in BENCHES:
            arguments = bench.full if args.full else bench.quick
            if arguments is not None:
                lines += measured(bench, arguments, folder=Path(folder))
    if args.json:
        print(json.dumps({"machine": machine(), "lines": [vars(line) for line in lines]}))
    else:
        print(f"\nMeasured on {machine()}\n\n| what | found | wanted | |\n|---|---|---|---|")
        for line in lines:
            print(f"| {line.what} | {line.found} | {line.wanted} | {VERDICTS[line.reached]} |")
    sys.exit(1 if any(line.reached is False for line in lines) else 0)


if __name__ == "__main__":
    main()
