"""Two results side by side: read back as a viewer would see and hear it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest
from lessons import SIDE, Lesson, clicks_of, decoded_sound, make_lesson, picture_of
from sealed import provenance

from engine.errors import RenderError
from engine.media.boxes import top_level_boxes
from engine.media.compare import Side, side_by_side
from engine.media.provenance import content_in, labels_problems, read_provenance
from engine.media.reader import read_rgb

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RATE = 44_100
SAMPLES = 6 * RATE + 123


def mirrored(frame25: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(picture_of(frame25)[:, ::-1])


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    folder = tmp_path_factory.mktemp("other")
    return make_lesson(folder, samples=SAMPLES, picture=lambda _, frame25: mirrored(frame25))


def side(video: Path, result: int = 1, **said: Any) -> Side:
    return Side(video, f"version {result}", provenance(result=result, **said))


def difference(seen: NDArray[np.uint8], meant: NDArray[np.uint8]) -> float:
    """Mean difference in levels around the mouth, which moves most."""
    mouth = slice(145, 195), slice(90, 166)
    return float(np.abs(seen[mouth].astype(int) - meant[mouth]).mean())


@pytest.mark.parametrize("frames", [range(150), range(60, 110), range(149, 150)])
def test_each_frame_stands_beside_its_own_with_the_speech_that_belongs_to_it(
    lesson: Lesson, other: Lesson, tmp_path: Path, frames: range
) -> None:
    out, shares = tmp_path / "compared.mp4", []
    sides = (side(video, result) for result, video in enumerate((lesson.out, other.out), start=1))
    side_by_side(*sides, out, frames=frames, on_progress=shares.append)
    seen = list(read_rgb(out))
    assert len(seen) == len(frames)
    assert shares[-1] == 1
    assert {frame.shape[1] for frame in seen} == {2 * SIDE}
    for video, part in ((lesson.out, slice(0, SIDE)), (other.out, slice(SIDE, None))):
        source = list(read_rgb(video))
        off = [
            np.mean(
                [difference(f[-SIDE:, part], source[min(n + late, 149)]) for n, f in zip(frames, seen, strict=True)]
            )
            for late in (-1, 0, 1)
        ]
        assert off[1] < 3, "what encoding once more costs"
        assert len(frames) == 1 or 2 * off[1] < min(off[0], off[2]), "each is its own frame, not a neighbour"
    assert list(top_level_boxes(out)).index("moov") == 1, "plays while it loads"
    with av.open(str(out)) as file:
        pictures, sound = file.streams
        assert abs(float(pictures.duration * pictures.time_base - len(frames) / 25)) < 0.001
        assert float(sound.duration * sound.time_base) < len(frames) / 25 + 0.06
    if 75 in frames:
        assert lag_of_the_middle_click(out, frames) < 0.0005


def lag_of_the_middle_click(out: Path, frames: range) -> float:
    """Seconds between the click in the middle of the speech and where it is heard."""
    heard = np.abs(decoded_sound(out))
    click = int(np.abs(clicks_of(SAMPLES, RATE))[RATE:-RATE].argmax()) + RATE
    inside = slice(len(heard) // 4, -len(heard) // 4)  # away from the other clicks
    found = int(heard[inside].argmax()) + inside.start
    return abs(found / RATE + frames.start / 25 - click / RATE)


def test_what_cannot_stand_side_by_side_is_named(lesson: Lesson, tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="has no frame 150"):
        side_by_side(side(lesson.out), side(lesson.out), tmp_path / "x.mp4", frames=range(140, 160))


def test_the_lower_of_two_sizes_is_shown_as_high_as_the_other(lesson: Lesson, tmp_path: Path) -> None:
    def low(frame25: int) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(picture_of(frame25), (SIDE * 5 // 8, SIDE // 2)), np.uint8)

    other = make_lesson(tmp_path, samples=RATE, picture=lambda _, frame25: low(frame25))
    for left, right, part in ((lesson, other, slice(SIDE, None)), (other, lesson, slice(0, SIDE * 5 // 4))):
        side_by_side(side(left.out), side(right.out), tmp_path / "x.mp4", frames=range(5))
        for frame, source in zip(read_rgb(tmp_path / "x.mp4"), read_rgb(other.out), strict=False):
            assert frame.shape[1] == SIDE + SIDE * 5 // 4
            meant = cv2.resize(source, (SIDE * 5 // 4, SIDE), interpolation=cv2.INTER_LANCZOS4)
            assert np.abs(frame[-SIDE:, part].astype(int) - meant).mean() < 3


def test_it_says_what_it_is_made_of_as_each_video_does(lesson: Lesson, tmp_path: Path) -> None:
    out = tmp_path / "x.mp4"
    redrawn = "00:02.0 to 00:04.0 from seed 77"
    side_by_side(side(lesson.out, 1), side(lesson.out, 4, redrawn=redrawn, weights="12" * 32), out, frames=range(2))
    said = read_provenance(out)
    assert (said.result, said.beside, said.redrawn) == (1, 4, redrawn)
    assert said.weights == f"{provenance().weights}, {'12' * 32}"
    both = side(lesson.out, 5, redrawn=f"{redrawn}, 00:08.0 to 00:09.0 from seed 9", subtitles="5" * 64)
    side_by_side(side(lesson.out, 4, redrawn=redrawn), both, out, frames=range(2))
    assert read_provenance(out).redrawn == f"{redrawn}, 00:08.0 to 00:09.0 from seed 9"
    assert read_provenance(out).subtitles == "", "none is in it"
    side_by_side(side(lesson.out, 1), side(lesson.out, 4), out, frames=range(2))
    said = read_provenance(out)
    assert (said.job, said.licence, said.portrait) == (provenance().job, provenance().licence, provenance().portrait)
    assert (labels_problems(out, said), content_in(out)) == ([], said.content)
    with av.open(str(out)) as file:
        assert file.metadata["comment"].startswith("AI-generated video. Digital source type: http")
        assert "two versions side by side of one photo made to speak" in file.metadata["description"]
    for version in (1, 4):
        assert f"<rdf:li>{said.job}/{version}</rdf:li>".encode() in out.read_bytes()
