"""How long chunks should be on a farm, and when a job should be finished."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.plan import Geometry, plan_chunks
from engine.spec import OutputSpec, RenderSpec
from farm import Settings
from farm.estimate import ASSUMED, chunk_length, chunk_seconds_for, estimate, geometry_for
from farm.jobs.load import Load
from farm.jobs.speeds import Speed, Work

SONIC = Geometry(reach=25, window=25)
PREVIEW = Geometry()


def of(slots: int, waiting: int) -> Load:
    return Load(("cpu",) * slots, waiting)


@pytest.mark.parametrize(
    ("speech", "slots", "waiting", "seconds", "because"),
    [
        pytest.param(3600, 1, 0, 30, "setting chunk_seconds: 1 slot, 0 chunks waiting", id="one slot"),
        pytest.param(3600, 2, 0, 30, "setting chunk_seconds: 2 slots, 0 chunks waiting", id="two slots"),
        pytest.param(3600, 0, 7, 30, "setting chunk_seconds: 0 slots, 7 chunks waiting", id="no slot"),
        pytest.param(600, 40, 0, 15, "1 chunk a slot: 40 slots, 0 chunks waiting for 600 s of speech", id="finer"),
        pytest.param(1000, 16, 0, 20.83, "3 chunks a slot: 16 slots", id="whole rounds"),
        pytest.param(60, 40, 0, 10, "the shortest that is worth while: 40 slots", id="down to the floor"),
        pytest.param(600, 40, 1, 30, "setting chunk_seconds: 40 slots, 1 chunk waiting", id="not alone"),
        pytest.param(600, 4, 12, 45, "longer than setting chunk_seconds (30): 4 slots, 12 chunks waiting", id="queue"),
        pytest.param(600, 4, 900, 60, "longer than setting chunk_seconds (30)", id="up to the ceiling"),
    ],
)
def test_a_lone_job_on_many_slots_is_cut_finer_and_a_deep_queue_coarser(
    speech: float, slots: int, waiting: int, seconds: float, because: str
) -> None:
    found = chunk_seconds_for(speech, load=of(slots, waiting), setting=30, geometry=PREVIEW)
    assert found.seconds == pytest.approx(seconds, abs=0.01)
    assert because in found.because


def test_jobs_that_wait_for_their_plan_are_a_queue_too() -> None:
    found = chunk_seconds_for(600, load=replace(of(40, 0), unplanned=199), setting=30, geometry=PREVIEW)
    said = "setting chunk_seconds: 40 slots, 0 chunks waiting, 199 other jobs not planned yet"
    assert (found.seconds, found.because) == (30, said)
    deep = chunk_seconds_for(600, load=replace(of(4, 12), unplanned=1), setting=30, geometry=PREVIEW)
    assert deep.seconds == 45
    assert deep.because.endswith("12 chunks waiting, 1 other job not planned yet")


def test_a_lone_job_is_cut_for_the_slots_that_its_owner_may_have() -> None:
    found = chunk_seconds_for(600, load=replace(of(40, 0), limit=25), setting=30, geometry=PREVIEW)
    assert (found.seconds, found.because) == (24, "1 chunk a slot: 25 slots, 0 chunks waiting for 600 s of speech")
    assert chunk_seconds_for(600, load=replace(of(40, 0), limit=2), setting=30, geometry=PREVIEW).seconds == 30


def test_what_others_wait_for_is_held_against_all_slots_and_not_only_those_that_an_owner_may_have() -> None:
    limited = replace(of(40, 10), limit=2)
    assert chunk_seconds_for(600, load=limited, setting=30, geometry=PREVIEW).seconds == 30
    assert chunk_seconds_for(600, load=replace(limited, own=10), setting=30, geometry=PREVIEW).seconds == 60


def test_what_neighbours_compute_twice_keeps_chunks_longer() -> None:
    found = chunk_seconds_for(120, load=of(40, 0), setting=30, geometry=SONIC)
    assert found.seconds == pytest.approx(3 * 59 / 12.5, abs=0.01)
    assert chunk_seconds_for(120, load=of(40, 0), setting=12, geometry=SONIC).seconds == 12


def test_a_reach_that_was_set_keeps_chunks_as_long_as_it_needs() -> None:
    settings, load = Settings(chunk_seconds=8), Load(devices=("cpu",), waiting=0)
    found = chunk_length(None, 600, load=load, settings=settings, geometry=Geometry(reach=125, window=25))
    assert found.seconds == 10
    assert found.because.startswith("the shortest that reach and motion filter allow, instead of setting chunk_seconds")
    assert plan_chunks(15_000, chunk_seconds=found.seconds, geometry=Geometry(reach=125, window=25)).chunks
    assert chunk_length(None, 600, load=load, settings=settings, geometry=PREVIEW).seconds == 8


@given(
    speech=st.floats(0.2, 14400),
    slots=st.integers(0, 500),
    waiting=st.integers(0, 100_000),
    setting=st.floats(0.5, 3600),
    geometry=st.sampled_from([PREVIEW, SONIC, Geometry(reach=100, window=25)]),
)
def test_a_length_stays_between_floor_and_ceiling(
    speech: float, slots: int, waiting: int, setting: float, geometry: Geometry
) -> None:
    found = chunk_seconds_for(speech, load=of(slots, waiting), setting=setting, geometry=geometry)
    assert min(setting, 10) - 0.01 <= found.seconds <= 2 * setting + 0.01
    if found.seconds < setting - 0.01:
        assert found.seconds * 12.5 >= geometry.shortest_kept
        assert waiting == 0
        assert slots > 2
    assert found.because


@given(waiting=st.lists(st.integers(1, 5000), min_size=2, max_size=2).map(sorted))
def test_a_deeper_queue_never_makes_chunks_shorter(waiting: list[int]) -> None:
    lengths = [chunk_seconds_for(900, load=of(5, w), setting=30, geometry=PREVIEW).seconds for w in waiting]
    assert all(one <= two for one, two in pairwise(lengths))


def foretold(
    seconds: float = 120, *, load: Load, speeds: dict[Work, Speed], **spec: object
) -> tuple[float | None, str]:
    plan = plan_chunks(round(seconds * 25), chunk_seconds=30, geometry=PREVIEW)
    found = estimate(
        plan,
        RenderSpec(**spec),  # type: ignore[arg-type]
        pixels=512 * 512,
        load=load,
        speeds=speeds,
        waiting_seconds=30,
    )
    return found.seconds, "; ".join(found.words)


NOTHING_AROUND = {Work("plan", "cpu"): Speed(0, 1), Work("stitch", "cpu"): Speed(0, 1)}


def test_the_finish_is_reckoned_by_what_each_slots_device_was_measured_at() -> None:
    speeds = NOTHING_AROUND | {
        Work("preview", "slow", 25): Speed(2.0, 3),
        Work("preview", "quick", 25): Speed(0.5, 40),
        Work("preview", "quick", 10): Speed(9.0, 1),
    }
    one, words = foretold(load=Load(("quick",), 0), speeds=speeds)
    assert one == pytest.approx(60, rel=0.03)
    assert "0.5 s for a second of video, measured here on 40 chunks" in words
    # the quick slot has done three when the slow one has done its first
    two, words = foretold(load=Load(("quick", "slow"), 0), speeds=speeds)
    assert two == pytest.approx(60, rel=0.05)
    assert "preview on slow" in words
    four, _ = foretold(load=Load(("quick",) * 4, 0), speeds=speeds)
    assert four == pytest.approx(15, rel=0.05)
    behind, words = foretold(load=Load(("quick",) * 4, 80), speeds=speeds)
    assert behind == pytest.approx(15 + 300, rel=0.05)
    assert "80 chunks of other jobs first, about 300 s" in words


def test_what_will_hold_a_job_is_counted_or_named() -> None:
    speeds, eight = NOTHING_AROUND | {Work("preview", "gpu", 25): Speed(1.0, 3)}, ("gpu",) * 8
    free, words = foretold(load=Load(eight, 0), speeds=speeds)
    assert (free, words) == (
        pytest.approx(30, rel=0.05),
        "preview on gpu: 1 s for a second of video, measured here on 3 chunks",
    )
    limited, words = foretold(load=Load(eight, 0, limit=2), speeds=speeds)
    assert limited == pytest.approx(60, rel=0.05)
    assert words.endswith("; its owner may have 2 of 8 slots at once")
    behind_others, _ = foretold(load=Load(eight, 16, limit=2), speeds=speeds)
    behind_its_own, _ = foretold(load=Load(eight, 16, own=16, limit=2), speeds=speeds)
    assert (behind_others, behind_its_own) == (pytest.approx(60 + 60, rel=0.05), pytest.approx(240 + 60, rel=0.05))
    busy, words = foretold(load=Load(eight, 8, in_hand=16), speeds=speeds)
    assert busy == pytest.approx(90 + 30, rel=0.05)
    assert words.endswith("; 24 chunks of other jobs first, 16 of them in hand, about 90 s")
    early, words = foretold(load=Load(eight, 0, unplanned=3), speeds=speeds)
    assert early == free
    assert words.endswith("; 3 other jobs are not planned yet: what comes first of them is not counted")


def test_slots_without_memory_for_its_frames_render_only_what_comes_first() -> None:
    speeds = NOTHING_AROUND | {Work("preview", device, 25): Speed(1.0, 3) for device in ("large", "small")}
    found, words = foretold(load=Load(("large",), 16, too_small=("small",) * 7), speeds=speeds)
    assert found == pytest.approx(60 + 120, rel=0.05)
    assert "; frames of 262,144 pixels fit into the memory of 1 of 8 slots; " in words
    assert "small" not in words
    nowhere = foretold(load=Load((), 0, too_small=("small",) * 7), speeds=speeds)
    assert nowhere == (None, "frames of 262,144 pixels fit into the memory of none of 7 slots")


def test_planning_and_stitching_count_too() -> None:
    speeds = {
        Work("preview", "cpu", 25): Speed(0.5, 1),
        Work("plan", "cpu"): Speed(0.1, 1),
        Work("stitch", "cpu"): Speed(0.2, 1),
    }
    found, _ = foretold(load=Load(("cpu",), 0), speeds=speeds)
    assert found == pytest.approx(60 + 36, rel=0.03)


def test_what_nobody_measured_is_said_to_be_assumed_and_more_pixels_take_longer() -> None:
    found, words = foretold(load=Load(("cpu",), 0), speeds={})
    assert "assumed, not measured" in words
    assert found == pytest.approx(120 * (ASSUMED["preview"] + ASSUMED["plan"] + ASSUMED["stitch"]), rel=0.03)
    plan = plan_chunks(3000, chunk_seconds=30, geometry=PREVIEW)
    large = estimate(
        plan, RenderSpec(), pixels=1024**2, load=Load(("cpu",), 0), speeds=NOTHING_AROUND, waiting_seconds=30
    )
    assert large.seconds == pytest.approx(4 * 120 * ASSUMED["preview"], rel=0.03)


def test_windows_are_what_takes_time() -> None:
    plan = plan_chunks(3000, chunk_seconds=30, geometry=SONIC)
    speeds = NOTHING_AROUND | {Work("sonic", "gpu", 25): Speed(1.0, 1)}
    found = estimate(
        plan, RenderSpec(renderer="sonic"), pixels=512**2, load=Load(("gpu",), 0), speeds=speeds, waiting_seconds=30
    )
    assert found.seconds == pytest.approx(plan.computed / 12.5, abs=0.1)


@pytest.mark.parametrize(
    ("load", "renderer", "words"),
    [
        pytest.param(Load((), 3), "preview", "no slot offers renderer 'preview' now", id="no slot"),
        pytest.param(Load(("a", "b"), 0), "stripes", "renderer 'stripes' was not measured yet on a, b", id="unknown"),
    ],
)
def test_where_nobody_can_know_nothing_is_foretold(load: Load, renderer: str, words: str) -> None:
    assert foretold(load=load, speeds={}, renderer=renderer) == (None, words)


def test_spans_grow_by_what_the_motion_filter_looks_at() -> None:
    assert geometry_for(SONIC, OutputSpec(smoothing=0.3)).radius == 2
    assert geometry_for(SONIC, OutputSpec(smoothing=0)) == SONIC
