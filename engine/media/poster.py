"""The picture that stands for a video, and a sheet of pictures to look it over."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.errors import RenderError
from engine.media.face import detect_faces
from engine.media.glimpse import Glimpses
from engine.media.scale import thumbnail
from engine.spec import FRAME_RATE
from engine.timecode import timecode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.renderer import Frame

JPEG_QUALITY = 90
_LOOKED_AT = 8
_APART = FRAME_RATE // 3  # frames25 between two that are looked at: a blink is as long
_STEADY = 5  # frames25 over which a mouth has to be neutral
_AT_REST = 15  # percentile of all openings that counts as neutral: pauses are more than this share of a speech
_OPEN_ENOUGH = 0.9  # in parts of the widest open eyes; a lid that is half down leaves less than 0.8
_EYE = (0.3, 0.24)  # eye distances to either side of an eye, and above and below it, that are compared
_EYE_PATCH = (32, 26)

_COLUMNS = 4
_THUMB = 320  # pixels of a thumbnail's longer side
_GAP, _LINE = 8, 24
_PAPER, _INK = (24, 24, 24), (230, 230, 230)


def poster(video: Path, mouth: Sequence[float | None] | None = None) -> bytes:
    """A JPEG of the calmest mouth with open eyes, of the few frames that are looked at, however long the video.

    mouth: how far it is open in each frame25, as far as that is known. Without it, it is the first with open eyes, and
    where no face is found, the calmest.
    """
    with Glimpses(video) as glimpses:
        numbers = _calmest(glimpses.within(_LOOKED_AT), len(glimpses.index.times), mouth)
        openness = {number: _open_eyes(frame) for number, frame in glimpses.show(numbers)}
        enough = _OPEN_ENOUGH * max(openness.values())
        chosen = next(number for number in numbers if openness[number] >= enough)
        ((_, frame),) = glimpses.show([chosen])
    return _jpeg(Image.fromarray(frame))


def contact_sheet(video: Path, count: int = 12) -> bytes:
    """A JPEG of up to `count` frames with the time at which each is shown, spread over the video.

    In a long video they are the nearest frames that cost little to decode; the times are those frames' own.
    """
    with Glimpses(video) as glimpses:
        frames25, cheap = len(glimpses.index.times), glimpses.within(count)
        even = (np.arange(count) + 0.5) * frames25 / count
        after = np.searchsorted(cheap, even).clip(1, max(1, len(cheap) - 1))
        before, after = cheap[after - 1], cheap[after.clip(max=len(cheap) - 1)]
        nearest = np.where(even - before <= after - even, before, after)
        shown = [(number, thumbnail(frame, _THUMB)) for number, frame in glimpses.show(nearest.tolist())]
    return _jpeg(_sheet(shown))


def _calmest(cheap: NDArray[np.intp], frames25: int, mouth: Sequence[float | None] | None) -> list[int]:
    """Numbers of the cheap frames whose mouth is nearest to rest and stays there, calmest first, not close together."""
    if mouth is not None and len(mouth) != frames25:
        raise RenderError(f"the mouth is known for {len(mouth)} frames, the video has {frames25}")
    openings = np.array([np.nan if opening is None else opening for opening in mouth or ()], np.float64)
    if np.isnan(openings).all():
        return [int(cheap[place]) for place in np.linspace(0, len(cheap) - 1, _LOOKED_AT).astype(int)]
    away = np.abs(openings - np.nanpercentile(openings, _AT_REST))
    away = np.convolve(np.pad(away, _STEADY // 2, mode="edge"), np.full(_STEADY, 1 / _STEADY), "valid")
    chosen: list[int] = []
    for number in cheap[np.argsort(np.nan_to_num(away[cheap], nan=np.inf), kind="stable")].tolist():
        if all(abs(number - other) >= _APART for other in chosen):
            chosen.append(number)
        if len(chosen) == _LOOKED_AT:
            break
    return chosen


def _open_eyes(frame: Frame) -> float:
    """How unlike light and dark are around the largest face's eyes, for a lid is even; 0 where there is no face."""
    faces = detect_faces(frame)
    if not faces:
        return 0.0
    marks = faces[0].landmarks
    half = marks.eye_distance * _EYE[0], marks.eye_distance * _EYE[1]
    width, height = _EYE_PATCH
    contrasts = []
    for x, y in (marks.left_eye, marks.right_eye):
        to_frame = np.array([[2 * half[0] / width, 0, x - half[0]], [0, 2 * half[1] / height, y - half[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        patch = cv2.warpAffine(frame, to_frame, _EYE_PATCH, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        light = patch.astype(np.float64).mean(axis=2)
        contrasts.append(light.std() / max(1.0, light.mean()))
    return float(np.mean(contrasts))


def _sheet(shown: list[tuple[int, Image.Image]]) -> Image.Image:
    width, height = shown[0][1].size
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    step = width + _GAP, height + _LINE + _GAP
    sheet = Image.new("RGB", (columns * step[0] + _GAP, rows * step[1] + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LINE * 2 // 3)
    for place, (number, picture) in enumerate(shown):
        x, y = _GAP + place % columns * step[0], _GAP + place // columns * step[1]
        sheet.paste(picture, (x, y))
        pen.text((x, y + height + 2), timecode(number), _INK, font)
    return sheet


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return file.getvalue()
