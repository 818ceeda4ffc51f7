"""Steadier motion: each frame is moved to where its neighbours on both sides say that its content should be.

Positions are filtered, never pixels. What moves from frame to frame is measured by DIS optical flow; of the flow only
what large areas have in common is kept, which is the head and what it carries, not the lips; that path is filtered
without phase, and the frame is warped from its own place on the path to the filtered one. Lips open as they did, at
the same moment, and no picture is averaged with another.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from engine.errors import RenderError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from engine.renderer import Frame
    from engine.spec import ChunkSpec

    Motion = NDArray[np.float32]
    """How far content moves, [rows, columns, 2]: x, y in pixels of the small frame that flow is seen at, by cells."""

RADIUS = 4
"""frames25 on each side that a frame's result depends on."""
FULL_SIGMA = 5.0
"""frames25, at strength 1, of the bell by which neighbours are weighed; a strength is a share of it."""
_FLOW_SIDE = 256  # pixels of the shorter side at which flow is seen: finer was dearer and no better
_CELL = 4  # pixels of that to one value of a motion
_LIP_SHARE = 3  # what fills less than half of a square of this part of the shorter side does not count as the head
_QUANTUM = 32  # parts of a pixel that a motion is counted in; 8 bits of them reach 4 pixels either way
_ZERO = 128


def grown(chunk: ChunkSpec, frames25: int) -> ChunkSpec:
    """The chunk with the neighbours that its frames are filtered from, in a job of `frames25` frames."""
    start, stop = chunk.out
    return replace(chunk, out=(max(0, start - RADIUS), min(frames25, stop + RADIUS)))


def smoothed(frames: Iterable[Frame], strength: float, *, before: int = 0, after: int = 0) -> Iterator[Frame]:
    """The frames with less jitter, in order; of 2 * RADIUS + 1 at a time.

    strength: 0 (the frames as they are) to 1. before, after: how many of the first and last are neighbours alone and
    not given back. A frame looks at as many neighbours on one side as on the other, up to RADIUS: an end of `frames`
    has to be the job's own or lie RADIUS frames beyond what is given back.
    Raises SpecError for another strength, RenderError for frames of unlike sizes.
    """
    if not 0 <= strength <= 1:
        raise SpecError([f"smoothing is {strength}, wanted 0 to 1"])
    if not (0 <= before <= RADIUS and 0 <= after <= RADIUS):
        raise SpecError([f"smoothing has {before} and {after} neighbours, wanted 0 to {RADIUS}"])
    number = -1
    held: deque[_Held] = deque(maxlen=2 * RADIUS + 1)
    flow = _Flow() if strength else None
    for number, frame in enumerate(frames):
        held.append(_Held(frame, flow.motion_to(frame) if flow else None))
        if number - RADIUS >= before:
            yield _steadied(held, len(held) - 1 - RADIUS, strength)
    for back in range(min(RADIUS, number + 1), after, -1):
        if number + 1 - back >= before:
            yield _steadied(held, len(held) - back, strength)


@dataclass(frozen=True)
class _Held:
    """A frame, and how its content moved from the frame before; None where nothing is to be steadied."""

    frame: Frame
    motion: Motion | None


class _Flow:
    """Motions between consecutive frames; each depends on its two frames alone."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._last: NDArray[np.uint8] | None = None
        self._shape: tuple[int, ...] = ()

    def motion_to(self, frame: Frame) -> Motion:
        """From the frame that was given last to this one; zero for the first."""
        if self._last is None:
            self._shape = frame.shape
        if frame.shape != self._shape:
            raise RenderError(f"a frame is {frame.shape}, the ones before {self._shape}: their motion cannot be seen")
        grey = _grey(frame)
        flow = self._dis.calc(grey if self._last is None else self._last, grey, None)  # type: ignore[call-overload]
        self._last = grey
        return _of_the_head(flow)


def _grey(frame: Frame) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    share = min(1.0, _FLOW_SIDE / min(height, width))
    small = cv2.resize(frame, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _of_the_head(flow: NDArray[np.float32]) -> Motion:
    """The flow without what less than half of a wide neighbourhood does: a median, for it keeps the head's outline.

    A mean would carry the background along beside the head, and the head with the lips.
    """
    height, width = flow.shape[0] // _CELL, flow.shape[1] // _CELL
    cells = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA)
    # a wide median is quick in 8 bits alone
    counted = np.clip(np.rint(cells * _QUANTUM) + _ZERO, 0, 255).astype(np.uint8)
    kernel = 2 * (min(height, width) // (2 * _LIP_SHARE)) + 1
    common = [cv2.medianBlur(np.ascontiguousarray(counted[:, :, axis]), kernel) for axis in (0, 1)]
    motion: Motion = (np.dstack(common).astype(np.float32) - np.float32(_ZERO)) / np.float32(_QUANTUM)
    return motion


def _steadied(held: Sequence[_Held], place: int, strength: float) -> Frame:
    """The frame at `place` among those held, moved to its filtered place."""
    # a window that leans to one side would pull a moving head along
    radius = min(RADIUS, place, len(held) - 1 - place)
    frame = held[place].frame
    if not strength or not radius:
        return frame
    return _warped(frame, _to_filtered_place(held, place, _bell(strength * FULL_SIGMA, radius)))


def _bell(sigma: float, radius: int) -> NDArray[np.float32]:
    """Weights of the neighbours 1 to `radius` away; those of both sides and of the frame itself sum to 1."""
    weights = np.exp(-((np.arange(radius + 1) / sigma) ** 2) / 2)
    shares: NDArray[np.float32] = (weights / (2 * weights.sum() - weights[0])).astype(np.float32)
    return shares[1:]


def _to_filtered_place(held: Sequence[_Held], place: int, weights: NDArray[np.float32]) -> Motion:
    """From where the frame's content is to the weighted mean of where it is in its neighbours."""
    moved = np.zeros_like(held[place].motion)
    ahead, behind = moved.copy(), moved.copy()
    for away, weight in enumerate(weights, start=1):
        # paths are short against the size of what moves: motions are added up without following their content
        ahead += held[place + away].motion
        behind -= held[place - away + 1].motion
        moved += weight * (ahead + behind)
    return moved


def _warped(frame: Frame, moved: Motion) -> Frame:
    """The frame with its content moved, [height, width, 3]; the very frame where nothing moves."""
    if not moved.any():
        return frame
    height, width = frame.shape[:2]
    scale = np.float32(1 / min(1.0, _FLOW_SIDE / min(height, width)))
    pixels = cv2.resize(moved * scale, (width, height), interpolation=cv2.INTER_LINEAR)
    x = np.arange(width, dtype=np.float32)[None, :] - pixels[:, :, 0]
    y = np.arange(height, dtype=np.float32)[:, None] - pixels[:, :, 1]
    # cubic: linear sampling would soften a frame by how far it happens to move
    return np.asarray(cv2.remap(frame, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)
