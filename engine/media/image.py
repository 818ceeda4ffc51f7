"""Portraits: read from any common format, cropped to the face, sized for a render.

Arrays are [height, width, 3] RGB uint8; boxes are (x0, y0, x1, y1) in pixels, half open.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from engine.errors import PortraitError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Box = tuple[float, float, float, float]

SHORTEST_SIDE = 128
"""Pixels that a portrait has at least on a side."""
MOST_PIXELS = 50_000_000
LONGEST_RENDERED_SIDE = 8192
"""Pixels; what H.264 can carry on a side."""
SIZE_STEP = 64
"""Both sides of a rendered picture are multiples of this many pixels."""
MASK_AREA = 1.1
"""The face mask is the face box scaled by this."""

# what Pillow reads by itself; others (EPS, PDF) would start programs or are no photos
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF", "JPEG2000", "PPM")
# MPO is a phone's JPEG with a preview or depth map behind the photo, which comes first
_ONE_PICTURE_FORMATS = ("JPEG", "MPO")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, OverflowError, struct.error, zlib.error)
_EIGHT_BIT_MODES = ("1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV", "RGBX")
_ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")

warnings_lock = Lock()
"""Held while warnings are filtered, which is one state for all threads."""


def load_portrait(path: Path) -> NDArray[np.uint8]:
    """The photo in `path` as [height, width, 3] RGB, turned upright by its EXIF orientation, alpha laid over white.

    The content decides what it is, never the name. Colour profiles are not applied. Raises PortraitError when it is
    unreadable, animated, below 128 pixels on a side or above 50 megapixels (read from the header, before decoding).
    """
    Image.init()  # registers every format; does nothing the second time
    try:
        with path.open("rb") as file:
            with warnings_lock, warnings.catch_warnings():
                # our own limit is stricter than Pillow's and names its numbers
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                opened = Image.open(file, formats=_FORMATS)
            with opened as image:
                _check_header(image, path.name)
                return np.array(_to_rgb(ImageOps.exif_transpose(image), path.name))
    except Image.DecompressionBombError as error:
        limit = MOST_PIXELS / 1e6
        raise PortraitError(
            f"portrait {path.name} is too large to open, wanted at most {limit:g} megapixels: {error}"
        ) from error
    except UnidentifiedImageError as error:
        raise PortraitError(
            f"portrait {path.name} is no image that can be read, wanted a JPEG, PNG, WebP, AVIF or TIFF"
        ) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise PortraitError(f"portrait {path} is no file, wanted a photo") from error
    except _BROKEN as error:
        raise PortraitError(f"portrait {path.name} cannot be read, wanted a whole image file: {error}") from error


def _check_header(image: Image.Image, name: str) -> None:
    width, height = image.size
    if min(width, height) < SHORTEST_SIDE:
        raise PortraitError(f"portrait {name} is {width}x{height} pixels, wanted at least {SHORTEST_SIDE} on each side")
    if width * height > MOST_PIXELS:
        found, limit = width * height / 1e6, MOST_PIXELS / 1e6
        raise PortraitError(f"portrait {name} has {found:.1f} megapixels ({width}x{height}), wanted at most {limit:g}")
    pictures = 1 if image.format in _ONE_PICTURE_FORMATS else getattr(image, "n_frames", 1)
    if pictures > 1:
        raise PortraitError(f"portrait {name} is animated ({pictures} pictures), wanted a single still picture")


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode in _DEEP_MODES:
        # 16 bits arrive as numbers up to 65535, which Pillow's own conversion would clip at 255
        return Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        seen = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    if image.mode in _EIGHT_BIT_MODES:
        return image.convert("RGB")
    raise PortraitError(f"portrait {name} has pixels of kind {image.mode}, wanted 8 or 16 bits per channel")


def render_size(height: int, width: int, min_resolution: int) -> tuple[int, int]:
    """(width, height) of the render: shorter side `min_resolution`, each side rounded to a multiple of 64.

    Raises PortraitError for a strip so long that no video could carry it.
    """
    scale = min_resolution / min(height, width)
    rendered_width, rendered_height = (round(side * scale / SIZE_STEP) * SIZE_STEP for side in (width, height))
    if max(rendered_width, rendered_height) > LONGEST_RENDERED_SIDE:
        raise PortraitError(
            f"a portrait of {width}x{height} pixels gives a video of {rendered_width}x{rendered_height}, "
            f"wanted at most {LONGEST_RENDERED_SIDE} on a side"
        )
    return rendered_width, rendered_height


def crop_to_face(height: int, width: int, *, box: Box, expand_ratio: float) -> tuple[int, int, int, int]:
    """The largest square near the face's centre within its box, grown by `expand_ratio` of its size on every side."""
    x0, y0, x1, y1 = box
    grow_x, grow_y = (x1 - x0) * expand_ratio, (y1 - y0) * expand_ratio
    left, right = max(0.0, x0 - grow_x), min(float(width), x1 + grow_x)
    top, bottom = max(0.0, y0 - grow_y), min(float(height), y1 + grow_y)
    side = min(right - left, bottom - top)
    left = _slide((x0 + x1) / 2, side, (left, right))
    top = _slide((y0 + y1) / 2, side, (top, bottom))
    return round(left), round(top), round(left + side), round(top + side)


def _slide(centre: float, side: float, room: tuple[float, float]) -> float:
    return min(max(centre - side / 2, room[0]), room[1] - side)


def face_mask(
    height: int, width: int, *, box: Box, size: tuple[int, int], area: float = MASK_AREA
) -> NDArray[np.uint8]:
    """Where the face is, 255 on 0, drawn on a picture of height x width and resized to `size` (width, height)."""
    x0, y0, x1, y1 = box
    centre_x, centre_y = int((x0 + x1) / 2), int((y0 + y1) / 2)
    half_width, half_height = int((x1 - x0) * area // 2), int((y1 - y0) * area // 2)
    mask = np.zeros((height, width), np.uint8)
    rows = slice(max(0, centre_y - half_height), max(0, centre_y + half_height))
    mask[rows, max(0, centre_x - half_width) : max(0, centre_x + half_width)] = 255
    return np.array(Image.fromarray(mask).resize(size, Image.Resampling.LANCZOS))


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture at `size` (width, height), Lanczos; it does not keep the aspect ratio."""
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
