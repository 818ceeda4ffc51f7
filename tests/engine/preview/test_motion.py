"""Head and lids: small, smooth, and a function of seed and frame alone."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np

from engine.preview.motion import blink, head_motion

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
