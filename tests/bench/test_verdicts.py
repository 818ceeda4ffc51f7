"""What benches call reached: each figure by its own limit, and none that was not judged."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from bench.acceptance_seams import OTHER_SIDES, SeamRow
from bench.plan import WANTED, plans
from bench.run import BENCHES, HERE, JUDGED_SEAMS, Bench, Line, measured, plan_lines, reduced, seam_lines
from bench.sonic_seams import CUTS, FARM, WINDOW
from farm.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PERFORMANCE = (HERE.parent / "docs" / "performance.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("other_side", "way", "refused", "said"),
    [
        pytest.param("another seed", "hard cut", 5, None, id="a hard cut is to be refused"),
        pytest.param("another seed", "hard cut", 3, "another seed: 2 of 5 hard cuts were accepted", id="each of them"),
        pytest.param("another person", "hard cut", 0, "another person: 5 of 5 hard cuts were accepted", id="by all"),
        pytest.param("another seed", "ours", 0, None, id="a mended seam is not"),
        pytest.param("another seed", "ours", 1, "another seed: 1 of 5 mended seams were refused", id="none of them"),
        pytest.param("another person", "ours", 3, None, id="to another person it may be either"),
    ],
)
def test_acceptance_of_seams_is_judged_by_what_the_bench_joined(
    other_side: str, way: str, refused: int, said: str | None
) -> None:
    assert other_side in OTHER_SIDES
    assert SeamRow(other_side, way, 1.0, 2.0, refused, 5).wrong == said


@pytest.mark.parametrize("cuts", CUTS.values(), ids=CUTS)
def test_sonics_chunks_as_the_farm_does_them_have_spans_of_its_plan_which_begin_anywhere(cuts: tuple[int, ...]) -> None:
    spans = FARM.spans(cuts)
    assert any(start % WINDOW for start, _ in spans)
    assert all((stop - start) % WINDOW == 0 for start, stop in spans)
    for (first, last), (start, stop) in zip(pairwise(cuts), spans, strict=True):
        assert start <= first - WINDOW
        assert stop >= last + WINDOW, "at the job's ends round the ring"


def test_what_is_reduced_without_full_is_what_the_documentation_says_row_by_row() -> None:
    rows = re.findall(r"^\| `bench/(\w+\.py)` \| (.*) \| (.*) \|$", PERFORMANCE, re.MULTILINE)
    assert [tuple(cell.strip("`") for cell in row) for row in rows] == list(reduced())


def test_a_bench_is_run_in_full_or_the_documentation_says_that_it_only_measures() -> None:
    scripts = {path.name for path in HERE.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")} - {"run.py"}
    run = {bench.script for bench in BENCHES}
    assert run <= scripts
    (named,) = re.findall(r"which takes hours; (.*?) only measure", PERFORMANCE, re.DOTALL)
    assert scripts - run == set(re.findall(r"`bench/(\w+\.py)`", named))


def line(reached: bool | None) -> Line:
    return Line("what", "found", "wanted", reached)


@pytest.mark.parametrize(
    ("script", "lines", "verdicts"),
    [
        pytest.param("print('{}')", [line(True)], [True], id="a figure that is reached"),
        pytest.param("print('{}')", [line(None)], [None], id="one of which nothing is wanted"),
        pytest.param("print('{}'); raise SystemExit(1)", [line(False)], [False], id="a figure that is missed"),
        pytest.param(
            "print('{}'); raise SystemExit(1)",
            [line(True), line(None)],
            [True, None, False],
            id="a miss that no figure tells",
        ),
    ],
)
def test_a_bench_that_ends_with_1_is_never_all_reached(
    tmp_path: Path, script: str, lines: list[Line], verdicts: list[bool | None]
) -> None:
    (tmp_path / "some.py").write_text(script)
    bench = Bench(str(tmp_path / "some.py"), lambda _: lines)
    assert [one.reached for one in measured(bench, "", folder=tmp_path)] == verdicts


def test_sonics_waste_is_judged_for_the_nominal_plan_and_shown_as_the_farm_does_it_by_default() -> None:
    lines = plan_lines(json.loads(json.dumps({**plans(), "wanted": WANTED})))  # as the bench prints it
    assert {one.what.removeprefix("Sonic's waste, "): one.reached for one in lines} == {
        "chunk_seconds 30, nominal: no motion filter": True,
        "chunk_seconds 30, by default: with the motion filter": None,
        "chunk_seconds 60, nominal: no motion filter": True,
        "chunk_seconds 60, by default: with the motion filter": None,
    }
    assert Settings.model_fields["chunk_seconds"].default in WANTED, "the farm's own length is among them"


@pytest.mark.parametrize(("linear", "margin", "reached"), [(1.0003, "+0.03%", True), (0.9999, "-0.01%", False)])
def test_a_seams_margin_is_seen_however_small_and_seams_of_which_nothing_is_wanted_get_no_verdict(
    linear: float, margin: str, reached: bool
) -> None:
    steps = {"hard cut": {"step": 2.0}, "linear fade": {"step": linear}, "ours": {"step": 1.0}}
    lines = seam_lines({"seams": {"one fault alone": steps} | dict.fromkeys(JUDGED_SEAMS, steps)})
    assert {line.found for line in lines} == {f"1.0000 (hard cut 2.0000: +100.00%, linear fade {linear}: {margin})"}
    assert [line.reached for line in lines] == [reached] * len(JUDGED_SEAMS) + [None]
