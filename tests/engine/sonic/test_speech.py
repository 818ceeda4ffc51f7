"""Speech features: the released networks' keys, and numbers that do not care how a job is cut."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from engine.media.pcm import PcmSpeech
from engine.sonic.speech import (
    WINDOW_SAMPLES,
    AudioToBucket,
    AudioToToken,
    audio_tokens,
    hear,
    motion_buckets,
    silent_tokens,
    sound_of,
)
from tests.conftest import ROOT
from tests.golden.weights import fill

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.renderer import SpeechReader

SECONDS = 75
GEN_FRAMES = SECONDS * 25 // 2 + 1
SAMPLES = GEN_FRAMES * 1280
CHANNELS, WIDTH = 32, 48
RELEASED = json.loads((ROOT / "engine" / "sonic" / "checkpoint_keys.json").read_text())


@dataclass
class Networks:
    whisper: WhisperModel
    extractor: WhisperFeatureExtractor
    audio2token: AudioToToken
    audio2bucket: AudioToBucket
    image_embeds: torch.Tensor

    def features(self, speech: SpeechReader, span: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        heard = hear(self.whisper, self.extractor, sound_of(speech), samples=SAMPLES, span=span)
        buckets = motion_buckets(self.audio2bucket, heard, image_embeds=self.image_embeds, span=span)
        return audio_tokens(self.audio2token, heard, span=span), buckets


@pytest.fixture(scope="module")
def networks() -> Networks:
    whisper = WhisperModel(
        WhisperConfig(
            d_model=CHANNELS, encoder_layers=4, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
            decoder_start_token_id=1,
        )
    )  # fmt: skip
    return Networks(
        fill(whisper).eval(),
        WhisperFeatureExtractor(),
        fill(AudioToToken(inputs=10 * 5 * CHANNELS, hidden=64, tokens=4, width=WIDTH)),
        fill(AudioToBucket(inputs=50 * CHANNELS + WIDTH, hidden=64, outputs=2)),
        torch.linspace(-1, 1, WIDTH)[None],
    )


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> PcmSpeech:
    """75 s of chirps and pauses, as a job keeps its speech."""
    seconds = np.arange(SECONDS * 16_000) / 16_000
    loud = (np.sin(2 * np.pi * 0.7 * seconds) > -0.5) * 0.4
    sound = loud * np.sin(2 * np.pi * (150 + 40 * np.sin(seconds)) * seconds) + 0.01 * np.sin(9000 * seconds)
    path: Path = tmp_path_factory.mktemp("speech") / "speech.pcm"
    path.write_bytes((sound * 32767).astype("<i2").tobytes())
    return PcmSpeech(path)


@dataclass
class Watched:
    """A speech that remembers what was read of it."""

    speech: PcmSpeech
    reads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def samples(self) -> int:
        return self.speech.samples

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        self.reads.append((start, stop))
        return self.speech.read(start, stop)


@pytest.mark.parametrize("span", [(300, 450), (725, 800), (900, GEN_FRAMES), (0, 25), (375, 376)])
def test_a_chunk_gets_the_numbers_of_the_whole_speech(
    span: tuple[int, int], networks: Networks, speech: PcmSpeech
) -> None:
    tokens, buckets = networks.features(speech, (0, GEN_FRAMES))
    chunk_tokens, chunk_buckets = networks.features(speech, span)
    assert chunk_tokens.shape == (span[1] - span[0], 4, WIDTH)
    assert chunk_buckets.shape == (span[1] - span[0], 2)
    torch.testing.assert_close(chunk_tokens, tokens[slice(*span)], rtol=0, atol=2e-6)
    torch.testing.assert_close(chunk_buckets, buckets[slice(*span)], rtol=0, atol=2e-5)


def test_chunks_that_begin_on_windows_agree_to_the_bit(networks: Networks, speech: PcmSpeech) -> None:
    first = networks.features(speech, (300, 450))
    second = networks.features(speech, (400, 475))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one[100:150], other[0:50])


def test_speech_at_another_place_of_the_grid_gives_other_numbers(networks: Networks, speech: PcmSpeech) -> None:
    """Else the tests above would hold for a grid of the chunk's own."""
    tokens, _ = networks.features(speech, (400, 450))
    skipped = 350 * 1280

    def rest(start: int, stop: int) -> NDArray[np.float32]:
        return sound_of(speech)(start + skipped, stop + skipped)

    heard = hear(networks.whisper, networks.extractor, rest, samples=SAMPLES - skipped, span=(50, 100))
    assert (audio_tokens(networks.audio2token, heard, span=(50, 100)) - tokens).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("span", "windows"), [((425, 700), [1]), ((300, 375), [0, 1]), ((10, 20), [0]), ((770, 800), [2])]
)
def test_only_the_30_s_windows_that_a_chunk_touches_are_read(
    span: tuple[int, int], windows: list[int], networks: Networks, speech: PcmSpeech
) -> None:
    watched = Watched(speech)
    networks.features(watched, span)
    ends = [(start * WINDOW_SAMPLES, min((start + 1) * WINDOW_SAMPLES, SAMPLES)) for start in windows]
    assert watched.reads == ends


def test_full_size_networks_have_the_released_keys_and_shapes() -> None:
    with torch.device("meta"):
        networks = {
            "audio2token.pth": AudioToToken(inputs=10 * 5 * 384, hidden=1024, tokens=32, width=1024),
            "audio2bucket.pth": AudioToBucket(inputs=50 * 384 + 1024, hidden=1024, outputs=2),
        }
    for name, network in networks.items():
        shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
        assert shapes == RELEASED[name]


def test_silence_has_tokens_of_its_own_the_same_for_every_frame(networks: Networks) -> None:
    assert silent_tokens(networks.audio2token).shape == (1, 4, WIDTH)
    zeros = networks.audio2token(torch.zeros(3, 10, 5, CHANNELS))
    torch.testing.assert_close(zeros, silent_tokens(networks.audio2token).expand(3, -1, -1))
