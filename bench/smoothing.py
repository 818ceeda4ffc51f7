"""Motion smoothing on the preview with jitter injected: what goes, what the lips lose, and milliseconds of a frame.

    python bench/smoothing.py [--frames 100] [--seeds 3] [--every 2] [--framing full|face] [--json]

The head is drawn a pixel (RMS) off its place, in every direction alike; where it then is, is measured against the same
frame without jitter. With --every 2 chance places it in each second frame, and those between show it half way: as what
Sonic generates and interpolates would tremble. Two other ways stand beside ours: pixels averaged along the flow, and
positions filtered along the flow as it is.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from engine.media.audio import decode_speech
from engine.media.face import detect_faces
from engine.media.smoothing import FULL_SIGMA, RADIUS, smoothed
from engine.plan import gen_frames_of
from engine.preview.puppet import draw
from engine.preview.renderer import PreviewRenderer, poses_of
from engine.renderer import Inputs
from engine.spec import SAMPLES_PER_FRAME, RenderSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from engine.renderer import Frame

SAMPLES = Path(__file__).parent.parent / "samples"
FIRST = 50
"""frame25 of the lesson at which it is looked at: speech, a breath and a blink lie behind it."""

_AROUND = 16
"""Pixels around an area that content may come in from."""


@dataclass(frozen=True)
class Speech:
    """16 kHz speech in memory."""

    data: NDArray[np.int16]

    @property
    def samples(self) -> int:
        return len(self.data)

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        places = np.arange(start, stop)
        inside = (places >= 0) & (places < self.samples)
        return np.where(inside, self.data[np.clip(places, 0, self.samples - 1)], 0).astype(np.int16)


@dataclass(frozen=True)
class Material:
    """The same frames without and with jitter. injected: [frames, 2] pixels. loudness: of the speech under each."""

    clean: list[Frame]
    shaken: list[Frame]
    injected: NDArray[np.float64]
    loudness: NDArray[np.float64]


def material(*, frames: int, seed: int, framing: str = "full", pixels: float = 1.0, every: int = 1) -> Material:
    """Frames of the shipped lesson, and the same with the head off its place by `pixels` RMS.

    every: frames25 from one place that chance gives it to the next; it moves evenly between them.
    """
    speech = shipped_speech()
    inputs = Inputs(SAMPLES / "portrait.png", speech, RenderSpec(framing=framing), 805, gen_frames_of(805))
    renderer = PreviewRenderer()
    renderer.load("cpu")
    puppet = renderer.prepare(inputs).puppet
    poses = poses_of(inputs, FIRST, FIRST + frames)
    places = np.random.default_rng(seed).normal(0, 1, (frames // every + 1, 2))
    at = np.arange(frames) / every, np.arange(len(places))
    injected = np.stack([np.interp(*at, side) for side in places.T], axis=1)
    injected *= pixels / rms(injected)
    width = puppet.head.face_width
    heads = [
        replace(pose.head, right=pose.head.right + x / width, down=pose.head.down + y / width)
        for pose, (x, y) in zip(poses, injected, strict=True)
    ]
    heard = speech.read(FIRST * SAMPLES_PER_FRAME, (FIRST + frames) * SAMPLES_PER_FRAME).reshape(frames, -1)
    return Material(
        [draw(puppet, pose) for pose in poses],
        [draw(puppet, replace(pose, head=head)) for pose, head in zip(poses, heads, strict=True)],
        injected,
        np.log10(np.sqrt((heard.astype(np.float64) ** 2).mean(axis=1)) + 30),
    )


def shipped_speech() -> Speech:
    with TemporaryDirectory() as folder:
        pcm = Path(folder, "speech.pcm")
        decode_speech(SAMPLES / "lesson.opus", pcm=pcm, m4a=Path(folder, "speech.m4a"), on_progress=lambda _share: None)
        return Speech(np.fromfile(pcm, "<i2"))


@dataclass(frozen=True)
class Ruler:
    """Where to look in frames of one face: rows and columns of the nose, which does not speak, and of the mouth."""

    nose: tuple[slice, slice]
    mouth: tuple[slice, slice]

    @classmethod
    def of(cls, frame: Frame) -> Ruler:
        marks = detect_faces(frame)[0].landmarks
        (x0, y0), (x1, y1) = marks.mouth_left, marks.mouth_right
        half, lips, eyes = (x1 - x0) / 2, (y0 + y1) / 2, (marks.left_eye[1] + marks.right_eye[1]) / 2
        nose = _slice(eyes + 0.3 * half, marks.nose[1] + 0.25 * half), _slice(x0 - 0.2 * half, x1 + 0.2 * half)
        mouth = _slice(lips - 0.1 * half, lips + 0.9 * half), _slice(x0 + half / 2, x1 - half / 2)
        return cls(nose, mouth)

    def shifts(self, frames: list[Frame], still: list[Frame]) -> NDArray[np.float64]:
        """How far the nose is from where it is in `still`, [frames, 2] pixels; right to about 0.05."""
        return np.array([shift(frame, other, self.nose) for frame, other in zip(frames, still, strict=True)])

    def openings(self, frames: list[Frame], shut: Frame) -> NDArray[np.float64]:
        """How unlike the mouth is to the one in `shut`, in levels; a head that moved is put back first."""
        size = shut.shape[1], shut.shape[0]
        found = []
        for frame in frames:
            x, y = shift(frame, shut, self.nose)
            back = cv2.warpAffine(frame, np.array([[1, 0, -x], [0, 1, -y]]), size, flags=cv2.INTER_CUBIC)
            found.append(np.abs(back[self.mouth].astype(np.float64) - shut[self.mouth]).mean())
        return np.array(found)

    def sharpness(self, frames: list[Frame]) -> float:
        """Variance of the Laplacian around the nose."""
        return float(np.mean([cv2.Laplacian(frame, cv2.CV_32F)[self.nose].var() for frame in frames]))


def shift(frame: Frame, still: Frame, area: tuple[slice, slice]) -> NDArray[np.float64]:
    """X and y by which `frame` is moved against `still` in `area`: least squares, by Gauss and Newton."""
    rows, columns = (slice(side.start - _AROUND, side.stop + _AROUND) for side in area)
    seen, wanted = (
        cv2.GaussianBlur(each[rows, columns].mean(axis=2, dtype=np.float32), (0, 0), 1) for each in (frame, still)
    )
    place, wanted = np.zeros(2), wanted[_AROUND:-_AROUND, _AROUND:-_AROUND]
    for _ in range(12):
        move = np.array([[1, 0, _AROUND + place[0]], [0, 1, _AROUND + place[1]]])
        there = cv2.warpAffine(
            seen, move, (wanted.shape[1], wanted.shape[0]), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )
        slope = np.stack([np.gradient(there, axis=1).ravel(), np.gradient(there, axis=0).ravel()], axis=1)
        step = np.linalg.solve(slope.T @ slope, slope.T @ (wanted - there).ravel())
        place += step
        if np.abs(step).max() < 1e-3:
            break
    return place


def rms(shifts: NDArray[np.float64]) -> float:
    """Root mean square of lengths, of [frames, 2]."""
    return float(np.sqrt((shifts**2).sum(axis=1).mean()))


def _slice(low: float, high: float) -> slice:
    return slice(round(low), round(high))


def _flows(frames: list[Frame]) -> list[NDArray[np.float32]]:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    return [dis.calc(before, frame, None) for before, frame in pairwise(grey)]  # type: ignore[call-overload]


def _bell(strength: float) -> dict[int, float]:
    weights = {k: float(np.exp(-((k / (strength * FULL_SIGMA)) ** 2) / 2)) for k in range(-RADIUS, RADIUS + 1)}
    return {k: weight / sum(weights.values()) for k, weight in weights.items()}


def _moved(frame: Frame, move: NDArray[np.float32]) -> NDArray[np.float32]:
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
    there = cv2.remap(frame, x + move[..., 0], y + move[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return there.astype(np.float32)


def _to_neighbours(flows: list[NDArray[np.float32]], at: int) -> dict[int, NDArray[np.float32]]:
    """From the frame at `at` to each of its neighbours, as flows added up."""
    return {
        k: np.sum([*flows[at : at + k], *(-flow for flow in flows[at + k : at])], axis=0)
        for k in range(-RADIUS, RADIUS + 1)
        if k
    }


def pixels_along_flow(frames: list[Frame], strength: float) -> list[Frame]:
    """The other way: each pixel is the mean of itself and of what it is in the neighbours."""
    flows, weights, found = _flows(frames), _bell(strength), list(frames)
    for at in range(RADIUS, len(frames) - RADIUS):
        mean = weights[0] * frames[at].astype(np.float32)
        for k, move in _to_neighbours(flows, at).items():
            mean += weights[k] * _moved(frames[at + k], move)
        found[at] = np.rint(mean.clip(0, 255)).astype(np.uint8)
    return found


def positions_along_flow(frames: list[Frame], strength: float) -> list[Frame]:
    """The other way: as ours, with the flow as it is, lips and all."""
    flows, weights, found = _flows(frames), _bell(strength), list(frames)
    for at in range(RADIUS, len(frames) - RADIUS):
        move = sum(weights[k] * move for k, move in _to_neighbours(flows, at).items())
        found[at] = np.rint(_moved(frames[at], -move).clip(0, 255)).astype(np.uint8)
    return found


def ours(frames: list[Frame], strength: float) -> list[Frame]:
    return list(smoothed(frames, strength))


WAYS: tuple[tuple[str, Callable[[list[Frame], float], list[Frame]], float], ...] = (
    ("as rendered", ours, 0.0),
    ("pixels along the flow, 0.3", pixels_along_flow, 0.3),
    ("positions along the flow, 0.3", positions_along_flow, 0.3),
    ("ours, 0.1", ours, 0.1),
    ("ours, 0.3", ours, 0.3),
    ("ours, 0.6", ours, 0.6),
    ("ours, 1", ours, 1.0),
)


def measure(given: Material) -> dict[str, dict[str, float]]:
    """For each way: jitter left and lips, against the same frames without jitter."""
    shut = given.clean[int(np.argmin(given.loudness))]
    ruler = Ruler.of(shut)
    inner = slice(RADIUS, -RADIUS)  # at the job's ends there are fewer neighbours
    before = ruler.shifts(given.shaken[inner], given.clean[inner])
    opening = ruler.openings(given.clean, shut)
    found = {}
    for name, way, strength in WAYS:
        started = time.process_time()
        frames = way(given.shaken, strength)
        spent = time.process_time() - started
        left = ruler.shifts(frames[inner], given.clean[inner])
        seen = ruler.openings(frames, shut)
        found[name] = {
            "jitter": rms(left) / rms(before),
            "step": rms(np.diff(left, axis=0)) / rms(np.diff(before, axis=0)),
            "mouth_and_speech": float(np.corrcoef(seen, given.loudness)[0, 1]),
            "opening": float(seen.std() / opening.std()),
            "sharpness": ruler.sharpness(frames) / ruler.sharpness(given.clean),
            "ms_per_frame": 1000 * spent / len(frames),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, metavar="FRAMES25")
    parser.add_argument("--framing", choices=("full", "face"), default="full")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    given = {"frames": args.frames, "framing": args.framing, "every": args.every}
    runs = [measure(material(seed=seed, **given)) for seed in range(args.seeds)]
    means: dict[str, dict[str, Any]] = {
        name: {key: round(float(np.mean([run[name][key] for run in runs])), 3) for key in values}
        for name, values in runs[0].items()
    }
    if args.json:
        print(json.dumps(means))
        return
    print(f"{'':30} " + " ".join(f"{key:>16}" for key in next(iter(means.values()))))
    for name, values in means.items():
        print(f"{name:30} " + " ".join(f"{value:16.3f}" for value in values.values()))


if __name__ == "__main__":
    main()
