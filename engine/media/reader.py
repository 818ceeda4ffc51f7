"""Reading back the files that the farm itself wrote: damage is named after the file, and means another attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import av
import av.error
import cv2
import numpy as np
from av.codec.context import ThreadType
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from engine.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray

    from engine.renderer import Frame

T = TypeVar("T")
_TO_RGB = int(Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT)


def opened(path: Path, **options: str) -> InputContainer:
    """A file of ours, open to read; `options` are libavformat's. Raises RenderError for one that cannot be."""
    try:
        return av.open(str(path), "r", container_options=options)
    except av.error.FFmpegError as error:
        raise RenderError(f"{path.name} cannot be read: {error.strerror}") from error


def whole(path: Path, items: Iterable[T]) -> Iterator[T]:
    """Packets or frames of a file as they come; raises RenderError, naming the file, where they break off."""
    try:
        yield from items
    except av.error.FFmpegError as error:
        raise RenderError(f"{path.name} is damaged: {error.strerror}") from error


def read_rgb(path: Path) -> Iterator[Frame]:
    """The frames of a file that the farm wrote, [height, width, 3] RGB.

    Raises RenderError for a file that cannot be read to its end.
    """
    # otherwise libavformat decodes the first frames to learn what the header of our own files says
    with opened(path, probesize="32") as file:
        stream = file.streams.video[0]
        # one frame ahead: the next is decoded while the caller is at work on this one
        stream.codec_context.thread_type, stream.codec_context.thread_count = ThreadType.FRAME, 2
        for picture in whole(path, file.decode(stream)):
            yield to_rgb(picture)


def to_rgb(picture: VideoFrame) -> Frame:
    """A decoded picture of ours, [height, width, 3] RGB."""
    if picture.format.name == "gbrp":  # three times as quick as libswscale
        green, blue, red = (_plane(plane) for plane in picture.planes)
        return np.asarray(cv2.merge([red, green, blue]), np.uint8)
    rgb = picture.reformat(
        format="rgb24",
        src_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_TO_RGB,
        threads=1,
    )
    return rgb.to_ndarray()  # type: ignore[return-value]


def _plane(plane: VideoPlane) -> NDArray[np.uint8]:
    """One colour of a picture, [height, width], without the padding at the end of each line."""
    lines: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return lines[:, : plane.width]
