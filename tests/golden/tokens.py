"""One call of the UNet on tokens that a golden case gives for every frame of every branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.sonic.attention import Attended, WindowContext
from engine.sonic.context import masks_by_resolution

if TYPE_CHECKING:
    from torch import Tensor

    from engine.sonic.unet import SonicUNet


def context_of_tokens(
    unet: SonicUNet, clip: Tensor, audio: Tensor, *, face_mask: Tensor, latent_size: tuple[int, int]
) -> WindowContext:
    """A window's context from tokens of every frame of every branch: [branches, frames, tokens, context]."""
    sizes = unet.resolutions(*latent_size)
    masks = masks_by_resolution(face_mask, sizes)
    spatial = [
        Attended(layer.project_clip(clip.flatten(0, 1)), layer.project_audio(audio.flatten(0, 1)), 1.0, masks[size])
        for layer, size in zip(unet.spatial_attentions, sizes, strict=True)
    ]
    temporal = [
        Attended(layer.project_clip(clip.mean(1)), layer.project_audio(audio.mean(1)), 1.0)
        for layer in unet.temporal_attentions
    ]
    return WindowContext(spatial, temporal)
