"""How fast this farm's slots work, as they measured it themselves: one row of the books for each kind of work."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from farm.jobs.store import Books

KEY = "farm:speeds"
REFERENCE_PIXELS = 512 * 512
"""The picture that speeds are told for; work grows with its pixels."""
REMEMBERED = 20
"""Pieces of work that a speed is about the mean of: older ones fade."""

_NOTE = f"""
local seen = redis.call('HGET', KEYS[1], ARGV[1])
local pace, count, variance = tonumber(ARGV[2]), 0, 0
if seen then
  local known = cjson.decode(seen)
  count = known[2]
  local off, share = pace - known[1], 1 / math.min(count + 1, {REMEMBERED})
  pace, variance = known[1] + off * share, (1 - share) * ((known[3] or 0) + off * off * share)
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('[%.6g,%d,%.6g]', pace, count + 1, variance))
"""


@dataclass(frozen=True)
class Work:
    """A kind of work that takes one time everywhere: a renderer, or "plan" and "stitch", on a device, by steps."""

    renderer: str
    device: str
    steps: int = 0


@dataclass(frozen=True)
class Speed:
    """pace: seconds of work for a second of video of REFERENCE_PIXELS. pieces: how many were measured, 0: assumed.
    variance: of the paces of those that the mean remembers.
    """

    pace: float
    pieces: int
    variance: float = field(default=0.0, compare=False)


def note_speed(books: Books, work: Work, *, spent: float, video_seconds: float, pixels: int = REFERENCE_PIXELS) -> None:
    """Count a finished piece of work in. spent: seconds. video_seconds: of video computed, kept or not."""
    pace = spent / video_seconds * REFERENCE_PIXELS / pixels
    with books.reaching():
        books.client.eval(_NOTE, 1, KEY, field_of(work), repr(pace))


def speeds_of(books: Books) -> dict[Work, Speed]:
    """Every speed that was measured."""
    with books.reaching():
        rows = cast("dict[str, str]", books.client.hgetall(KEY))
    return {Work(*json.loads(field)): speed_from(row) for field, row in rows.items()}


def field_of(work: Work) -> str:
    """Where KEY has the speed of this work."""
    return json.dumps([work.renderer, work.device, work.steps])


def speed_from(row: str) -> Speed:
    """A speed as KEY has it."""
    return Speed(*json.loads(row))
