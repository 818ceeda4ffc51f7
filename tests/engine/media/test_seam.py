"""One seam: what becomes of two sides, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from lessons import ENCODING, SIDE, picture_of, write_segments

from engine.errors import RenderError
from engine.media.acceptance import movement, seam_problem
from engine.media.form import Form, Shown
from engine.media.seam import SeamNumbers, Tally, crossfaded, encode_seam, mix
from engine.media.video import distance, frame_hash, read_rgb
from engine.plan import Geometry, plan_chunks
from engine.spec import OutputSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.media.seam import Segment

    Picture = Callable[[int, int], NDArray[np.uint8]]

OVERLAP = 16
PLAN = plan_chunks(60, chunk_seconds=1.2, geometry=Geometry())
SHIFT, LIFT = 3, 8


def disagreeing(index: int, frame25: int) -> NDArray[np.uint8]:
    """The later chunk's picture lies 3 pixels to the right and is 8 levels brighter."""
    return at(index, frame25)


def at(way: float, frame25: int) -> NDArray[np.uint8]:
    """`way` 0 to 1 from the earlier chunk's picture to the later one's: what a perfect seam would show."""
    by = np.array([[1, 0, SHIFT * way], [0, 1, 0]], np.float32)
    moved = cv2.warpAffine(
        picture_of(frame25).astype(np.float32), by, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.rint(np.clip(moved + LIFT * way, 0, 255)).astype(np.uint8)


def sides(directory: Path, picture: Picture) -> list[Segment]:
    return write_segments(directory, PLAN, picture)


def error(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.square(one.astype(float) - other)[8:-8, 8:-8].mean())


def sharpness(frame: NDArray[np.uint8]) -> float:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(float)
    return float(sum(np.square(np.diff(grey, axis=axis)).mean() for axis in (0, 1)))


def test_sides_that_agree_pass_as_they_were_rendered(tmp_path: Path) -> None:
    before, after = sides(tmp_path, lambda _, frame25: picture_of(frame25))
    seam = encode_seam(before, after, tmp_path / "seam.mp4", encoding=ENCODING)
    start, stop = PLAN.seams[0]
    assert seam.hashes == tuple(frame_hash(picture_of(frame25)) for frame25 in range(start, stop))
    assert sum(1 for _ in read_rgb(seam.path)) == OVERLAP
    numbers = seam.numbers
    assert (numbers.cut, numbers.frames25) == (PLAN.cuts[0], (start, stop))
    assert numbers.difference == numbers.flow_p95 == 0
    assert numbers.brightness == (0, 0, 0)
    truth = [distance(picture_of(frame25 - 1), picture_of(frame25)) for frame25 in range(start, stop + 1)]
    assert numbers.step == pytest.approx(max(truth), abs=0.001)
    around = [distance(picture_of(frame25 - 1), picture_of(frame25)) for frame25 in range(1, 60)]
    assert numbers.ordinary == pytest.approx(np.median(around), rel=0.1)
    assert numbers.step_ratio == pytest.approx(numbers.step / numbers.ordinary, abs=0.01)


def test_a_moved_and_brighter_side_is_morphed_and_not_ghosted(tmp_path: Path) -> None:
    before, after = sides(tmp_path, disagreeing)
    start, _ = PLAN.seams[0]
    with_ghosts = []
    for position, mixed in enumerate(crossfaded(before, after)):
        truth = at((position + 1) / (OVERLAP + 1), start + position)
        plain = np.rint((mixed.old.astype(float) + mixed.new) / 2).astype(np.uint8)
        with_ghosts.append((error(mixed.frame, truth), error(plain, truth)))
        assert sharpness(mixed.frame) > 0.95 * min(sharpness(mixed.old), sharpness(mixed.new))
    assert position == OVERLAP - 1
    ours, ghosted = with_ghosts[OVERLAP // 2]
    assert ours < ghosted / 10
    assert max(ours for ours, _ in with_ghosts) < 3
    numbers = encode_seam(before, after, tmp_path / "seam.mp4", encoding=ENCODING).numbers
    assert numbers.flow_p95 == pytest.approx(SHIFT, abs=0.4)
    assert numbers.brightness == pytest.approx([LIFT] * 3, abs=1)
    assert numbers.difference > 3 * numbers.ordinary
    assert numbers.step < numbers.difference / 2


def test_brightness_goes_evenly_from_side_to_side() -> None:
    dark, bright = np.full((64, 64, 3), 100, np.uint8), np.full((64, 64, 3), 108, np.uint8)
    means = [mix(dark, bright, position, OVERLAP).frame.mean() for position in range(OVERLAP)]
    steps = np.diff([100, *means, 108])
    assert steps == pytest.approx([8 / 17] * 17, abs=0.02)


def test_sides_of_one_colour_each_are_faded_over_the_whole_overlap() -> None:
    old = np.full((64, 64, 3), (40, 90, 50), np.uint8)
    new = np.full((64, 64, 3), (240, 30, 50), np.uint8)
    for position in range(OVERLAP):
        share = (position + 1) / (OVERLAP + 1)
        frame = mix(old, new, position, OVERLAP).frame
        wanted = np.array([40, 90, 50]) * (1 - share) + np.array([240, 30, 50]) * share
        assert frame.reshape(-1, 3).mean(0) == pytest.approx(wanted, abs=0.02)
        assert np.ptp(frame.reshape(-1, 3).astype(int), axis=0).max() <= 1


def test_pixels_on_which_the_sides_agree_stay_as_they_were_rendered(tmp_path: Path) -> None:
    def half(index: int, frame25: int) -> NDArray[np.uint8]:
        frame = disagreeing(index, frame25)
        frame[SIDE // 2 :] = picture_of(frame25)[SIDE // 2 :]
        return frame

    before, after = sides(tmp_path, half)
    start, _ = PLAN.seams[0]
    for position, mixed in enumerate(crossfaded(before, after)):
        assert np.array_equal(mixed.frame[SIDE // 2 :], picture_of(start + position)[SIDE // 2 :])
        assert not np.array_equal(mixed.frame[: SIDE // 2], mixed.old[: SIDE // 2])


def test_a_seam_s_frames_do_not_depend_on_how_many_threads_made_them(tmp_path: Path) -> None:
    before, after = sides(tmp_path, disagreeing)
    threads = cv2.getNumThreads()
    made = []
    for count in (1, 3):
        cv2.setNumThreads(count)
        made.append(encode_seam(before, after, tmp_path / f"{count}.mp4", encoding=ENCODING))
        assert cv2.getNumThreads() == count, "the caller's number is not given back"
    cv2.setNumThreads(1)
    one_by_one = [mix(mixed.old, mixed.new, p, OVERLAP).frame for p, mixed in enumerate(crossfaded(before, after))]
    cv2.setNumThreads(threads)
    assert made[0].hashes == made[1].hashes == tuple(map(frame_hash, one_by_one))
    assert made[0].path.read_bytes() == made[1].path.read_bytes()


def test_a_border_that_jumps_counts_as_a_step_of_the_seam(tmp_path: Path) -> None:
    before, after = sides(tmp_path, lambda _, frame25: picture_of(frame25))
    jumping = list(after.files.steps)
    jumping[OVERLAP] = 30.0  # the body's first frame is unlike the last that both rendered
    after = replace(after, files=replace(after.files, steps=tuple(jumping)))
    numbers = encode_seam(before, after, tmp_path / "s.mp4", encoding=ENCODING).numbers
    assert numbers.step == pytest.approx(30)
    assert numbers.step_ratio > 3


def in_a_still_room(index: int, frame25: int) -> NDArray[np.uint8]:
    """As `disagreeing`, but nothing moves around the head."""
    head = cv2.ellipse(np.zeros((SIDE, SIDE)), (SIDE // 2, SIDE // 2), (60, 70), 0, 0, 360, 1, -1)
    seen = cv2.GaussianBlur(head, (0, 0), 6)[..., None]
    return np.rint(at(index, frame25) * seen + picture_of(0) * (1 - seen)).astype(np.uint8)


def judged(before: Segment, after: Segment, *, hard: bool) -> tuple[float, bool]:
    """The step ratio of the sides joined as the farm does or cut hard, and whether it is refused."""
    tally = Tally(before, after)
    for position, mixed in enumerate(crossfaded(before, after)):
        cut = mixed.old if position < OVERLAP // 2 else mixed.new
        tally.add(replace(mixed, frame=cut) if hard else mixed)
    numbers = tally.numbers()
    moved = max(movement(side, numbers.frames25) for side in (before, after))
    return numbers.step_ratio, seam_problem(numbers, moved=moved) is not None


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(OutputSpec(size="320x180"), id="borders"),
        pytest.param(OutputSpec(size="320x180", fit="crop"), id="cut wide"),
        pytest.param(OutputSpec(size="180x320", fit="crop"), id="cut high"),
        pytest.param(OutputSpec(paste_back=True), id="put back"),
        pytest.param(OutputSpec(size="320x180", fit="crop", paste_back=True), id="put back, cut wide"),
    ],
)
def test_a_seam_is_judged_alike_in_whatever_form_its_frames_leave(tmp_path: Path, output: OutputSpec) -> None:
    plain = sides(tmp_path / "plain", in_a_still_room)
    place = (64, 96, 64 + SIDE, 96 + SIDE) if output.paste_back else (0, 0, SIDE, SIDE)
    photo = cv2.copyMakeBorder(picture_of(0), place[1], place[1], place[0], place[0], cv2.BORDER_REFLECT)
    form = Form.of(output, Shown(np.asarray(photo, np.uint8), place, (SIDE, SIDE)))
    formed = sides(tmp_path / "formed", lambda index, frame25: form(in_a_still_room(index, frame25)))
    for hard in (False, True):
        ratio, _ = judged(*plain, hard=hard)
        assert judged(*formed, hard=hard) == (pytest.approx(ratio, rel=0.15), hard)


def test_a_still_picture_has_a_seam_without_a_step(tmp_path: Path) -> None:
    before, after = sides(tmp_path, lambda _index, _frame25: picture_of(0))
    numbers = encode_seam(before, after, tmp_path / "s.mp4", encoding=ENCODING).numbers
    assert (numbers.step, numbers.ordinary, numbers.step_ratio) == (0, 0, 0)


def test_numbers_travel_as_json(tmp_path: Path) -> None:
    before, after = sides(tmp_path, disagreeing)
    numbers = encode_seam(before, after, tmp_path / "s.mp4", encoding=ENCODING).numbers
    assert SeamNumbers.from_dict(json.loads(json.dumps(numbers.to_dict()))) == numbers


def test_a_side_that_lacks_frames_is_refused(tmp_path: Path) -> None:
    before, after = sides(tmp_path, disagreeing)
    lacking = replace(before, files=replace(before.files, tail=None))
    with pytest.raises(RenderError, match="no lossless end"):
        encode_seam(lacking, after, tmp_path / "s.mp4", encoding=ENCODING)
    swapped = replace(after, files=replace(after.files, head=before.files.tail))
    with pytest.raises(RenderError, match=r"tail\.mkv is damaged: its frame 0"):
        encode_seam(before, swapped, tmp_path / "s.mp4", encoding=ENCODING)
