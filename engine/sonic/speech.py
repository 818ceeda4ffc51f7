"""Speech to what the UNet hears: audio tokens for every gen_frame, and how much it moves.

Whisper works through windows of 30 s that lie on a grid of the job's whole speech, so a chunk computes only the windows
that its frames look at and gets the numbers that the whole speech would give (docs/sonic.md#speech).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engine.spec import SAMPLES_PER_FRAME, SPEECH_RATE

if TYPE_CHECKING:
    from engine.renderer import SpeechReader

Sound = Callable[[int, int], NDArray[np.float32]]
"""Samples [start, stop) of the whole speech, 16 kHz mono, -1..1."""

WINDOW_SAMPLES = 480_000
"""30 s: what whisper hears at a time (docs/sonic.md#speech)."""
WINDOW_TOKENS = 1_500
"""Whisper's answers to one window (docs/sonic.md#speech)."""
TOKENS_PER_FRAME25 = 2
"""Whisper says 50 tokens a second (docs/sonic.md#time)."""
TOKENS_PER_GEN_FRAME = 4
"""Two gen_frames lie this many tokens apart (docs/sonic.md#speech)."""
TOKEN_LOOK = (4, 10)
"""audio2token: tokens before a gen_frame's own that it sees first, and how many it sees (docs/sonic.md#speech)."""
BUCKET_LOOK = (24, 50)
"""The same of audio2bucket (docs/sonic.md#speech)."""
BUCKET_SCALE, BUCKET_OFFSET = 16.0, 16.0
"""From audio2bucket's answer to motion buckets (docs/sonic.md#speech)."""
BLOCK = 25
"""gen_frames through the two networks at a time: spans begin on multiples, so any chunk computes the same blocks."""


class AudioToToken(nn.Module):
    """Ten tokens of every whisper layer -> the audio tokens of one gen_frame; keys as in audio2token.pth."""

    def __init__(self, *, inputs: int, hidden: int, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens, self.width = tokens, width
        self.proj1 = nn.Linear(inputs, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, heard: Tensor) -> Tensor:
        """[frames, 10, layers, channels] -> [frames, tokens, width]."""
        hidden = functional.relu(self.proj1(heard.flatten(1)))
        hidden = functional.relu(self.proj2(hidden))
        tokens: Tensor = self.norm(self.proj3(hidden).unflatten(1, (self.tokens, self.width)))
        return tokens


class AudioToBucket(nn.Module):
    """Fifty tokens of whisper's last layer and the portrait -> two numbers; keys as in audio2bucket.pth."""

    def __init__(self, *, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.proj1 = nn.Linear(inputs, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, outputs)

    def forward(self, heard: Tensor, image_embeds: Tensor) -> Tensor:
        """[frames, 50, channels] and [1, width] -> [frames, 2]."""
        seen = image_embeds.expand(len(heard), -1)
        hidden = functional.silu(self.proj1(torch.cat((heard.flatten(1), seen), 1)))
        hidden = functional.silu(self.proj2(hidden))
        buckets: Tensor = self.proj3(hidden)
        return buckets


@dataclass(frozen=True)
class Heard:
    """Whisper's hidden states [tokens, layers, channels] from token `start` on, of a speech of `spoken` tokens.

    They are zero outside the speech, and lie on the host: on a GPU they would grow with the chunk.
    """

    start: int
    states: Tensor
    spoken: int

    def looks(self, span: tuple[int, int], look: tuple[int, int]) -> Tensor:
        """What each gen_frame of `span` sees: [frames, seen, layers, channels]."""
        before, seen = look
        # a speech shorter than the silence before it gets only as much silence as it has tokens (golden pipeline_b)
        before = min(before, self.spoken)
        first = TOKENS_PER_GEN_FRAME * span[0] - before - self.start
        last = TOKENS_PER_GEN_FRAME * (span[1] - 1) - before - self.start + seen
        # [tokens, layers, channels] -> [frames, layers, channels, seen]
        return self.states[first:last].unfold(0, seen, TOKENS_PER_GEN_FRAME).permute(0, 3, 1, 2)


def sound_of(speech: SpeechReader) -> Sound:
    """The speech as whisper hears it."""
    return lambda start, stop: speech.read(start, stop).astype(np.float32) / np.float32(32768)


def log_mel(extractor: Any, sound: Sound, *, samples: int, window: int) -> Tensor:
    """The log-mel picture [bins, 3000] of the 30 s window of that number; zero behind the speech's `samples`."""
    start = window * WINDOW_SAMPLES
    heard = sound(start, min(start + WINDOW_SAMPLES, samples))
    # the extractor pads to 30 s by itself
    features = extractor(heard, sampling_rate=SPEECH_RATE, return_tensors="pt").input_features
    mel: Tensor = features[0]
    return mel


@torch.inference_mode()
def hear(whisper: Any, extractor: Any, sound: Sound, *, samples: int, span: tuple[int, int]) -> Heard:
    """What whisper makes of the speech around gen_frames `span`, of a speech of `samples` in all.

    whisper: a WhisperModel; extractor: its feature extractor. Only the 30 s windows that the span touches are computed.
    """
    start = TOKENS_PER_GEN_FRAME * span[0] - BUCKET_LOOK[0]
    spoken = samples // SAMPLES_PER_FRAME * TOKENS_PER_FRAME25
    stop = TOKENS_PER_GEN_FRAME * (span[1] - 1) - min(BUCKET_LOOK[0], spoken) + BUCKET_LOOK[1]
    layers, channels = whisper.config.encoder_layers + 1, whisper.config.d_model
    states = torch.zeros(stop - start, layers, channels, dtype=whisper.dtype)
    for window in range(max(0, start) // WINDOW_TOKENS, -(-min(stop, spoken) // WINDOW_TOKENS)):
        mel = log_mel(extractor, sound, samples=samples, window=window)
        window_start = window * WINDOW_TOKENS
        first, last = max(start, window_start), min(stop, spoken, window_start + WINDOW_TOKENS)
        told = _hidden_states(whisper, mel)[first - window_start : last - window_start]
        states[first - start : last - start] = told.cpu()
    return Heard(start, states, spoken)


@torch.inference_mode()
def audio_tokens(network: AudioToToken, heard: Heard, *, span: tuple[int, int]) -> Tensor:
    """[frames, tokens, width] of gen_frames `span`, on the host."""
    weight = network.proj1.weight
    return torch.cat([network(heard.looks(block, TOKEN_LOOK).to(weight)).cpu() for block in _blocks(span)])


@torch.inference_mode()
def silent_tokens(network: AudioToToken) -> Tensor:
    """The unconditional audio tokens [1, tokens, width], the same for every frame: the network's answer to zeros."""
    weight = network.proj1.weight
    return network(weight.new_zeros(1, weight.shape[1]))  # type: ignore[no-any-return]


@torch.inference_mode()
def motion_buckets(network: AudioToBucket, heard: Heard, *, image_embeds: Tensor, span: tuple[int, int]) -> Tensor:
    """[frames, 2] of gen_frames `span`, on the host: translation and expression, before dynamic_scale."""
    weight = network.proj1.weight
    looks = (heard.looks(block, BUCKET_LOOK)[:, :, -1].to(weight) for block in _blocks(span))
    answers = [network(look, image_embeds.to(weight)).cpu() for look in looks]
    return torch.cat(answers) * BUCKET_SCALE + BUCKET_OFFSET


def _hidden_states(whisper: Any, mel: Tensor) -> Tensor:
    """[tokens, layers, channels]: the embedding and every layer's answer, the last one after the final norm."""
    answer = whisper.encoder(mel[None].to(whisper.device, whisper.dtype), output_hidden_states=True)
    return torch.stack(answer.hidden_states, dim=2)[0]


def _blocks(span: tuple[int, int]) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK, span[1])) for start in range(*span, BLOCK)]
