"""What a Sonic render is asked for, checked when built, and the numbers that the model was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.errors import SpecError
from engine.spec import FRAMINGS, RANGES, Range, RenderSpec

GEN_FPS = 12.5
"""Frames a second that the model generates, and its first time id (docs/sonic.md#time, #unet)."""
LATENT_SCALE = 0.18215
"""From the VAE's units to the UNet's (docs/sonic.md#portrait, #pixels)."""
LATENT_PIXELS = 8
"""Pixels of the portrait along one side of a latent (docs/sonic.md#portrait)."""
SIGMA_MIN, SIGMA_MAX = 0.002, 700.0
"""Ends of the Karras schedule (docs/sonic.md#denoising)."""
WINDOW, SHIFT, OVERLAP = 25, 7, 0
"""gen_frames denoised together, by how many they shift a step, and what neighbours share (docs/sonic.md#windows)."""
APPEARANCE_GUIDANCE, AUDIO_GUIDANCE = 2.0, 7.5
"""Weights of the two guidance differences (docs/sonic.md#denoising)."""
AUDIO_CACHE_BYTES = 256 * 2**20
"""Projected keys and values of audio tokens that a render keeps at most (docs/sonic.md#cost)."""

DTYPES = ("float16", "bfloat16", "float32")
MEMORY_MODES = ("auto", "fast", "lean")

SONIC_RANGES: dict[str, Range] = {
    **RANGES,
    "appearance_guidance": Range(0.0, 20.0),
    "audio_guidance": Range(0.0, 20.0),
    "window": Range(1, 256),
    "shift": Range(0, 255),
    "overlap": Range(0, 255),
    "decode_batch": Range(1, 64),
    "audio_cache_bytes": Range(0, 2**40),
}


@dataclass(frozen=True, kw_only=True)
class SonicConfig:
    """Everything but portrait, speech and weights that decides a Sonic render.

    dynamic_scale multiplies both motion buckets, motion_scale the audio attention term. window, shift and overlap
    are in gen_frames; decode_batch is gen_frames through the VAE's decoder at a time. memory: `fast` runs the three
    guidance branches in one batch, `lean` one after another in slices, `auto` chooses by free memory.

    Raises SpecError naming every value that is out of range.
    """

    steps: int = 25
    dynamic_scale: float = 1.0
    motion_scale: float = 1.0
    expand_ratio: float = 0.5
    framing: str = "full"
    min_resolution: int = 512
    appearance_guidance: float = APPEARANCE_GUIDANCE
    audio_guidance: float = AUDIO_GUIDANCE
    window: int = WINDOW
    shift: int = SHIFT
    overlap: int = OVERLAP
    decode_batch: int = 8
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    memory: str = "auto"
    audio_cache_bytes: int = AUDIO_CACHE_BYTES

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {value}, wanted {allowed}"
            for name, allowed in SONIC_RANGES.items()
            if not allowed.allows(value := getattr(self, name))
        ]
        for name, words in (("framing", FRAMINGS), ("dtype", DTYPES), ("memory", MEMORY_MODES)):
            if getattr(self, name) not in words:
                problems.append(f"{name} is {getattr(self, name)!r}, wanted one of {', '.join(words)}")
        if self.overlap >= self.window:
            problems.append(f"overlap is {self.overlap}, wanted less than the window of {self.window}")
        if problems:
            raise SpecError(problems)

    @classmethod
    def from_spec(cls, spec: RenderSpec, **overrides: Any) -> SonicConfig:
        """The config of a job: its spec's parameters, and what the slot knows better (device, dtype, memory)."""
        shared = ("seed", "steps", "dynamic_scale", "motion_scale", "expand_ratio", "min_resolution", "framing")
        return cls(**{name: getattr(spec, name) for name in shared} | overrides)
