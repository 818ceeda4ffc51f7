"""What is drawn anew together, and where neighbours still fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.plan import GEN_RATE, Geometry, plan_chunks
from engine.redraw import cut_beside, derived_seed, redraw_of, together
from engine.spec import RANGES, Redraw

PLAN = plan_chunks(500, chunk_seconds=4, geometry=Geometry())
"""Five chunks of about 50 gen_frames."""


def test_derived_seeds_are_legal_and_differ_by_job_chunk_and_number() -> None:
    seeds = {derived_seed(seed, chunk, number) for seed in (0, 1) for chunk in range(20) for number in (1, 2, 3)}
    assert len(seeds) == 120
    assert all(RANGES["seed"].allows(seed) for seed in seeds)
    assert derived_seed(0, 0, 1) == derived_seed(0, 0, 1)


def test_a_redraw_stays_away_from_the_cuts_and_reaches_the_jobs_own_ends() -> None:
    cuts = PLAN.cuts
    assert redraw_of(PLAN, range(1), 7) == Redraw(7, 0, cuts[0] - 8)
    assert redraw_of(PLAN, range(1, 2), 7) == Redraw(7, cuts[0] + 8, cuts[1] - 8)
    assert redraw_of(PLAN, range(2, 5), 7) == Redraw(7, cuts[1] + 8, PLAN.gen_frames)


@given(radius=st.integers(0, 6), longer=st.integers(0, 20))
def test_even_the_shortest_chunk_has_something_to_draw_anew_and_its_overlap_is_left_alone(
    radius: int, longer: int
) -> None:
    geometry = Geometry(radius=radius)
    plan = plan_chunks(500, chunk_seconds=(geometry.shortest_kept + longer) / GEN_RATE, geometry=geometry)
    for chunk in plan.chunks:
        redraw = redraw_of(plan, range(chunk.index, chunk.index + 1), 1)
        assert redraw.start < redraw.stop
        start, stop = chunk.body
        # what is filtered from a frame that is drawn anew changes with it
        assert not chunk.head or start <= 2 * (redraw.start - radius)
        assert not chunk.tail or 2 * (redraw.stop + radius) <= stop


def test_whatever_frame_is_named_the_chunks_that_are_drawn_anew_for_it_change_it() -> None:
    for chunk in PLAN.chunks:
        for frame in range(2 * chunk.kept[0], min(2 * chunk.kept[1], PLAN.frames25)):
            cut = cut_beside(PLAN, chunk.index, frame, frame + 1)
            again = range(chunk.index, chunk.index + 1) if cut is None else range(cut, cut + 2)
            redraw = redraw_of(PLAN, again, 1)
            assert chunk.index in again
            assert 2 * redraw.start <= frame < 2 * redraw.stop


def test_a_fault_that_goes_beyond_a_cuts_neighbourhood_is_its_chunks_own() -> None:
    cut = 2 * PLAN.cuts[0]
    assert cut_beside(PLAN, 1, cut - 8, cut + 16) == 0
    assert cut_beside(PLAN, 1, cut - 8, cut + 17) is None
    assert cut_beside(PLAN, 0, cut - 16, cut + 8) == 0
    assert cut_beside(PLAN, 0, cut - 17, cut + 8) is None
    assert cut_beside(PLAN, 0, 0, 4) is None, "the job's own start has no neighbour"


def test_chunks_share_a_redraw_only_across_a_cut_that_is_to_change() -> None:
    assert together(PLAN, []) == []
    assert together(PLAN, [0, 1, 3]) == [range(1), range(1, 2), range(3, 4)]
    assert together(PLAN, [0, 1], across=[0]) == [range(2)]
    assert together(PLAN, [3], across=[0]) == [range(2), range(3, 4)]
    assert together(PLAN, [], across=[0, 1, 3]) == [range(3), range(3, 5)]


def test_what_was_drawn_across_a_cut_is_drawn_anew_together_all_along_the_chain() -> None:
    across = redraw_of(PLAN, range(1, 4), 5)
    drawn = dict.fromkeys((1, 2, 3), across) | {0: redraw_of(PLAN, range(1), 6)}
    assert together(PLAN, [3], drawn=drawn) == [range(1, 4)]
    assert together(PLAN, [0, 4], drawn=drawn) == [range(1), range(4, 5)]


@given(st.sets(st.integers(0, 4)), st.sets(st.integers(0, 3)))
def test_neighbours_always_draw_the_frames_at_their_cut_by_one_seed(wanted: set[int], across: set[int]) -> None:
    drawn: dict[int, Redraw] = {}
    for number, (chunks, cuts) in enumerate(((wanted, across), ({2}, set()), (across, set())), 1):
        for run in together(PLAN, chunks, across=cuts, drawn=drawn):
            redraw = redraw_of(PLAN, run, derived_seed(0, run[0], number))
            drawn |= dict.fromkeys(run, redraw)
    for before, cut in enumerate(PLAN.cuts):
        for frame in range(cut - 5, cut + 6):
            sides = [drawn.get(chunk) for chunk in (before, before + 1)]
            seeds = {side.seed if side and side.start <= frame < side.stop else 0 for side in sides}
            assert len(seeds) == 1, f"gen_frame {frame} of cut {cut}"
