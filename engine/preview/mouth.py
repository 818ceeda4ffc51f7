"""From speech to what the mouth does: one pose for each frame25, computed from the speech around it alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from engine.preview.speech import MARGIN, Sound, sound_of
from engine.spec import SAMPLES_PER_FRAME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.renderer import SpeechReader

LEVEL_RADIUS = 100
"""frames25 on each side (4 s) from which a frame's reference level is taken."""
DIP_RADIUS = 3
"""frames25 on each side that a closure of the lips is compared with."""
CONTEXT = LEVEL_RADIUS + DIP_RADIUS + 2
"""frames25 on each side of a frame whose speech its pose depends on."""
CONTEXT_SAMPLES = CONTEXT * SAMPLES_PER_FRAME + MARGIN
WIDEST = 1.5
"""Openings end here, whatever the gain: a jaw goes no further."""

_LOUD_SHARE = 90  # percentile of the levels around that counts as loud
_QUIET_DB = -30.0  # the reference never falls below: what is quieter than speech stays nearly closed
_RANGE_DB = 22.0  # from closed to fully open
_HISS_RANGE_DB = 30.0  # fricatives are heard down to here below the reference
_HISS_OPENING = 0.2
_CLOSED_VOWEL = 0.38  # opening of i and u, in parts of a's at the same loudness


@dataclass(frozen=True)
class MouthTrack:
    """Poses of consecutive frames25, each array [frames].

    opening: 0 closed, 1 a loud open vowel. width: -1 rounded (u), 0 at rest, 1 spread (i).
    teeth: 1 where the jaw is shut behind parted lips (s).
    """

    opening: NDArray[np.float64]
    width: NDArray[np.float64]
    teeth: NDArray[np.float64]


def mouth_track(speech: SpeechReader, start: int, stop: int, gain: float = 1.0) -> MouthTrack:
    """Mouth poses for frames25 [start, stop); the same numbers, bit for bit, however a job is cut into ranges."""
    sounds = [sound_of(speech, frame) for frame in range(start - CONTEXT, stop + CONTEXT)]
    bands = {field.name: np.array([getattr(sound, field.name) for sound in sounds]) for field in fields(Sound)}
    reference = _reference(bands["level"])
    near = slice(LEVEL_RADIUS, len(sounds) - LEVEL_RADIUS)
    bands = {name: values[near] for name, values in bands.items()}

    loud = _ramp(bands["level"], reference - _RANGE_DB, reference) ** 1.3
    hiss = _hiss(bands, reference)
    rounded, spread = _vowel_width(bands)
    openness = _ramp(bands["open"] - bands["low"], -14, 2)
    vowel = loud * (_CLOSED_VOWEL + (1 - _CLOSED_VOWEL) * openness)
    # rounded lips are taller when nearly closed and smaller when open; spread ones flatter
    vowel = vowel * (1 + rounded * (0.15 - 0.4 * openness)) * (1 - 0.2 * spread * (1 - openness))
    closure = _closure(bands, reference) * _lip_sound(vowel, hiss)
    opening = _smooth(np.maximum(vowel * (1 - hiss), _HISS_OPENING * hiss)) * (1 - _widened(closure))
    opening = _without_pops(opening)
    heard = np.maximum(_ramp(loud, 0.02, 0.3), hiss)
    width = _smooth(_smooth((spread - rounded + 0.25 * hiss) * heard))

    inner = slice(CONTEXT - LEVEL_RADIUS, len(opening) - (CONTEXT - LEVEL_RADIUS))  # what wrapped around goes
    return MouthTrack(
        opening=np.minimum(opening * gain, WIDEST)[inner],
        width=np.clip(width * (0.5 + 0.5 * gain), -1.3, 1.3)[inner],
        teeth=_smooth(hiss)[inner],
    )


def _reference(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """The loud level around each frame, in dB; 2 * LEVEL_RADIUS frames shorter than `level`."""
    around = np.lib.stride_tricks.sliding_window_view(level, 2 * LEVEL_RADIUS + 1)
    place = around.shape[1] * _LOUD_SHARE // 100
    loud: NDArray[np.float64] = np.partition(around, place, axis=1)[:, place]
    return np.maximum(loud, _QUIET_DB)


def _hiss(bands: dict[str, NDArray[np.float64]], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where noise above 4 kHz outweighs the voice: s, sh, f."""
    noisy = _ramp(bands["hiss"] - np.maximum(bands["low"], bands["open"]), -4, 6)
    return noisy * _ramp(bands["hiss"], reference - _HISS_RANGE_DB, reference - _HISS_RANGE_DB + 8)


def _closure(bands: dict[str, NDArray[np.float64]], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where the voice drops far below what is around it, as it does behind shut lips."""
    dip = bands["dip"]
    around = _largest_near(dip, DIP_RADIUS)
    # against speech that is itself faint a drop says nothing
    return _ramp(around - dip, 10, 15) * _ramp(around, reference - _RANGE_DB, reference - _RANGE_DB + 6)


def _lip_sound(vowel: NDArray[np.float64], hiss: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a closure the lips take: less beside a hiss (the tongue made it) and between murmured vowels."""
    beside_hiss = np.maximum(hiss, 0.6 * _largest_near(hiss, 2))
    share: NDArray[np.float64] = (1 - beside_hiss) * (0.5 + 0.5 * _ramp(_largest_near(vowel, 2), 0.1, 0.4))
    return share


def _largest_near(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    largest: NDArray[np.float64] = np.max([np.roll(values, shift) for shift in range(-radius, radius + 1)], axis=0)
    return largest


def _vowel_width(bands: dict[str, NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far the vowel is rounded (u, o) and spread (i, e), each 0 to 1."""
    # an u made far forward in the mouth (F2 near 1800 Hz) is rounded still
    front = bands["front"] - np.maximum(bands["back"], bands["mid"] + 6)
    closed = _ramp(bands["low"] - bands["open"], 2, 12)
    rounded_o = 0.6 * _ramp(bands["back"] - bands["mid"], 25, 40)
    rounded = np.maximum(_ramp(-front, 2, 8) * closed, rounded_o * (1 - closed))
    return rounded, _ramp(front, -6, 2)


def _ramp(
    values: NDArray[np.float64], low: float | NDArray[np.float64], high: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    clipped: NDArray[np.float64] = np.clip((values - low) / (high - low), 0.0, 1.0)
    return clipped


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.25 * np.roll(values, 1) + 0.5 * values + 0.25 * np.roll(values, -1)


def _without_pops(opening: NDArray[np.float64]) -> NDArray[np.float64]:
    """A click or a plosive's burst parts the lips for one frame only: most of that goes."""
    beside = np.maximum(np.roll(opening, 1), np.roll(opening, -1))
    return opening * (0.3 + 0.7 * _ramp(beside, 0.0, 0.1))


def _widened(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lips are half way there in the frames beside a closure."""
    return np.maximum(values, 0.35 * np.maximum(np.roll(values, 1), np.roll(values, -1)))
