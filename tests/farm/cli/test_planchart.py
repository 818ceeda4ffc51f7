"""How a plan looks before it is submitted: few chunks and many, narrow, and without Unicode."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from engine.plan import Geometry, plan_chunks
from farm.cli.planchart import PlanChart
from farm.dryrun import DryRun
from farm.estimate import ChunkLength, Estimate


def found(minutes: float, *, window: int = 1, expected: float | None = 754.0) -> DryRun:
    geometry = Geometry(reach=25, window=25) if window > 1 else Geometry()
    plan = plan_chunks(round(minutes * 1500), chunk_seconds=30, geometry=geometry)
    noise = tuple((0.05, 0.5, 1.1)[index % 3] for index in range(len(plan.cuts)))
    return DryRun(
        plan=plan,
        length=ChunkLength(30, "setting chunk_seconds: 2 slots, 0 chunks waiting"),
        expected=Estimate(expected, ("preview on cpu: 0.28 s for a second of video, measured here on 12 chunks",)),
        noise=noise,
        warnings=("the farm does not answer",),
    )


def drawn(run: DryRun, *, width: int = 100, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width, no_color=True, markup=False, highlight=False, emoji=False).print(PlanChart(run))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_a_short_plan_shows_each_chunk_and_what_its_cut_lies_in() -> None:
    text = drawn(found(2))
    assert "Nothing was submitted" in text
    assert "0:02:00 (3000 frames)" in text
    assert "4 of about 30 s (setting chunk_seconds: 2 slots, 0 chunks waiting)" in text
    assert "about 12 min 34 s from now" in text
    assert "measured here on 12 chunks" in text
    rows = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row[1] for row in rows] == ["0:00:00.00", "0:00:30.00", "0:01:00.00", "0:01:30.08"]
    assert [
        line.rstrip().split("  ")[-1].strip() for line in text.splitlines() if line.strip()[:1] in {"1", "2", "3"}
    ] == [
        "a pause",
        "part of a pause",
        "speech",
    ]
    assert "Warning: the farm does not answer" in text


def test_what_was_rendered_already_is_said_before_with_its_video_seconds() -> None:
    run = found(2)
    assert "saved" not in drawn(run)
    assert "2 of 4 chunks are rendered already (60 s of video)" in drawn(replace(run, rendered=(0, 1)))
    assert "none of 4 chunks are rendered already" in drawn(replace(run, rendered=()))


def test_waste_is_told_in_windows_and_in_frames() -> None:
    run = found(10, window=25)
    text = drawn(run)
    # 7501 gen_frames uncut fill 301 windows
    assert run.plan.computed == 345 * 25
    assert "15.0% waste: 44 of 345 windows, 1124 generated frames more than are kept" in text
    assert f"{run.plan.windows(run.plan.chunks[1])} windows" in text
    assert "waste: 18 generated frames" in drawn(found(1.5))


@pytest.mark.parametrize("width", [60, 100, 200])
def test_two_hours_fit_any_terminal_and_every_chunk_is_in_the_line(width: int) -> None:
    run = found(120)
    text = drawn(run, width=width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert len(text.splitlines()) < 25
    assert sum(text.count(step) for step in "▁▂▃▄▅▆▇█") == len(run.plan.chunks) == 240
    assert "80 a pause, 80 part of a pause, 79 speech" in " ".join(text.split())


def test_a_terminal_without_unicode_gets_plain_letters() -> None:
    for run in (found(2), found(120)):
        drawn(run, encoding="ascii").encode("ascii")


def test_where_nothing_is_known_nothing_is_promised() -> None:
    assert "finished  not known" in drawn(found(2, expected=None))


def test_the_same_as_json() -> None:
    run = found(10, window=25)
    told = json.loads(json.dumps(run.to_dict()))
    assert len(told["chunks"]) == len(told["cuts"]) + 1
    assert (told["windows"], told["wasted_windows"], told["wasted_gen_frames"]) == (345, 44, 1124)
    assert found(0.2, window=25).plan.wasted_windows == 0, "one chunk"
    assert told["waste"] == pytest.approx(0.15, abs=0.005)
    assert told["expected_seconds"] == 754
    assert told["because"].startswith("setting chunk_seconds")
