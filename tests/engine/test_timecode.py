"""Places in a video, as people write them."""

from __future__ import annotations

import pytest

from engine.timecode import frame_at, timecode


@pytest.mark.parametrize(
    ("text", "frame25"),
    [
        ("0", 0),
        ("12", 300),
        ("3:12", 4800),
        ("03:12.4", 4810),
        ("1:03:12.04", 94801),
        ("192.5", 4812),
        ("90:00", 135000),
    ],
)
def test_a_place_is_a_frame(text: str, frame25: int) -> None:
    assert frame_at(text) == frame25


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "1:60", "1:60:00", "1::2", "1.5:00", "3,5", "٣:12", "1e3", " 3:12", "3:12\n"]
)
def test_what_is_no_place_is_refused_in_plain_words(text: str) -> None:
    with pytest.raises(ValueError, match="is no place in a video"):
        frame_at(text)


def test_what_is_shown_leads_back_to_the_frame_or_just_before_it() -> None:
    assert (timecode(0), timecode(4810), timecode(94_801)) == ("00:00.0", "03:12.4", "1:03:12.0")
    for frame25 in (0, 1, 24, 4810, 94_801, 180_000):
        assert 0 <= frame25 - frame_at(timecode(frame25)) <= 2
