"""Frames in the form that was asked for: put back into the photo, scaled by Lanczos, with borders or cut to a size.

Boxes are (x0, y0, x1, y1) in pixels, half open, as fractions where a resampled picture allows; sizes (width, height).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import RenderError
from engine.media.face import detect_faces
from engine.media.image import resize
from engine.media.paste import Paste
from engine.media.scale import resampled

if TYPE_CHECKING:
    from engine.media.image import Box
    from engine.renderer import Frame
    from engine.spec import OutputSpec

    Size = tuple[int, int]

LARGEST_PHOTO = 1920
"""Pixels of the longer side of a photo that a crop is put back into, where no size is asked for."""
_HAIR = 0.1  # heights of the face box by which the middle of the head lies above the middle of the face


@dataclass(frozen=True)
class Shown:
    """What a renderer's frames show: `crop` of the upright `photo`, drawn at `size`."""

    photo: Frame
    crop: tuple[int, int, int, int]
    size: Size


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in the output. size: the output's. seen: the part of the picture that is in it, and
    `target` the pixels that this part fills; what lies around them is black.
    """

    size: Size
    seen: Box
    target: tuple[int, int, int, int]

    @classmethod
    def whole(cls, picture: Size, size: Size) -> Placement:
        """All of the picture, filling all of the output."""
        return cls(size, (0, 0, *picture), (0, 0, *size))

    @classmethod
    def padded(cls, picture: Size, size: Size) -> Placement:
        """All of the picture in its own shape, in the middle of black borders."""
        scale = min(size[0] / picture[0], size[1] / picture[1])
        # even places and sides: H.264 has one colour for two by two pixels, and borders stay black
        width, height = (min(_even(side * scale), whole) for side, whole in zip(picture, size, strict=True))
        left, top = (size[0] - width) // 4 * 2, (size[1] - height) // 4 * 2
        return cls(size, (0, 0, *picture), (left, top, left + width, top + height))

    @classmethod
    def cut(cls, picture: Size, size: Size, *, centre: tuple[float, float]) -> Placement:
        """The largest part of the picture that has the output's shape, as near to `centre` as the picture allows."""
        scale = max(size[0] / picture[0], size[1] / picture[1])
        width, height = size[0] / scale, size[1] / scale
        left = min(max(centre[0] - width / 2, 0.0), picture[0] - width)
        top = min(max(centre[1] - height / 2, 0.0), picture[1] - height)
        return cls(size, (left, top, left + width, top + height), (0, 0, *size))

    def lay(self, picture: Frame) -> Frame:
        """The output that shows the picture; the picture itself where nothing is to be done."""
        left, top, right, bottom = self.target
        laid = resampled(picture, self.seen, (right - left, bottom - top))
        if (right - left, bottom - top) == self.size:
            return laid
        output = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        output[top:bottom, left:right] = laid
        return output

    def place(self, box: Box) -> Box:
        """Where a box of the picture comes to lie in the output."""
        x0, y0, x1, y1 = self.seen
        left, top, right, bottom = self.target
        x, y = (right - left) / (x1 - x0), (bottom - top) / (y1 - y0)
        return left + (box[0] - x0) * x, top + (box[1] - y0) * y, left + (box[2] - x0) * x, top + (box[3] - y0) * y


@dataclass(frozen=True)
class Form:
    """Brings a job's frames into its output's form: the same for every chunk, and each frame by itself."""

    source: Size
    placement: Placement
    paste: Paste | None

    @classmethod
    def of(cls, output: OutputSpec, shown: Shown) -> Form:
        """Built from the job alone. The face that `fit` "crop" keeps in the middle is looked for in the photo."""
        if not output.paste_back:
            return cls(shown.size, _placement(output, shown, shown.size), None)
        photo = shown.photo[: shown.photo.shape[0] // 2 * 2, : shown.photo.shape[1] // 2 * 2]
        whole = Shown(photo, (0, 0, photo.shape[1], photo.shape[0]), (photo.shape[1], photo.shape[0]))
        placement = _placement(output, whole, _photo_size(whole.size))
        return cls(shown.size, placement, _paste(shown, placement))

    @property
    def size(self) -> Size:
        """Width and height of what leaves."""
        return self.placement.size

    @property
    def picture(self) -> tuple[int, int, int, int]:
        """The pixels of what leaves that are no border."""
        return self.placement.target

    def __call__(self, frame: Frame) -> Frame:
        """A frame, [height, width, 3] RGB, in its form. Raises RenderError for one of another size than declared."""
        if (found := (frame.shape[1], frame.shape[0])) != self.source:
            raise RenderError(f"a frame is {found[0]}x{found[1]} pixels, wanted {self.source[0]}x{self.source[1]}")
        return self.paste(frame) if self.paste else self.placement.lay(frame)


def _placement(output: OutputSpec, shown: Shown, own: Size) -> Placement:
    """How what is `shown` lies in the output; `own` is the output's size where none is asked for."""
    if output.pixels is None:
        return Placement.whole(shown.size, own)
    if output.fit == "pad":
        return Placement.padded(shown.size, output.pixels)
    return Placement.cut(shown.size, output.pixels, centre=_head(shown))


def _paste(shown: Shown, placement: Placement) -> Paste:
    x0, y0, x1, y1 = shown.crop
    height, width = shown.photo.shape[:2]
    return Paste.of(
        placement.lay(shown.photo[: height // 2 * 2, : width // 2 * 2]),
        resize(np.ascontiguousarray(shown.photo[y0:y1, x0:x1]), shown.size),
        place=placement.place(shown.crop),
        seen=placement.target,
        # where the photo ends there is nothing to fade into
        ends=(x0 <= 0, y0 <= 0, x1 >= width, y1 >= height),
    )


def _photo_size(photo: Size) -> Size:
    """Even sides of the video that a photo becomes."""
    scale = min(1.0, LARGEST_PHOTO / max(photo))
    return _even(photo[0] * scale), _even(photo[1] * scale)


def _head(shown: Shown) -> tuple[float, float]:
    """The middle of the head in the frames; of the frames, where no face is found."""
    x0, y0, x1, y1 = shown.crop
    faces = detect_faces(shown.photo)
    if not faces:
        return shown.size[0] / 2, shown.size[1] / 2
    left, top, right, bottom = faces[0].box
    x, y = (left + right) / 2, (top + bottom) / 2 - _HAIR * (bottom - top)
    return (x - x0) * shown.size[0] / (x1 - x0), (y - y0) * shown.size[1] / (y1 - y0)


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)
