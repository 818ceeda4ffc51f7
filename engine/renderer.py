"""The Renderer contract, the renderers there are, and how one is loaded by name."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from engine.errors import MissingExtraError, UnknownRendererError
from engine.hearing import Hears, preview_hears, sonic_hears
from engine.plan import Geometry

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from engine.hearing import Touched
    from engine.spec import ChunkSpec, RenderSpec

    Frame = NDArray[np.uint8]
    """One picture: [height, width, 3], 8-bit RGB."""
    Crop = tuple[int, int, int, int]
    """Part of the upright photo: x0, y0, x1, y1 in its pixels, half open."""

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


@dataclass(frozen=True)
class Device:
    """What a renderer found itself on. memory_mb: all of it. most_pixels: the largest frame that fits, None for any."""

    name: str
    memory_mb: int
    most_pixels: int | None = None


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
        """Yield frames25 [chunk.out) in order, each [height, width, 3] RGB, all of one size.

        A frame is copied before the next is asked for.
        """

    @staticmethod
    def hears(chunk: ChunkSpec, gen_frames: int, spec: RenderSpec) -> Touched | None:  # noqa: ARG004 - see Hears
        """What of the speech decides the chunk's frames, in a job of `gen_frames`; None: all of it, and its length.

        A chunk whose part of the speech is that of one rendered before is not rendered again.
        """
        return None

    def identity(self) -> dict[str, str]:
        """What decides its pixels beside version, inputs and spec, once it is loaded: weights, precision."""
        return {}

    def facts(self, features: Any) -> dict[str, str]:  # noqa: ARG002 - a renderer that has facts looks at it
        """What the reports say of a render beyond the spec: weights, precision, memory mode."""
        return {}

    def crop(self, features: Any) -> Crop | None:  # noqa: ARG002 - a renderer that crops looks at it
        """The part of the photo that the frames show, all of it the same; None where that cannot be said."""
        return None

    def device(self) -> Device | None:
        """The device it is loaded on, where it has one of its own."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Give the device's memory back."""


@dataclass(frozen=True)
class BuiltIn:
    """A renderer that comes with the farm. target: module:Class. licence: of its weights, shown with every job.
    smoothing: strength of the motion filter behind it, where a job does not say.

    Geometry and hearing stand here so that a worker without torch can plan for a renderer that needs it.
    """

    target: str
    geometry: Geometry
    hears: Hears
    licence: str = ""
    smoothing: float = 0.0


BUILT_IN: Mapping[str, BuiltIn] = {
    "preview": BuiltIn("engine.preview.renderer:PreviewRenderer", Geometry(), preview_hears),
    "sonic": BuiltIn(
        "engine.sonic.renderer:SonicRenderer",
        Geometry(reach=25, window=25),
        sonic_hears,
        licence="Sonic weights: CC BY-NC-SA 4.0, not for commercial use; SVD: Stability AI Community License",
        smoothing=0.3,
    ),
}
"""The renderers that come with the farm, by name."""


def targets_of(declarations: Iterable[str]) -> dict[str, str]:
    """Renderer name -> module:Class, for declarations NAME (a built-in one) or NAME=module:Class.

    Raises UnknownRendererError for a bare name that is not built in.
    """
    targets = {}
    for declaration in declarations:
        name, _, target = declaration.partition("=")
        if not target and name not in BUILT_IN:
            raise UnknownRendererError(f"renderer {name!r} does not come with the farm, wanted NAME=module:Class")
        targets[name] = target or BUILT_IN[name].target
    return targets


def geometry_of(name: str, declared: Mapping[str, str], reaches: Mapping[str, int]) -> Geometry:
    """What the plan of a renderer needs: a built-in one's from the table, another's from its class.

    reaches: of built-in renderers, where another is set than the table's.
    """
    if name in BUILT_IN and declared.get(name, BUILT_IN[name].target) == BUILT_IN[name].target:
        return known_geometry(name, reaches)
    return renderer_class(name, declared).geometry


def hears_of(name: str, declared: Mapping[str, str]) -> Hears:
    """What of the speech a renderer's chunks depend on: a built-in one's from the table, another's from its class."""
    if name in BUILT_IN and declared.get(name, BUILT_IN[name].target) == BUILT_IN[name].target:
        return BUILT_IN[name].hears
    return renderer_class(name, declared).hears


def known_geometry(name: str, reaches: Mapping[str, int]) -> Geometry:
    """The same where the classes of others cannot be imported: for those as if they had neither reach nor window."""
    if name not in BUILT_IN:
        return Geometry()
    geometry = BUILT_IN[name].geometry
    return replace(geometry, reach=reaches.get(name, geometry.reach))


def renderer_class(name: str, declared: Mapping[str, str]) -> type[Renderer]:
    """The class behind a declared name; imports it, loads nothing.

    Raises UnknownRendererError for a name that is not declared and for a declaration that leads nowhere,
    MissingExtraError where an optional package is not installed.
    """
    if name not in declared:
        raise UnknownRendererError(f"renderer {name!r} is not declared here, there are: {', '.join(sorted(declared))}")
    module_name, _, class_name = declared[name].partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except ModuleNotFoundError as error:
        if name in BUILT_IN and not (error.name or "").startswith("engine"):
            raise MissingExtraError(f"renderer {name!r}", name) from error
        raise UnknownRendererError(f"renderer {name!r}: {declared[name]!r} cannot be imported: {error}") from error
    except AttributeError as error:
        raise UnknownRendererError(f"renderer {name!r}: {declared[name]!r} is not there: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Renderer)):
        raise UnknownRendererError(f"renderer {name!r} is declared as {declared[name]!r}, which is no Renderer")
    return found


def load_renderer(name: str, device: str, declared: Mapping[str, str] | None = None) -> Renderer:
    """A renderer, loaded on `device` and ready to prepare a job; by default any that comes with the farm."""
    renderer = renderer_class(name, targets_of(BUILT_IN) if declared is None else declared)()
    renderer.load(device)
    return renderer
