"""Small movements of the head and blinks: functions of (seed, frame) alone, without state."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass

from engine.spec import FRAME_RATE, Redraw

BLINK_CELL = 88
"""frames25 (3.5 s) in each of which the eyes close once."""
EASE = 50
"""frames25 over which the head comes into another seed's movement, and goes out of it, inside what is drawn anew."""
# how far the lids are down in the frames of a blink: shut in 80 ms, open again in 160
_BLINK = (0.45, 1.0, 0.95, 0.6, 0.25, 0.08)

# (amplitude, seconds of one swing) of each slow and quick part; lengths in widths of the face, angles in degrees
_SWAY = {
    "right": ((0.018, 3.1), (0.006, 1.1)),
    "down": ((0.014, 2.7), (0.006, 0.9)),
    "roll": ((1.4, 3.7), (0.4, 1.3)),
    "turn": ((0.020, 2.9), (0.006, 1.2)),
    "nod": ((0.014, 2.3), (0.005, 1.0)),
    "nearer": ((0.008, 5.3), (0.0, 1.0)),
}


@dataclass(frozen=True)
class HeadPose:
    """Where the head is, against the photo.

    right, down: shift in widths of the face. roll: degrees, clockwise. turn, nod: how far the middle of the face moves
    ahead of its rim, in widths of the face. nearer: growth, 0.01 is one percent.
    """

    right: float
    down: float
    roll: float
    turn: float
    nod: float
    nearer: float


@dataclass(frozen=True)
class Chance:
    """Which seed moves the head in which frame: a job's, and that of what is drawn anew."""

    seed: int
    gen_frames: int
    redraw: Redraw | None = None

    def head(self, frame: int, amplitude: float = 1.0) -> HeadPose:
        """The head's pose in frame25 `frame`, gliding from one seed's movement into the other's."""
        pose, anew = head_motion(self.seed, frame, amplitude), self._anew(frame)
        if self.redraw is None or anew == 0:
            return pose
        other = asdict(head_motion(self.redraw.seed, frame, amplitude))
        return HeadPose(**{name: (1 - anew) * value + anew * other[name] for name, value in asdict(pose).items()})

    def lids(self, frame: int) -> float:
        """How far the lids are down in frame25 `frame`; a blink on its way when the seed changes fades."""
        lids, anew = blink(self.seed, frame), self._anew(frame)
        return lids if self.redraw is None else (1 - anew) * lids + anew * blink(self.redraw.seed, frame)

    def _anew(self, frame: int) -> float:
        """The share of the redraw's seed: 0 outside, 1 inside, and in between where the job goes on beyond."""
        if self.redraw is None or not 2 * self.redraw.start <= frame < 2 * self.redraw.stop:
            return 0.0
        inside = [1.0]
        if self.redraw.start > 0:
            inside.append((frame + 1 - 2 * self.redraw.start) / EASE)
        if self.redraw.stop < self.gen_frames:
            inside.append((2 * self.redraw.stop - frame) / EASE)
        return _ease(min(inside))


def head_motion(seed: int, frame: int, amplitude: float = 1.0) -> HeadPose:
    """The head's pose in frame25 `frame`: smooth noise, never more than `amplitude` times a small movement."""
    seconds = frame / FRAME_RATE
    return HeadPose(
        **{
            name: amplitude
            * sum(
                size * _smooth_noise(f"{seed}/{name}/{part}", seconds / swing)
                for part, (size, swing) in enumerate(parts)
            )
            for name, parts in _SWAY.items()
        }
    )


def blink(seed: int, frame: int) -> float:
    """How far the lids are down in frame25 `frame`: 0 open, 1 shut."""
    cell = frame // BLINK_CELL
    start = cell * BLINK_CELL + int(_unit(f"{seed}/blink", cell) * (BLINK_CELL - len(_BLINK)))
    since = frame - start
    return _BLINK[since] if 0 <= since < len(_BLINK) else 0.0


def _smooth_noise(key: str, place: float) -> float:
    """Noise of -1 to 1 that passes a random value at each whole `place`, with a continuous slope and bend."""
    cell = math.floor(place)
    part = place - cell
    weight = _ease(part)
    before, behind = (2 * _unit(key, at) - 1 for at in (cell, cell + 1))
    return before + (behind - before) * weight


def _ease(part: float) -> float:
    """0 to 1 with slope and bend 0 at both ends."""
    return part**3 * (part * (part * 6 - 15) + 10)


def _unit(key: str, cell: int) -> float:
    """A number in [0, 1) drawn from its name: the same on every machine."""
    digest = hashlib.blake2b(f"{key}/{cell}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
