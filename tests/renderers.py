"""Renderers made for tests: cheap pictures whose every pixel says which frame it is."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import PortraitError
from engine.plan import Geometry
from engine.preview.renderer import PreviewRenderer
from engine.renderer import Inputs, OnProgress, Renderer
from engine.spec import SAMPLES_PER_FRAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from engine.preview.renderer import PreviewFeatures
    from engine.renderer import Frame, SpeechReader
    from engine.spec import ChunkSpec

SIDE = 64
SPOILED = (255, 0, 0)
LATE_FRAMES25 = 2


def shade(frame: int) -> int:
    """The grey that stands for an absolute frame: slow enough to survive encoding, never pure red."""
    return 40 + frame % 150


class Stripes(Renderer):
    """Frame f is one grey, decided by f alone, so any plan gives the same pixels."""

    version = "1"

    def load(self, device: str) -> None:
        pass

    def prepare(self, inputs: Inputs) -> Any:
        assert inputs.portrait.is_file()
        return inputs

    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:
        for position, frame in enumerate(range(*chunk.out)):
            on_progress(position / chunk.frames25)
            yield self.picture(chunk, frame)

    def picture(self, chunk: ChunkSpec, frame: int) -> Frame:
        return np.full((SIDE, SIDE, 3), shade(frame), np.uint8)

    def close(self) -> None:
        pass


class Spoiling(Stripes):
    """Spoils the outer 50 frames25 of its span, and disagrees with its neighbour: odd chunks are 60 levels brighter."""

    geometry = Geometry(reach=25, window=5)

    def picture(self, chunk: ChunkSpec, frame: int) -> Frame:
        start, stop = (2 * edge for edge in chunk.span)
        spoiled_head = chunk.head and frame < start + 50
        spoiled_tail = chunk.tail and frame >= stop - 50
        if spoiled_head or spoiled_tail:
            return np.full((SIDE, SIDE, 3), SPOILED, np.uint8)
        return np.full((SIDE, SIDE, 3), 160 if chunk.index % 2 else 100, np.uint8)


class Gated(Stripes):
    """Renders only while the file named by FARM_TEST_GATE is there; so a test decides when a chunk may go on."""

    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:
        gate = Path(os.environ["FARM_TEST_GATE"])
        is_probe = features.portrait.parent.name == "probe"  # no test's: a slot shows that it is well
        for position, frame in enumerate(range(*chunk.out)):
            while not is_probe and not gate.exists():
                on_progress(position / chunk.frames25)
                time.sleep(0.02)
            on_progress(position / chunk.frames25)
            yield self.picture(chunk, frame)


class Aside(Spoiling):
    """Draws all its chunks at once, but the last only once the file named by FARM_TEST_GATE is there."""

    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:
        while not chunk.tail and chunk.index and not Path(os.environ["FARM_TEST_GATE"]).exists():
            on_progress(0.0)
            time.sleep(0.02)
        yield from super().render(chunk, features, on_progress)


class Begun(Stripes):
    """Says that it is half way, then waits for the file named by FARM_TEST_GATE; all that it reads is read by then."""

    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:
        while not Path(os.environ["FARM_TEST_GATE"]).exists():
            on_progress(0.5)
            time.sleep(0.02)
        yield from super().render(chunk, features, on_progress)


class Crashing(Stripes):
    """Ends its own process in the middle of every chunk."""

    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:
        yield self.picture(chunk, chunk.out[0])
        os._exit(13)


class Failing(Stripes):
    """Raises in the middle of every chunk: a bug."""

    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:
        yield self.picture(chunk, chunk.out[0])
        raise ArithmeticError("the picture fell off the wall")


class Refusing(Stripes):
    """Finds the portrait unusable, late."""

    def prepare(self, inputs: Inputs) -> Any:
        raise PortraitError("no face found, wanted one")


class Late(PreviewRenderer):
    """A mouth that is LATE_FRAMES25 behind its speech."""

    def prepare(self, inputs: Inputs) -> PreviewFeatures:
        return super().prepare(replace(inputs, speech=_Later(inputs.speech)))


@dataclass(frozen=True)
class _Later:
    """Speech that plays later than it was recorded."""

    recorded: SpeechReader

    @property
    def samples(self) -> int:
        return self.recorded.samples

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        late = LATE_FRAMES25 * SAMPLES_PER_FRAME
        return self.recorded.read(start - late, stop - late)


class Blackout(PreviewRenderer):
    """Shows nothing for half a second in the second chunk, until that is drawn anew."""

    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:
        start = chunk.body[0]
        dark = range(start + 20, start + 33) if self.is_dark(chunk) else range(0)
        for number, frame in enumerate(super().render(chunk, features, on_progress), start=chunk.out[0]):
            yield np.zeros_like(frame) if number in dark else frame

    def is_dark(self, chunk: ChunkSpec) -> bool:
        return chunk.index == 1 and chunk.redraw is None


class LastingBlackout(Blackout):
    """The same, however often it is drawn anew."""

    def is_dark(self, chunk: ChunkSpec) -> bool:
        return chunk.index == 1
