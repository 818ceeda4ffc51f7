"""The face detector's TorchScript file, loaded and tried once."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from engine.errors import WeightsError
from engine.sonic.face import SHORTER_SIDE, STRIDES
from engine.sonic.weights.layout import file_of

if TYPE_CHECKING:
    from pathlib import Path

PREDICTION = 16
"""Numbers a prediction has: box, objectness, five landmarks, class score (docs/sonic.md#portrait)."""


def load_detector(folder: Path) -> torch.jit.ScriptModule:
    """The detector, in float32 on the CPU always: it looks once at a portrait, and no GPU should move its boxes.

    Raises WeightsError where the file is missing or is no such detector.
    """
    file = file_of("detector")
    path = folder / file.path
    if not path.is_file():
        raise WeightsError([f"{path} is missing; it is {file.source}"])
    try:
        with warnings.catch_warnings():
            # torch would rather have exported programs; the released detector is TorchScript and stays it
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
            detector: torch.jit.ScriptModule = torch.jit.load(path, map_location="cpu").eval()
        found = tuple(_answer_to_black(detector).shape)
    except (RuntimeError, ValueError, TypeError) as error:
        said = str(error).strip().rpartition("\n")[2]
        raise WeightsError([f"{path} is no TorchScript detector that runs ({said}); it is {file.source}"]) from error
    if len(found) != 3 or found[0] != 1 or found[2] != PREDICTION:
        raise WeightsError([f"{path} answers {list(found)}, wanted [1, n, {PREDICTION}]; it is {file.source}"])
    return detector


def _answer_to_black(detector: torch.jit.ScriptModule) -> torch.Tensor:
    grids = [torch.zeros(1, 1, SHORTER_SIDE // stride, SHORTER_SIDE // stride, 2) for stride in STRIDES]
    with torch.inference_mode():
        answer: torch.Tensor = detector(torch.zeros(1, 3, SHORTER_SIDE, SHORTER_SIDE), grids)
    return answer
