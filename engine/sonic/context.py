"""What the UNet attends to, projected as seldom as it changes (docs/sonic.md#cost)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from engine.sonic.attention import Attended, AudioCache, Heard, WindowContext
from engine.sonic.config import GEN_FPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.sonic.config import SonicConfig
    from engine.sonic.unet import SonicUNet


@dataclass(frozen=True)
class Branch:
    """One of the passes that guidance compares: whether it sees the portrait and hears the speech."""

    name: str
    sees: bool
    hears: bool


BRANCHES = (Branch("nothing", False, False), Branch("appearance", True, False), Branch("all", True, True))
"""In the order of docs/sonic.md#denoising."""


@dataclass(frozen=True)
class Conditioning:
    """What portrait and speech give the denoising loop; the audio is of the span's n gen_frames alone, on the host."""

    image_embeds: Tensor  # [1, context], CLIP's
    image_latents: Tensor  # [1, 4, h, w], the VAE's mode, unscaled
    face_mask: Tensor  # [1, 1, H, W] in pixels of the portrait
    audio_tokens: Tensor  # [n, tokens, context]
    silence_tokens: Tensor  # [tokens, context], the same network on zeros
    motion_buckets: Tensor  # [n, 2], before dynamic_scale


def masks_by_resolution(mask: Tensor, sizes: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Tensor]:
    """The face mask at each size, [1, h * w, 1], neither clamped nor binarised (docs/sonic.md#unet)."""
    return {
        size: functional.interpolate(mask, size, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
        for size in dict.fromkeys(sizes)
    }


class Contexts:
    """A render's inputs to the UNet, window by window. What never changes is projected here, once."""

    def __init__(self, unet: SonicUNet, given: Conditioning, config: SonicConfig) -> None:
        weight = unet.conv_in.weight
        self._config = config
        self._given = given
        self._image = given.image_latents.to(weight)
        self._tokens = given.audio_tokens
        self._spatial, self._temporal = unet.spatial_attentions, unet.temporal_attentions
        self._sizes = unet.resolutions(*given.image_latents.shape[-2:])
        self._masks = masks_by_resolution(given.face_mask.to(weight), self._sizes)
        clip, silence = given.image_embeds.to(weight)[:, None], given.silence_tokens.to(weight)[None]
        self._clip = {layer: layer.project_clip(clip) for layer in (*self._spatial, *self._temporal)}
        self._silence = {layer: layer.project_audio(silence) for layer in (*self._spatial, *self._temporal)}
        self._cache = AudioCache(config.audio_cache_bytes)

    def sample(self, branches: Sequence[Branch], latents: Tensor) -> Tensor:
        """A window's scaled latents [frames, 4, h, w] beside the portrait's: [branches, frames, 8, h, w]."""
        image = self._image.expand(len(latents), -1, -1, -1)
        noisy = latents.to(image)
        return torch.stack([torch.cat([noisy, image if b.sees else torch.zeros_like(image)], dim=1) for b in branches])

    def time_ids(self, branches: Sequence[Branch], frames: Sequence[int]) -> Tensor:
        """(frames a second, translation bucket, expression bucket), the same in all branches: [branches, 3]."""
        buckets = (self._given.motion_buckets[list(frames)].float() * self._config.dynamic_scale).mean(0)
        ids = torch.cat([buckets.new_tensor([GEN_FPS]), buckets])
        return ids.to(self._image.device).expand(len(branches), -1)

    def window(self, branches: Sequence[Branch], frames: Sequence[int], frames_per_slice: int | None) -> WindowContext:
        """What `branches` attend to while `frames` (counted from the span's start) are denoised."""
        return WindowContext(self._spatial_of(branches, frames), self._temporal_of(branches, frames), frames_per_slice)

    def _spatial_of(self, branches: Sequence[Branch], frames: Sequence[int]) -> list[Attended]:
        hears = any(branch.hears for branch in branches)
        heard = self._cache.window(self._spatial, self._tokens, frames) if hears else self._silent()
        count = len(frames)
        return [
            self._attended(branches, self._clip[layer].expand(count, -1, -1), audio,
                           Heard(*(part.expand(count, -1, -1) for part in self._silence[layer])), self._masks[size])
            for layer, audio, size in zip(self._spatial, heard, self._sizes, strict=True)
        ]  # fmt: skip

    def _temporal_of(self, branches: Sequence[Branch], frames: Sequence[int]) -> list[Attended]:
        """Of the mean over the window's frames; the CLIP token is the same in all of them (docs/sonic.md#unet)."""
        tokens = self._tokens[list(frames)].to(self._image.device)
        mean = tokens.float().mean(0, keepdim=True).to(self._image)
        hears = any(branch.hears for branch in branches)
        heard = [layer.project_audio(mean) for layer in self._temporal] if hears else self._silent()
        return [
            self._attended(branches, self._clip[layer], audio, self._silence[layer], None)
            for layer, audio in zip(self._temporal, heard, strict=True)
        ]

    def _silent(self) -> list[Heard]:
        return [self._silence[layer] for layer in self._spatial]

    def _attended(
        self, branches: Sequence[Branch], clip: Tensor, audio: Heard, silence: Heard, mask: Tensor | None
    ) -> Attended:
        """One layer's part, branch after branch along the groups."""
        heard = [audio if branch.hears else silence for branch in branches]
        return Attended(
            clip=torch.cat([clip if branch.sees else torch.zeros_like(clip) for branch in branches]),
            heard=Heard(torch.cat([one.keys for one in heard]), torch.cat([one.values for one in heard])),
            scale=self._config.motion_scale,
            mask=mask,
        )
