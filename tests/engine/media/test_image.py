"""Every format a person may hand in, and the golden numbers of the portrait conditioning."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.errors import PortraitError
from engine.media.image import crop_to_face, face_mask, load_portrait, render_size, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden" / "preprocess"
CASES: list[dict[str, Any]] = json.loads((GOLDEN / "case.json").read_text())


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """An 8-byte little-endian header length, a JSON header, then raw tensors."""
    raw = path.read_bytes()
    body = 8 + int.from_bytes(raw[:8], "little")
    kinds = {"U8": np.uint8, "F16": np.float16}
    tensors = {}
    for name, entry in json.loads(raw[8:body]).items():
        start, stop = entry["data_offsets"]
        flat = np.frombuffer(raw[body + start : body + stop], kinds[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[Any]]:
    return read_safetensors(GOLDEN / "tensors.safetensors")


def corners(case: dict[str, Any]) -> tuple[float, float, float, float]:
    x, y, width, height = case["bbox_xywh"]
    return x, y, x + width, y + height


@pytest.mark.parametrize("index", range(len(CASES)))
def test_conditioning_meets_the_golden_numbers(index: int, golden: dict[str, NDArray[Any]]) -> None:
    case = CASES[index]
    height, width = case["height"], case["width"]
    size = render_size(height, width, case["min_resolution"])
    assert list(size) == case["ref_size_wh"]
    crop = crop_to_face(height, width, box=corners(case), expand_ratio=case["expand_ratio"])
    assert list(crop) == case["crop_xyxy"]

    reference = resize(golden[f"{index}.image"], size).transpose(2, 0, 1)  # [h, w, 3] -> [3, h, w]
    assert np.abs(reference.astype(int) - golden[f"{index}.ref_image"]).max() <= 1
    mask = face_mask(height, width, box=corners(case), size=size, area=case["area"])
    assert np.abs(mask.astype(int) - golden[f"{index}.face_mask"][0]).max() <= 1


def test_a_strip_that_no_video_could_carry_is_refused() -> None:
    with pytest.raises(PortraitError, match="wanted at most 8192"):
        render_size(10_000, 128, 512)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """160x200 with a different colour in every corner."""
    pixels = np.zeros((200, 160, 3), np.uint8)
    pixels[:100, :80], pixels[:100, 80:], pixels[100:, :80] = (250, 10, 10), (10, 250, 10), (10, 10, 250)
    return Image.fromarray(pixels)


def top_left(pixels: NDArray[np.uint8]) -> list[int]:
    return [int(value) for value in pixels[20, 20]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF", "PPM"])
def test_the_content_decides_and_not_the_name(kind: str, photo: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "portrait.txt"
    photo.save(path, kind)
    pixels = load_portrait(path)
    assert pixels.shape == (200, 160, 3)
    assert pixels.dtype == np.uint8
    assert top_left(pixels) == pytest.approx([250, 10, 10], abs=8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phones_rotation_is_undone(orientation: int, photo: Image.Image, tmp_path: Path) -> None:
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    undo |= {6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = photo.transpose(Image.Transpose[undo[orientation]]) if orientation in undo else photo
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    pixels = load_portrait(tmp_path / "turned.jpg")
    assert pixels.shape == (200, 160, 3)
    assert np.abs(pixels.astype(int) - np.asarray(photo)).mean() < 3


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr"])
def test_every_colour_mode_becomes_rgb(mode: str, photo: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / f"{mode}.tiff"
    photo.convert(mode).save(path)
    expected = np.asarray(photo.convert(mode).convert("RGB")).astype(int)
    assert np.abs(load_portrait(path) - expected).mean() < 2


def test_a_cmyk_jpeg_keeps_its_colours(photo: Image.Image, tmp_path: Path) -> None:
    photo.convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert top_left(load_portrait(tmp_path / "print.jpg")) == pytest.approx([250, 10, 10], abs=8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(mode: str, tmp_path: Path) -> None:
    seen = Image.new("RGBA", (140, 140), (0, 0, 0, 255))
    seen.paste((0, 0, 0, 0), (0, 0, 70, 140))
    if mode == "P":
        palette = Image.new("P", (140, 140), 1)
        palette.putpalette([9, 9, 9, 0, 0, 0])
        palette.paste(0, (0, 0, 70, 140))
        palette.save(tmp_path / "cut.png", transparency=0)
    else:
        seen.convert(mode).save(tmp_path / "cut.png")
    pixels = load_portrait(tmp_path / "cut.png")
    assert pixels[70, 20].tolist() == [255, 255, 255]
    assert pixels[70, 120].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["grey.png", "colour.png", "grey.pgm", "grey.tiff"])
def test_sixteen_bits_are_scaled_and_not_clipped(name: str, tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (150, 1))
    written = np.dstack([ramp, ramp, ramp]) if name.startswith("colour") else ramp
    assert cv2.imwrite(str(tmp_path / name), written)
    pixels = load_portrait(tmp_path / name)
    assert np.abs(pixels[75, :, 1].astype(int) - np.arange(256)).max() <= 1


def refusal(path: Path) -> str:
    with pytest.raises(PortraitError) as caught:
        load_portrait(path)
    message = str(caught.value)
    assert path.name in message
    assert "wanted" in message
    return message


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("dear all")
    assert "no image" in refusal(tmp_path / "notes.jpg")
    (tmp_path / "empty.png").write_bytes(b"")
    assert "no image" in refusal(tmp_path / "empty.png")
    assert "is no file" in refusal(tmp_path / "missing.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_half_an_image_is_refused(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole", kind)
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    assert "read" in refusal(tmp_path / "half")


def test_a_small_image_is_refused_with_its_size(tmp_path: Path) -> None:
    Image.new("RGB", (127, 500)).save(tmp_path / "small.png")
    assert "127x500 pixels, wanted at least 128" in refusal(tmp_path / "small.png")
    Image.new("RGB", (128, 128)).save(tmp_path / "enough.png")
    assert load_portrait(tmp_path / "enough.png").shape == (128, 128, 3)


@pytest.mark.parametrize(
    ("width", "height", "found"),
    [
        pytest.param(10_000, 5_001, "50.0 megapixels (10000x5001)", id="just above"),
        pytest.param(12_000, 9_000, "108.0 megapixels (12000x9000)", id="where Pillow warns"),
        pytest.param(60_000, 60_000, "too large to open", id="a decompression bomb"),
    ],
)
def test_a_huge_image_is_refused_before_it_is_decoded(width: int, height: int, found: str, tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    Image.new("1", (128, 128)).save(path)
    raw = bytearray(path.read_bytes())
    raw[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    raw[29:33] = zlib.crc32(bytes(raw[12:29])).to_bytes(4, "big")
    path.write_bytes(bytes(raw))
    message = refusal(path)
    assert found in message
    assert "at most 50" in message


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_refused_and_a_single_picture_is_not(kind: str, photo: Image.Image, tmp_path: Path) -> None:
    turned = photo.transpose(Image.Transpose.ROTATE_180)
    photo.save(tmp_path / "moving", kind, save_all=True, append_images=[turned, photo.convert("L").convert("RGB")])
    assert "animated (3 pictures)" in refusal(tmp_path / "moving")
    photo.save(tmp_path / "still", kind)
    assert load_portrait(tmp_path / "still").shape == (200, 160, 3)


def test_a_phones_photo_with_a_second_picture_behind_it_is_read(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[photo.resize((80, 100))])
    assert top_left(load_portrait(tmp_path / "phone.jpg")) == pytest.approx([250, 10, 10], abs=8)
