"""A part of a picture at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from engine.media.image import Box
    from engine.renderer import Frame


def resampled(picture: Frame, box: Box, size: tuple[int, int]) -> Frame:
    """`box` of the picture at `size` (width, height), as fractions of pixels say.

    Its very pixels where they are as many; else Lanczos, which averages over all that a pixel covers when it reduces.
    """
    height, width = picture.shape[:2]
    # arithmetic may end a hair outside
    x0, y0 = max(0.0, box[0]), max(0.0, box[1])
    x1, y1 = min(float(width), box[2]), min(float(height), box[3])
    if (x0, y0) == (int(x0), int(y0)) and (x1 - x0, y1 - y0) == size:
        return picture[int(y0) : int(y1), int(x0) : int(x1)]
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=(x0, y0, x1, y1)))


def thumbnail(picture: Frame, side: int) -> Image.Image:
    """A copy whose longer side has `side` pixels."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(resampled(picture, (0, 0, width, height), size))
