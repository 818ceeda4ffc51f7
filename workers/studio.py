"""From a renderer's frames to those that leave: steadied, measured, brought into the form that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from engine.errors import InputError
from engine.media.form import Form, Shown
from engine.media.image import load_portrait
from engine.media.mark import marked
from engine.media.measures import Meter
from engine.media.smoothing import grown, smoothed
from engine.media.video import size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from concurrent.futures import Future

    from engine.media.likeness import PortraitFace
    from engine.renderer import Frame, Inputs, OnProgress, Renderer
    from engine.spec import ChunkSpec
    from farm.jobs.request import JobRequest
    from workers.beside import Beside


Result = TypeVar("Result")

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

    def __init__(self, request: JobRequest, renderer: Renderer, inputs: Inputs, faces: Faces) -> None:
        """Let the renderer prepare, while the portrait's file is there."""
        self.job = request.id
        self._request = request
        self._renderer = renderer
        self._frames25 = inputs.frames25
        self._features = renderer.prepare(inputs)
        photo = load_portrait(inputs.portrait)
        self._face = faces.of(request.portrait, photo)
        self._way_out = WayOut(request, photo, renderer.crop(self._features))

    def facts(self) -> dict[str, str]:
        """What the reports say of a render beyond the spec."""
        return self._renderer.facts(self._features)

    def meter(self, chunk: ChunkSpec) -> Meter:
        """What measures the chunk's frames while they go by."""
        return Meter(self._face, chunk)

    def draw(
        self,
        chunk: ChunkSpec,
        meter: Meter,
        on_progress: OnProgress,
        take: Callable[[Iterator[Frame]], Result],
        beside: Beside,
    ) -> Future[Result]:
        """Give frames25 [chunk.out) as they leave to `take`; `meter` sees them before they are scaled.

        Both see them in a thread beside, while the renderer draws the next ones here. Answers when all is drawn; the
        future is what `take` makes of it. It keeps nothing that is on the renderer's device.
        """
        strength = self._request.output.smoothing or 0.0
        wide = grown(chunk, self._frames25) if strength else chunk
        before, after = chunk.out[0] - wide.out[0], wide.out[1] - chunk.out[1]
        leaving = self._way_out.leaving

        def finish(rendered: Iterator[Frame]) -> Result:
            return take(leaving(smoothed(rendered, strength, before=before, after=after), meter))

        return beside.run(_handed_over(self._renderer.render(wide, self._features, on_progress), wide), finish)


class WayOut:
    """From a frame as it was rendered to one as it leaves: the same for every chunk of a job."""

    def __init__(self, request: JobRequest, photo: Frame, crop: tuple[int, int, int, int] | None) -> None:
        self._output = request.output
        self._renderer = request.spec.renderer
        wants_form = self._output.pixels is not None or self._output.paste_back
        self._photo = photo if wants_form else None
        self._crop = crop
        self._form: Form | None = None

    def leaving(self, frames: Iterator[Frame], meter: Meter) -> Iterator[Frame]:
        """Each measured, in its form, with its mark."""
        for frame in frames:
            meter.add(frame)
            formed = self._formed(frame)
            yield marked(formed, self._picture(formed)) if self._output.mark else formed

    def _formed(self, frame: Frame) -> Frame:
        if self._photo is not None:  # how large a renderer's frames are is known when the first one comes
            self._form, self._photo = self._form_for(frame, self._photo), None
        return self._form(frame) if self._form else frame

    def _picture(self, formed: Frame) -> tuple[int, int, int, int]:
        height, width = formed.shape[:2]
        return self._form.picture if self._form else (0, 0, width, height)

    def _form_for(self, frame: Frame, photo: Frame) -> Form:
        if self._crop is None and self._output.paste_back:
            raise InputError(f"paste_back was asked for, and renderer {self._renderer!r} does not say what it crops")
        height, width = photo.shape[:2]
        shown = Shown(photo, self._crop or (0, 0, width, height), (frame.shape[1], frame.shape[0]))
        return Form.of(self._output, shown)


def _handed_over(frames: Iterator[Frame], chunk: ChunkSpec) -> Generator[Frame]:
    """The frames of a chunk's `out`, none of which surprises what comes behind it; the renderer may reuse its array."""
    size = None
    for number, frame in enumerate(frames, start=chunk.out[0]):
        size = size_of(frame, like=size, where=f"frame {number} of chunk {chunk.index}")
        yield frame.copy()
