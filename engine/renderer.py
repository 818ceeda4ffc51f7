"""The Renderer contract, the renderers there are, and how one is loaded by name."""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from engine.errors import UnknownRendererError
from engine.plan import Geometry

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from engine.spec import ChunkSpec, RenderSpec

    Frame = NDArray[np.uint8]
    """One picture: [height, width, 3], 8-bit RGB."""

OnProgress = Callable[[float], None]
"""Called with the share done, 0 to 1, at least once a second of work; it may raise to stop the render."""


class SpeechReader(Protocol):
    """The job's speech, 16 kHz mono, read by range so that no worker holds hours of it."""

    samples: int

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        """Samples [start, stop) as int16 [stop - start]; what lies outside the speech is zero."""
        ...


@dataclass(frozen=True)
class Inputs:
    """What a job gives its renderer. The portrait's file is there during `prepare` alone, the speech for good."""

    portrait: Path
    speech: SpeechReader
    spec: RenderSpec
    frames25: int
    gen_frames: int


class Renderer(ABC):
    """Turns chunks into frames. One is loaded per slot and kept; nothing of a job may stay on it.

    A call order that always holds: load once; prepare when the job changes; render for each chunk; close once.
    """

    geometry: ClassVar[Geometry] = Geometry()
    """Its window and reach: what the plan must leave around the frames that are kept."""
    version: ClassVar[str]
    """Changes whenever the same inputs would give other pixels."""

    @abstractmethod
    def load(self, device: str) -> None:
        """Make ready on `device` ("cpu", "cuda"); slow, done once."""

    @abstractmethod
    def prepare(self, inputs: Inputs) -> Any:
        """Features of a job's portrait and speech, kept by the worker while it stays on the job.

        Raises InputError for a portrait or speech that cannot be rendered.
        """

    @abstractmethod
    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:
        """Yield frames25 [chunk.out) in order, each [height, width, 3] RGB, all of one size."""

    @abstractmethod
    def close(self) -> None:
        """Give the device's memory back."""


BUILT_IN: Mapping[str, str] = {"preview": "engine.preview.renderer:PreviewRenderer"}
"""Renderer name -> where its class is."""


def renderer_class(name: str, declared: Mapping[str, str] = BUILT_IN) -> type[Renderer]:
    """The class behind a declared name; imports it, loads nothing.

    Raises UnknownRendererError for a name that is not declared and for a declaration that leads nowhere.
    """
    if name not in declared:
        raise UnknownRendererError(f"renderer {name!r} is not declared here, there are: {', '.join(sorted(declared))}")
    module_name, _, class_name = declared[name].partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise UnknownRendererError(
            f"renderer {name!r} is declared as {declared[name]!r}, which cannot be imported: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Renderer)):
        raise UnknownRendererError(f"renderer {name!r} is declared as {declared[name]!r}, which is no Renderer")
    return found


def load_renderer(name: str, device: str, declared: Mapping[str, str] = BUILT_IN) -> Renderer:
    """A renderer, loaded on `device` and ready to prepare a job."""
    renderer = renderer_class(name, declared)()
    renderer.load(device)
    return renderer
