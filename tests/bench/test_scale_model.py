"""The model of bench/scale_model.py against what can be said without it, and what bench/scale.py reads from logs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.scale import Render, inside_share
from bench.scale_model import Costs, costs_of, share

CHUNK = Costs(render=2.0, drawing=0.02, child=0.02, parent=0.01, storage=0.01, books=0.005, waits=0.015)
"""80 ms beside the renderer, 65 of which want a core."""


def render(begin: float, end: float, inside: float) -> Render:
    return Render((begin, 0.0, 0.0, 0.0), (end, 0.0, 0.0, 0.0), inside)


def test_a_slot_alone_loses_what_lies_beside_its_renders() -> None:
    assert share(CHUNK, 1, cores=2) == pytest.approx(2 / 2.08, abs=0.005)


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


def test_what_is_left_of_a_gap_is_waiting_and_other_peoples_work_is_not() -> None:
    spent = {
        "cpu worker": 3,
        "launcher": 1,
        "redis": 5,
        "s3": 10,
        "slot's child": 40,
        "slot's parent": 10,
        "sweeper": 2,
    }
    means = {"gap_ms": 160, "gap_cpu_ms": 20, "gap_waited_for_core_ms": 100}
    row = {"chunks": 60, "stitched": 0, "render_ms": 2000, "drawing_cpu_ms": 15, "mean": means, "cpu_ms": spent}
    # what a stitch costs is seen where some were made
    busier = {"chunks": 600, "stitched": 240, "mean": means | {"gap_waited_for_core_ms": 130}, "cpu_ms": spent}
    costs = costs_of({"rows": [busier, row], "speed_in_company": 0.8})
    assert (costs.drawing, costs.beside, costs.waits) == pytest.approx((0.015, 0.008, 0.015))
    assert (costs.stitch, costs.company) == pytest.approx((0.003 * 660 / 240, 0.8))
    assert share(costs, 1, cores=2) == pytest.approx(2 / 2.075, abs=0.005)


def test_stitches_are_paid_in_one_go_and_hold_up_slots_only_where_cores_are_short() -> None:
    stitched = replace(CHUNK, stitch=0.02)
    assert share(stitched, 2, cores=2) == pytest.approx(share(CHUNK, 2, cores=2), abs=0.01)
    assert share(stitched, 50, cores=2) < share(CHUNK, 50, cores=2) - 0.02


def test_cores_that_are_slower_in_company_carry_fewer_slots() -> None:
    slower = replace(CHUNK, company=0.7)
    assert share(slower, 100, cores=2) == pytest.approx(0.7 * share(CHUNK, 100, cores=2), rel=0.05)
    assert share(slower, 1, cores=2) == pytest.approx(share(CHUNK, 1, cores=2), abs=0.005)


def test_a_render_that_ends_after_the_stretch_counts_as_far_as_it_lies_within() -> None:
    renders = {"gpu0": [render(0, 2, 2.0), render(2.5, 4.5, 1.0)], "gpu1": [render(1, 4, 3.0)]}
    assert inside_share(renders, 1.0, 3.5) == pytest.approx((1.0 + 0.5 + 2.5) / 5.0)
