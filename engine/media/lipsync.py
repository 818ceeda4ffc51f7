"""The lag between a mouth and the speech it is heard with, and the offset that takes it away.

A positive lag is a mouth that moves later than its sound; a positive offset plays the speech later. They have one sign.
The lag is where the opening, measured from the frames, follows the loudness of the speech best: of the band that an
open mouth lets out, over voiced spans, both freed of what is slower than a second.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.spec import FRAME_RATE, SAMPLES_PER_FRAME, SPEECH_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.renderer import SpeechReader

    Reals = NDArray[np.float64]

LARGEST_OFFSET_S = 0.1
SMALLEST_OFFSET_S = 0.01
"""A lag below this is nobody's to see, and about as large as the error of its measurement."""
CONFIDENT = 0.5
"""Confidence from which on a lag is corrected: at 1 the curve is twice as clear as it must be."""
LEAST_VOICED_S = 4.0
"""In less the words that happen to be there move the lag by more than the smallest offset."""
LEAST_MOVED = 0.004
"""Eye distances (deviation) by which a mouth that speaks moves at least; a still one measures less than a quarter."""
LEAST_CORRELATION = 0.3
CHANCE = 5.5
"""The correlation is also this many times one over the root of the frames compared: a short mouth agrees by chance."""
LEAST_PROMINENCE = 0.1
"""By which the correlation at the lag is higher than at any lag that is _APART from it."""
LARGEST_ERROR_S = 0.008
"""Standard error of the lag, from how well parts of the speech agree."""

