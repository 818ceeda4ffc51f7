"""A pilot on one page: a contact sheet as PNG, and an HTML file that holds the clips themselves."""

from __future__ import annotations

import base64
import io
import unicodedata
from dataclasses import dataclass
from html import escape
from string import Template
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.media.glimpse import Glimpses
from engine.media.scale import thumbnail
from engine.timecode import timecode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FRAMES = 6
"""Frames of a clip on the sheet, spread over it."""
_THUMB, _GAP, _TITLE, _LINE = 200, 8, 26, 22  # pixels: a thumbnail's longer side, between two, heights of text
_PAPER, _INK, _DIM, _RED = (24, 24, 24), (235, 235, 235), (165, 165, 165), (255, 120, 110)
_WIDTH = FRAMES * (_THUMB + _GAP) + _GAP


@dataclass(frozen=True)
class Clip:
    """A clip of a pilot. row: of the batch. label: who is shown and how. rows: those it stands for that are held, as
    `farm batch reject` takes them. video: None while there is none, for `why`. poster: a JPEG to show before it plays.
    """

    row: int
    name: str
    label: str
    rows: str
    video: Path | None
    poster: bytes = b""
    why: str = ""

    @property
    def title(self) -> str:
        return f"row {self.row}  {self.name}"


def contact_sheet(clips: Sequence[Clip]) -> bytes:
    """A PNG with a strip of frames for each clip, its name and label above, its time below each frame."""
    strips = [_strip(clip) for clip in clips]
    sheet = Image.new("RGB", (_WIDTH, sum(strip.height for strip in strips) + _GAP), _PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


def _strip(clip: Clip) -> Image.Image:
    shown = _frames(clip.video) if clip.video is not None else []
    height = max((picture.height for _, picture in shown), default=0)
    head = _GAP + _TITLE + _LINE
    strip = Image.new("RGB", (_WIDTH, head + height + _LINE + _GAP), _PAPER)
    pen, title, small = ImageDraw.Draw(strip), _font(_TITLE), _font(_LINE)
    pen.text((_GAP, _GAP), _fitted(clip.title, title), _INK, title)
    pen.text((_GAP, _GAP + _TITLE), _fitted(clip.label, small), _DIM, small)
    if clip.video is None:
        pen.text((_GAP, head), _fitted(clip.why, small), _RED, small)
    for place, (number, picture) in enumerate(shown):
        left = _GAP + place * (_THUMB + _GAP)
        strip.paste(picture, (left, head))
        pen.text((left, head + height + 2), timecode(number), _DIM, small)
    return strip


def _frames(video: Path) -> list[tuple[int, Image.Image]]:
    with Glimpses(video) as glimpses:
        count = len(glimpses.index.times)
        even = ((np.arange(FRAMES) + 0.5) * count / FRAMES).astype(int)
        return [(number, thumbnail(frame, _THUMB)) for number, frame in glimpses.show(even.tolist())]


def _font(height: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(height * 2 // 3)


def _fitted(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """As much of a text as one line holds, in the letters of the font that comes with Pillow; the page has all."""
    decomposed = unicodedata.normalize("NFKD", text)
    text = "".join(one for one in decomposed if not unicodedata.combining(one)).encode("ascii", "replace").decode()
    if font.getlength(text) <= _WIDTH - 2 * _GAP:
        return text
    while font.getlength(text + "...") > _WIDTH - 2 * _GAP:
        text = text[:-1]
    return text + "..."


PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; media-src data:; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { margin: 2rem; background: #181818; color: #ebebeb; font: 16px/1.4 system-ui, sans-serif }
main { margin-top: 1.5rem; display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1.5rem }
figure { margin: 0 }
video { width: 100%; background: #000; border-radius: 6px }
h1 { font-size: 1.4rem } h2 { font-size: 1rem; margin: .4rem 0 0; overflow-wrap: anywhere }
p { margin: 0; color: #a5a5a5 } .why { color: #ff786e } code { background: #2c2c2c; padding: .1em .3em }
</style>
<h1>$title</h1>
<p>$decision</p>
<main>
$figures
</main>
</html>
""")
FIGURE = Template("""<figure>
$shown
<figcaption><h2>$title</h2><p>$label</p>$decision</figcaption>
</figure>""")
RELEASE = Template("All good: <code>farm batch release $batch</code>")
REJECT = Template("<p>Not good: <code>farm batch reject $batch $rows</code></p>")
DECIDED = "No row is held any more: all were released, rejected or cancelled."


def page(clips: Sequence[Clip], *, title: str, batch: str, held: int) -> str:
    """One HTML file with the clips inside; it loads nothing, so it can be sent to whoever decides.

    held: rows of the batch that wait for a decision.
    """
    figures = "\n".join(
        FIGURE.substitute(
            shown=_shown(clip),
            title=escape(clip.title),
            label=escape(clip.label),
            decision=REJECT.substitute(batch=escape(batch), rows=escape(clip.rows)) if clip.rows else "",
        )
        for clip in clips
    )
    decision = RELEASE.substitute(batch=escape(batch)) if held else DECIDED
    return PAGE.substitute(title=escape(title), decision=decision, figures=figures)


def _shown(clip: Clip) -> str:
    if clip.video is None:
        return f'<p class="why">{escape(clip.why)}</p>'
    video, poster = (base64.b64encode(data).decode() for data in (clip.video.read_bytes(), clip.poster))
    poster = f"data:image/jpeg;base64,{poster}"  # players that load nothing before they play show black without it
    return f'<video controls preload="metadata" poster="{poster}" src="data:video/mp4;base64,{video}"></video>'
