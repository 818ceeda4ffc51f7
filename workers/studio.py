"""From a renderer's frames to those that leave: steadied, measured, brought into the form that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from engine.errors import InputError
from engine.media.form import Form, Shown
from engine.media.image import load_portrait
from engine.media.mark import marked
from engine.media.measures import Meter
from engine.media.smoothing import grown, smoothed
from engine.media.video import size_of
from workers.beside import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from engine.media.likeness import PortraitFace
    from engine.renderer import Frame, Inputs, OnProgress, Renderer
    from engine.spec import ChunkSpec
    from farm.jobs.request import JobRequest


MOST_FACES = 64
"""Portraits whose faces a slot remembers."""


class Faces:
    """The faces of portraits that a slot drew lately, by SHA-256 of the photo: presenters come again and again."""

    def __init__(self) -> None:
        self._known: dict[str, PortraitFace] = {}

    def of(self, sha256: str, photo: Frame) -> PortraitFace:
        """Raises PortraitError for a photo without a face."""
        if sha256 not in self._known:
            while len(self._known) >= MOST_FACES:
                del self._known[next(iter(self._known))]
            self._known[sha256] = Meter.face_of(photo)
        return self._known[sha256]


class Studio:
    """What a slot sets up for a job and keeps while it stays on it; nothing of it depends on the chunk."""

    def __init__(self, request: JobRequest, renderer: Renderer, inputs: Inputs, features: Any, faces: Faces) -> None:
        self.job = request.id
        self._request = request
        self._renderer = renderer
        self._frames25 = inputs.frames25
        self._features = features
        photo = load_portrait(inputs.portrait)
        self._face = faces.of(request.portrait, photo)
        wants_form = request.output.pixels is not None or request.output.paste_back
        self._photo: Frame | None = photo if wants_form else None
        self._crop = renderer.crop(features) if wants_form else None
        self._form: Form | None = None

    @classmethod
    def set_up(cls, request: JobRequest, renderer: Renderer, inputs: Inputs, faces: Faces) -> Self:
        """Let the renderer prepare, while the portrait's file is there."""
        return cls(request, renderer, inputs, renderer.prepare(inputs), faces)

    def facts(self) -> dict[str, str]:
        """What the reports say of a render beyond the spec."""
        return self._renderer.facts(self._features)

    def meter(self, chunk: ChunkSpec) -> Meter:
        """What measures the chunk's frames while they go by."""
        return Meter(self._face, chunk)

    def draw(self, chunk: ChunkSpec, meter: Meter, on_progress: OnProgress, take: Callable[[Frame], None]) -> None:
        """Give frames25 [chunk.out) as they leave to `take`, one by one; `meter` sees them before they are scaled.

        Both see them in a thread beside, while the renderer draws the next ones.
        """
        strength = self._request.output.smoothing or 0.0
        wide = grown(chunk, self._frames25) if strength else chunk
        before, after = chunk.out[0] - wide.out[0], wide.out[1] - chunk.out[1]

        def finish(rendered: Iterator[Frame]) -> None:
            for frame in smoothed(rendered, strength, before=before, after=after):
                meter.add(frame)
                formed = self._formed(frame)
                take(marked(formed) if self._request.output.mark else formed)

        beside(_handed_over(self._renderer.render(wide, self._features, on_progress), wide), finish)

    def _formed(self, frame: Frame) -> Frame:
        if self._photo is not None:  # how large a renderer's frames are is known when the first one comes
            self._form, self._photo = self._form_for(frame, self._photo), None
        return self._form(frame) if self._form else frame

    def _form_for(self, frame: Frame, photo: Frame) -> Form:
        crop, output = self._crop, self._request.output
        if crop is None and output.paste_back:
            name = self._request.spec.renderer
            raise InputError(f"paste_back was asked for, and renderer {name!r} does not say what it crops")
        height, width = photo.shape[:2]
        return Form.of(output, Shown(photo, crop or (0, 0, width, height), (frame.shape[1], frame.shape[0])))


def _handed_over(frames: Iterator[Frame], chunk: ChunkSpec) -> Generator[Frame]:
    """The frames of a chunk's `out`, none of which surprises what comes behind it; the renderer may reuse its array."""
    size = None
    for number, frame in enumerate(frames, start=chunk.out[0]):
        size = size_of(frame, like=size, where=f"frame {number} of chunk {chunk.index}")
        yield frame.copy()
