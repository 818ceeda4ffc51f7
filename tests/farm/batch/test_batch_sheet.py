"""What people look at before they release a batch: a strip for each clip, and a page that needs nothing else."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.media.image import load_portrait
from engine.media.scale import resampled
from engine.media.video import Encoding, VideoSink
from farm.batch.sheet import FRAMES, Clip, contact_sheet, page

PORTRAIT = Path(__file__).parents[3] / "samples" / "portrait.png"
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of a photo that grows ever lighter, so that a frame shows its time."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    photo = load_portrait(PORTRAIT)
    small = resampled(photo, (0, 0, photo.shape[1], photo.shape[0]), (256, 256)).astype(np.float32)
    with VideoSink(path, (256, 256), Encoding()) as sink:
        for number in range(100):
            sink.write((small * (0.4 + 0.6 * number / 99)).astype(np.uint8))
        sink.finish()
    return path


def clip(row: int, video: Path | None, *, poster: bytes = b"", **more: str) -> Clip:
    text = {"name": f"Algebra {row:02}", "label": "anna, preview, seed 7", "rows": "2-14", "why": ""} | more
    return Clip(row=row, video=video, poster=poster, **text)


def sheet(*clips: Clip) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(contact_sheet(clips))).convert("L"), np.float32)


def test_the_sheet_has_a_strip_for_each_clip_with_frames_from_start_to_end(video: Path) -> None:
    one, two = sheet(clip(2, video)), sheet(clip(2, video), clip(3, video))
    assert two.shape[0] > 1.8 * one.shape[0]
    assert one.shape[1] == two.shape[1]
    columns = np.array_split(one[80:240], FRAMES, axis=1)
    light = [float(column.mean()) for column in columns]
    assert light == sorted(light)
    assert light[-1] > 1.5 * light[0]


def test_a_clip_without_a_video_says_why_and_takes_little_room(video: Path) -> None:
    shown, missing = sheet(clip(2, video)), sheet(clip(2, None, why="the portrait turned away"))
    assert missing.shape[0] < shown.shape[0] / 2
    assert missing.max() > 150


def test_a_name_of_any_length_stays_on_the_sheet(video: Path) -> None:
    assert sheet(clip(2, video, name="Algebra " * 25)).shape == sheet(clip(2, video)).shape


def test_the_page_holds_the_clips_themselves_and_loads_nothing(video: Path) -> None:
    clips = [clip(2, video, poster=b"a picture"), clip(3, None, why="not rendered yet")]
    html = page(clips, title="Pilot of algebra", batch="B", held=13)
    (data,) = re.findall(r'src="data:video/mp4;base64,([^"]+)"', html)
    assert base64.b64decode(data) == video.read_bytes()
    (poster,) = re.findall(r'poster="data:image/jpeg;base64,([^"]+)"', html)
    assert base64.b64decode(poster) == b"a picture"
    assert "http" not in html.replace("http-equiv", "")
    assert "not rendered yet" in html
    assert "farm batch release B" in html
    assert "farm batch reject B 2-14" in html


def test_names_from_outside_are_text_on_the_page(video: Path) -> None:
    clips = [clip(2, None, name=HOSTILE, label=HOSTILE, why=HOSTILE, rows="$batch")]
    html = page(clips, title=HOSTILE, batch="B", held=1)
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(html)
    assert "script" not in tags
    assert html.count("alert(&quot;x&quot;)") == 5
