"""What bench/acceptance.py looks at: portraits, voices, clean renders of them by the preview, and defects to put in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.media.audio import decode_speech
from engine.media.face import Face, detect_faces
from engine.media.image import load_portrait
from engine.media.measures import Measures, Meter
from engine.media.pauses import listen
from engine.plan import frames25_of, gen_frames_of
from engine.preview.puppet import draw
from engine.preview.renderer import PreviewRenderer, poses_of
from engine.renderer import Inputs
from engine.spec import SPEECH_RATE, ChunkSpec, RenderSpec

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
MEDIA_TESTS = ROOT / "tests" / "engine" / "media"
COLLINS, HOPPER = ROOT / "samples" / "portrait.png", MEDIA_TESTS / "photos" / "hopper.jpg"
LESSON, GREETING = ROOT / "samples" / "lesson.opus", ROOT / "samples" / "greeting.opus"
QUICK = MEDIA_TESTS / "voices" / "quick.opus"
Frame = NDArray[np.uint8]
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Samples:
    """Speech in memory."""

    data: NDArray[np.int16]

    @property
    def samples(self) -> int:
        return len(self.data)

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        inside = np.zeros(stop - start, np.int16)
        part = self.data[max(0, start) : max(0, stop)]
        inside[max(0, -start) :][: len(part)] = part
        return inside


def light(image: Frame, *, gain: float = 1.0, side: float = 0.0, blue: float = 1.0, grain: float = 0.0) -> Frame:
    """The photo in other light: brighter, lit from the right, colder, with film grain."""
    across = np.linspace(-side, side, image.shape[1])[None, :, None]
    lit = image * gain * (1 + across) * np.array([1 / blue, 1, blue])
    noise = np.random.default_rng(0).normal(0, grain, image.shape) if grain else 0.0
    return np.clip(lit + noise, 0, 255).astype(np.uint8)


def faded(image: Frame) -> Frame:
    """An old print: two thirds of the contrast, half of the colour."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return np.clip(128 + 0.67 * ((image * 0.5 + grey * 0.5) - 128), 0, 255).astype(np.uint8)


def third_person(share: float = 0.5) -> Frame:
    """Someone with `share` of Hopper's face and the rest of Collins's, feature upon feature."""
    one, other = load_portrait(COLLINS), load_portrait(HOPPER)
    return np.rint(one * (1 - share) + onto(one, other) * share).astype(np.uint8)


def known_face(image: Frame) -> Face:
    """The largest face; what was looked at before is not searched again."""
    return _found_face(image.tobytes(), image.shape)


@lru_cache(maxsize=16)
def _found_face(data: bytes, shape: tuple[int, ...]) -> Face:
    return detect_faces(np.frombuffer(data, np.uint8).reshape(shape))[0]


