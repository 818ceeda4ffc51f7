"""A renderer that only waits, and writes down when: for measuring what a farm does between two renders."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from engine.plan import Geometry
from engine.renderer import Inputs, OnProgress, Renderer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.renderer import Frame
    from engine.spec import ChunkSpec

RENDER_SECONDS = 2.0
LOG_VARIABLE = "FARM_BENCH_LOG"
"""The folder where each slot writes a line for each render: what happened between two of `stamp`, and `inside`."""
SIDE = 64


def stamp() -> tuple[float, float, float, float]:
    """Seconds: the machine's clock, processor time of this process; of its main thread what it waited for a core, and
    processor time.
    """
    waited_ns = int(Path("/proc/self/schedstat").read_text().split()[1])
    return time.monotonic(), time.process_time(), waited_ns / 1e9, time.thread_time()


class Waiting(Renderer):
    """Sleeps for RENDER_SECONDS in all, whatever the chunk, and gives grey frames between."""

    version = "1"
    geometry: ClassVar[Geometry] = Geometry(fade=2)

    def load(self, device: str) -> None:  # noqa: ARG002 - one device is as slow as another
        self._log = (Path(os.environ[LOG_VARIABLE]) / f"{os.environ['FARM_SLOT']}.jsonl").open("a", buffering=1)

    def prepare(self, inputs: Inputs) -> Any:
        return inputs.spec.seed

    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:  # noqa: ARG002
        begin, inside, frames = stamp(), 0.0, len(range(*chunk.out))
        try:
            for position in range(frames):
                since = time.monotonic()
                on_progress(position / frames)
                time.sleep(RENDER_SECONDS / frames)
                frame = np.full((SIDE, SIDE, 3), 128, np.uint8)
                inside += time.monotonic() - since
                yield frame
        finally:  # one that is stopped with the farm lies in what was measured with most of its time
            self._log.write(json.dumps({"begin": begin, "end": stamp(), "inside": inside}) + "\n")

    def close(self) -> None:
        self._log.close()
