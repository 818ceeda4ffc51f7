"""Talking heads whose true opening is known: the preview renderer's, of any portrait and speech."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from engine.media.audio import decode_speech
from engine.media.face import Landmarks, detect_faces
from engine.media.pcm import PcmSpeech
from engine.plan import frames25_of, gen_frames_of
from engine.preview.puppet import draw
from engine.preview.renderer import PreviewRenderer, poses_of
from engine.renderer import Inputs
from engine.spec import SPEECH_RATE, RenderSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from engine.renderer import Frame

ROOT = Path(__file__).resolve().parents[3]
PORTRAIT = ROOT / "samples" / "portrait.png"
VOICES = {
    "lesson": ROOT / "samples" / "lesson.opus",
    "greeting": ROOT / "samples" / "greeting.opus",
    "quick": Path(__file__).with_name("voices") / "quick.opus",
    "slow": Path(__file__).with_name("voices") / "slow.opus",
}


@dataclass
class Sound:
    """Speech in memory that plays `late` samples later than it was recorded, and counts what is read of it."""

    data: NDArray[np.int16]
    late: int = 0
    samples: int = field(init=False)
    longest: int = field(default=0, compare=False)
    read_samples: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        self.samples = len(self.data)

    @property
    def frames25(self) -> int:
        return frames25_of(self.samples, SPEECH_RATE)

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        self.longest, self.read_samples = max(self.longest, stop - start), self.read_samples + stop - start
        found = np.zeros(stop - start, np.int16)
        first, last = max(0, start - self.late), min(len(self.data), stop - self.late)
        if first < last:
            found[first - start + self.late :][: last - first] = self.data[first:last]
        return found

    def later(self, seconds: float) -> Sound:
        return Sound(self.data, round(seconds * SPEECH_RATE))


@dataclass(frozen=True)
class Head:
    """Frames of a talking head, and how far its lips are apart in each, in halves of its mouth's width."""

    frames: list[Frame]
    openings: NDArray[np.float64]

    def landmarks(self, frame: int = 0) -> Landmarks:
        return detect_faces(self.frames[frame])[0].landmarks


def voice(path: Path, scratch: Path) -> Sound:
    """A recording as the farm decodes it."""
    decode_speech(path, pcm=scratch / "speech.pcm", m4a=scratch / "speech.m4a", on_progress=lambda _: None)
    speech = PcmSpeech(scratch / "speech.pcm")
    return Sound(speech.read(0, speech.samples))


def talk(
    speech: Sound,
    portrait: Path = PORTRAIT,
    *,
    pixels: int = 256,
    changed: Callable[[int, Frame], Frame] = lambda _, frame: frame,
    span: tuple[int, int] | None = None,
) -> Head:
    """The preview's frames25 [span) of a portrait that says `speech`, each passed through `changed`."""
    spec = RenderSpec(framing="face", min_resolution=pixels)
    inputs = Inputs(portrait, speech, spec, speech.frames25, gen_frames_of(speech.frames25))
    renderer = PreviewRenderer()
    renderer.load("cpu")
    puppet = renderer.prepare(inputs).puppet
    poses = poses_of(inputs, *(span or (0, speech.frames25)))
    frames = [changed(index, draw(puppet, pose)) for index, pose in enumerate(poses)]
    return Head(frames, np.array([pose.lips.height for pose in poses]))


def quick_part(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left of a series without its mean over a second around."""
    around = np.ones(25)
    mean = np.convolve(values, around, "same") / np.convolve(np.ones(len(values)), around, "same")
    return values - mean


def recoloured(portrait: Path, out: Path, *, light: float, red: float, yellow: float) -> Path:
    """The portrait in another skin: its lightness times `light`, its colour moved."""
    lab = cv2.cvtColor(photo_of(portrait), cv2.COLOR_BGR2LAB) * np.array([light, 1, 1]) + np.array([0, red, yellow])
    changed = cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2BGR)
    cv2.imwrite(str(out), changed)
    return out


def photo_of(path: Path) -> NDArray[np.uint8]:
    """A photo in the order of colours that OpenCV writes."""
    photo = cv2.imread(str(path))
    assert photo is not None, path
    return photo.astype(np.uint8, copy=False)
