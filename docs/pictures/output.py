# ruff: noqa: INP001 - a script, no module of a package
"""The pictures of docs/output.md, drawn anew from the shipped portrait:

python docs/pictures/output.py    writes output-paste.png, output-fit.png and output-sheet.png beside it
"""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from engine.media.face import detect_faces
from engine.media.form import Form, Shown
from engine.media.image import crop_to_face, load_portrait, resize
from engine.media.poster import contact_sheet
from engine.media.video import Encoding, VideoSink
from engine.preview.lips import LipPose
from engine.preview.motion import blink, head_motion
from engine.preview.puppet import Pose, Puppet, draw
from engine.spec import OutputSpec

HERE = Path(__file__).parent
PORTRAIT = HERE.parent.parent / "samples" / "portrait.png"
SIDE = 512
CAST = 9, -6, 4
"""Levels of red, green and blue by which the renderer of the picture is off."""
GAP = 6
LOUDER = 4
"""Times that the difference is enlarged."""


def main() -> None:
    photo = resize(load_portrait(PORTRAIT), (576, 576))
    face = detect_faces(photo)[0]
    x0, y0, x1, y1 = crop = crop_to_face(*photo.shape[:2], box=face.box, expand_ratio=0.5)
    cropped = np.ascontiguousarray(photo[y0:y1, x0:x1])
    puppet = Puppet.of(cropped, (SIDE, SIDE), face.moved(-x0, -y0))
    draw_paste(photo, crop, spoken(puppet, 47, 0.6))
    draw_fit(photo)
    draw_sheet(puppet)


def spoken(puppet: Puppet, frame25: int, opening: float) -> np.ndarray:
    return draw(puppet, Pose(head_motion(0, frame25, 1.0), LipPose.of(opening, 0.0, 0.4), blink(0, frame25)))


def draw_paste(photo: np.ndarray, crop: tuple[int, int, int, int], frame: np.ndarray) -> None:
    """A crop of other colours: laid on hard, as it leaves, and what then differs from the photo."""
    tinted = np.clip(frame.astype(int) + CAST, 0, 255).astype(np.uint8)
    hard = photo.copy()
    hard[crop[1] : crop[3], crop[0] : crop[2]] = resize(tinted, (crop[2] - crop[0], crop[3] - crop[1]))
    pasted = Form.of(OutputSpec(paste_back=True), Shown(photo, crop, (SIDE, SIDE)))(tinted)
    difference = np.clip(128 + LOUDER * (pasted.astype(int) - photo), 0, 255).astype(np.uint8)
    save("paste", [resize(picture, (384, 384)) for picture in (hard, pasted, difference)])


def draw_fit(photo: np.ndarray) -> None:
    """The whole portrait in 16:9: with borders, and cut around the head."""
    whole = Shown(photo, (0, 0, 576, 576), (576, 576))
    save("fit", [Form.of(OutputSpec(size="576x324", fit=fit), whole)(photo) for fit in ("pad", "crop")])


def draw_sheet(puppet: Puppet) -> None:
    """What a contact sheet of eight seconds looks like."""
    with TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        with VideoSink(video, (SIDE, SIDE), Encoding()) as sink:
            for frame25 in range(200):
                sink.write(spoken(puppet, frame25, max(0.0, 0.4 * np.sin(frame25 / 3))))
            sink.finish()
        sheet = Image.open(io.BytesIO(contact_sheet(video, 8)))
    sheet.resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS).save(
        HERE / "output-sheet.png", optimize=True
    )


def save(name: str, pictures: list[np.ndarray]) -> None:
    """Pictures of one size, side by side."""
    height, width = pictures[0].shape[:2]
    strip = Image.new("RGB", ((width + GAP) * len(pictures) - GAP, height), "white")
    for place, picture in enumerate(pictures):
        strip.paste(Image.fromarray(picture), (place * (width + GAP), 0))
    strip.save(HERE / f"output-{name}.png", optimize=True)


if __name__ == "__main__":
    main()
