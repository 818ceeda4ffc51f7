"""The picture that stands for a video is one to show; the sheet shows what is where, in a video of any length."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from PIL import Image

from engine.errors import RenderError
from engine.media.face import detect_faces
from engine.media.glimpse import BUDGET, Glimpses
from engine.media.image import load_portrait
from engine.media.poster import contact_sheet, poster
from engine.media.video import FRAME_TIME, Encoding, VideoSink
from engine.preview.lips import LipPose
from engine.preview.motion import head_motion
from engine.preview.puppet import Pose, Puppet, draw

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

PORTRAIT = Path(__file__).parents[3] / "samples" / "portrait.png"
CALM = range(40, 70)
SHUT = [*range(14), *range(43, 49), *range(62, 68)]


def opening_of(frame25: int) -> float:
    return 0.02 if frame25 in CALM else 0.3 + 0.25 * np.sin(frame25 / 2)


def write(path: Path, frames: Iterable[NDArray[np.uint8]], size: tuple[int, int]) -> Path:
    with VideoSink(path, size, Encoding()) as sink:
        for frame in frames:
            sink.write(frame)
        sink.finish()
    return path


@pytest.fixture(scope="module")
def speaker() -> list[NDArray[np.uint8]]:
    """Four seconds of a face that talks, rests at CALM and blinks at SHUT."""
    photo = load_portrait(PORTRAIT)
    puppet = Puppet.of(photo, (320, 320), detect_faces(photo)[0])
    return [
        draw(
            puppet,
            Pose(
                head_motion(0, frame25, 1.0), LipPose.of(opening_of(frame25), 0.0, 0.5), 1.0 if frame25 in SHUT else 0.0
            ),
        )
        for frame25 in range(100)
    ]


@pytest.fixture(scope="module")
def video(speaker: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("speaker") / "video.mp4", speaker, (320, 320))


def numbered(frame25: int) -> NDArray[np.uint8]:
    """A picture whose middle says which of 250 frames it is."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    picture[16:48, 32:64] = frame25 % 250
    return picture


def number_of(picture: NDArray[np.uint8]) -> float:
    return float(picture[20:44, 36:60].mean())


