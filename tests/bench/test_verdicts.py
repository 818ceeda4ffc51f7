"""What benches call reached: each figure by its own limit, and none that was not judged."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.acceptance_seams import OTHER_SIDES, SeamRow
from bench.sonic_seams import CUTS, FARM, WINDOW


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
