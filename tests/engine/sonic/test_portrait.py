"""The portrait made ready: framing, mask, what a bad photo is told, and latents that batches do not change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder

from engine.errors import PortraitError
from engine.sonic.config import SonicConfig
from engine.sonic.face import FoundFace
from engine.sonic.pixels import decode, decoded_batches
from engine.sonic.portrait import encode_image, find_face, mask_pixels, picture_of, reference_pixels
from tests.conftest import ROOT
from tests.golden.weights import fill

if TYPE_CHECKING:
    from numpy.typing import NDArray

CASE = json.loads((ROOT / "tests" / "golden" / "pipeline_b" / "case.json").read_text())


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLTemporalDecoder:
    return fill(AutoencoderKLTemporalDecoder(**CASE["config"]["vae"])).eval().requires_grad_(False)


def photo_of(height: int, width: int) -> NDArray[np.uint8]:
    """Red grows to the right, green downwards: every pixel says where it was."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[..., 0] = np.linspace(0, 255, width)[None, :]
    photo[..., 1] = np.linspace(0, 255, height)[:, None]
    return photo


def candidates(*boxes: tuple[float, float, float, float]) -> torch.Tensor:
    """A detector's raw answer that is sure of boxes (centre x, y, width, height)."""
    found = torch.zeros(1, len(boxes), 16)
    for index, box in enumerate(boxes):
        found[0, index, :4] = torch.tensor(box)
        found[0, index, 4], found[0, index, 15] = 0.9 - 0.1 * index, 1.0
    return found


def test_the_largest_face_is_taken_not_the_surest() -> None:
    answer = candidates((100, 100, 40, 40), (300, 200, 90, 120))
    face = find_face(lambda image, grids: answer, photo_of(416, 416), name="two.png")
    assert face.xywh == (255, 140, 90, 120)


def test_no_face_is_told_in_the_words_of_preflight() -> None:
    with pytest.raises(PortraitError) as caught:
        find_face(lambda image, grids: candidates(), photo_of(200, 300), name="wall.png")
    assert str(caught.value) == "portrait wall.png shows no face, wanted one that looks at the camera"


def test_full_framing_keeps_the_whole_photo_at_the_size_of_the_render() -> None:
    picture = picture_of(photo_of(300, 400), FoundFace((150, 80, 100, 120), 1, ()), SonicConfig(min_resolution=128))
    assert picture.crop == (0, 0, 400, 300)
    assert picture.image.shape == (128, 192, 3)
    assert picture.mask.shape == (128, 192)
    rows, columns = np.nonzero(picture.mask > 127)
    # the box 150..250, 80..200 grown by 1.1 around its centre, in pixels of the render
    np.testing.assert_allclose([columns.min(), columns.max() + 1], np.array([145, 255]) * 192 / 400, atol=1)
    np.testing.assert_allclose([rows.min(), rows.max() + 1], np.array([74, 206]) * 128 / 300, atol=1)


def test_face_framing_shows_a_square_around_the_face_and_moves_the_mask_with_it() -> None:
    config = SonicConfig(min_resolution=128, framing="face", expand_ratio=0.5)
    picture = picture_of(photo_of(300, 400), FoundFace((150, 80, 100, 100), 1, ()), config)
    assert picture.crop == (100, 30, 300, 230)
    assert picture.image.shape == (128, 128, 3)
    # the square 100..300, 30..230 of the photo
    corners = picture.image[[2, -3], [2, -3], 0] / 255 * 400, picture.image[[2, -3], [2, -3], 1] / 255 * 300
    np.testing.assert_allclose(corners[0], [104, 296], atol=4)
    np.testing.assert_allclose(corners[1], [34, 226], atol=4)
    rows, columns = np.nonzero(picture.mask > 127)
    np.testing.assert_allclose([columns.mean(), rows.mean()], [63.5, 63.5], atol=1)


def test_pixels_for_the_networks_lie_where_they_expect_them() -> None:
    pixels = reference_pixels(photo_of(64, 128))
    assert pixels.shape == (1, 3, 64, 128)
    assert (pixels.min(), pixels.max()) == (-1, 1)
    assert mask_pixels(np.full((64, 128), 255, np.uint8)).unique().tolist() == [1]


def test_an_encoder_that_overflows_in_half_works_in_float32_and_is_left_as_it_was(
    vae: AutoencoderKLTemporalDecoder,
) -> None:
    half = AutoencoderKLTemporalDecoder(**CASE["config"]["vae"]).to(torch.float16)
    half.load_state_dict(vae.state_dict())
    before = {key: value.clone() for key, value in half.state_dict().items()}
    pixels = reference_pixels(photo_of(64, 64))
    latents = encode_image(half, pixels)
    assert latents.dtype == torch.float32
    assert (latents - encode_image(vae, pixels)).abs().max() < 0.02
    after = half.state_dict()
    assert all(after[key].dtype == torch.float16 and torch.equal(after[key], before[key]) for key in before)


def test_any_two_spans_decode_their_shared_frames_alike(vae: AutoencoderKLTemporalDecoder) -> None:
    latents = torch.randn(60, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    whole = torch.cat(list(decoded_batches(vae, latents, span=(0, 60), wanted=(0, 60), batch=8)))
    for span, wanted in (((25, 60), (33, 60)), ((0, 50), (0, 45)), ((25, 50), (37, 42))):
        part = decoded_batches(vae, latents[slice(*span)], span=span, wanted=wanted, batch=8)
        assert torch.equal(torch.cat(list(part)), whole[slice(*wanted)])
    assert (whole >= 0).all()
    assert (whole <= 1).all()


def test_frames_leave_the_decoder_batch_by_batch(vae: AutoencoderKLTemporalDecoder) -> None:
    latents = torch.zeros(20, 4, 6, 6)
    batches = decoded_batches(vae, latents, span=(100, 120), wanted=(102, 115), batch=8)
    assert [len(batch) for batch in batches] == [2, 8, 3]
    assert decode(vae, latents[:2]).shape == (2, 3, 12, 12)
