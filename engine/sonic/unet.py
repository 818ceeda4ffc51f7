"""Stable Video Diffusion's UNet with Sonic's cross attention and temporal context (docs/sonic.md#unet)."""

from __future__ import annotations

import functools
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn

from engine.sonic.attention import DecoupledAttention, WindowContext

if TYPE_CHECKING:
    from collections.abc import Iterator


class SonicTransformer(TransformerSpatioTemporalModel):  # type: ignore[misc]
    """A spatial and a temporal block whose `attn2` attend to a window's context, at place `index` of it."""

    def __init__(self, stock: TransformerSpatioTemporalModel, index: int) -> None:
        if len(stock.transformer_blocks) != 1:
            raise ValueError(f"a transformer has {len(stock.transformer_blocks)} blocks, wanted 1 as released")
        super().__init__(
            stock.num_attention_heads,
            stock.attention_head_dim,
            in_channels=stock.in_channels,
            cross_attention_dim=stock.transformer_blocks[0].attn2.cross_attention_dim,
        )
        self.index = index
        for block in (self.spatial, self.temporal):
            block.attn2 = DecoupledAttention(block.attn2)

    @property
    def spatial(self) -> Any:
        return self.transformer_blocks[0]

    @property
    def temporal(self) -> Any:
        return self.temporal_transformer_blocks[0]

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: WindowContext, image_only_indicator: Tensor, **_: Any
    ) -> tuple[Tensor]:
        """[branches * frames, c, h, w] -> the same, in a tuple as the stock blocks expect it."""
        branches, frames = image_only_indicator.shape
        height, width = hidden_states.shape[2:]
        seen = self.proj_in(self.norm(hidden_states).flatten(2).transpose(1, 2))  # [rows, h * w, c]
        seen = self._through_space(seen, encoder_hidden_states)
        moved = seen + self._frame_embedding(branches, frames, seen)
        moved = self._through_time(moved, frames, encoder_hidden_states)
        mixed = self.time_mixer(x_spatial=seen, x_temporal=moved, image_only_indicator=image_only_indicator)
        # [rows, h * w, c] -> [rows, c, h, w]
        mixed = self.proj_out(mixed).unflatten(1, (height, width)).permute(0, 3, 1, 2)
        return (mixed.contiguous() + hidden_states,)

    def _frame_embedding(self, branches: int, frames: int, like: Tensor) -> Tensor:
        """Where in the window each frame is: [branches * frames, 1, c]."""
        places = self.time_proj(torch.arange(frames, device=like.device)).to(like.dtype)
        return self.time_pos_embed(places).repeat(branches, 1)[:, None]  # type: ignore[no-any-return]

    def _through_space(self, rows: Tensor, context: WindowContext) -> Tensor:
        attended = context.spatial[self.index]
        if context.frames_per_slice is None:
            return self.spatial(rows, encoder_hidden_states=attended)  # type: ignore[no-any-return]
        slices = [
            self.spatial(rows[start:stop], encoder_hidden_states=attended.rows(start, stop))
            for start, stop in _slices(len(rows), context.frames_per_slice)
        ]
        return torch.cat(slices)

    def _through_time(self, rows: Tensor, frames: int, context: WindowContext) -> Tensor:
        attended = context.temporal[self.index]
        if context.frames_per_slice is None:
            return self.temporal(rows, num_frames=frames, encoder_hidden_states=attended)  # type: ignore[no-any-return]
        # positions do not see each other here: as many at once as make the spatial slice's size
        positions = -(-rows.shape[1] * context.frames_per_slice // frames)
        slices = [
            self.temporal(rows[:, start:stop], num_frames=frames, encoder_hidden_states=attended)
            for start, stop in _slices(rows.shape[1], positions)
        ]
        return torch.cat(slices, dim=1)


class SonicUNet(UNetSpatioTemporalConditionModel):  # type: ignore[misc]
    """The released `unet.pth`: its state-dict keys are this module's, without renaming."""

    # the stock signature, by which `from_config` knows what to read
    @functools.wraps(UNetSpatioTemporalConditionModel.__init__)  # type: ignore[misc]
    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        numbers = count()
        for block in (*self.down_blocks, self.mid_block, *self.up_blocks):
            if stock := getattr(block, "attentions", None):
                block.attentions = nn.ModuleList(SonicTransformer(one, next(numbers)) for one in stock)

    @property
    def layers(self) -> list[SonicTransformer]:
        """All transformers, in the order of their index."""
        return sorted((m for m in self.modules() if isinstance(m, SonicTransformer)), key=lambda layer: layer.index)

    @property
    def spatial_attentions(self) -> list[DecoupledAttention]:
        return [layer.spatial.attn2 for layer in self.layers]

    @property
    def temporal_attentions(self) -> list[DecoupledAttention]:
        return [layer.temporal.attn2 for layer in self.layers]

    def resolutions(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width at which each layer works, for latents of `height` and `width`."""
        sizes = [(height, width)]
        for _ in self.down_blocks[1:]:  # a stride-2 convolution with padding 1 rounds up
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        levels = [*enumerate(self.down_blocks), (len(sizes) - 1, self.mid_block)]
        levels += zip(reversed(range(len(sizes))), self.up_blocks, strict=True)
        return [sizes[level] for level, block in levels for _ in getattr(block, "attentions", ())]

    def forward(self, sample: Tensor, timestep: Tensor, context: WindowContext, added_time_ids: Tensor) -> Tensor:
        """One pass over one window.

        sample [branches, frames, 8, h, w], timestep a scalar, added_time_ids [branches, 3];
        gives [branches, frames, 4, h, w].
        """
        branches, frames = sample.shape[:2]
        embedding = self._embed(timestep, added_time_ids, sample).repeat_interleave(frames, dim=0)
        given = {"temb": embedding, "image_only_indicator": sample.new_zeros(branches, frames)}
        attending = {**given, "encoder_hidden_states": context}

        hidden = self.conv_in(sample.flatten(0, 1))
        skipped = [hidden]
        for block in self.down_blocks:
            hidden, kept = block(hidden, **(attending if hasattr(block, "attentions") else given))
            skipped.extend(kept)
        hidden = self.mid_block(hidden, **attending)
        for block in self.up_blocks:
            depth = len(block.resnets)
            skips = tuple(skipped[-depth:])
            del skipped[-depth:]
            # odd sizes: an upsampler must meet the size of what was skipped above it
            size = skipped[-1].shape[2:] if skipped else None
            hidden = block(
                hidden,
                res_hidden_states_tuple=skips,
                upsample_size=size,
                **(attending if hasattr(block, "attentions") else given),
            )
            del skips
        answer: Tensor = self.conv_out(self.conv_act(self.conv_norm_out(hidden)))
        return answer.reshape(branches, frames, *answer.shape[1:])

    def _embed(self, timestep: Tensor, added_time_ids: Tensor, like: Tensor) -> Tensor:
        """Timestep and time ids, [branches, 4 * c]."""
        branches = len(added_time_ids)
        # the sinusoids are float32 whatever the weights are
        step = self.time_embedding(self.time_proj(timestep.expand(branches)).to(like.dtype))
        ids = self.add_time_proj(added_time_ids.flatten()).reshape(branches, -1)
        return step + self.add_embedding(ids.to(like.dtype))  # type: ignore[no-any-return]


def _slices(length: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, size):
        yield start, min(start + size, length)
