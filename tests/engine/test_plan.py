"""The chunk plan: true for any length, reach, window, fade and radius."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from engine.cuts import EVEN, WINDOW
from engine.errors import PlanError
from engine.plan import Geometry, Plan, fade_weight, frames25_of, gen_frames_of, plan_chunks

TEN_HOURS = 10 * 3600 * 25
TOLERANCE = 50
"""gen_frames (4 s) that a cut may move."""
SONIC = Geometry(reach=25, window=25)
MOST_HEARD = 20_000
"""frames25 up to which a random speech is heard."""

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
    chance = draw(st.none() | st.integers(0, 99))
    noise = [] if chance is None or frames25 > MOST_HEARD else speech_like(frames25, chance)
    return plan_chunks(frames25, chunk_seconds=seconds, geometry=geometry, noise=noise)


def speech_like(frames25: int, seed: int) -> list[float]:
    """What cuts disturb in a speech of short words and shorter pauses."""
    chance, found = random.Random(seed), list[float]()
    while len(found) < gen_frames_of(frames25):
        found += [1 + chance.random() / 4] * chance.randint(3, 40) + [chance.random() / 4] * chance.randint(1, 9)
    return found[: gen_frames_of(frames25)]


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
@example(plan_chunks(74, chunk_seconds=1.52, geometry=Geometry(window=10, fade=2)))  # two ends that nearly meet
def test_a_span_is_whole_windows_or_the_whole_job_and_no_window_of_it_is_for_nothing(plan: Plan) -> None:
    geometry, n = plan.geometry, plan.gen_frames
    for chunk in plan.chunks:
        start, stop = chunk.span
        if (start, stop) == (0, n):
            assert plan.windows(chunk) == -(-n // geometry.window)
            continue
        length = stop - start + ((start == 0) + (stop == n)) * geometry.wrap
        assert length == min(length, n) == plan.windows(chunk) * geometry.window
        needed = min(n, chunk.kept[1] + geometry.after) - max(0, chunk.kept[0] - geometry.before)
        assert stop - start < needed + geometry.window


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
def test_cuts_stay_near_even_ones_and_chunks_balanced(plan: Plan) -> None:
    count = len(plan.chunks)
    length = plan.gen_frames // count
    for index, cut in enumerate(plan.cuts, start=1):
        assert abs(cut - round(index * plan.gen_frames / count)) <= min(TOLERANCE, length // 4)
    kept = [chunk.kept[1] - chunk.kept[0] for chunk in plan.chunks]
    assert max(kept) <= 1.5 * length + 1
    assert min(kept) >= 0.5 * length


@given(frames25=lengths, reach=st.integers(0, 60), seconds=st.floats(5, 7200))
def test_without_windows_and_a_speech_chunks_are_of_one_length_within_a_generated_frame(
    frames25: int, reach: int, seconds: float
) -> None:
    assume(frames25 / 25 / seconds < 600)
    plan = plan_chunks(frames25, chunk_seconds=seconds, geometry=Geometry(reach=reach))
    kept = [chunk.kept[1] - chunk.kept[0] for chunk in plan.chunks]
    assert max(kept) - min(kept) <= 1


def weighed(cuts: tuple[int, ...], plan: Plan, noise: list[float]) -> float:
    """What cuts cost, as docs/geometry.md states it."""
    geometry, n = plan.geometry, plan.gen_frames
    even = [round(index * n / (len(cuts) + 1)) for index in range(1, len(cuts) + 1)]
    cost = sum(noise[cut] + ((cut - at) / EVEN) ** 2 for cut, at in zip(cuts, even, strict=True))
    for a, b in pairwise((0, *cuts, n)):
        needed = b - a + (geometry.before if a else 0) + (geometry.after if b < n else 0)
        cost += WINDOW * (-needed % geometry.window) / geometry.window
    return cost


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("geometry", [Geometry(), Geometry(reach=5, window=7), SONIC], ids=["1", "7", "25"])
def test_no_other_cuts_within_the_tolerance_cost_less(geometry: Geometry, seed: int) -> None:
    noise = speech_like(750, seed)
    plan = plan_chunks(750, chunk_seconds=10, geometry=geometry, noise=noise)
    assert len(plan.cuts) == 2
    length = plan.gen_frames // len(plan.chunks)
    room = min(TOLERANCE, length // 4, (length - geometry.shortest_kept) // 2)
    near = [round(index * plan.gen_frames / len(plan.chunks)) for index in range(1, len(plan.chunks))]
    others = product(*(range(at - room, at + room + 1) for at in near))
    assert weighed(plan.cuts, plan, noise) == pytest.approx(min(weighed(cuts, plan, noise) for cuts in others))


def test_a_cut_moves_into_a_pause_that_it_can_reach_and_stays_where_there_is_none() -> None:
    noise = [1.1] * gen_frames_of(1500)
    noise[420] = noise[330] = 0.0  # 45 from the even cut, and 45 on the other side but a little louder around
    noise[330] = 0.05
    (cut,) = plan_chunks(1500, chunk_seconds=30, geometry=Geometry(), noise=noise).cuts
    assert cut == 420
    noise[420] = noise[330] = 1.1
    noise[320] = 0.0  # 56 from it
    (cut,) = plan_chunks(1500, chunk_seconds=30, geometry=Geometry(), noise=noise).cuts
    assert cut == 376
    (cut,) = plan_chunks(1500, chunk_seconds=30, geometry=Geometry(), noise=noise, tolerance_seconds=5).cuts
    assert cut == 320


def test_a_pause_is_worth_two_windows_and_half_a_pause_is_not_worth_more() -> None:
    quiet = plan_chunks(7500, chunk_seconds=30, geometry=SONIC)
    place = quiet.cuts[4] + 10  # a window more in the chunk before it, or behind it
    for depth, moved in ((1.0, True), (0.3, False)):
        noise = [1.1] * quiet.gen_frames
        noise[place] -= depth
        plan = plan_chunks(7500, chunk_seconds=30, geometry=SONIC, noise=noise)
        assert (place in plan.cuts) is moved
        assert plan.computed >= quiet.computed


@pytest.mark.parametrize("minutes", [10, 30, 60, 120])
def test_sonics_nominal_plan_which_has_no_motion_filter_wastes_less_than_it_may(minutes: int) -> None:
    for seconds, most in ((30, 0.16), (60, 0.08)):
        plan = plan_chunks(minutes * 60 * 25, chunk_seconds=seconds, geometry=SONIC)
        assert plan.waste < most
        assert plan.waste == sum(map(plan.windows, plan.chunks)) * 25 / plan.gen_frames - 1
        mean = plan.gen_frames / len(plan.chunks) / 12.5
        assert seconds - 1 < mean < seconds + 3


@pytest.mark.parametrize("minutes", [10, 30, 60, 120])
def test_sonics_plan_by_default_which_has_the_motion_filter_wastes_no_more_than_is_said_of_it(minutes: int) -> None:
    for seconds, said in ((30, 0.163), (60, 0.084)):
        plan = plan_chunks(minutes * 60 * 25, chunk_seconds=seconds, geometry=replace(SONIC, radius=2))
        assert round(plan.waste, 3) <= said, "docs/geometry.md"


@given(plans())
def test_seams_are_the_frames_that_both_neighbours_render(plan: Plan) -> None:
    shared = [(later.out[0], earlier.out[1]) for earlier, later in pairwise(plan.chunks)]
    assert list(plan.seams) == shared


def test_two_hours_are_planned_the_same_twice() -> None:
    noise = speech_like(TEN_HOURS // 5, 5)
    one, two = (plan_chunks(TEN_HOURS // 5, chunk_seconds=30, geometry=SONIC, noise=noise) for _ in range(2))
    assert one == two
    assert sum(noise[cut] for cut in one.cuts) / len(one.cuts) < 0.3


def test_a_speech_heard_for_another_length_is_refused() -> None:
    with pytest.raises(PlanError, match="noise is given for 3 gen_frames, wanted 51"):
        plan_chunks(100, chunk_seconds=2, geometry=Geometry(), noise=[0, 0, 0])


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


def test_what_an_earlier_plan_kept_stays_a_chunk_and_the_rest_is_cut_as_a_job() -> None:
    before = plan_chunks(60 * 25, chunk_seconds=10, geometry=SONIC)
    keep = [chunk.kept for chunk in before.chunks[:-1]]
    longer = plan_chunks(95 * 25, chunk_seconds=10, geometry=SONIC, keep=keep)
    assert [chunk.kept for chunk in longer.chunks[: len(keep)]] == keep
    assert longer.chunks[: len(keep) - 1] == before.chunks[: len(keep) - 1]
    assert all(chunk.kept[1] - chunk.kept[0] < 2 * 125 for chunk in longer.chunks[len(keep) :])
    assert len(longer.chunks) > len(keep) + 2
    assert plan_chunks(60 * 25, chunk_seconds=7, geometry=SONIC, keep=[chunk.kept for chunk in before.chunks]) == before


@given(
    frames25=st.integers(1, 3000),
    cuts=st.sets(st.integers(1, 1700)),
    dropped=st.sets(st.integers(0, 60)),
    geometry=geometries,
)
def test_a_plan_that_keeps_is_a_plan_whatever_it_is_told_to_keep(
    frames25: int, cuts: set[int], dropped: set[int], geometry: Geometry
) -> None:
    edges = sorted({0, *cuts})
    keep = [pair for place, pair in enumerate(pairwise(edges)) if place not in dropped]
    plan = plan_chunks(frames25, chunk_seconds=30, geometry=geometry, keep=keep)
    edges = [0, *plan.cuts, plan.gen_frames]
    assert [chunk.kept for chunk in plan.chunks] == list(pairwise(edges))
    lengths = [stop - start for start, stop in pairwise(edges)]
    assert min(lengths) >= min(geometry.shortest_kept, plan.gen_frames)
    assert [chunk.index for chunk in plan.chunks] == list(range(len(plan.chunks)))
