"""How seams look: wide and narrow, with and without Unicode, good ones and bad."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from farm.cli.seamchart import SeamChart, timecode

NONE: frozenset[int] = frozenset()


def drawn(chart: SeamChart, *, width: int = 120, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width, no_color=True).print(chart)
    file.flush()
    return raw.getvalue().decode(encoding)


def seam(cut: int, ratio: float, **changes: object) -> dict[str, object]:
    return {
        "cut": cut,
        "frames25": [2 * cut - 8, 2 * cut + 8],
        "difference": 11.25,
        "brightness": [7, -8, 8],
        "flow_mean": 1.1,
        "flow_p95": 3.02,
        "step": 0.94,
        "ordinary": 0.4,
        "step_ratio": ratio,
        **changes,
    }


def test_each_seam_has_its_line_with_time_and_numbers() -> None:
    lines = drawn(
        SeamChart([seam(375, 2.35), seam(46875, 40.0, brightness=[0, 0, 0])], frozenset({46875}))
    ).splitlines()
    assert len(lines) == 4
    for word in ("0:00:30.00", "2.35", "11.25", "0.94", "-8", "3.0 px"):
        assert word in lines[1]
    assert "1:02:30.00" in lines[2]
    assert lines[3].strip() == "1 of 2 stand out"
    assert "✗" in lines[2]
    assert "✗" not in lines[1]


def test_a_bar_grows_with_the_step_up_to_full() -> None:
    lines = drawn(SeamChart([seam(100, ratio) for ratio in (1.0, 2.0, 5.0, 30.0)], NONE)).splitlines()[1:5]
    filled = [line.count("█") for line in lines]
    assert filled[0] < filled[1] < filled[2] < filled[3]
    assert "░" not in lines[3]


def test_the_report_s_own_verdict_decides_where_it_has_one() -> None:
    seams = [seam(100, 1.5), seam(200, 30.0)]
    assert "None stands out" in drawn(SeamChart(seams, bad=NONE))
    lines = drawn(SeamChart(seams, bad=frozenset({100}))).splitlines()
    assert "✗" in lines[1]
    assert "✗" not in lines[2]


@pytest.mark.parametrize("width", [40, 60, 89, 90, 120, 200])
def test_a_chart_never_is_wider_than_the_terminal(width: int) -> None:
    lines = drawn(SeamChart([seam(cut, cut / 50) for cut in range(100, 90_000, 9_000)], NONE), width=width).splitlines()
    assert max(cell_len(line) for line in lines) <= width
    assert len(lines) == 12


def test_a_terminal_without_unicode_gets_letters() -> None:
    assert "X" in drawn(SeamChart([seam(100, 30.0)], frozenset({100})), encoding="ascii")


def test_one_chunk_has_no_seams() -> None:
    assert drawn(SeamChart([], NONE)).strip() == "One chunk, no seams."


def test_the_timecode_is_that_of_the_cut() -> None:
    assert timecode([2 * 13 - 8, 2 * 13 + 8]) == "0:00:01.04"
    assert timecode([179_992, 180_008]) == "2:00:00.00"
