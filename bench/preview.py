"""The preview renderer alone on one core: milliseconds of a frame, and memory.

    python bench/preview.py [--seconds 20] [--min-resolution 512] [--framing full|face] [--json]

CPU time, not wall time, so that a busy machine does not count. Memory is this process's peak, decoder and all.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.media.audio import decode_speech
from engine.plan import Geometry, gen_frames_of, plan_chunks
from engine.preview.mouth import CONTEXT, mouth_track
from engine.preview.puppet import draw
from engine.preview.renderer import poses_of
from engine.renderer import Inputs, load_renderer
from engine.spec import FRAME_RATE, SPEECH_RATE, RenderSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLES = Path(__file__).parent.parent / "samples"
WANTED_MS, WANTED_MB = 6.0, 500


class LoopedSpeech:
    """The shipped lesson again and again, as long as it takes."""

    def __init__(self, once: NDArray[np.int16], seconds: float) -> None:
        self.once = once
        self.samples = round(seconds * SPEECH_RATE)

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        places = np.arange(start, stop)
        inside = (places >= 0) & (places < self.samples)
        return np.where(inside, self.once[places % len(self.once)], 0).astype(np.int16)


def shipped_speech() -> NDArray[np.int16]:
    with TemporaryDirectory() as folder:
        pcm = Path(folder, "speech.pcm")
        decode_speech(SAMPLES / "lesson.opus", pcm=pcm, m4a=Path(folder, "speech.m4a"), on_progress=lambda _share: None)
        return np.fromfile(pcm, "<i2")


def measure(seconds: float, spec: RenderSpec) -> dict[str, Any]:
    speech = LoopedSpeech(shipped_speech(), seconds)
    frames25 = round(seconds * FRAME_RATE)
    inputs = Inputs(SAMPLES / "portrait.png", speech, spec, frames25, gen_frames_of(frames25))
    renderer = load_renderer("preview", "cpu")
    started = time.process_time()
    features = renderer.prepare(inputs)
    prepared = time.process_time()
    mouth_track(speech, 0, frames25)
    heard = time.process_time()
    poses = poses_of(inputs, 0, min(frames25, 250))
    posed = time.process_time()
    for pose in poses:
        draw(features.puppet, pose)
    drawn = time.process_time()
    (chunk,) = plan_chunks(frames25, chunk_seconds=seconds, geometry=Geometry()).chunks
    for _frame in renderer.render(chunk, features, lambda _share: None):
        pass
    rendered = time.process_time()
    return {
        "size": list(features.puppet.photo.shape[1::-1]),
        "frames25": frames25,
        "prepare_ms": round(1000 * (prepared - started)),
        "hearing_ms_per_frame": round(1000 * (heard - prepared) / (frames25 + 2 * CONTEXT), 3),
        "drawing_ms_per_frame": round(1000 * (drawn - posed) / len(poses), 2),
        "render_ms_per_frame": round(1000 * (rendered - drawn) / frames25, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--min-resolution", type=int, default=512)
    parser.add_argument("--framing", choices=("full", "face"), default="full")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.seconds, RenderSpec(min_resolution=args.min_resolution, framing=args.framing))
    if args.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:24} {value}")
    print(f"wanted at 512x512: {WANTED_MS:g} ms a frame, {WANTED_MB} MB")


if __name__ == "__main__":
    main()
