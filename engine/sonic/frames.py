"""Latents to the frames that leave: decoded and interpolated as they are asked for (docs/sonic.md#pixels)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.sonic.interpolate import middle_frames
from engine.sonic.memory import smaller_when_full
from engine.sonic.pixels import decoded_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.renderer import Frame
    from engine.sonic.config import SonicConfig
    from engine.sonic.weights.load import Models
    from engine.spec import ChunkSpec


def frames_of(models: Models, latents: Tensor, chunk: ChunkSpec, config: SonicConfig) -> Iterator[Frame]:
    """frames25 [chunk.out) of the latents of chunk.span, in order.

    frame25 2g is gen_frame g, and 2g + 1 lies halfway to the next: the middles across a chunk's ends come from
    gen_frames that both neighbours computed.
    """
    # a chunk that ends on a middle needs the gen_frame behind it
    wanted = chunk.out[0] // 2, chunk.out[1] // 2 + 1
    frame25 = 2 * wanted[0]
    for pictures in _with_middles(models, latents, wanted, chunk=chunk, config=config):
        for picture in pictures:
            if chunk.out[0] <= frame25 < chunk.out[1]:
                yield _as_frame(picture)
            frame25 += 1


def _with_middles(
    models: Models, latents: Tensor, wanted: tuple[int, int], *, chunk: ChunkSpec, config: SonicConfig
) -> Iterator[Tensor]:
    """Pictures of gen_frames `wanted` with what lies between them, a decoded batch at a time."""
    before: Tensor | None = None
    for pictures in _decoded(models, latents, wanted, chunk=chunk, config=config):
        # the last picture of the batch before, so that no pair is lost between batches
        joined = pictures if before is None else torch.cat((before, pictures))
        before = joined[-1:]
        if len(joined) > 1:
            yield torch.stack((joined[:-1], _middles(models, joined, config)), dim=1).flatten(0, 1)
    if before is not None:
        yield before


def _decoded(
    models: Models, latents: Tensor, wanted: tuple[int, int], *, chunk: ChunkSpec, config: SonicConfig
) -> Iterator[Tensor]:
    """Decoded batches; from where memory runs out on, smaller ones."""
    done = wanted[0]

    def rest(batch: int) -> Iterator[Tensor]:
        return decoded_batches(models.vae, latents, span=chunk.span, wanted=(done, wanted[1]), batch=batch)

    for pictures in smaller_when_full(rest, config.decode_batch, "decoding"):
        done += len(pictures)
        yield pictures


def _middles(models: Models, pictures: Tensor, config: SonicConfig) -> Tensor:
    """What lies between neighbours, [n - 1, ...]."""
    first, second = pictures[:-1], pictures[1:]
    found: list[Tensor] = []

    def rest(batch: int) -> Iterator[Tensor]:
        start = sum(map(len, found))
        for one in range(start, len(first), batch):
            yield middle_frames(models.flow, first[one : one + batch], second[one : one + batch])

    # one at a time in `lean` mode
    for middles in smaller_when_full(rest, 1 if config.memory == "lean" else len(first), "interpolation"):
        found.append(middles.to(pictures.dtype))  # noqa: PERF401  (`rest` reads how many there are)
    return torch.cat(found)


def _as_frame(picture: Tensor) -> Frame:
    """[3, height, width] in 0..1 -> [height, width, 3] in whole levels of 255."""
    levels = (picture.float() * 255).round().to(torch.uint8)
    return levels.permute(1, 2, 0).contiguous().cpu().numpy()
