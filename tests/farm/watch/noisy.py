"""A renderer that talks as libraries do: by a logger that is not ours, from a thread, by Python's warnings."""

from __future__ import annotations

import logging
import threading
import warnings
from typing import TYPE_CHECKING, Any

from tests.renderers import Stripes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.renderer import Frame, OnProgress
    from engine.spec import ChunkSpec


class Noisy(Stripes):
    def render(self, chunk: ChunkSpec, features: Any, on_progress: OnProgress) -> Iterator[Frame]:
        foreign = logging.getLogger("torch.made_up")
        foreign.warning("low on memory")
        thread = threading.Thread(target=foreign.warning, args=("from a thread",))
        thread.start()
        thread.join()
        warnings.warn(f"an old call for {chunk.index}", DeprecationWarning, stacklevel=1)
        yield from super().render(chunk, features, on_progress)
