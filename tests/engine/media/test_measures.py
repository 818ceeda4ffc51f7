"""What is measured of a renderer's frames while they go by."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from talking import PORTRAIT, Head, Sound, talk, voice

from engine.errors import PortraitError, RenderError
from engine.media.face import detect_faces
from engine.media.image import load_portrait
from engine.media.likeness import SAME_FACE, PortraitFace
from engine.media.measures import LOOK_AGAIN, LOOK_EVERY, Measures, Meter
from engine.spec import ChunkSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.renderer import Frame

HERE = Path(__file__).parent
HOPPER = HERE / "photos" / "hopper.jpg"
GREETING = HERE.parents[2] / "samples" / "greeting.opus"
FRAMES = 60


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return voice(GREETING, tmp_path_factory.mktemp("voice"))


@pytest.fixture(scope="module")
def head(speech: Sound) -> Head:
    return talk(speech, span=(0, FRAMES))


@pytest.fixture(scope="module")
def hopper(speech: Sound) -> Head:
    return talk(speech, HOPPER, span=(0, FRAMES))


@pytest.fixture(scope="module")
def face() -> PortraitFace:
    return Meter.face_of(load_portrait(PORTRAIT))


def chunk_of(start: int, stop: int) -> ChunkSpec:
    return ChunkSpec(0, (start // 2, stop // 2), (start // 2, stop // 2), (start, stop), 0, 0)


def measured(face: PortraitFace, frames: Sequence[Frame], start: int = 0) -> Measures:
    meter = Meter(face, chunk_of(start, start + len(frames)))
    for frame in frames:
        meter.add(frame)
    return meter.finish()


@pytest.fixture(scope="module")
def measures(face: PortraitFace, head: Head) -> Measures:
    return measured(face, head.frames)


def test_each_frame_has_its_light_its_steps_and_its_mouth(measures: Measures, head: Head) -> None:
    assert (measures.start, measures.stop) == (0, FRAMES)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).mean() for frame in head.frames]
    assert measures.luma == pytest.approx(grey, abs=0.1)
    pairs = zip(head.frames, head.frames[1:], strict=False)
    steps = [np.abs(new.astype(float) - old).mean() for old, new in pairs]
    assert measures.step[0] is measures.face_step[0] is None
    assert measures.step[1:] == pytest.approx(steps, abs=0.01)
    assert len(measures.mouth) == len(measures.brightest) == len(measures.face_step) == FRAMES
    openings = np.array(measures.mouth, float)
    assert np.corrcoef(openings, head.openings)[0, 1] > 0.9


def test_steps_around_a_small_face_are_not_thinned_by_what_stands_still(face: PortraitFace, head: Head) -> None:
    wide = [cv2.copyMakeBorder(frame, 0, 0, 256, 256, cv2.BORDER_REPLICATE) for frame in head.frames[:12]]
    found = measured(face, wide)
    for whole, around in zip(found.step[1:], found.face_step[1:], strict=True):
        assert whole is not None
        assert around is not None
        assert around > 1.5 * whole


def test_frames_may_be_drawn_into_one_array(face: PortraitFace, head: Head, measures: Measures) -> None:
    meter, canvas = Meter(face, chunk_of(0, 10)), np.empty_like(head.frames[0])
    for frame in head.frames[:10]:
        canvas[:] = frame
        meter.add(canvas)
    assert meter.finish().step == measures.step[:10]


def test_the_face_is_looked_at_in_the_first_frame_and_in_the_same_frames_of_any_chunk(
    face: PortraitFace, head: Head, measures: Measures
) -> None:
    assert [look.frame for look in measures.faces] == [0, LOOK_EVERY, 2 * LOOK_EVERY]
    later = measured(face, head.frames[18:], start=18)
    assert [look.frame for look in later.faces] == [18, LOOK_EVERY, 2 * LOOK_EVERY]
    assert later.faces[1:] == measures.faces[1:]
    found = detect_faces(head.frames[LOOK_EVERY])[0].box
    assert measures.faces[1].box == pytest.approx(found, abs=0.12 * (found[2] - found[0]))


def test_the_speaker_stays_the_portraits_and_another_person_does_not(
    face: PortraitFace, measures: Measures, hopper: Head
) -> None:
    assert min(look.likeness or 0 for look in measures.faces) > SAME_FACE + 0.15
    other = measured(face, hopper.frames)
    assert max(look.likeness or 0 for look in other.faces) < SAME_FACE - 0.1
    turned = measured(Meter.face_of(load_portrait(HOPPER)), hopper.frames)
    assert min(look.likeness or 0 for look in turned.faces) > SAME_FACE + 0.15


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(lambda frame: (frame * 0.4).astype(np.uint8), id="dark"),
        pytest.param(lambda frame: cv2.resize(frame, (448, 448)), id="larger"),
        pytest.param(lambda frame: np.dstack([frame[..., 2], frame[..., 1], frame[..., 0]]), id="recoloured"),
        pytest.param(lambda frame: cv2.copyMakeBorder(frame, 0, 60, 90, 0, cv2.BORDER_REPLICATE), id="elsewhere"),
    ],
)
def test_light_colour_size_and_place_do_not_make_another_person(
    face: PortraitFace, head: Head, changed: object
) -> None:
    assert callable(changed)
    seen = face.seen_in(np.ascontiguousarray(changed(head.frames[20])))
    assert seen is not None
    assert seen.likeness > SAME_FACE + 0.05


def test_of_two_people_the_portraits_is_followed(face: PortraitFace, head: Head, hopper: Head) -> None:
    both = np.hstack([cv2.resize(hopper.frames[5], (512, 512)), cv2.resize(head.frames[5], (512, 512))])
    seen = face.seen_in(both)
    assert seen is not None
    assert seen.face.box[0] > 512
    assert seen.likeness > SAME_FACE


def test_a_look_that_finds_another_face_is_repeated_soon(face: PortraitFace, head: Head, hopper: Head) -> None:
    frames = [*head.frames[:20], *hopper.frames[20:45], *head.frames[45:]]
    found = measured(face, [cv2.resize(frame, (256, 256)) for frame in frames])
    assert [look.frame for look in found.faces] == [0, 25, *(25 + later for later in LOOK_AGAIN), 50]
    assert [(look.likeness or 0) >= SAME_FACE for look in found.faces] == [True, False, False, False, True]


def test_without_a_face_there_is_no_mouth(face: PortraitFace) -> None:
    found = measured(face, [np.full((128, 128, 3), 90, np.uint8)] * 3)
    assert found.mouth == (None, None, None)
    assert found.faces[0].likeness is found.faces[0].box is None
    assert found.luma == (90, 90, 90)


def test_measures_travel_as_json_of_some_forty_bytes_a_frame(measures: Measures) -> None:
    text = json.dumps(measures.to_dict())
    assert Measures.from_dict(json.loads(text)) == measures
    assert len(text) < 50 * FRAMES


@pytest.mark.parametrize("count", [9, 11])
def test_too_few_and_too_many_frames_are_refused(face: PortraitFace, head: Head, count: int) -> None:
    meter = Meter(face, chunk_of(0, 10))
    for frame in head.frames[:count]:
        meter.add(frame)
    with pytest.raises(RenderError, match=f"gave {count} frames, wanted 10"):
        meter.finish()


def test_a_portrait_without_a_face_cannot_be_compared_with() -> None:
    with pytest.raises(PortraitError, match="no face"):
        Meter.face_of(np.full((200, 200, 3), 128, np.uint8))


def test_measuring_costs_a_few_milliseconds_a_frame_at_most(face: PortraitFace, head: Head) -> None:
    cv2.setNumThreads(1)
    frames = [cv2.resize(frame, (512, 512)) for frame in head.frames[:50]]
    started = time.process_time()
    measured(face, frames)
    assert (time.process_time() - started) / len(frames) < 0.006  # 2 ms on an idle core; neighbours slow it down
