"""Head and lids: small, smooth, and a function of seed and frame alone."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np

from engine.preview.motion import Chance, blink, head_motion
from engine.spec import Redraw

MINUTE = 60 * 25


def test_the_same_seed_and_frame_give_the_same_pose_in_any_order() -> None:
    forward = [head_motion(7, frame) for frame in range(200)]
    assert [head_motion(7, frame) for frame in reversed(range(200))][::-1] == forward
    assert head_motion(7, 10**6) == head_motion(7, 10**6)


def test_seeds_move_differently_and_zero_is_one_of_them() -> None:
    assert len({head_motion(seed, 100) for seed in (0, 1, 2, 2**63 - 1)}) == 4
    assert len({tuple(blink(seed, frame) for frame in range(MINUTE)) for seed in (0, 1, 2)}) == 3


def test_the_head_moves_a_little_and_never_jumps() -> None:
    poses = np.array([astuple(head_motion(0, frame)) for frame in range(2 * MINUTE)])  # [frames, 6]
    right, down, roll = poses[:, 0], poses[:, 1], poses[:, 2]
    for shift in (right, down):
        assert 0.004 < shift.std() < 0.03
        assert np.abs(np.diff(shift)).max() < 0.003
    assert 0.2 < roll.std() < 2
    assert np.abs(np.diff(roll)).max() < 0.2


def test_amplitude_scales_the_movement() -> None:
    assert np.allclose(astuple(head_motion(3, 77, 2.0)), 2 * np.array(astuple(head_motion(3, 77))))


def test_eyes_blink_as_often_as_a_speakers() -> None:
    lids = np.array([blink(0, frame) for frame in range(10 * MINUTE)])
    shut = np.flatnonzero(lids == 1.0)
    assert 12 <= len(shut) / 10 <= 25
    assert np.diff(shut).std() > 10  # no metronome
    assert (lids > 0).mean() < 0.1


ANEW = Redraw(seed=7, start=300, stop=500)
JOB = 2000
"""gen_frames of the job that the tests below draw anew a part of."""


def poses(chance: Chance, start: int, stop: int) -> np.ndarray:
    return np.array([(*astuple(chance.head(frame)), chance.lids(frame)) for frame in range(start, stop)])


def test_what_is_drawn_anew_moves_by_the_other_seed_and_all_around_it_to_the_bit_as_before() -> None:
    before, after = poses(Chance(0, JOB), 400, 1200), poses(Chance(0, JOB, ANEW), 400, 1200)
    differs = np.flatnonzero((before != after).any(axis=1)) + 400
    assert (differs[0], differs[-1]) == (600, 999)
    other = poses(Chance(7, JOB), 400, 1200)
    assert np.array_equal(after[300:500], other[300:500]), "well inside, the other seed alone"


def test_the_head_glides_into_what_is_drawn_anew() -> None:
    for seed in range(1, 13):
        moved = poses(Chance(0, JOB, Redraw(seed, 300, 500)), 560, 1040)
        steps = np.abs(np.diff(moved, axis=0)).max(axis=0)
        assert max(steps[0], steps[1]) < 0.002
        assert steps[2] < 0.1


def test_the_ends_of_a_job_are_drawn_anew_to_the_last_frame() -> None:
    whole = Redraw(7, 0, JOB)
    assert np.array_equal(poses(Chance(0, JOB, whole), 0, 60), poses(Chance(7, JOB), 0, 60))
    assert np.array_equal(poses(Chance(0, JOB, whole), 3940, 4000), poses(Chance(7, JOB), 3940, 4000))
