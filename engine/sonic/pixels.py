"""Latents to pictures through the temporal VAE decoder (docs/sonic.md#pixels)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from engine.sonic.config import LATENT_SCALE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@torch.inference_mode()
def decode(vae: Any, latents: Tensor) -> Tensor:
    """Pictures [frames, 3, height, width] in 0..1 of latents [frames, 4, h, w]; they see each other through time."""
    # not vae.device, which is its encoder's: in `lean` mode that is on the host
    scaled = (latents / LATENT_SCALE).to(vae.decoder.conv_in.weight)
    decoded: Tensor = vae.decode(scaled, num_frames=len(latents)).sample
    return (decoded * 0.5 + 0.5).clamp(0, 1)


def decoded_batches(
    vae: Any, latents: Tensor, *, span: tuple[int, int], wanted: tuple[int, int], batch: int
) -> Iterator[Tensor]:
    """The pictures of gen_frames `wanted`, in order, a batch at a time, from the latents of all of `span`.

    Batches begin at multiples of `batch` in the job's own gen_frames: a picture depends on its batch, so any two spans
    that hold a whole batch give the same pictures.
    """
    for first in range(wanted[0] // batch * batch, wanted[1], batch):
        start, stop = max(first, span[0]), min(first + batch, span[1])
        pictures = decode(vae, latents[start - span[0] : stop - span[0]])
        yield pictures[max(0, wanted[0] - start) : wanted[1] - start]
