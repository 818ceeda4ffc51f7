"""The lip-sync offset: the edit list says it, and nothing else in the file changes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from lessons import SIDE, Lesson, clicks_of, lag_seconds, make_lesson, played

from engine.errors import ContractError
from engine.media.contract import check_contract
from engine.media.mux import PacketMuxer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SECONDS = 3
OFFSETS_MS = [-80, -15, 0, 15, 80]


@dataclass(frozen=True)
class Muxed:
    """A job of one chunk, and its result with the speech moved."""

    lesson: Lesson
    out: Path
    rate: int
    offset: Fraction

    @property
    def ticks(self) -> int:
        return round(self.offset * self.rate)

    def problems(self, offset: Fraction | float) -> list[str]:
        frames25 = self.lesson.plan.frames25
        try:
            check_contract(
                self.out, frames25=frames25, size=(SIDE, SIDE), speech=self.lesson.info, seams=[], offset=offset
            )
        except ContractError as error:
            return error.problems
        return []


@pytest.fixture(scope="module", params=[16_000, 44_100], ids=["16 kHz", "44.1 kHz"])
def lesson(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    samples = SECONDS * request.param + 11
    return make_lesson(tmp_path_factory.mktemp("one"), samples=samples, rate=request.param, chunk_seconds=60)


@pytest.fixture(params=OFFSETS_MS)
def muxed(request: pytest.FixtureRequest, lesson: Lesson, tmp_path: Path) -> Muxed:
    offset = Fraction(request.param, 1000)
    (segment,) = lesson.segments
    with PacketMuxer(tmp_path / "video.mp4", lesson.speech, {}, offset=offset) as muxer:
        muxer.append(segment.files.body, lesson.plan.frames25)
        muxer.finish()
    return Muxed(lesson, tmp_path / "video.mp4", lesson.info.rate, offset)


def packets_of(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as file:
        streams: Any = {kind: 0}
        return [bytes(packet) for packet in file.demux(**streams) if packet.dts is not None]


def edits(path: Path) -> list[list[tuple[int, int]]]:
    """Each track's edit list: (how long, from where in the media or -1 for nothing), read without libavformat."""
    content, at, lists = path.read_bytes(), 0, []
    while (at := content.find(b"elst", at) + 4) >= 4:
        version, count = struct.unpack_from(">B3xI", content, at)
        entry = struct.Struct(">Qq4x" if version else ">Ii4x")
        lists.append([entry.unpack_from(content, at + 8 + place * entry.size) for place in range(count)])
    return lists


def test_a_click_lands_where_the_offset_puts_it(muxed: Muxed) -> None:
    rate = muxed.rate
    source, heard = clicks_of(SECONDS * rate + 11, rate), played(muxed.out, rate)
    moved = np.concatenate([np.zeros(rate, np.float32), heard])  # so that clicks may come earlier than they did
    for at in (rate // 10, len(source) // 2, len(source) - rate // 10):
        near = moved[at + muxed.ticks + rate - rate // 10 :][: rate // 5]
        lag = lag_seconds(near, clicks_of_window(source, at, rate), rate // 10, rate)
        assert abs(lag) < 0.0005


def clicks_of_window(source: NDArray[np.float32], at: int, rate: int) -> NDArray[np.float32]:
    padded = np.concatenate([np.zeros(rate, np.float32), source, np.zeros(rate, np.float32)])
    return padded[at + rate - rate // 10 :][: rate // 5]


def test_packets_of_picture_and_sound_stay_as_they_are(muxed: Muxed) -> None:
    (segment,) = muxed.lesson.segments
    assert packets_of(muxed.out, "video") == packets_of(segment.files.body, "video")
    assert packets_of(muxed.out, "audio") == packets_of(muxed.lesson.speech, "audio")
    with av.open(str(muxed.out)) as file:
        assert file.streams.video[0].start_time == 0
        assert file.streams.video[0].frames == muxed.lesson.plan.frames25


def test_the_edit_list_alone_says_the_offset(muxed: Muxed) -> None:
    picture, sound = edits(muxed.out)
    assert [start for _, start in picture] == [0]
    delay = sum(length for length, start in sound if start == -1)
    (hidden,) = (start for _, start in sound if start != -1)
    assert delay - hidden == muxed.ticks - 1024, "counted in samples: the movie's clock is the sound's"


def test_the_contract_is_held_against_the_recorded_offset(muxed: Muxed) -> None:
    assert muxed.problems(muxed.offset) == []
    assert muxed.problems(float(muxed.offset)) == []
    (problem,) = muxed.problems(muxed.offset - Fraction(1, 100))
    assert "the speech starts 10.0 ms late" in problem


def test_an_offset_that_is_not_recorded_is_noticed(muxed: Muxed) -> None:
    assert bool(muxed.problems(0)) == (muxed.offset != 0)