_HOPS = 4  # looks at the speech in one frame25
_HOP = SAMPLES_PER_FRAME // _HOPS
_HOP_S = _HOP / SPEECH_RATE
_WINDOW = 256  # samples of one look, 16 ms: a period of a deep voice
_HANN = np.hanning(_WINDOW).astype(np.float32)
_BAND = slice(500 * _WINDOW // SPEECH_RATE, 3000 * _WINDOW // SPEECH_RATE)  # lets the voice in, keeps hiss and hum out
_RANGE_DB = 25.0  # from a loud vowel to where a mouth is as good as shut
_QUIETEST_DB = -60.0
_LOUD_SHARE = 95  # percentile of the loudness around that counts as loud

_REACH = 40  # hops: lags up to 0.4 s are compared
_LAGS = np.arange(-_REACH, _REACH + 1)
_APART = 15  # hops: further apart than one syllable's own peak is wide
_SLOW = FRAME_RATE  # frames25 of the running mean that is taken away
_SPAN = 10 * FRAME_RATE  # frames25 looked at together
_AROUND = 2 * FRAME_RATE  # frames25 on each side that the loud level looks at
_GROWN = 4  # frames25 by which voiced spans grow: a mouth opens before and shuts behind the voice
_PARTS = 16  # seconds of speech are dealt to these in turn; their disagreement gives the error


@dataclass(frozen=True)
class Sync:
    """What was found. lag_s: mouth behind sound, None where nothing was to be compared. confidence: 0 to 1.

    offset_s: what to play the speech later by, negative for earlier; 0 where `reason` says why nothing changes.
    """

    lag_s: float | None
    confidence: float
    offset_s: float
    reason: str


class LagEstimator:
    """Compares mouth and speech, chunk by chunk; what it holds does not grow with the job.

    voiced: frames25 [start, stop) in which somebody speaks, in order.
    """

    def __init__(self, speech: SpeechReader, voiced: Sequence[tuple[int, int]]) -> None:
        self._speech = speech
        self._starts = [start - _GROWN for start, _ in voiced]
        self._stops = [stop + _GROWN for _, stop in voiced]
        self._sums = _Sums()
        self._voiced = 0

    def add(self, start: int, openings: Sequence[float | None]) -> None:
        """Take the openings of frames25 [start, start + len), as MouthMeter gave them, None where there was no face.

        Where their zero lies may differ from call to call. Any order; what two chunks share may be given twice.
        """
        quick = _without_slow(np.array([np.nan if opening is None else opening for opening in openings], np.float64))
        spoken = self._spoken(start, start + len(openings))
        self._voiced += int(spoken.sum())
        for first in range(0, len(quick), _SPAN):
            part = slice(first, min(first + _SPAN, len(quick)))
            used = np.flatnonzero(spoken[part] & np.isfinite(quick[part]))
            if used.size:
                places = start + first + used
                self._sums.add(places, quick[part][used], self._loudness(places))

    def sync(self) -> Sync:
        """The lag over everything that was added."""
        if self._voiced < LEAST_VOICED_S * FRAME_RATE:
            heard = self._voiced / FRAME_RATE
            return _unchanged(f"a voice is heard in {heard:.1f} s of the speech, wanted {LEAST_VOICED_S:g} s")
        if (seen := self._sums.frames) < LEAST_VOICED_S * FRAME_RATE:
            return _unchanged(f"the mouth is seen in {seen / FRAME_RATE:.1f} s of speech, wanted {LEAST_VOICED_S:g} s")
        if (moved := self._sums.moved()) < LEAST_MOVED:
            return _unchanged(f"the mouth moves by {moved:.4f} eye distances, wanted {LEAST_MOVED:g}")
        return _judged(self._sums)

    def _spoken(self, start: int, stop: int) -> NDArray[np.bool_]:
        spoken = np.zeros(stop - start, bool)
        # spans may overlap once they have grown: the one before may reach in as well
        first = max(0, bisect_right(self._stops, start))
        for begin, end in zip(self._starts[first:], self._stops[first:], strict=True):
            if begin >= stop:
                break
            spoken[max(0, begin - start) : max(0, end - start)] = True
        return spoken

    def _loudness(self, places: NDArray[np.intp]) -> Reals:
        """What each frame of `places` may be compared with: loudness at every lag, [frames, lags]."""
        first, stop = int(places[0]) - _AROUND, int(places[-1]) + 1 + _AROUND
        loudness = _loudness(self._speech, first * _HOPS, stop * _HOPS + 1)
        middle = (places - first) * _HOPS + _HOPS // 2
        # a mouth that is late shows the sound of before
        found: Reals = loudness[middle[:, None] - _LAGS]
        return found


class _Sums:
    """What Pearson's correlation at each lag needs, for every part on its own: [parts, lags]."""

    def __init__(self) -> None:
        shape = _PARTS, len(_LAGS)
        self._mouth, self._mouth2 = np.zeros(_PARTS), np.zeros(_PARTS)
        self._sound, self._sound2, self._both = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._count = np.zeros(_PARTS)

    @property
    def frames(self) -> int:
        return int(self._count.sum())

    def add(self, places: NDArray[np.intp], mouth: Reals, sound: Reals) -> None:
        parts = places // FRAME_RATE % _PARTS
        for part in np.unique(parts):
            own = parts == part
            self._count[part] += own.sum()
            self._mouth[part] += mouth[own].sum()
            self._mouth2[part] += (mouth[own] ** 2).sum()
            self._sound[part] += sound[own].sum(axis=0)
            self._sound2[part] += (sound[own] ** 2).sum(axis=0)
            self._both[part] += mouth[own] @ sound[own]

    def moved(self) -> float:
        """Deviation of the opening."""
        return float(np.sqrt(max(0.0, self._mouth2.sum() / self.frames - (self._mouth.sum() / self.frames) ** 2)))

    def correlations(self, without: int | None = None) -> Reals:
        """Correlation at each lag, over all parts or all but one."""
        used = np.arange(_PARTS) != without
        count = self._count[used].sum()
        mouth, sound = self._mouth[used].sum() / count, self._sound[used].sum(axis=0) / count
        mouth_power = self._mouth2[used].sum() / count - mouth**2
        sound_power = self._sound2[used].sum(axis=0) / count - sound**2
        both = self._both[used].sum(axis=0) / count - mouth * sound
        found: Reals = both / np.sqrt(np.maximum(mouth_power * sound_power, 1e-12))
        return found

    def error(self) -> float:
        """Standard error of the lag in seconds: the jackknife over the parts that hold anything."""
        parts = np.flatnonzero(self._count)
        if len(parts) < 2:
            return float("inf")
        lags = np.array([_summit(self.correlations(int(part))) for part in parts])
        return float(np.sqrt((len(parts) - 1) / len(parts) * ((lags - lags.mean()) ** 2).sum())) * _HOP_S


def _judged(sums: _Sums) -> Sync:
    curve = sums.correlations()
    summit = _summit(curve)
    lag, peak = summit * _HOP_S, float(curve.max())
    prominence = peak - float(curve[np.abs(_LAGS - summit) >= _APART].max())
    error = sums.error()
    wanted = max(LEAST_CORRELATION, CHANCE / math.sqrt(sums.frames))
    ratios = {
        f"correlation {peak:.2f}, wanted {wanted:.2f}": peak / wanted,
        f"another lag fits as well: {prominence:.2f} apart, wanted {LEAST_PROMINENCE:g}": prominence / LEAST_PROMINENCE,
        f"parts disagree by {1000 * error:.0f} ms, wanted {1000 * LARGEST_ERROR_S:.0f} or less": LARGEST_ERROR_S
        / max(error, 1e-6),
    }
    weakest = min(ratios, key=lambda what: ratios[what])
    confidence = min(1.0, max(0.0, ratios[weakest] * CONFIDENT))
    if confidence < CONFIDENT:
        return Sync(lag, confidence, 0.0, f"mouth and speech do not show their lag: {weakest}")
    if abs(lag) < SMALLEST_OFFSET_S:
        return Sync(lag, confidence, 0.0, f"{1000 * lag:+.0f} ms is too little to correct")
    offset = min(LARGEST_OFFSET_S, max(-LARGEST_OFFSET_S, lag))
    found = f"the mouth was {abs(1000 * lag):.0f} ms {'behind' if lag > 0 else 'ahead of'} the speech"
    return Sync(lag, confidence, offset, found if offset == lag else f"{found}: corrected as far as allowed")


def _unchanged(reason: str) -> Sync:
    return Sync(None, 0.0, 0.0, reason)


def _summit(curve: Reals) -> float:
    """The lag, in hops and fractions of one, at which the curve is highest."""
    place = int(np.argmax(curve[1:-1])) + 1
    before, at, behind = curve[place - 1 : place + 2]
    bend = before - 2 * at + behind
    beside = (before - behind) / (2 * bend) if bend < 0 else 0.0
    return float(_LAGS[place] + min(1.0, max(-1.0, beside)))


def _loudness(speech: SpeechReader, start: int, stop: int) -> Reals:
    """Loudness of the looks [start, stop), 0 to 1, averaged over a frame's time and freed of what is slow."""
    reach = (_SLOW * _HOPS + _HOPS) // 2
    looks = _looks(speech, start - reach, stop + reach)
    loud = max(float(np.percentile(looks, _LOUD_SHARE)), _QUIETEST_DB + _RANGE_DB)
    near = np.clip((looks - loud) / _RANGE_DB + 1, 0, 1)
    edges = np.convolve(near, np.array([0.5, 1, 1, 1, 0.5]) / _HOPS, "valid")
    slow = np.convolve(edges, np.full(_SLOW * _HOPS + 1, 1 / (_SLOW * _HOPS + 1)), "valid")
    quick: Reals = edges[len(edges) - len(slow) >> 1 :][: len(slow)] - slow
    return quick


def _looks(speech: SpeechReader, start: int, stop: int) -> Reals:
    """Loudness in dB of full scale around samples start * _HOP, (start + 1) * _HOP, ..."""
    sound = speech.read(start * _HOP - _WINDOW // 2, stop * _HOP + _WINDOW // 2).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW)[::_HOP][: stop - start]
    spectrum: NDArray[Any] = np.fft.rfft(windows * (_HANN / 32768))[:, _BAND]
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1) * (2 / _WINDOW / float((_HANN**2).sum()))
    found: Reals = 10 * np.log10(power.astype(np.float64) + 1e-12)
    return found


def _without_slow(openings: Reals) -> Reals:
    """Openings less their mean over a second around; not a number where there is none."""
    known = np.isfinite(openings)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, openings, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    places = np.arange(len(openings))
    first, stop = np.maximum(places - _SLOW // 2, 0), np.minimum(places + _SLOW // 2 + 1, len(openings))
    mean = (sums[stop] - sums[first]) / np.maximum(counts[stop] - counts[first], 1)
    quick: Reals = openings - mean
    return quick
