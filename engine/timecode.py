"""Places in a video as people write them, and frames25."""

from __future__ import annotations

import re
from fractions import Fraction

from engine.spec import FRAME_RATE

_FORM = re.compile(r"(?:(?:(?P<hours>\d{1,3}):)?(?P<minutes>\d{1,3}):)?(?P<seconds>\d{1,6}(?:\.\d{1,6})?)", re.ASCII)


def timecode(frame25: int) -> str:
    """When a frame is shown: 03:12.4, or 1:03:12.4 from an hour on."""
    tenths = frame25 * 10 // FRAME_RATE
    hours, minutes, seconds = tenths // 36_000, tenths // 600 % 60, tenths // 10 % 60
    shown = f"{minutes:02}:{seconds:02}.{tenths % 10}"
    return f"{hours}:{shown}" if hours else shown


def frame_at(text: str) -> int:
    """The frame25 that is shown at "3:12", "1:03:12.5" or "192.5" (seconds).

    Raises ValueError, in a plain sentence, for anything else.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no place in a video, wanted h:mm:ss, mm:ss or seconds")
    hours, minutes, seconds = int(found["hours"] or 0), int(found["minutes"] or 0), Fraction(found["seconds"])
    if (found["minutes"] and seconds >= 60) or (found["hours"] and minutes >= 60):
        raise ValueError(f"{text!r} is no place in a video: minutes and seconds behind a colon are below 60")
    return int((3600 * hours + 60 * minutes + seconds) * FRAME_RATE)
