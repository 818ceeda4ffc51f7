"""What a renderer gives is looked at before anything is done to it."""

from __future__ import annotations

import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.errors import RenderError
from engine.media.image import load_portrait
from engine.media.likeness import PortraitFace
from engine.media.mark import marked
from engine.plan import Geometry, plan_chunks
from engine.renderer import Inputs
from engine.spec import OutputSpec, RenderSpec
from tests.farm.hands import REQUEST
from tests.renderers import SIDE, Stripes
from workers.beside import Beside
from workers.studio import MOST_FACES, Faces, Studio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.renderer import Frame, OnProgress
    from engine.spec import ChunkSpec

PORTRAIT = Path(__file__).parents[2] / "samples" / "portrait.png"
PLAN = plan_chunks(30, chunk_seconds=2, geometry=Geometry())


class Slipping(Stripes):
    """Gives something else for frame 7."""

    def __init__(self, other: Frame) -> None:
        self.other = other

    def picture(self, chunk: ChunkSpec, frame: int) -> Frame:
        return self.other if frame == 7 else super().picture(chunk, frame)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize(
    ("other", "said"),
    [
        (np.zeros((SIDE, 2 * SIDE, 3), np.uint8), "frame 7 of chunk 0 is 128x64 pixels, the ones before 64x64"),
        (np.zeros((SIDE, SIDE), np.uint8), r"frame 7 of chunk 0 is uint8 \(64, 64\), wanted uint8"),
        (np.zeros((SIDE, SIDE, 3), np.float32), r"frame 7 of chunk 0 is float32 \(64, 64, 3\), wanted uint8"),
    ],
)
def test_a_frame_that_is_no_picture_like_the_others_is_named(other: Frame, said: str, smoothing: float) -> None:
    request = replace(REQUEST, id="20260101-000000-000001", output=OutputSpec(smoothing=smoothing))
    inputs = Inputs(PORTRAIT, None, RenderSpec(), PLAN.frames25, PLAN.gen_frames)  # type: ignore[arg-type]
    studio, chunk = Studio(request, Slipping(other), inputs, Faces()), PLAN.chunks[0]
    with ThreadPoolExecutor(1) as threads, pytest.raises(RenderError, match=said):
        studio.draw(chunk, studio.meter(chunk), lambda _: None, list, Beside(threads)).result()


class Reusing(Stripes):
    """Draws every frame into the same array."""

    def render(self, chunk: ChunkSpec, features: object, on_progress: OnProgress) -> Iterator[Frame]:
        canvas = np.empty((SIDE, SIDE, 3), np.uint8)
        for frame in super().render(chunk, features, on_progress):
            canvas[:] = frame
            yield canvas


def test_a_renderer_may_draw_every_frame_into_the_same_array() -> None:
    request = replace(REQUEST, id="20260101-000000-000001", output=OutputSpec(smoothing=0.0))
    inputs = Inputs(PORTRAIT, None, RenderSpec(), PLAN.frames25, PLAN.gen_frames)  # type: ignore[arg-type]
    drawn: dict[type[Stripes], list[Frame]] = {}
    with ThreadPoolExecutor(1) as threads:
        for kind in (Stripes, Reusing):
            studio, chunk = Studio(request, kind(), inputs, Faces()), PLAN.chunks[0]
            drawn[kind] = studio.draw(chunk, studio.meter(chunk), lambda _: None, list, Beside(threads)).result()
    assert len(drawn[Reusing]) == PLAN.chunks[0].frames25
    assert all(map(np.array_equal, drawn[Stripes], drawn[Reusing]))


@pytest.mark.parametrize(
    ("size", "picture"), [("source", (0, 0, 64, 64)), ("640x360", (140, 0, 500, 360)), ("200x720", (0, 260, 200, 460))]
)
def test_the_mark_lies_within_the_picture_and_is_as_large_as_suits_it(
    size: str, picture: tuple[int, int, int, int]
) -> None:
    """Around a square picture the default fit lays black borders."""
    left, top, right, bottom = picture
    plain, labelled = (first_leaving(OutputSpec(size=size, smoothing=0.0, mark=mark)) for mark in (False, True))
    inside = plain[top:bottom, left:right]
    assert inside.all()
    assert plain.sum() == inside.sum(), "else all is black"
    expected = plain.copy()
    expected[top:bottom, left:right] = marked(inside, (0, 0, right - left, bottom - top))
    assert np.array_equal(labelled, expected)
    assert not np.array_equal(labelled, plain)


@pytest.mark.parametrize("wide", range(1, 12))
def test_the_mark_is_cut_where_a_picture_is_hardly_there_and_ends_no_render(wide: int) -> None:
    frame = np.full((64, 64, 3), 200, np.uint8)
    labelled = marked(frame, (28, 0, 28 + wide, 64))
    assert np.array_equal(labelled[:, :28], frame[:, :28])
    assert np.array_equal(labelled[:, 28 + wide :], frame[:, 28 + wide :])


def first_leaving(output: OutputSpec) -> Frame:
    request = replace(REQUEST, id="20260101-000000-000001", output=output)
    inputs = Inputs(PORTRAIT, None, RenderSpec(), PLAN.frames25, PLAN.gen_frames)  # type: ignore[arg-type]
    studio, chunk = Studio(request, Stripes(), inputs, Faces()), PLAN.chunks[0]
    with ThreadPoolExecutor(1) as threads:
        return studio.draw(chunk, studio.meter(chunk), lambda _: None, list, Beside(threads)).result()[0]


class Features:
    """What a renderer would keep on its device."""


class Preparing(Stripes):
    """Makes features of its own for each job."""

    def prepare(self, inputs: Inputs) -> Features:
        return Features()


def test_a_job_leaves_nothing_on_the_device_while_its_last_chunk_is_still_encoded() -> None:
    request = replace(REQUEST, id="20260101-000000-000001", output=OutputSpec(smoothing=0.3))
    inputs = Inputs(PORTRAIT, None, RenderSpec(), PLAN.frames25, PLAN.gen_frames)  # type: ignore[arg-type]
    chunk, may_go_on = PLAN.chunks[0], Event()
    with ThreadPoolExecutor(1) as threads:
        studio = Studio(request, Preparing(), inputs, Faces())
        features = weakref.ref(studio._features)
        making = studio.draw(
            chunk, studio.meter(chunk), lambda _: None, list, Beside(threads, lambda: _wait(may_go_on))
        )
        del studio
        left, done = features(), making.done()
        may_go_on.set()
        assert not done
        assert left is None
        assert len(making.result()) == chunk.frames25


def _wait(event: Event) -> None:
    assert event.wait(30)


def test_a_portrait_that_comes_again_is_not_searched_for_its_face_again(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, faces, searched = load_portrait(PORTRAIT), Faces(), []
    find = PortraitFace.of
    monkeypatch.setattr(PortraitFace, "of", lambda photo: searched.append(photo) or find(photo))
    first = faces.of("a", photo)
    assert faces.of("a", photo) is first
    assert len(searched) == 1
    for number in range(MOST_FACES):  # so many others later it is forgotten
        faces.of(f"b{number}", photo)
    faces.of("a", photo)
    assert len(searched) == MOST_FACES + 2
