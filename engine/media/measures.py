"""What can be said of a chunk's frames in a number or two each, whoever drew them.

Taken while frames go by, before they are scaled: 8-bit RGB. The numbers travel in segment.json.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from engine.errors import RenderError
from engine.media.likeness import SAME_FACE, PortraitFace, Seen
from engine.media.mouth import MouthMeter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from engine.renderer import Frame
    from engine.spec import ChunkSpec

    Numbers = tuple[float, ...]
    Gaps = tuple[float | None, ...]

LOOK_EVERY = 25
"""The face is searched in each chunk's first frame25 and in those of the job whose number divides by this."""
LOOK_AGAIN = (8, 16)
"""frames25 after a look that did not show the portrait's face, at which it is searched again."""

_GRID = 16  # cells along each side of a frame, of which the brightest is noted
_SAMPLED = 128  # pixels of the shorter side that are looked at for it
_AROUND = 0.25  # face widths around the face that count as its surroundings
_LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601


@dataclass(frozen=True)
class Look:
    """The face in frame25 `frame`: its box (x0, y0, x1, y1) in pixels and its likeness; both None where none is."""

    frame: int
    likeness: float | None
    box: tuple[int, int, int, int] | None


@dataclass(frozen=True)
class Measures:
    """Measures of frames25 [start, start + len(luma)), a chunk's `out`; a series has one value per frame.

    luma: mean brightness, 0 to 255. brightest: the brightest cell of a 16x16 grid. step: mean absolute difference of
    all RGB values to the frame before, in levels; the first is None. face_step: the same around the face where the last
    look found it, else of all. mouth: its opening in eye distances (see mouth.py), None where no face is to be found.
    faces: the looks at it, in order of frames.
    """

    start: int
    luma: Numbers
    brightest: Numbers
    step: Gaps
    face_step: Gaps
    mouth: Gaps
    faces: tuple[Look, ...]

    @property
    def stop(self) -> int:
        return self.start + len(self.luma)

    def to_dict(self) -> dict[str, Any]:
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "faces": [[look.frame, look.likeness, look.box] for look in self.faces],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measures:
        series = {name: tuple(data[name]) for name in ("luma", "brightest", "step", "face_step", "mouth")}
        looks = (Look(frame, likeness, box and tuple(box)) for frame, likeness, box in data["faces"])
        return cls(start=data["start"], faces=tuple(looks), **series)


class Meter:
    """Measures a chunk's `out` frame by frame: `face` is the portrait's, the same for all chunks of a job."""

    def __init__(self, face: PortraitFace, chunk: ChunkSpec) -> None:
        self._face = face
        self._start, self._stop = chunk.out
        self._frame = self._start
        self._series: dict[str, list[Any]] = {name: [] for name in ("luma", "brightest", "step", "face_step", "mouth")}
        self._looks: list[Look] = []
        self._again: set[int] = set()
        self._seen: Seen | None = None
        self._around: tuple[slice, slice] = (slice(None), slice(None))
        self._before: Frame | None = None
        self._mouth: MouthMeter | None = None

    @staticmethod
    def face_of(photo: Frame) -> PortraitFace:
        """What a job's chunks are compared with. Raises PortraitError for a photo without a face."""
        return PortraitFace.of(photo)

    def add(self, frame: Frame) -> None:
        """Measure the next frame, [height, width, 3] RGB; the array may be used again afterwards."""
        if self._frame == self._start or self._frame % LOOK_EVERY == 0 or self._frame in self._again:
            self._look(frame)
        luma, brightest = _light(frame)
        step, face_step = self._steps(frame)
        opening = self._mouth.add(frame) if self._mouth else None
        found = {"luma": luma, "brightest": brightest, "step": step, "face_step": face_step, "mouth": opening}
        for name, value in found.items():
            self._series[name].append(None if value is None else round(value, _DIGITS[name]))
        self._before = frame.copy()
        self._frame += 1

    def finish(self) -> Measures:
        """Everything measured. Raises RenderError where frames of the chunk's `out` are missing, or too many came."""
        if self._frame != self._stop:
            came, wanted = self._frame - self._start, self._stop - self._start
            raise RenderError(f"the renderer gave {came} frames, wanted {wanted}")
        return Measures(
            start=self._start,
            faces=tuple(self._looks),
            **{name: tuple(values) for name, values in self._series.items()},
        )

    def _look(self, frame: Frame) -> None:
        seen = self._face.seen_in(frame) or self._still_there(frame)
        if seen is None:
            self._looks.append(Look(self._frame, None, None))
        else:
            x0, y0, x1, y1 = (round(edge) for edge in seen.face.box)
            self._looks.append(Look(self._frame, round(seen.likeness, 3), (x0, y0, x1, y1)))
            self._around = _surroundings(seen, frame.shape)
            self._seen = seen
            if self._mouth is None:
                self._mouth = MouthMeter(frame, seen.face.landmarks)
        if self._frame not in self._again and (seen is None or seen.likeness < SAME_FACE):
            self._again = {self._frame + later for later in LOOK_AGAIN}

    def _still_there(self, frame: Frame) -> Seen | None:
        """The face where it was seen last, if it still looks like it: the detector misses a known face now and then."""
        if self._seen is None:
            return None
        likeness = self._face.likeness(frame, self._seen.face.landmarks)
        return Seen(self._seen.face, likeness) if likeness >= SAME_FACE else None

    def _steps(self, frame: Frame) -> tuple[float | None, float | None]:
        if self._before is None:
            return None, None
        apart = cv2.absdiff(frame, self._before)
        return _mean(apart), _mean(apart[self._around])


_DIGITS = {"luma": 2, "brightest": 0, "step": 3, "face_step": 3, "mouth": 4}


def _light(frame: Frame) -> tuple[float, float]:
    """Mean and brightest cell of a frame's luma."""
    mean = float(np.dot(cv2.mean(frame)[:3], _LUMA))
    # what is bright enough to be seen is found in fewer pixels too
    every = max(1, min(frame.shape[:2]) // _SAMPLED)
    cells = cv2.resize(frame[::every, ::every], (_GRID, _GRID), interpolation=cv2.INTER_AREA) @ _LUMA
    return mean, float(cells.max())


def _mean(levels: NDArray[Any]) -> float:
    return sum(cv2.mean(levels)[:3]) / 3


def _surroundings(seen: Seen, size: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the frame in which the head moves."""
    x0, y0, x1, y1 = seen.face.box
    grow = _AROUND * seen.face.width
    columns = slice(max(0, int(x0 - grow)), min(size[1], int(x1 + grow)))
    return slice(max(0, int(y0 - grow)), min(size[0], int(y1 + grow))), columns
