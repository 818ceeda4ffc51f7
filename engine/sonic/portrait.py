"""The portrait as the UNet gets it: what CLIP sees, the VAE's latents, where the face is (docs/sonic.md#portrait).

Pictures are [height, width, 3] RGB uint8 until they become tensors.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.errors import PortraitError
from engine.media.face import NO_FACE
from engine.media.image import crop_to_face, face_mask, render_size, resize
from engine.sonic.face import Detector, FoundFace, detect_faces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from engine.renderer import Crop
    from engine.sonic.config import SonicConfig

CLIP_SIZE = (224, 224)
"""What CLIP sees; the picture is not kept in shape (docs/sonic.md#portrait)."""


@dataclass(frozen=True)
class Picture:
    """The part of the photo that is rendered, at the render's size, and its face mask: 255 on 0, [height, width].

    crop: x0, y0, x1, y1 of that part in the photo's pixels, half open.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    crop: Crop


def find_face(detector: Detector, photo: NDArray[np.uint8], *, name: str) -> FoundFace:
    """The largest face. Raises PortraitError, naming the photo, where there is none."""
    faces = detect_faces(detector, photo)
    if not faces:
        raise PortraitError(f"portrait {name} {NO_FACE}")
    return max(faces, key=lambda face: face.area)


def picture_of(photo: NDArray[np.uint8], face: FoundFace, config: SonicConfig) -> Picture:
    """The photo framed and sized as the config asks; the mask is drawn in the photo's own pixels."""
    height, width = photo.shape[:2]
    crop: Crop = (0, 0, width, height)
    if config.framing == "face":
        crop = x0, y0, x1, y1 = crop_to_face(height, width, box=face.box, expand_ratio=config.expand_ratio)
        photo, face = np.ascontiguousarray(photo[y0:y1, x0:x1]), face.moved(-x0, -y0)
        height, width = photo.shape[:2]
    size = render_size(height, width, config.min_resolution)
    return Picture(resize(photo, size), face_mask(height, width, box=face.box, size=size), crop)


def mask_pixels(mask: NDArray[np.uint8]) -> Tensor:
    """[1, 1, height, width] in 0..1."""
    return torch.from_numpy(mask)[None, None].float() / 255


def reference_pixels(image: NDArray[np.uint8]) -> Tensor:
    """What the VAE encodes: [1, 3, height, width] in -1..1."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1


def clip_pixels(extractor: Any, image: NDArray[np.uint8]) -> Tensor:
    """[1, 3, 224, 224]: Lanczos to CLIP's size, then CLIP's own preprocessing, which then only shifts and scales."""
    pixels: Tensor = extractor(images=resize(image, CLIP_SIZE), return_tensors="pt").pixel_values
    return pixels


@torch.inference_mode()
def embed_image(encoder: Any, pixels: Tensor) -> Tensor:
    """CLIP's embedding [1, width] of its 224x224 pixels."""
    embeds: Tensor = encoder(pixels.to(encoder.device, encoder.dtype)).image_embeds
    return embeds


@torch.inference_mode()
def encode_image(vae: Any, pixels: Tensor) -> Tensor:
    """The VAE's latents [1, 4, h, w] of pixels in -1..1, unscaled: mean and mode of its normal distribution alike."""
    with _wide_enough(vae):
        latents: Tensor = vae.encode(pixels.to(vae.encoder.conv_in.weight)).latent_dist.mode()
    return latents


@contextmanager
def _wide_enough(vae: Any) -> Iterator[None]:
    """The encoder in float32 where its configuration says that a half overflows; its weights come back unchanged."""
    parts: tuple[nn.Module, ...] = (vae.encoder, vae.quant_conv)
    narrow = vae.encoder.conv_in.weight.dtype
    if narrow != torch.float16 or not vae.config.force_upcast:
        yield
        return
    try:
        for part in parts:
            part.to(torch.float32)
        yield
    finally:
        for part in parts:
            part.to(narrow)
