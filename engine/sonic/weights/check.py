"""Whether a folder holds the model files that are wanted, all of them, whole and of one architecture."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from engine.errors import WeightsError
from engine.sonic.weights.detector import load_detector
from engine.sonic.weights.layout import FILES, WeightFile, size_text
from engine.sonic.weights.parts import SIZED_BY, ConfigError, config_of, is_released, wanted_shapes
from engine.sonic.weights.tensors import Tensor, differences, header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

State = Literal["ok", "wrong", "missing", "not judged", "not needed"]
ANY_FLOAT = ("float16", "bfloat16", "float32")


@dataclass(frozen=True)
class Finding:
    """What was found of one file; `facts` is a few words about it, `problems` has one sentence each."""

    file: WeightFile
    state: State
    facts: str = ""
    problems: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        return self.state in ("ok", "not needed")

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.file.path,
            "state": self.state,
            "facts": self.facts,
            "problems": list(self.problems),
            "repository": self.file.origin.repo,
            "remote": self.file.remote,
        }


def check(folder: Path) -> Iterator[Finding]:
    """One finding a file, as they are read: keys, shapes and types, never the numbers."""
    for file in FILES:
        yield _finding(file, folder)


def model_name(folder: Path) -> str:
    """Which model the folder's configuration describes: "released", "another size", or "unknown" where none is."""
    try:
        return "released" if is_released(folder) else "another size"
    except WeightsError:
        return "unknown"


def problems_of_weights(
    file: WeightFile, folder: Path, found: dict[str, Tensor], *, dtypes: tuple[str, ...] = ANY_FLOAT
) -> list[str]:
    """What keeps a weights file's tensors from being what the folder's configurations say; empty when all is right."""
    shapes = {key: tensor.shape for key, tensor in found.items()}
    if absent := [key for key in SIZED_BY.get(file.part, ()) if len(shapes.get(key, ())) != 2]:
        return [f"key {key} is missing, or no matrix" for key in absent]
    wanted = wanted_shapes(file.part, folder, shapes)
    return differences(wanted, found, dtypes=dtypes)


def _finding(file: WeightFile, folder: Path) -> Finding:
    path = file.found_in(folder)
    if not path.is_file():
        if not file.needed:
            return Finding(file, "not needed", "Sonic/unet.pth holds every one of its weights")
        return Finding(file, "missing", problems=(f"{file.path} is missing; it is {file.source}",))
    try:
        facts = _facts(file, folder)
    except WeightsError as error:
        if isinstance(error, ConfigError) and file.kind != "config":  # that file is named by itself
            return Finding(file, "not judged", f"its configuration is not right: {error}")
        return Finding(file, "wrong", problems=tuple(error.problems))
    return Finding(file, "ok", f"{size_text(path.stat().st_size)}, {facts}")


def _facts(file: WeightFile, folder: Path) -> str:
    """A few words about a file that is right; raises WeightsError where it is not."""
    if file.kind == "torchscript":
        load_detector(folder)
        return "TorchScript that answers [1, n, 16]"
    if file.kind == "config":
        return _config_facts(file, folder)
    found = header(file, folder)
    named = ("float16",) if ".fp16." in file.path else ANY_FLOAT  # a file should hold what its name says
    if lines := problems_of_weights(file, folder, found, dtypes=named):
        raise WeightsError([f"{file.found_in(folder)}: {line}; it should be {file.source}" for line in lines])
    millions = sum(math.prod(tensor.shape) for tensor in found.values()) / 1e6
    return f"{len(found)} keys, {millions:.1f} M weights, {' and '.join(sorted({t.dtype for t in found.values()}))}"


def _config_facts(file: WeightFile, folder: Path) -> str:
    if file.path.endswith("preprocessor_config.json"):
        try:
            json.loads((folder / file.path).read_bytes())
        except ValueError as error:
            raise WeightsError([f"{file.path} is no JSON ({error}); it is {file.source}"]) from error
        return "configuration"
    config = config_of(file.part, folder)
    if file.part != "scheduler":
        wanted_shapes(file.part, folder, {})  # raises where no model can be built from it
    return str(config.get("_class_name") or (config.get("architectures") or [config.get("model_type")])[0])
