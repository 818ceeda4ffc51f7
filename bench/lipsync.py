"""Lags injected between mouth and speech, and what the calibration makes of them.

    python bench/lipsync.py [--portrait PHOTO ...] [--pixels 192] [--json]

The preview renders each voice from a speech that is moved by the lag; mouth and delivered speech are then compared as
the stitch does it. Beside it: how well the measured opening follows the drawn one, how often a mouth that moves by
chance or says something else would be believed, and what it costs.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from engine.media.audio import decode_speech
from engine.media.face import detect_faces
from engine.media.lipsync import CONFIDENT, LagEstimator, Sync
from engine.media.mouth import MouthMeter
from engine.media.pauses import listen
from engine.media.pcm import PcmSpeech
from engine.plan import frames25_of, gen_frames_of
from engine.preview.puppet import draw
from engine.preview.renderer import PreviewRenderer, poses_of
from engine.renderer import Inputs
from engine.spec import FRAME_RATE, SAMPLES_PER_FRAME, SPEECH_RATE, RenderSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
VOICES = {
    "lesson": ROOT / "samples" / "lesson.opus",
    "greeting": ROOT / "samples" / "greeting.opus",
    "quick": ROOT / "tests" / "engine" / "media" / "voices" / "quick.opus",
    "slow": ROOT / "tests" / "engine" / "media" / "voices" / "slow.opus",
}
LAGS_MS = (-80, -40, -20, 0, 20, 40, 80)
WANTED_MS = 10
CHUNK = 30 * FRAME_RATE
CHANCES = 100
"""Mouths that move by chance, tried on each voice."""


class Voice:
    """A speech in memory that plays `late` samples later than it was recorded; somebody speaks in `voiced`."""

    def __init__(self, data: NDArray[np.int16], voiced: Sequence[tuple[int, int]], late: int = 0) -> None:
        self.data, self.voiced, self.late, self.samples = data, voiced, late, len(data)
        self.frames25 = frames25_of(len(data), SPEECH_RATE)

    @classmethod
    def of(cls, path: Path) -> Voice:
        with TemporaryDirectory() as folder:
            pcm = Path(folder, "speech.pcm")
            decode_speech(path, pcm=pcm, m4a=Path(folder, "speech.m4a"), on_progress=lambda _: None)
            speech = PcmSpeech(pcm)
            voiced = listen(pcm, frames25=frames25_of(speech.samples, SPEECH_RATE)).voiced
            return cls(speech.read(0, speech.samples), voiced)

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        places = np.arange(start, stop) - self.late
        inside = (places >= 0) & (places < self.samples)
        return np.where(inside, self.data[places.clip(0, self.samples - 1)], 0).astype(np.int16)


@dataclass(frozen=True)
class Mouth:
    """Openings measured and drawn, and milliseconds of processor time that a measurement took."""

    openings: list[float | None]
    drawn: NDArray[np.float64]
    cost_ms: float


def mouth_of(speech: Voice, portrait: Path, pixels: int) -> Mouth:
    spec = RenderSpec(framing="face", min_resolution=pixels)
    renderer = PreviewRenderer()
    renderer.load("cpu")
    inputs = Inputs(portrait, speech, spec, speech.frames25, gen_frames_of(speech.frames25))
    puppet = renderer.prepare(inputs).puppet
    poses = poses_of(inputs, 0, speech.frames25)
    meter, openings, spent = None, [], 0.0
    for pose in poses:
        frame = draw(puppet, pose)
        meter = meter or MouthMeter(frame, detect_faces(frame)[0].landmarks)
        started = time.process_time()
        openings.append(meter.add(frame))
        spent += time.process_time() - started
    drawn = np.array([pose.lips.height for pose in poses])
    return Mouth(openings, drawn, 1000 * spent / len(poses))


def sync_of(speech: Voice, openings: Sequence[float | None]) -> Sync:
    estimator = LagEstimator(speech, speech.voiced)
    for start in range(0, len(openings), CHUNK):
        estimator.add(start, openings[start : start + CHUNK])
    return estimator.sync()


def injected(name: str, speech: Voice, portrait: Path, pixels: int) -> list[dict[str, Any]]:
    """A line for each lag: what was found of it."""
    lines = []
    for lag_ms in LAGS_MS:
        moved = Voice(speech.data, speech.voiced, round(lag_ms * SPEECH_RATE / 1000))
        mouth = mouth_of(moved, portrait, pixels)
        sync = sync_of(speech, mouth.openings)
        known = np.array([np.nan if opening is None else opening for opening in mouth.openings])
        seen = np.isfinite(known)
        lines.append(
            {
                "portrait": portrait.name,
                "voice": name,
                "injected_ms": lag_ms,
                "found_ms": None if sync.lag_s is None else round(1000 * sync.lag_s, 1),
                "applied_ms": round(1000 * sync.offset_s, 1),
                "confidence": round(sync.confidence, 2),
                "opening_correlation": round(float(np.corrcoef(known[seen], mouth.drawn[seen])[0, 1]), 3),
                "meter_ms": round(mouth.cost_ms, 2),
            }
        )
        print_line(lines[-1])
    return lines


def believed_by_chance(voices: dict[str, Voice], mouths: Mapping[str, Sequence[float | None]]) -> tuple[int, int]:
    """How many mouths that know nothing of the speech were believed, of how many."""
    noise = np.random.default_rng(0)
    believed, tried = 0, 0
    for speech in voices.values():
        for slow in range(CHANCES):
            width = 1 + slow % 4
            openings = np.convolve(noise.normal(0, 0.08, speech.frames25 + width - 1), np.ones(width) / width, "valid")
            believed += sync_of(speech, openings.tolist()).confidence >= CONFIDENT
            tried += 1
    for sound, mouth in permutations(voices, 2):
        openings = np.resize(np.array(mouths[mouth], np.float64), voices[sound].frames25)
        believed += sync_of(voices[sound], openings.tolist()).confidence >= CONFIDENT
        tried += 1
    return believed, tried


def two_hours_seconds(speech: Voice, openings: Sequence[float | None]) -> float:
    """Processor seconds for two hours, chunk by chunk."""
    times = -(-7200 * FRAME_RATE // speech.frames25)
    sound = np.tile(np.resize(speech.data, speech.frames25 * SAMPLES_PER_FRAME), times)
    long = Voice(sound, [(0, speech.frames25 * times)])
    started = time.process_time()
    sync_of(long, list(openings) * times)
    return time.process_time() - started


def measure(portraits: Sequence[Path], pixels: int) -> dict[str, Any]:
    voices = {name: Voice.of(path) for name, path in VOICES.items()}
    lines = [
        line
        for portrait in portraits
        for name, speech in voices.items()
        for line in injected(name, speech, portrait, pixels)
    ]
    mouths = {name: mouth_of(speech, portraits[0], pixels).openings for name, speech in voices.items()}
    believed, tried = believed_by_chance(voices, mouths)
    errors = [abs(line["found_ms"] - line["injected_ms"]) for line in lines if line["found_ms"] is not None]
    return {
        "lines": lines,
        "largest_error_ms": round(max(errors), 1),
        "recovered": sum(
            line["confidence"] >= CONFIDENT and error < WANTED_MS for line, error in zip(lines, errors, strict=True)
        ),
        "of": len(lines),
        "believed_by_chance": believed,
        "chances": tried,
        "two_hours_cpu_seconds": round(two_hours_seconds(voices["lesson"], mouths["lesson"]), 1),
    }


def print_line(line: dict[str, Any]) -> None:
    print("  ".join(f"{key} {value}" for key, value in line.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portrait", type=Path, nargs="+", default=[ROOT / "samples" / "portrait.png"])
    parser.add_argument("--pixels", type=int, default=192, help="sides of the rendered picture")
    parser.add_argument("--json", action="store_true", help="one JSON object behind the lines")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    found = measure(options.portrait, options.pixels)
    lines = found.pop("lines")
    if options.json:
        print(json.dumps({**found, "lines": lines}))
    else:
        print("\n".join(f"{name:24} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
