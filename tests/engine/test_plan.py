"""The chunk plan: true for any length, reach, window, fade and radius."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from engine.errors import PlanError
from engine.plan import Geometry, Plan, fade_weight, frames25_of, gen_frames_of, plan_chunks

TEN_HOURS = 10 * 3600 * 25

geometries = st.builds(
    Geometry,
    reach=st.integers(0, 60),
    window=st.integers(1, 50),
    radius=st.integers(0, 12),
    fade=st.integers(1, 20).map(lambda half: 2 * half),
)
lengths = st.one_of(st.integers(1, 3000), st.integers(1, TEN_HOURS))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    geometry = draw(geometries)
    frames25 = draw(lengths)
    seconds = draw(st.floats(0.3, 7200).map(lambda value: round(value, 3)))
    # a plan of very many chunks says nothing that one of many does not
    assume(frames25 / 25 / seconds < 600)
    assume(seconds * 12.5 >= geometry.shortest_kept)
    return plan_chunks(frames25, chunk_seconds=seconds, geometry=geometry)


@given(plans())
def test_every_output_frame_is_covered_and_the_weights_on_it_sum_to_one(plan: Plan) -> None:
    covered = 0
    for before, after in pairwise(plan.chunks):
        assert before.out[1] - before.tail == after.out[0], "the overlap of one side is not that of the other"
        assert before.out[1] == after.out[0] + after.head
        assert before.tail == after.head == 2 * plan.geometry.fade
    for chunk in plan.chunks:
        start, stop = chunk.body
        assert start == covered + (chunk.head if chunk.index else 0)
        assert stop > start, "a chunk has no frame of its own"
        covered = stop
    assert (plan.chunks[0].out[0], plan.chunks[0].head) == (0, 0)
    assert (plan.chunks[-1].out[1], plan.chunks[-1].tail) == (plan.frames25, 0)
    assert covered == plan.frames25


@given(st.integers(1, 20).map(lambda half: 4 * half))
def test_crossfade_weights_rise_stay_between_zero_and_one_and_sum_to_one_seen_from_both_sides(overlap: int) -> None:
    rising = [fade_weight(position, overlap) for position in range(overlap)]
    assert all(0 < weight < 1 for weight in rising)
    assert all(one < next_one for one, next_one in pairwise(rising))
    # a side's own weight is the other's read backwards
    assert [1 - weight for weight in rising] == pytest.approx(rising[::-1])


@given(plans())
def test_spans_hold_what_the_frames_need_with_reach_and_radius_around_it(plan: Plan) -> None:
    margin = plan.geometry.reach + plan.geometry.radius
    for chunk in plan.chunks:
        first = chunk.out[0] // 2
        last = chunk.out[1] // 2 if chunk.out[1] % 2 == 0 else (chunk.out[1] - 1) // 2
        last = min(last, plan.gen_frames - 1)
        assert chunk.span[0] <= max(0, first - margin)
        assert chunk.span[1] >= min(plan.gen_frames, last + 1 + margin)
        assert 0 <= chunk.span[0] < chunk.span[1] <= plan.gen_frames


@given(plans())
def test_span_ends_inside_the_job_lie_on_windows_and_waste_less_than_one_each(plan: Plan) -> None:
    window, margin = plan.geometry.window, plan.geometry.reach + plan.geometry.radius
    for chunk in plan.chunks:
        start, stop = chunk.span
        assert start == 0 or start % window == 0
        assert stop == plan.gen_frames or stop % window == 0
        assert start > chunk.out[0] // 2 - margin - window
        assert stop < chunk.out[1] // 2 + 1 + margin + window


@given(plans())
def test_kept_parts_follow_each_other_without_gap_and_are_never_too_short(plan: Plan) -> None:
    assert plan.chunks[0].kept[0] == 0
    assert plan.chunks[-1].kept[1] == plan.gen_frames
    assert all(before.kept[1] == after.kept[0] for before, after in pairwise(plan.chunks))
    assert [chunk.index for chunk in plan.chunks] == list(range(len(plan.chunks)))
    assert plan.cuts == tuple(chunk.kept[0] for chunk in plan.chunks[1:])
    if len(plan.chunks) > 1:
        assert min(b - a for a, b in (chunk.kept for chunk in plan.chunks)) >= plan.geometry.shortest_kept


@given(plans())
def test_chunks_are_of_one_length_within_a_generated_frame(plan: Plan) -> None:
    kept = [chunk.kept[1] - chunk.kept[0] for chunk in plan.chunks]
    assert max(kept) - min(kept) <= 1


@given(plans())
def test_a_plan_comes_back_from_json_as_it_was(plan: Plan) -> None:
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@given(samples=st.integers(0, 10 * 3600 * 192_000), rate=st.integers(2_000, 192_000))
@example(samples=441 * 2, rate=44_100)  # exactly half a frame rounds up
def test_a_lesson_never_drifts_from_its_speech_by_more_than_half_a_frame(samples: int, rate: int) -> None:
    frames25 = frames25_of(samples, rate)
    # frames / 25 - samples / rate lies in (-1/50, 1/50], in integers
    assert -rate < 2 * (frames25 * rate - 25 * samples) <= rate


@given(frames25=lengths)
def test_the_generated_frames_are_enough_and_never_one_too_many(frames25: int) -> None:
    gen_frames = gen_frames_of(frames25)
    assert frames25 <= 2 * gen_frames - 1 <= frames25 + 1


@given(frames25=lengths, geometry=geometries)
def test_a_length_of_chunk_as_long_as_the_job_gives_one_chunk_without_overlap(
    frames25: int, geometry: Geometry
) -> None:
    plan = plan_chunks(frames25, chunk_seconds=2 * TEN_HOURS / 25, geometry=geometry)
    (chunk,) = plan.chunks
    assert (chunk.out, chunk.span, chunk.body) == ((0, frames25), (0, plan.gen_frames), (0, frames25))


@pytest.mark.parametrize("seconds", [0, -1, 0.5, float("nan"), float("inf")])
def test_a_chunk_length_that_leaves_nothing_of_its_own_is_refused_with_the_shortest_named(seconds: float) -> None:
    with pytest.raises(PlanError, match=r"chunk_seconds is .* wanted 0\.72 or more"):
        plan_chunks(1000, chunk_seconds=seconds, geometry=Geometry())


@given(geometry=geometries)
@example(geometry=Geometry(fade=28))  # 2.32 s, which times 12.5 is a little under 29
def test_the_shortest_chunk_length_that_a_refusal_names_is_accepted(geometry: Geometry) -> None:
    with pytest.raises(PlanError) as refusal:
        plan_chunks(5000, chunk_seconds=0.1, geometry=geometry)
    named = re.search(r"wanted ([0-9.]+) or more", str(refusal.value))
    assert named is not None
    plan_chunks(5000, chunk_seconds=float(named[1]), geometry=geometry)


def test_a_speech_without_frames_is_refused() -> None:
    with pytest.raises(PlanError, match="gives 0 frames"):
        plan_chunks(0, chunk_seconds=30, geometry=Geometry())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"fade": 3}, "fade is 3", id="odd fade"),
        pytest.param({"fade": 0}, "fade is 0", id="no fade"),
        pytest.param({"reach": -1}, "reach is -1", id="negative reach"),
        pytest.param({"window": 0}, "window is 0", id="no window"),
        pytest.param({"radius": -2}, "radius is -2", id="negative radius"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused_by_name(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Geometry(**wrong)
