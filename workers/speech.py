"""The job's speech, read from storage by range."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from engine.spec import SPEECH_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from farm.storage.s3 import Storage

BLOCK = 20 * SPEECH_RATE
"""Samples fetched at once: 640 KB, so that a chunk costs a few requests and a worker holds little."""
BLOCKS_KEPT = 8
SAMPLE_BYTES = 2


class StoredSpeech:
    """engine's SpeechReader over speech.pcm in storage."""

    def __init__(self, storage: Storage, key: str) -> None:
        self._storage = storage
        self.key = key
        self.samples = storage.size(key) // SAMPLE_BYTES
        self._block = lru_cache(maxsize=BLOCKS_KEPT)(self._fetch)

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        """Samples [start, stop) as int16; what lies outside the speech is zero."""
        out = np.zeros(stop - start, np.int16)
        first, last = max(start, 0), min(stop, self.samples)
        for index in range(first // BLOCK, -(-last // BLOCK)) if first < last else ():
            lo, hi = max(first, index * BLOCK), min(last, (index + 1) * BLOCK)
            out[lo - start : hi - start] = self._block(index)[lo - index * BLOCK : hi - index * BLOCK]
        return out

    def _fetch(self, index: int) -> NDArray[np.int16]:
        start, stop = index * BLOCK, min((index + 1) * BLOCK, self.samples)
        data = self._storage.read_range(self.key, start * SAMPLE_BYTES, stop * SAMPLE_BYTES)
        return np.frombuffer(data, dtype="<i2")
