"""The model of bench/scale_model.py against what can be said without it, and what bench/scale.py reads from logs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.scale import Render, inside_share
from bench.scale_model import Costs, costs_of, share

CHUNK = Costs(render=2.0, drawing=0.02, child=0.02, answers=0.02, books=0.005)
"""20 ms in the renderer and 45 between two renders want a core."""


def render(begin: float, end: float, inside: float) -> Render:
    return Render((begin, 0.0, 0.0, 0.0), (end, 0.0, 0.0, 0.0), inside)


def test_a_slot_alone_loses_what_lies_beside_its_renders() -> None:
    assert share(CHUNK, 1, cores=2) == pytest.approx(2.02 / 2.065, abs=0.005)


def test_slots_that_want_more_than_the_cores_render_as_much_as_the_cores_let_them() -> None:
    rounds = 2 / 0.065  # chunks a second
    assert share(CHUNK, 100, cores=2) == pytest.approx(rounds * 2 / 100, rel=0.05)


def test_slots_with_machines_of_their_own_lose_nothing_by_being_many_until_redis_has_no_time_left() -> None:
    assert share(CHUNK, 64, cores=None) == pytest.approx(share(CHUNK, 1, cores=None), abs=0.01)
    slow = replace(CHUNK, books=0.05)
    assert share(slow, 100, cores=None) == pytest.approx(2 / 0.05 / 100, rel=0.05)


def test_work_beside_takes_cores_and_holds_up_no_slot_while_there_are_enough() -> None:
    busy = replace(CHUNK, beside=0.05)
    assert share(busy, 4, cores=2) == pytest.approx(share(CHUNK, 4, cores=2), abs=0.01)
    assert share(busy, 64, cores=2) < 0.7 * share(CHUNK, 64, cores=2)


def test_a_slot_waits_for_the_part_of_others_work_that_its_gap_has_room_for() -> None:
    spent = {
        "cpu worker": 3,
        "launcher": 1,
        "redis": 5,
        "s3": 10,
        "slot's child": 40,
        "slot's parent": 10,
        "sweeper": 2,
    }
    means = {"gap_ms": 135, "gap_cpu_ms": 20, "gap_waited_for_core_ms": 105}  # 10 of the 25 ms of others
    row = {"chunks": 60, "stitched": 0, "render_ms": 2000, "mean": means, "cpu_ms": spent}
    row |= {"drawing_cpu_ms": 15, "handing_over_ms": 5}
    # what a stitch costs is seen where some were made
    busier = row | {"chunks": 600, "stitched": 240, "mean": means | {"gap_ms": 999, "gap_waited_for_core_ms": 130}}
    found = {"rows": [busier, row]}
    costs = costs_of(row, found)
    assert (costs.drawing, costs.child, costs.answers, costs.books) == pytest.approx((0.01, 0.025, 0.008, 0.002))
    assert (costs.beside, costs.books_beside) == pytest.approx((0.012 + 0.005 + 0.003, 0.003))
    assert costs.stitch == pytest.approx(0.003 * 660 / 240)
    assert costs_of(busier, found) == costs, "how long a busy farm's slots waited is for the model to say"
    assert share(costs, 1, cores=2) == pytest.approx(2 / 2.035, abs=0.005)


def test_stitches_are_paid_in_one_go_and_hold_up_slots_only_where_cores_are_short() -> None:
    stitched = replace(CHUNK, stitch=0.02)
    assert share(stitched, 2, cores=2) == pytest.approx(share(CHUNK, 2, cores=2), abs=0.01)
    assert share(stitched, 50, cores=2) < share(CHUNK, 50, cores=2) - 0.02


def test_a_render_that_ends_after_the_stretch_counts_as_far_as_it_lies_within() -> None:
    renders = {"gpu0": [render(0, 2, 2.0), render(2.5, 4.5, 1.0)], "gpu1": [render(1, 4, 3.0)]}
    assert inside_share(renders, 1.0, 3.5) == pytest.approx((1.0 + 0.5 + 2.5) / 5.0)
