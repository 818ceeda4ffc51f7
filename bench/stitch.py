"""Stitching finished segments against decoding and encoding the same frames once.

    python bench/stitch.py [--minutes 30] [--chunk-seconds 30] [--size 512] [--disagree] [--json]

The picture is synthetic but moves like a portrait: broad shapes, fine texture, sub-pixel motion, a mouth. With
--disagree every second chunk lies 3 pixels aside and is 2 levels brighter, so that both sides of each seam are decoded,
brought together along the flow between them and mixed.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np

from engine.media.audio import SpeechInfo, decode_speech
from engine.media.contract import check_contract
from engine.media.mux import PacketMuxer
from engine.media.stitch import Segment, join, make_seams
from engine.media.video import Encoding, SegmentWriter
from engine.plan import Geometry, Plan, plan_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 44_100
LOOP = 250
"""frames25 after which the picture repeats: few enough to be drawn once and held."""
WANTED_RATIO = 15


def pictures(size: int) -> list[NDArray[np.uint8]]:
    """One loop of frames, each [size, size, 3]."""
    noise = np.random.default_rng(0)
    whole = size + 64
    layers = ((4, 30), (16, 18), (64, 8), (whole // 2, 3))  # cells a side, strength
    backdrop = 128 + sum(
        strength * cv2.resize(noise.normal(0, 1, (cells, cells, 3)), (whole, whole), interpolation=cv2.INTER_CUBIC)
        for cells, strength in layers
    )
    return [_picture(np.clip(backdrop, 0, 255).astype(np.uint8), size, frame25) for frame25 in range(LOOP)]


def _picture(backdrop: NDArray[np.uint8], size: int, frame25: int) -> NDArray[np.uint8]:
    turn = 2 * np.pi * frame25 / LOOP
    shift = np.array([[1, 0, 3 * np.sin(2 * turn) - 32], [0, 1, 2 * np.sin(3 * turn) - 32]], np.float32)
    frame = cv2.warpAffine(backdrop, shift, (size, size), flags=cv2.INTER_LINEAR)
    opening = int(size * (0.04 + 0.035 * np.sin(17 * turn)))
    cv2.ellipse(frame, (size // 2, 2 * size // 3), (size // 9, opening), 0, 0, 360, (60, 20, 25), -1, cv2.LINE_AA)
    return frame.astype(np.uint8)


def speech(directory: Path, seconds: float) -> SpeechInfo:
    """speech.m4a of `seconds` of noise that swells like syllables."""
    source = directory / "speech.flac"
    second = np.random.default_rng(1).normal(0, 0.1, RATE) * np.abs(np.sin(np.arange(RATE) / RATE * 4 * np.pi))
    with av.open(str(source), "w") as file:
        stream = file.add_stream("flac", rate=RATE, layout="mono")
        for _ in range(round(seconds)):
            frame = av.AudioFrame.from_ndarray((second[None] * 32767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate = RATE
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return decode_speech(source, pcm=directory / "s.pcm", m4a=directory / "speech.m4a", on_progress=lambda _: None)


def segments(directory: Path, plan: Plan, frames: list[NDArray[np.uint8]], *, disagree: bool) -> list[Segment]:
    made = []
    for chunk in plan.chunks:
        place = directory / str(chunk.index)
        place.mkdir()
        lift, shift = (2, 3) if disagree and chunk.index % 2 else (0, 0)
        with SegmentWriter(place, chunk, Encoding()) as writer:
            for frame25 in range(*chunk.out):
                frame = np.roll(frames[frame25 % LOOP], shift, axis=1)
                writer.write(np.minimum(frame, 255 - lift) + np.uint8(lift))
            made.append(Segment(chunk, writer.finish()))
    return made


def recode(source: Path, out: Path) -> None:
    """Decode every frame and encode it again with the settings of the farm; the sound is left out."""
    with av.open(str(source)) as file, av.open(str(out), "w", options={"movflags": "+faststart"}) as target:
        stream = target.add_stream("libx264", rate=25, options=Encoding().options)
        stream.width, stream.height = file.streams.video[0].width, file.streams.video[0].height
        for picture in file.decode(video=0):
            picture.pict_type = 0  # the encoder chooses its own key frames
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))


def seconds_of(work: Any) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(directory: Path, options: argparse.Namespace) -> dict[str, float | int | bool]:
    info = speech(directory, options.minutes * 60)
    plan = plan_chunks(info.frames25, chunk_seconds=options.chunk_seconds, geometry=Geometry())
    drawing = time.perf_counter()
    made = segments(directory, plan, pictures(options.size), disagree=options.disagree)
    drawing = time.perf_counter() - drawing
    out = directory / "video.mp4"

    def stitch() -> None:
        seams = list(make_seams(made, plan=plan, directory=directory, encoding=Encoding()))
        with PacketMuxer(out, directory / "speech.m4a", {}) as muxer:
            join(made, seams, plan=plan, muxer=muxer)

    def check() -> None:
        check_contract(out, frames25=plan.frames25, size=(options.size, options.size), speech=info, seams=plan.seams)

    runs = sorted(seconds_of(stitch) for _ in range(3))
    stitched, stitched_cpu = runs[1]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    checked, _ = seconds_of(check)
    recoded, recoded_cpu = seconds_of(lambda: recode(out, directory / "recoded.mp4"))
    return {
        "minutes": options.minutes,
        "chunks": len(plan.chunks),
        "sides_agree": not options.disagree,
        "stitch_seconds": round(stitched, 2),
        "stitch_cpu_seconds": round(stitched_cpu, 2),
        "check_seconds": round(checked, 2),
        "recode_seconds": round(recoded, 2),
        "recode_cpu_seconds": round(recoded_cpu, 2),
        "ratio": round(recoded / stitched, 1),
        "ratio_cpu": round(recoded_cpu / stitched_cpu, 1),
        "wanted_ratio": WANTED_RATIO,
        "segment_frames_a_second": round(plan.frames25 / drawing),
        "result_mb": round(out.stat().st_size / 1e6, 1),
        "peak_mb": round(peak_mb),  # with the loop of pictures that the bench itself holds
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--chunk-seconds", type=float, default=30)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--disagree", action="store_true", help="let neighbours differ in their overlap")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    with TemporaryDirectory() as directory:
        found = measure(Path(directory), options)
    if options.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name:24} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
