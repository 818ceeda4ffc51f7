"""Decoupled cross attention: over the CLIP token and over the audio tokens, summed (docs/sonic.md#unet).

Keys and values are projected apart from the attention itself, so that what does not change is projected once
(docs/sonic.md#cost). The CLIP term has a single token, whose softmax is 1: its output is its value, without a query.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence


class Heard(NamedTuple):
    """Audio tokens as one layer attends to them: keys and values, both [..., tokens, channels]."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class Attended:
    """What one layer attends to. Groups are branches x frames in spatial layers, branches in temporal ones."""

    clip: Tensor  # [groups, 1, channels], the CLIP token's value
    heard: Heard  # [groups, tokens, channels] each
    scale: float
    mask: Tensor | None = None  # [1, positions, 1]: how much of the audio term each position takes; None: all of it

    def rows(self, start: int, stop: int) -> Attended:
        """The part for groups [start, stop)."""
        heard = Heard(self.heard.keys[start:stop], self.heard.values[start:stop])
        return Attended(self.clip[start:stop], heard, self.scale, self.mask)


class AudioProjections(nn.Module):
    """The audio tokens' own keys and values; lists of one, as the released keys `to_k_ip.0` have them."""

    def __init__(self, context: int, channels: int) -> None:
        super().__init__()
        self.to_k_ip = nn.ModuleList([nn.Linear(context, channels, bias=False)])
        self.to_v_ip = nn.ModuleList([nn.Linear(context, channels, bias=False)])


class DecoupledAttention(Attention):  # type: ignore[misc]
    """An `attn2` whose keys come projected: heads, to_q and to_out are the stock ones."""

    def __init__(self, stock: Attention) -> None:
        super().__init__(
            query_dim=stock.query_dim,
            cross_attention_dim=stock.cross_attention_dim,
            heads=stock.heads,
            dim_head=stock.inner_dim // stock.heads,
        )
        self.processor = AudioProjections(stock.cross_attention_dim, stock.inner_dim)

    def project_clip(self, tokens: Tensor) -> Tensor:
        """The CLIP term's output for single tokens [..., context] -> [..., channels]."""
        return self.to_v(tokens)  # type: ignore[no-any-return]

    def project_audio(self, tokens: Tensor) -> Heard:
        """[..., tokens, context] -> keys and values [..., tokens, channels]."""
        return Heard(self.processor.to_k_ip[0](tokens), self.processor.to_v_ip[0](tokens))

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Attended, **_: Any) -> Tensor:
        """[rows, length, channels] -> the same; rows are a whole multiple of the groups of what is attended to."""
        attended, groups = encoder_hidden_states, len(encoder_hidden_states.clip)
        # temporal layers: [groups * positions, frames, c] -> [groups, positions * frames, c]; all attend to the same
        query = self._split(self.to_q(hidden_states).reshape(groups, -1, self.inner_dim))
        keys, values = self._split(attended.heard.keys), self._split(attended.heard.values)
        audio = functional.scaled_dot_product_attention(query, keys, values)
        audio = audio.transpose(1, 2).flatten(2) * attended.scale  # [groups, length, c]
        if attended.mask is not None:
            audio = audio * attended.mask
        answer: Tensor = self.to_out[0](attended.clip + audio)
        return answer.reshape(hidden_states.shape)

    def _split(self, tokens: Tensor) -> Tensor:
        """[groups, length, heads * d] -> [groups, heads, length, d]."""
        groups, length, _ = tokens.shape
        return tokens.view(groups, length, self.heads, -1).transpose(1, 2)


@dataclass(frozen=True)
class WindowContext:
    """What the UNet's layers attend to in one window: one entry a transformer, in the order of `SonicUNet.layers`.

    frames_per_slice: frames that go through a spatial block at once (all when None), for small cards.
    """

    spatial: Sequence[Attended]
    temporal: Sequence[Attended]
    frames_per_slice: int | None = None


@dataclass
class AudioCache:
    """Projected audio tokens of single gen_frames, for every spatial layer, up to a number of bytes.

    Which frames are kept is decided by who comes first and never changes: windows visit all frames in every step,
    and a cache that replaced its oldest entry would then never be hit.
    """

    limit_bytes: int
    _held: dict[int, list[Heard]] = field(default_factory=dict)
    held_bytes: int = 0

    def window(self, layers: Sequence[DecoupledAttention], tokens: Tensor, frames: Sequence[int]) -> list[Heard]:
        """Keys and values of `frames` at every layer, each [frames, tokens, c]; `tokens`: the span's, on the host."""
        missing = [frame for frame in dict.fromkeys(frames) if frame not in self._held]
        fresh: dict[int, list[Heard]] = {}
        if missing:
            batch = tokens[missing].to(layers[0].to_q.weight)
            projected = [layer.project_audio(batch) for layer in layers]
            fresh = {
                frame: [Heard(heard.keys[row], heard.values[row]) for heard in projected]
                for row, frame in enumerate(missing)
            }
            self._keep(fresh)
        per_frame = [self._held.get(frame) or fresh[frame] for frame in frames]
        return [
            Heard(torch.stack([heard.keys for heard in layer]), torch.stack([heard.values for heard in layer]))
            for layer in zip(*per_frame, strict=True)
        ]

    def _keep(self, fresh: dict[int, list[Heard]]) -> None:
        for frame, layers in fresh.items():
            size = sum(tensor.nbytes for heard in layers for tensor in heard)
            if self.held_bytes + size > self.limit_bytes:
                return
            # copies, for a view would keep its whole batch alive
            self._held[frame] = [Heard(heard.keys.clone(), heard.values.clone()) for heard in layers]
            self.held_bytes += size
