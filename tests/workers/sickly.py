"""A renderer made for tests that goes wrong on the slots that a file says, and as the file says."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.renderers import Stripes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.renderer import Frame, Inputs, OnProgress
    from engine.spec import ChunkSpec


def illness() -> str:
    """What the file of this slot says, nothing where there is none."""
    try:
        return (Path(os.environ["FARM_TEST_ILL"]) / os.environ["FARM_SLOT"]).read_text()
    except FileNotFoundError:
        return ""


class Sickly(Stripes):
    """raise: fails always. liar: fails at jobs, draws the probe inside out. full: has no disk. held: waits."""

    def prepare(self, inputs: Inputs) -> Any:
        return inputs.portrait.parent.name == "probe"

    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:
        while (ill := illness()) == "held":
            Event().wait(0.02)
        if ill == "full":
            raise OSError(28, "No space left on device")
        if ill == "raise" or (ill == "liar" and not features):
            raise ArithmeticError("this GPU has fallen off the bus")
        for frame in super().render(chunk, features, on_progress):
            yield np.asarray(255 - frame, np.uint8) if ill else frame
