"""The model files: what lies where, whether it is right, how it gets there, and how it is loaded.

Importing this needs no torch; what checks, fetches, makes up and loads does. `python -m engine.sonic.weights` runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import MissingExtraError
from engine.sonic.weights.identity import identity

if TYPE_CHECKING:
    from engine.sonic.weights.load import Models

__all__ = ["identity", "load_models"]


def load_models(folder: Path, *, device: str, dtype: str) -> Models:
    """Every model of a render, on `device` in `dtype` ("float16", "bfloat16", "float32").

    Raises WeightsError naming a file that is missing or the keys and shapes that are wrong; MissingExtraError where
    torch, diffusers or transformers is not installed.
    """
    require_torch()
    from engine.sonic.weights.load import load

    return load(Path(folder), device=device, dtype=dtype)


def require_torch() -> None:
    """Raise MissingExtraError where the packages that read the weights are not installed."""
    from importlib.util import find_spec

    if not all(find_spec(package) for package in ("torch", "diffusers", "transformers", "safetensors")):
        raise MissingExtraError("the Sonic renderer", "sonic")
