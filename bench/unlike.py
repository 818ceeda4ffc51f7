"""A renderer whose neighbouring chunks disagree, as Sonic's do: what that costs a whole farm, bench/lesson.py asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.plan import Geometry
from engine.preview.renderer import PreviewRenderer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.preview.renderer import PreviewFeatures
    from engine.renderer import Frame, OnProgress
    from engine.spec import ChunkSpec

SHIFT, LIFT = 1, 1
"""Pixels to the right, levels brighter: little, for seams that are seen have their chunks rendered again."""


class Unlike(PreviewRenderer):
    """The preview, but every second chunk lies aside and is brighter; as a reach says, neighbours may differ."""

    geometry = Geometry(reach=25)

    def render(self, chunk: ChunkSpec, features: PreviewFeatures, on_progress: OnProgress) -> Iterator[Frame]:
        for frame in super().render(chunk, features, on_progress):
            yield unlike(frame) if chunk.index % 2 else frame


def unlike(frame: Frame) -> Frame:
    """The same picture, aside and brighter; what leaves it on the right comes back on the left."""
    return np.roll(np.minimum(frame, 255 - LIFT) + np.uint8(LIFT), SHIFT, axis=1)
