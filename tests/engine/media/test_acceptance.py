"""What is found wrong with a chunk and a seam: each defect put into a render that is accepted without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from talking import PORTRAIT, Head, Sound, talk, voice

from engine.media import acceptance
from engine.media.acceptance import Problem, movement, problems_of, seam_problem
from engine.media.image import load_portrait
from engine.media.measures import Look, Measures, Meter
from engine.media.seam import SeamNumbers, Segment
from engine.media.video import SegmentFiles
from engine.spec import ChunkSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.renderer import Frame

    Spoil = Callable[[list[Frame]], list[Frame]]

HERE = Path(__file__).parent
HOPPER = HERE / "photos" / "hopper.jpg"
GREETING = HERE.parents[2] / "samples" / "greeting.opus"
FRAMES = 130
VOICED = ((1, 48), (57, 103), (110, 130))


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return voice(GREETING, tmp_path_factory.mktemp("voice"))


@pytest.fixture(scope="module")
def head(speech: Sound) -> Head:
    return talk(speech, span=(0, FRAMES), pixels=192)


def measured(frames: list[Frame], start: int = 0) -> Measures:
    chunk = ChunkSpec(
        0, (start // 2, start // 2 + 65), (start // 2, start // 2 + 65), (start, start + len(frames)), 0, 0
    )
    meter = Meter(Meter.face_of(load_portrait(PORTRAIT)), chunk)
    for frame in frames:
        meter.add(frame)
    return meter.finish()


def problems(frames: list[Frame]) -> list[Problem]:
    return problems_of(measured(frames), voiced=VOICED)


@pytest.fixture(scope="module")
def clean(head: Head) -> Measures:
    return measured(head.frames)


def steady(count: int = 200, start: int = 0) -> Measures:
    """Measures of a chunk in which everything moves as it should."""
    times = np.arange(count)
    steps = (None, *(1 + 0.5 * np.sin(times[1:])).tolist())
    looks = tuple(Look(start + at, 0.95, (40, 40, 120, 140)) for at in range(0, count, 25))
    mouth = tuple((0.2 + 0.1 * np.sin(times * 0.9)).tolist())
    return Measures(start, (120.0,) * count, (200.0,) * count, steps, steps, mouth, looks)


def test_a_clean_render_has_no_problem(clean: Measures) -> None:
    assert problems_of(clean, voiced=VOICED) == []


def black(frames: list[Frame]) -> list[Frame]:
    return [np.zeros_like(frame) if 60 <= at < 80 else frame for at, frame in enumerate(frames)]


def one_black(frames: list[Frame]) -> list[Frame]:
    return [np.zeros_like(frame) if at == 60 else frame for at, frame in enumerate(frames)]


def frozen(frames: list[Frame]) -> list[Frame]:
    return [frames[60] if 60 <= at < 100 else frame for at, frame in enumerate(frames)]


def brighter(frames: list[Frame]) -> list[Frame]:
    return [cv2.add(frame, np.full_like(frame, 8)) if at >= 70 else frame for at, frame in enumerate(frames)]


def shifted(frames: list[Frame]) -> list[Frame]:
    return [np.roll(frame, 3, axis=1) if at >= 70 else frame for at, frame in enumerate(frames)]


def smeared(frames: list[Frame]) -> list[Frame]:
    return [cv2.GaussianBlur(frame, (0, 0), 20) if 40 <= at < 90 else frame for at, frame in enumerate(frames)]


@pytest.mark.parametrize(
    ("spoil", "kind", "span", "sentence"),
    [
        pytest.param(black, "black", (60, 80), "the picture is black from 00:02.4 to 00:03.2", id="black"),
        pytest.param(one_black, "black", (60, 61), "the picture is black at 00:02.4", id="one black frame"),
        pytest.param(frozen, "frozen", (60, 100), "the picture is frozen from 00:02.4 to 00:04.0", id="frozen"),
        pytest.param(brighter, "brightness", (70, 71), "the brightness jumps at 00:02.8", id="brighter"),
        pytest.param(shifted, "jump", (70, 71), "the picture jumps at 00:02.8", id="shifted"),
    ],
)
def test_what_is_put_in_is_found_once_where_it_is(
    head: Head, spoil: Spoil, kind: str, span: tuple[int, int], sentence: str
) -> None:
    (problem,) = problems(spoil(head.frames))
    assert (problem.kind, problem.start, problem.stop) == (kind, *span)
    assert problem.sentence.startswith(sentence)


def test_a_face_that_cannot_be_made_out_is_missed(head: Head) -> None:
    lost = [problem for problem in problems(smeared(head.frames)) if problem.kind == "face"]
    assert lost
    assert lost[0].value is None
    assert lost[0].start >= 40
    assert lost[-1].stop <= 90
    assert lost[0].sentence.startswith("no face is to be found")


def test_another_persons_face_is_found(head: Head, speech: Sound) -> None:
    other = talk(speech, HOPPER, span=(0, FRAMES), pixels=192).frames
    side = head.frames[0].shape[:2]
    frames = [*head.frames[:40], *(cv2.resize(frame, side[::-1]) for frame in other[40:90]), *head.frames[90:]]
    (swapped,) = [problem for problem in problems(frames) if problem.kind == "face"]
    assert 40 <= swapped.start < swapped.stop <= 90
    assert swapped.value is not None
    assert swapped.value < swapped.limit
    assert swapped.sentence.startswith("the face is not the portrait's")


def test_a_mouth_that_rests_while_speech_goes_on_is_found_and_in_a_pause_it_is_not(head: Head, speech: Sound) -> None:
    silent = Sound(np.zeros_like(speech.data))
    frames = talk(silent, span=(0, FRAMES), pixels=192).frames  # the head moves and blinks, the mouth rests
    (still,) = problems(frames)
    assert still.kind == "mouth"
    assert still.stop - still.start >= acceptance.MOUTH_FRAMES
    assert problems_of(measured(frames), voiced=()) == []


def test_a_still_picture_in_a_pause_is_not_frozen(head: Head) -> None:
    spoilt = measured([head.frames[0]] * FRAMES)
    assert problems_of(spoilt, voiced=((0, acceptance.STILL_FRAMES - 1),)) == []
    (problem,) = problems_of(spoilt, voiced=((20, 20 + acceptance.STILL_FRAMES),))
    assert (problem.kind, problem.start, problem.stop) == ("frozen", 0, FRAMES)


def test_frames_count_from_the_jobs_start_and_hours_are_told(head: Head) -> None:
    start = 91_000
    spoilt = measured(black(head.frames), start)
    (problem,) = problems_of(spoilt, voiced=[(start + a, start + b) for a, b in VOICED])
    assert (problem.start, problem.stop) == (start + 60, start + 80)
    assert "from 1:00:42.4 to 1:00:43.2" in problem.sentence


def test_a_voice_elsewhere_in_the_job_does_not_count() -> None:
    resting = replace(steady(start=1000), mouth=(0.1,) * 200)
    assert problems_of(resting, voiced=((0, 1000), (1200, 3000))) == []
    assert [one.kind for one in problems_of(resting, voiced=((0, 3000),))] == ["mouth"]


@pytest.mark.parametrize(("bad", "found"), [((50,), 0), ((50, 75), 1), ((25, 150), 0)])
def test_one_look_at_another_face_is_no_proof_and_two_together_are(bad: tuple[int, ...], found: int) -> None:
    measures = steady()
    looks = tuple(replace(look, likeness=0.3) if look.frame in bad else look for look in measures.faces)
    assert len(problems_of(replace(measures, faces=looks), voiced=((0, 200),))) == found


def test_a_chunk_of_one_look_is_judged_by_it() -> None:
    measures = steady(20)
    assert problems_of(measures, voiced=()) == []
    (look,) = measures.faces
    (problem,) = problems_of(replace(measures, faces=(replace(look, likeness=0.2),)), voiced=())
    assert problem.kind == "face"


def test_a_quick_movement_of_several_frames_is_no_jump() -> None:
    measures = steady()
    steps = list(measures.step)
    steps[100:106] = [4.0, 7.0, 5.0, 5.0, 6.0, 3.0]  # as a blink in a small picture
    assert problems_of(replace(measures, step=tuple(steps), face_step=tuple(steps)), voiced=()) == []
    steps = list(measures.step)
    steps[100] = 7.0
    (problem,) = problems_of(replace(measures, step=tuple(steps)), voiced=())
    assert (problem.kind, problem.start) == ("jump", 100)


@pytest.mark.parametrize("frames25", [1, 2, 3])
def test_a_chunk_of_a_few_frames_is_judged_too(frames25: int) -> None:
    assert problems_of(steady(frames25), voiced=((0, frames25),)) == []


def test_a_jump_in_a_chunk_of_four_frames_is_not_measured_against_itself() -> None:
    (problem,) = problems_of(replace(steady(4), step=(None, 1.0, 1.0, 9.0)), voiced=())
    assert (problem.kind, problem.start, problem.value) == ("jump", 3, 9.0)


SEAM = SeamNumbers(
    cut=50,
    frames25=(92, 108),
    difference=4.0,
    brightness=(0.0, 0.0, 0.0),
    flow_mean=1.0,
    flow_p95=3.0,
    step=6.0,
    ordinary=1.0,
    step_ratio=6.0,
)


def test_a_seam_is_seen_where_it_steps_further_than_its_sides_move() -> None:
    problem = seam_problem(SEAM, moved=1.5)
    assert problem is not None
    assert (problem.kind, problem.start, problem.stop, problem.value) == ("seam", 92, 108, 4.0)
    assert problem.sentence.startswith("the seam at 00:03.6 is seen: it steps 6.0 times as far as frames do nearby")
    assert seam_problem(SEAM, moved=3.0) is None
    assert seam_problem(replace(SEAM, difference=0.0), moved=1.0) is None


def test_movement_is_told_in_ordinary_steps() -> None:
    def side(steps: tuple[float | None, ...]) -> Segment:
        files = SegmentFiles(Path("body.mp4"), None, None, width=64, height=64, hashes=(), steps=steps)
        return Segment(ChunkSpec(0, (20, 120), (20, 120), (40, 240), 0, 0), files)

    steps = list(steady(start=40).step)
    assert movement(side(tuple(steps)), (92, 108)) == pytest.approx(1.5, abs=0.1)
    steps[60] = 5.0
    assert movement(side(tuple(steps)), (92, 108)) == pytest.approx(5, abs=0.3)
    assert movement(side((None, *(0.0,) * 199)), (92, 108)) == 1