@pytest.fixture(scope="module")
def lecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of small pictures, their packets copied from ten seconds."""
    place = tmp_path_factory.mktemp("lecture")
    part = write(place / "part.mp4", map(numbered, range(250)), (96, 64))
    with av.open(str(part)) as source, av.open(str(place / "video.mp4"), "w", format="mp4") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [(bytes(packet), packet.is_keyframe) for packet in source.demux(stream) if packet.dts is not None]
        for frame25 in range(720 * 250):
            packet: Any = av.Packet(packets[frame25 % 250][0])
            packet.pts = packet.dts = frame25
            packet.duration, packet.time_base, packet.stream = 1, FRAME_TIME, copy
            packet.is_keyframe = packets[frame25 % 250][1]
            out.mux(packet)
    return place / "video.mp4"


def opened(jpeg: bytes) -> NDArray[np.uint8]:
    return np.array(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def which(picture: NDArray[np.uint8], frames: list[NDArray[np.uint8]]) -> int:
    return int(np.argmin([np.square(picture.astype(float) - frame).mean() for frame in frames]))


def test_the_poster_has_open_eyes_and_a_mouth_at_rest(video: Path, speaker: list[NDArray[np.uint8]]) -> None:
    # calmest of all where the eyes are shut
    picture = opened(poster(video, [0.5 * opening_of(frame25) * (frame25 not in SHUT) for frame25 in range(100)]))
    assert picture.shape == (320, 320, 3)
    chosen = which(picture, speaker)
    assert chosen in CALM
    assert chosen not in SHUT


def test_a_mouth_that_is_not_known_everywhere_is_not_taken_for_calm(
    video: Path, speaker: list[NDArray[np.uint8]]
) -> None:
    mouth = [None if frame25 < 30 else opening_of(frame25) for frame25 in range(100)]
    assert which(opened(poster(video, mouth)), speaker) in CALM


@pytest.mark.parametrize("mouth", [None, [None] * 100], ids=["not measured", "no face found"])
def test_without_the_mouth_the_eyes_decide(
    video: Path, speaker: list[NDArray[np.uint8]], mouth: list[None] | None
) -> None:
    assert which(opened(poster(video, mouth)), speaker) not in SHUT


def test_a_video_without_faces_still_has_a_poster(tmp_path: Path) -> None:
    path = write(tmp_path / "video.mp4", map(numbered, range(30)), (96, 64))
    assert number_of(opened(poster(path, [0.5] * 20 + [0.0] * 10))) == pytest.approx(24, abs=6)


def test_a_mouth_of_another_length_is_refused(video: Path) -> None:
    with pytest.raises(RenderError, match="known for 99 frames, the video has 100"):
        poster(video, [0.0] * 99)


def test_one_frame_is_enough(tmp_path: Path) -> None:
    path = write(tmp_path / "video.mp4", [numbered(120)], (96, 64))
    assert number_of(opened(poster(path, [0.0]))) == pytest.approx(120, abs=3)
    assert opened(contact_sheet(path)).shape[0] > 64


def cells(sheet: NDArray[np.uint8], count: int) -> list[float]:
    """The grey in the middle of each picture of a sheet of four columns."""
    width, height, gap, line = 320, round(320 * 64 / 96), 8, 24
    at = [
        (gap + place // 4 * (height + line + gap) + height // 2, gap + place % 4 * (width + gap) + width // 2)
        for place in range(count)
    ]
    return [float(sheet[y - 5 : y + 5, x - 5 : x + 5].mean()) for y, x in at]


def test_the_sheet_shows_a_short_video_at_even_times(tmp_path: Path) -> None:
    path = write(tmp_path / "video.mp4", map(numbered, range(240)), (96, 64))
    greys = cells(opened(contact_sheet(path, 12)), 12)
    assert greys == pytest.approx([10 + 20 * place for place in range(12)], abs=3)


def test_two_hours_cost_no_more_than_the_budget_and_are_shown_from_end_to_end(lecture: Path) -> None:
    with Glimpses(lecture) as glimpses:
        assert len(glimpses.index.times) == 180_000
        cheap = glimpses.within(12)
        assert (glimpses.index.cost[cheap].max() + 1) * 12 * 96 * 64 <= BUDGET
    greys = cells(opened(contact_sheet(lecture, 12)), 12)
    assert greys == pytest.approx([(7_500 + 15_000 * place) % 250 for place in range(12)], abs=3)


def test_a_large_video_is_shown_near_its_key_frames_at_times_that_are_true(
    lecture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.media.glimpse.BUDGET", 12 * 5 * 96 * 64)
    with Glimpses(lecture) as glimpses:
        cheap = glimpses.within(12)
        assert set(glimpses.index.cost[cheap].tolist()) == set(range(5))
        numbers = cheap[[-1, 0, len(cheap) // 2, 1]].tolist()
        shown = list(glimpses.show(numbers))
    assert [number for number, _ in shown] == sorted(numbers)
    assert [number_of(frame) for _, frame in shown] == pytest.approx([n % 250 for n in sorted(numbers)], abs=3)


def test_a_poster_of_two_hours_is_found_where_the_mouth_rests(lecture: Path) -> None:
    mouth = [float(frame25 % 2) for frame25 in range(180_000)]
    mouth[123_300:123_330] = [0.0] * 30
    assert number_of(opened(poster(lecture, mouth))) == pytest.approx(50 + 15, abs=16)


def test_a_damaged_video_is_named(video: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "video.mp4"
    content = bytearray(video.read_bytes())
    content[len(content) // 3 :] = b"\0" * (len(content) - len(content) // 3)
    damaged.write_bytes(content)
    with pytest.raises(RenderError, match=r"video\.mp4"):
        contact_sheet(damaged)
