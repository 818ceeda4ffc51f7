"""The reach that is proposed, from what was measured."""

from __future__ import annotations

import pytest

from engine.sonic.weights.reach import Reach


@pytest.mark.parametrize(
    ("differences", "proposed"),
    [
        pytest.param({0: 0.5, 12: 0.1, 25: 0.006, 38: 0.0}, 25, id="the smallest that is small"),
        pytest.param({0: 0.5, 12: 0.01, 25: 0.03, 38: 0.0}, 38, id="not one behind which it grows again"),
        pytest.param({0: 0.5, 12: 0.1, 25: 0.05, 38: 0.03}, None, id="none"),
        pytest.param({0: 0.02, 12: 0.0}, 0, id="none is needed"),
    ],
)
def test_the_smallest_reach_from_which_on_frames_hardly_differ_is_proposed(
    differences: dict[int, float], proposed: int | None
) -> None:
    reach = Reach(differences)
    assert reach.proposed == proposed
    assert reach.to_dict()["proposed"] == proposed
    assert [one["reach"] for one in reach.to_dict()["tried"]] == list(differences)
