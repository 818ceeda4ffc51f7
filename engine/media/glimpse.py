"""A few frames of a video of any length: the files say where each lies, and only what leads to it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from av.codec.context import ThreadType

from engine.errors import RenderError
from engine.media.reader import opened, to_rgb, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.renderer import Frame

BUDGET = 300e6
"""Pixels that are decoded at most for one purpose: below a second of one core."""


@dataclass(frozen=True)
class Index:
    """Where frames lie. times: in the stream's ticks, of each frame; keys: numbers of key frames, in order."""

    times: NDArray[np.int64]
    keys: NDArray[np.intp]

    @property
    def cost(self) -> NDArray[np.intp]:
        """For each frame, how many have to be decoded before it."""
        numbers = np.arange(len(self.times))
        return numbers - self.keys[np.searchsorted(self.keys, numbers, side="right") - 1]


class Glimpses:
    """A video that is looked into; to be used as a context. `size` is (width, height)."""

    def __init__(self, video: Path) -> None:
        self._path = video
        self._file = opened(video)
        self._stream = self._file.streams.video[0]
        # a few frames at a time: threads would decode more than is asked for
        self._stream.codec_context.thread_type = ThreadType.NONE
        self.size = self._stream.codec_context.width, self._stream.codec_context.height
        entries = [(entry.timestamp, entry.is_keyframe) for entry in self._stream.index_entries]
        if not entries or not entries[0][1]:
            raise RenderError(f"{video.name} has no frame that can be shown first")
        times, keys = (np.array(column) for column in zip(*entries, strict=True))
        self.index = Index(times, np.flatnonzero(keys))

    def __enter__(self) -> Glimpses:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def within(self, count: int) -> NDArray[np.intp]:
        """The frames of which any `count` can be shown within the budget."""
        if len(self.index.times) * self._pixels <= BUDGET:
            return np.arange(len(self.index.times))
        # frames behind one key frame are decoded on the way to each other
        runs = min(count, len(self.index.keys))
        return np.flatnonzero(self.index.cost < max(1, BUDGET / self._pixels / runs))

    def show(self, numbers: Iterable[int]) -> Iterator[tuple[int, Frame]]:
        """The frames of these numbers, in order of time, each [height, width, 3] RGB."""
        wanted = sorted(set(numbers))
        starts = self.index.keys[np.searchsorted(self.index.keys, wanted, side="right") - 1]
        for start in np.unique(starts):
            yield from self._run(
                int(start), [number for number, key in zip(wanted, starts, strict=True) if key == start]
            )

    @property
    def _pixels(self) -> int:
        return self.size[0] * self.size[1]

    def _run(self, start: int, wanted: list[int]) -> Iterator[tuple[int, Frame]]:
        """Frames that follow one key frame."""
        self._file.seek(int(self.index.times[start]), stream=self._stream)
        left = list(wanted)
        for picture in whole(self._path, self._file.decode(self._stream)):
            if picture.pts == self.index.times[left[0]]:
                yield left.pop(0), to_rgb(picture)
            if not left:
                return
        raise RenderError(f"{self._path.name} is damaged: frame {left[0]} cannot be shown")
