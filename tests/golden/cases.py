"""Golden cases as they lie in folders, and how a quantity computed here is held against the reference's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.numpy import load_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KINDS = ("pipeline", "preprocess", "face_detect", "rife")

ONE_PASS = 1e-4
"""For one pass and the speech features, float32: of the reference's standard deviation."""
LOOP = 1e-3
"""For latents and frames after the whole loop."""
EIGHT_BIT = 1.0
"""For 8-bit pictures: levels of 255."""
HALF = 2e-3
"""For arrays that the case stores in fp16."""
EXACT = 0.0
"""For boxes and sizes."""


class NoCaseError(Exception):
    """Raised for a folder that is no golden case."""


@dataclass(frozen=True)
class Case:
    """One folder: case.json and tensors.safetensors; `kind` is its name without a trailing _<suffix>."""

    name: str
    kind: str
    facts: Any
    tensors: dict[str, np.ndarray]


@dataclass(frozen=True)
class Quantity:
    """One line of the report."""

    case: str
    name: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance  # false for an error that is no number

    def __str__(self) -> str:
        verdict = "ok" if self.ok else "FAIL"
        return f"{self.case:<16} {self.name:<22} {self.error:<10.3g} {self.tolerance:<8g} {verdict}"


def kind_of(folder: Path) -> str:
    """The kind by the folder's name. Raises NoCaseError for any other name, and where there is no case in it."""
    name = folder.resolve().name
    kind = next((kind for kind in KINDS if name == kind or (name.startswith(f"{kind}_") and name != f"{kind}_")), None)
    if kind is None:
        raise NoCaseError(f"{folder} is no golden case, wanted a folder named {', '.join(KINDS)} or one of them_suffix")
    for file in ("case.json", "tensors.safetensors"):
        if not (folder / file).is_file():
            raise NoCaseError(f"{folder} is no golden case, it has no {file}")
    return kind


def load_case(folder: Path) -> Case:
    facts = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    return Case(folder.resolve().name, kind_of(folder), facts, load_file(folder / "tensors.safetensors"))


@dataclass(frozen=True)
class Against:
    """Holds values computed here against a case's own."""

    case: Case

    def reference(self, name: str, computed: Any, *, tolerance: float, wanted: Any = None) -> Quantity:
        """The largest error, relative to the standard deviation of the reference: tensor `name`, or `wanted`."""
        expected = _numbers(self.case.tensors[name] if wanted is None else wanted)
        found = _numbers(computed)
        if found.shape != expected.shape:
            return Quantity(self.case.name, f"{name} {found.shape}", float("nan"), tolerance)
        return Quantity(self.case.name, name, _largest(found - expected) / float(expected.std()), tolerance)

    def levels(self, name: str, computed: Any) -> Quantity:
        """The largest error of an 8-bit picture, in levels of 255."""
        found, expected = _numbers(computed), _numbers(self.case.tensors[name])
        if found.shape != expected.shape:
            return Quantity(self.case.name, f"{name} {found.shape}", float("nan"), EIGHT_BIT)
        return Quantity(self.case.name, name, _largest(found - expected), EIGHT_BIT)

    def exact(self, name: str, computed: Sequence[Any], expected: Sequence[Any]) -> Quantity:
        """Boxes and sizes: not a bit of difference."""
        found, wanted = _numbers(computed), _numbers(expected)
        error = _largest(found - wanted) if found.shape == wanted.shape else float("nan")
        return Quantity(self.case.name, name, error, EXACT)


def _numbers(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.float().cpu()  # from wherever it was computed; numpy knows no bfloat16
    return np.asarray(values).astype(np.float64)


def _largest(difference: np.ndarray) -> float:
    return float(np.abs(difference).max()) if difference.size else 0.0