def onto(target: Frame, source: Frame) -> Frame:
    """`source` moved so that its face lies upon that of `target`, in the target's size."""
    points = [np.array(list(vars(known_face(image).landmarks).values()), np.float32) for image in (source, target)]
    matrix, _ = cv2.estimateAffinePartial2D(points[0], points[1])
    assert matrix is not None
    size = target.shape[1], target.shape[0]
    return cv2.warpAffine(source, matrix, size, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def portraits() -> dict[str, Frame]:
    collins, hopper = load_portrait(COLLINS), load_portrait(HOPPER)
    return {
        "Collins": collins,
        "Hopper": hopper,
        "third person": third_person(),
        "Collins mirrored, dark": light(collins[:, ::-1], gain=0.45),
        "Hopper, faded and grainy": light(faded(hopper), grain=4),
        "Collins lit from the side": light(collins, gain=0.9, side=0.6),
        "Hopper mirrored, cold": light(hopper[:, ::-1], gain=1.1, blue=1.25),
        "third person, warm": light(third_person(0.65), blue=0.85),
    }


@cache
def recording(path: Path) -> NDArray[np.int16]:
    with TemporaryDirectory() as folder:
        pcm = Path(folder, "speech.pcm")
        decode_speech(path, pcm=pcm, m4a=Path(folder, "speech.m4a"), on_progress=lambda _share: None)
        return np.fromfile(pcm, "<i2")


def voice(path: Path, start: float, *, seconds: float, pitch: float = 1.0, gain: float = 1.0) -> NDArray[np.int16]:
    """A part of a recording; pitch and tempo times `pitch`."""
    places = np.arange(round(seconds * SPEECH_RATE)) * pitch + start * SPEECH_RATE
    data = recording(path)
    sound = np.interp(places, np.arange(len(data)), data, right=0) * gain
    return np.clip(sound, -32768, 32767).astype(np.int16)


def voiced_spans(speech: NDArray[np.int16]) -> Spans:
    with TemporaryDirectory() as folder:
        pcm = Path(folder, "speech.pcm")
        speech.tofile(pcm)
        return listen(pcm, frames25=frames25_of(len(speech), SPEECH_RATE)).voiced


@dataclass(frozen=True)
class Scene:
    """A clean render: everything that is needed to look at it, and to spoil it."""

    name: str
    portrait: Frame
    speech: NDArray[np.int16]
    voiced: Spans
    spec: RenderSpec
    frames: list[Frame]

    @property
    def chunk(self) -> ChunkSpec:
        count = len(self.frames)
        return ChunkSpec(0, (0, count // 2 + 1), (0, count // 2 + 1), (0, count), 0, 0)

    def measured(self, frames: list[Frame] | None = None) -> Measures:
        meter = Meter(Meter.face_of(self.portrait), self.chunk)
        for frame in self.frames if frames is None else frames:
            meter.add(frame)
        return meter.finish()


def rendered(portrait: Frame, speech: NDArray[np.int16], spec: RenderSpec, *, mute: Spans = ()) -> list[Frame]:
    """The preview's frames; in the spans `mute` the mouth stays as it is at their start while the head moves on."""
    with TemporaryDirectory() as folder:
        photo = Path(folder, "portrait.png")
        Image.fromarray(np.ascontiguousarray(portrait)).save(photo)
        frames25 = frames25_of(len(speech), SPEECH_RATE)
        inputs = Inputs(photo, Samples(speech), spec, frames25, gen_frames_of(frames25))
        renderer = PreviewRenderer()
        renderer.load("cpu")
        puppet = renderer.prepare(inputs).puppet
    poses = poses_of(inputs, 0, frames25)
    for start, stop in mute:
        poses[start:stop] = [replace(pose, lips=poses[start].lips) for pose in poses[start:stop]]
    return [draw(puppet, pose) for pose in poses]


def scene(name: str, portrait: Frame, speech: NDArray[np.int16], spec: RenderSpec) -> Scene:
    return Scene(name, portrait, speech, voiced_spans(speech), spec, rendered(portrait, speech, spec))


VOICES: dict[str, Callable[[float], NDArray[np.int16]]] = {
    "lesson": lambda s: voice(LESSON, 0, seconds=s),
    "lesson's middle, deep": lambda s: voice(LESSON, 12, seconds=s, pitch=0.8),
    "lesson's end, a child's": lambda s: voice(LESSON, 18, seconds=s, pitch=1.25),
    "greeting": lambda s: voice(GREETING, 0, seconds=s),
    "quick man": lambda s: voice(QUICK, 3, seconds=s),
    "quick man, slowed": lambda s: voice(QUICK, 12, seconds=s, pitch=0.85),
    "lesson, quiet": lambda s: voice(LESSON, 6, seconds=s, gain=0.05),
}
SPECS = (
    RenderSpec(framing="face", min_resolution=256),
    RenderSpec(framing="full", min_resolution=256, seed=1),
    RenderSpec(framing="face", min_resolution=256, seed=2, motion_scale=2.0),
    RenderSpec(framing="face", min_resolution=256, seed=3, dynamic_scale=0.5),
    RenderSpec(framing="full", min_resolution=384, seed=4, motion_scale=0.5),
)


def clean_names(count: int) -> list[tuple[str, str, RenderSpec]]:
    """Portrait, voice and parameters of each clean render: neighbours in the list share none of them."""
    faces, voices = list(portraits()), list(VOICES)
    return [(faces[i % len(faces)], voices[i % len(voices)], SPECS[i % len(SPECS)]) for i in range(count)]


@dataclass(frozen=True)
class Defect:
    """A scene spoilt in frames25 [start, stop). kinds: of problems, any of which finds it. of: whom it is done to.

    required: it must be found; else it shows what cannot be told apart.
    """

    start: int
    stop: int
    kinds: tuple[str, ...]
    spoil: Callable[[Scene], list[Frame]]
    of: Callable[[Scene], bool] = lambda _: True
    required: bool = True


def _mixture(scene: Scene) -> bool:
    return scene.name.startswith("third")


def _changed(start: int, stop: int, change: Callable[[Scene, Frame], Frame]) -> Callable[[Scene], list[Frame]]:
    def spoil(scene: Scene) -> list[Frame]:
        frames = scene.frames
        return [*frames[:start], *(change(scene, frame) for frame in frames[start:stop]), *frames[stop:]]

    return spoil


def _head_mask(frame: Frame, box: tuple[float, ...], grow: float) -> NDArray[np.float32]:
    """1 on the head, 0 away from it, soft at the rim; [height, width, 1]."""
    x0, y0, x1, y1 = box
    y, x = np.mgrid[0 : frame.shape[0], 0 : frame.shape[1]]
    far = np.hypot((x - (x0 + x1) / 2) / (x1 - x0), (y - (y0 + y1) / 2) / (y1 - y0)) / (0.5 * grow)
    return np.clip((1.25 - far) / 0.25, 0, 1).astype(np.float32)[..., None]


def _mixed(frame: Frame, other: Frame, mask: NDArray[np.float32]) -> Frame:
    return np.rint(frame + (other.astype(np.float32) - frame) * mask).astype(np.uint8)


def with_another_face(scene: Scene, frame: Frame) -> Frame:
    """The face of the other person in the frame's own light, hair and background left alone."""
    mask = _head_mask(frame, known_face(frame).box, 0.8)
    other = onto(frame, load_portrait(HOPPER if scene.name.startswith("Collins") else COLLINS)).astype(np.float32)
    inside = mask[..., 0] > 0.5
    matched = (other - other[inside].mean(axis=0)) + frame[inside].mean(axis=0)
    return _mixed(frame, np.clip(matched, 0, 255).astype(np.uint8), mask)


def without_a_face(scene: Scene, frame: Frame) -> Frame:
    """The face smeared beyond recognition."""
    face = known_face(scene.frames[0]).box
    return _mixed(
        frame, cv2.GaussianBlur(frame, (0, 0), (face[2] - face[0]) / 5).astype(np.uint8), _head_mask(frame, face, 1.3)
    )


def with_a_shifted_head(scene: Scene, frame: Frame) -> Frame:
    moved = cv2.warpAffine(
        frame, np.float32([[1, 0, 3], [0, 1, 0]]), frame.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
    )
    return _mixed(frame, moved.astype(np.uint8), _head_mask(frame, known_face(scene.frames[0]).box, 1.6))


DEFECTS: dict[str, Defect] = {
    "black span, 1 s": Defect(50, 75, ("black",), _changed(50, 75, lambda _, frame: np.zeros_like(frame))),
    "one black frame": Defect(60, 61, ("black",), _changed(60, 61, lambda _, frame: np.zeros_like(frame))),
    "frozen span, 2 s": Defect(60, 110, ("frozen",), _changed(60, 110, lambda scene, _: scene.frames[60])),
    "still mouth, 4 s": Defect(
        25, 125, ("mouth",), lambda scene: rendered(scene.portrait, scene.speech, scene.spec, mute=((25, 125),))
    ),
    "swapped face, 2 s": Defect(
        50, 100, ("face",), _changed(50, 100, with_another_face), of=lambda scene: not _mixture(scene)
    ),
    "face swapped for a half-alike one": Defect(
        50, 100, ("face",), _changed(50, 100, with_another_face), of=_mixture, required=False
    ),
    "face gone, 2 s": Defect(50, 100, ("face",), _changed(50, 100, without_a_face)),
    "head shifted by 3 pixels": Defect(75, 150, ("jump",), _changed(75, 150, with_a_shifted_head)),
    "8 levels brighter": Defect(
        75,
        150,
        ("brightness",),
        _changed(75, 150, lambda _, frame: cv2.add(frame, np.full_like(frame, 8)).astype(np.uint8)),
    ),
}
