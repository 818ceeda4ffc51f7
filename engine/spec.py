"""What a render is asked for (`RenderSpec`), how it leaves (`OutputSpec`), what one worker is given (`ChunkSpec`)."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from engine.errors import SpecError

SPEECH_RATE = 16_000
"""Samples a second of the speech that renderers read."""
FRAME_RATE = 25
"""Frames a second of every video that leaves the farm."""
SAMPLES_PER_FRAME = SPEECH_RATE // FRAME_RATE
"""Speech samples under one output frame (640)."""
FRAMINGS = ("full", "face")
SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
"""Named output sizes: width and height in pixels."""
FITS = ("pad", "crop")
QUALITIES = ("draft", "standard", "master")
LARGEST_SIDE = 4096
"""Pixels that a side of the output has at most."""


@dataclass(frozen=True)
class Range:
    """The values a numeric parameter may take, ends included."""

    low: float
    high: float
    step: int | None = None

    def allows(self, value: float) -> bool:
        return self.low <= value <= self.high and (self.step is None or value % self.step == 0)

    def __str__(self) -> str:
        low, high = (str(edge) if isinstance(edge, int) else f"{edge:g}" for edge in (self.low, self.high))
        text = f"{low} to {high}"
        return f"{text} in steps of {self.step}" if self.step else text


RANGES: dict[str, Range] = {
    "seed": Range(0, 2**63 - 1),
    "steps": Range(1, 100),
    "dynamic_scale": Range(0.5, 2.0),
    "motion_scale": Range(0.5, 2.0),
    "expand_ratio": Range(0.0, 1.0),
    "min_resolution": Range(128, 2048, 64),
}
BLURRY_BELOW_STEPS = 10
"""Fewer denoising steps than this leave a visibly soft picture."""


@dataclass(frozen=True, kw_only=True)
class RenderSpec:
    """Everything but portrait and speech that decides a video's pixels.

    dynamic_scale: gain from the speech to the mouth. motion_scale: amplitude of mouth and head.
    expand_ratio: how far the face box grows before a `face` crop. min_resolution: pixels of the shorter side.

    Raises SpecError naming every parameter that is out of range.
    """

    renderer: str = "preview"
    seed: int = 0
    steps: int = 25
    dynamic_scale: float = 1.0
    motion_scale: float = 1.0
    expand_ratio: float = 0.5
    min_resolution: int = 512
    framing: str = "full"

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {value}, wanted {allowed}"
            for name, allowed in RANGES.items()
            if not allowed.allows(value := getattr(self, name))
        ]
        if self.framing not in FRAMINGS:
            problems.append(f"framing is {self.framing!r}, wanted one of {', '.join(FRAMINGS)}")
        if problems:
            raise SpecError(problems)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RenderSpec:
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise SpecError(
                [f"unknown parameter {name!r}, wanted one of {', '.join(sorted(known))}" for name in unknown]
            )
        return cls(**data)


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """How the frames that a renderer made leave the farm.

    size: "source" for what the renderer makes, a name of SIZES, or WxH in even pixels. fit: how another shape is
    filled, with borders or by cutting. paste_back: a `face` crop is put back into the photo. quality: the encoder's
    preset. smoothing: strength of the motion filter, None for the renderer's own. calibrate: correct the lag between
    mouth and speech. check: render what looks broken again. mark: write "AI-generated" into the picture.

    Raises SpecError naming every value that is wrong.
    """

    size: str = "source"
    fit: str = "pad"
    paste_back: bool = False
    quality: str = "standard"
    smoothing: float | None = None
    calibrate: bool = True
    check: bool = True
    mark: bool = False

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)!r}, wanted one of {', '.join(words)}"
            for name, words in (("fit", FITS), ("quality", QUALITIES))
            if getattr(self, name) not in words
        ]
        if self.smoothing is not None and not 0 <= self.smoothing <= 1:
            problems.append(f"smoothing is {self.smoothing}, wanted 0 to 1")
        if self.size != "source" and self.pixels is None:
            names = ", ".join(SIZES)
            problems.append(
                f"size is {self.size!r}, wanted source, {names}, or WxH of even sides, 64 to {LARGEST_SIDE} pixels"
            )
        if problems:
            raise SpecError(problems)

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height that are asked for; None for what the renderer makes."""
        if self.size in SIZES:
            return SIZES[self.size]
        found = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", self.size)
        if found is None:
            return None
        width, height = int(found[1]), int(found[2])
        fits = all(64 <= side <= LARGEST_SIDE and side % 2 == 0 for side in (width, height))
        return (width, height) if fits else None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Redraw:
    """gen_frames [start, stop) of a job whose chance comes from another seed than the job's own."""

    seed: int
    start: int
    stop: int


@dataclass(frozen=True)
class ChunkSpec:
    """A span of a job for one worker. Ranges are half open.

    kept: gen_frames [a, b) that are this chunk's own. span: gen_frames to render, kept grown by fade, reach and
    radius and clipped to the job. out: frames25 that must come out of the renderer, kept grown by the fade.
    head, tail: how many of the first and last of `out` are shared with a neighbour (0 at the job's own ends).
    redraw: what of the span is drawn anew; no plan has one.
    """

    index: int
    kept: tuple[int, int]
    span: tuple[int, int]
    out: tuple[int, int]
    head: int
    tail: int
    redraw: Redraw | None = None

    @property
    def frames25(self) -> int:
        """How many frames leave the renderer."""
        return self.out[1] - self.out[0]

    @property
    def body(self) -> tuple[int, int]:
        """frames25 that no neighbour shares: copied, never crossfaded."""
        return self.out[0] + self.head, self.out[1] - self.tail

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ChunkSpec:
        return cls(
            index=data["index"],
            kept=(data["kept"][0], data["kept"][1]),
            span=(data["span"][0], data["span"][1]),
            out=(data["out"][0], data["out"][1]),
            head=data["head"],
            tail=data["tail"],
            redraw=Redraw(**data["redraw"]) if data.get("redraw") else None,
        )
