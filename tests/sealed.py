"""A small finished video with its provenance, and what strangers do to one."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from engine.media.provenance import Provenance, seal, tags

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MP4 = {"movflags": "+faststart", "movie_timescale": "16000"}


def provenance(**changes: Any) -> Provenance:
    """Of a Sonic render of nobody in particular."""
    values: dict[str, Any] = {
        "job": "20261122-181530-k3f9ab",
        "result": 1,
        "name": 'Algebra <3> & "more"',
        "made": "2026-11-22T18:15:30Z",
        "program": "sonic-farm 0.1.0",
        "renderer": "sonic",
        "renderer_version": "1",
        "weights": "ab" * 32,
        "licence": "Sonic weights: CC BY-NC-SA 4.0",
        "portrait": "cd" * 32,
        "speech": "ef" * 32,
        "subtitles": "",
        "seed": 7,
        "consent": "form 12/2026",
    }
    return Provenance(**{**values, **changes})


def write_video(path: Path, *, metadata: Mapping[str, str], frames: int = 30, side: int = 64) -> Path:
    """Noise that moves and a tone, a square, as an mp4 with its index in front."""
    noise = np.random.default_rng(3).integers(0, 256, (side, side + frames, 3)).astype(np.uint8)
    tone = (0.2 * np.sin(np.arange(640 * frames) / 9)).astype(np.float32)[None]
    with av.open(str(path), "w", format="mp4", options=MP4) as file:
        file.metadata.update(metadata)
        pictures = file.add_stream("libx264", rate=25, options={"threads": "1", "bf": "0"})
        pictures.width = pictures.height = side
        pictures.pix_fmt = "yuv420p"
        sound = file.add_stream("aac", rate=16_000, layout="mono")
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[:, number : number + side]), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(pictures.encode(frame))
        heard = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        heard.sample_rate, heard.pts, heard.time_base = 16_000, 0, Fraction(1, 16_000)
        file.mux(sound.encode(heard))
        for stream in (pictures, sound):
            file.mux(stream.encode(None))
    return path


def sealed_video(path: Path, **changes: Any) -> Provenance:
    """Write one to `path`; gives what it says of itself."""
    made = provenance(**changes)
    write_video(path, metadata=tags(made))
    return seal(path, made)


def copied(source: Path, out: Path, *, metadata: Mapping[str, str], late: int = 0, packets: int | None = None) -> Path:
    """The same packets in another file, as `ffmpeg -c copy` writes it. late: of the sound, in its own ticks."""
    with av.open(str(source)) as given, av.open(str(out), "w", format="mp4", options=MP4) as file:
        file.metadata.update(metadata)
        streams = {stream.index: file.add_stream_from_template(stream) for stream in given.streams}
        for number, packet in enumerate(each for each in given.demux() if each.dts is not None):
            if packets is not None and number >= packets:
                break
            if packet.stream.type == "audio":
                packet.pts, packet.dts = packet.pts + late, packet.dts + late
            packet.stream = streams[packet.stream.index]
            file.mux(packet)
    return out


def boxes_behind(video: Path) -> bytes:
    """What `seal` appended."""
    data = video.read_bytes()
    return data[data.index(b"uuid") - 4 :]
