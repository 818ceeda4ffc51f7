"""What a viewer sees of a mouth, measured from pixels; and speech made to order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from engine.media.face import detect_faces
from engine.plan import Geometry, frames25_of, gen_frames_of, plan_chunks
from engine.preview.renderer import PreviewRenderer
from engine.renderer import Inputs
from engine.spec import RenderSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.renderer import Frame

ROOT = Path(__file__).resolve().parents[3]
PORTRAIT = ROOT / "samples" / "portrait.png"
LESSON = ROOT / "samples" / "lesson.opus"
CLOSURES = Path(__file__).with_name("closures.flac")
"""Half a second of silence before each of "apa", "aba", "ama" and behind them; made with eSpeak NG."""

CLOSE_UP = RenderSpec(framing="face", min_resolution=256)


@dataclass
class Samples:
    """Speech in memory that remembers which ranges were read."""

    data: NDArray[np.int16]
    ranges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def samples(self) -> int:
        return len(self.data)

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        self.ranges.append((start, stop))
        found = np.zeros(stop - start, np.int16)
        inner = self.data[max(0, start) : max(0, stop)]
        first = max(0, -start)
        found[first : first + len(inner)] = inner
        return found


def decoded(path: Path) -> NDArray[np.int16]:
    """The speech in a file at 16 kHz mono."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def job(speech: NDArray[np.int16], *, portrait: Path = PORTRAIT, spec: RenderSpec = CLOSE_UP) -> Inputs:
    frames25 = frames25_of(len(speech), 16_000)
    return Inputs(portrait, Samples(speech), spec, frames25, gen_frames_of(frames25))


def rendered(inputs: Inputs, *, chunk_seconds: float = 3600) -> list[Frame]:
    """Every output frame of the job; of what neighbours share, the earlier chunk's."""
    renderer = PreviewRenderer()
    renderer.load("cpu")
    features = renderer.prepare(inputs)
    frames: list[Frame] = []
    for chunk in plan_chunks(inputs.frames25, chunk_seconds=chunk_seconds, geometry=Geometry()).chunks:
        own = list(renderer.render(chunk, features, lambda _: None))
        frames += own[len(frames) - chunk.out[0] :]
    renderer.close()
    return frames


def vowel(formants: tuple[float, ...], *, seconds: float = 1.0, pitch: float = 120.0) -> NDArray[np.int16]:
    """A sung vowel of fixed loudness: harmonics under a falling source spectrum and one resonance per formant."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    sound = np.zeros_like(time)
    for hertz in np.arange(pitch, 7500, pitch):
        gain = (pitch / hertz) ** 1.0
        for formant, width in zip(formants, (70, 90, 120, 150), strict=True):
            gain *= formant**2 / np.hypot(formant**2 - hertz**2, width * hertz)
        sound += gain * np.sin(2 * np.pi * hertz * time)
    return np.rint(sound / np.sqrt(np.mean(sound**2)) * 3000).astype(np.int16)


@dataclass(frozen=True)
class MouthSeen:
    """What shows between the lips of one frame, in pixels: height in the middle, width from end to end."""

    height: float
    width: float


@dataclass(frozen=True)
class Viewer:
    """Looks at the mouth in frames of one job, and knows it shut from one of them; it asks the renderer nothing.

    A frame is first shifted so that the nose lies where it lies in `shut`. What is then dark or pale as teeth, and is
    neither in `shut` (shine on the lips, dark corners), lies between the lips.
    """

    shut: Frame
    skin: NDArray[np.float64]
    mouth: tuple[slice, slice]
    nose: tuple[slice, slice]
    known: NDArray[np.uint8]

    @classmethod
    def of(cls, shut: Frame) -> Viewer:
        marks = detect_faces(shut)[0].landmarks
        (x0, y0), (x1, y1) = marks.mouth_left, marks.mouth_right
        half, middle = (x1 - x0) / 2, (y0 + y1) / 2
        eyes = (marks.left_eye[1] + marks.right_eye[1]) / 2
        mouth = _slice(middle - 0.5 * half, middle + 1.2 * half), _slice(x0 - 0.3 * half, x1 + 0.3 * half)
        nose = _slice(eyes + 0.3 * half, marks.nose[1] + 0.25 * half), _slice(x0 - 0.2 * half, x1 + 0.2 * half)
        cheek = shut[_slice(middle - 0.2 * half, middle + 0.2 * half), _slice(x1 + 0.4 * half, x1 + 0.6 * half)]
        skin = np.median(cheek.reshape(-1, 3), axis=0)
        known = cv2.dilate(_no_lip(shut[mouth], skin), np.ones((7, 7), np.uint8))
        return cls(shut, skin, mouth, nose, known)

    def look(self, frame: Frame) -> MouthSeen:
        (right, down), _ = cv2.phaseCorrelate(_grey(self.shut[self.nose]), _grey(frame[self.nose]))
        still = cv2.warpAffine(frame, np.array([[1, 0, -right], [0, 1, -down]]), (frame.shape[1], frame.shape[0]))
        between = _no_lip(still[self.mouth], self.skin) & ~self.known
        columns = between.shape[1]
        height = between[:, columns * 2 // 5 : columns * 3 // 5].sum(axis=0).mean()
        (filled,) = np.nonzero(between.sum(axis=0) >= 2)
        return MouthSeen(float(height), float(filled[-1] - filled[0] + 1) if len(filled) else 0.0)

    def heights(self, frames: list[Frame]) -> NDArray[np.float64]:
        return np.array([self.look(frame).height for frame in frames])


def _no_lip(pixels: Frame, skin: NDArray[np.float64]) -> NDArray[np.uint8]:
    """1 where it is dark, or light with little colour."""
    light = pixels.max(axis=2).astype(np.float64)
    colour = (light - pixels.min(axis=2)) / np.maximum(light, 1)
    skin_colour = (skin.max() - skin.min()) / skin.max()
    pale = (colour < 0.55 * skin_colour) & (light > 0.55 * skin.max())
    return ((light < 0.45 * skin.max()) | pale).astype(np.uint8)


def _grey(pixels: Frame) -> NDArray[np.float32]:
    return pixels.mean(axis=2, dtype=np.float32)


def _slice(low: float, high: float) -> slice:
    return slice(round(low), round(high))
