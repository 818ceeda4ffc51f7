"""One case: its weights to files, the files through the renderer's loader, its numbers against the reference's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from engine.sonic.weights import load_models
from tests.golden.checkpoint import write_checkpoint
from tests.golden.pictures import face_detect, preprocess, rife
from tests.golden.pipeline import pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from engine.sonic.weights.load import Models
    from tests.golden.cases import Case, Quantity

COMPUTED: dict[str, Callable[[Case, Models], Iterable[Quantity]]] = {
    "pipeline": pipeline,
    "preprocess": preprocess,
    "face_detect": face_detect,
    "rife": rife,
}


def run_case(case: Case, *, device: str = "cpu", dtype: str = "float32") -> list[Quantity]:
    """Every quantity of the case; the tolerances are those of float32 on the CPU."""
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        write_checkpoint(Path(folder), case)
        return list(COMPUTED[case.kind](case, load_models(Path(folder), device=device, dtype=dtype)))
