"""The preview renderer: a photo whose mouth follows the speech, drawn on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from engine.errors import PortraitError
from engine.hearing import preview_hears
from engine.media.face import NO_FACE, Face, detect_faces, face_problems
from engine.media.image import crop_to_face, load_portrait, render_size
from engine.preview.lips import LipPose
from engine.preview.motion import Chance
from engine.preview.mouth import mouth_track
from engine.preview.puppet import Pose, Puppet, draw
from engine.renderer import BUILT_IN, Renderer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.hearing import Touched
    from engine.renderer import Crop, Frame, Inputs, OnProgress
    from engine.spec import ChunkSpec, Redraw, RenderSpec

_BLOCK = 250
"""frames25 whose mouth poses are computed at a time."""


@dataclass(frozen=True)
class PreviewFeatures:
    """A job's portrait made ready, the part of the photo that is shown, and the job itself."""

    puppet: Puppet
    crop: Crop
    inputs: Inputs


class PreviewRenderer(Renderer):
    """Draws a draft on one CPU core: frame f depends on the portrait, the speech around f, the spec and f alone."""

    geometry = BUILT_IN["preview"].geometry
    version = "1"

    @staticmethod
    def hears(chunk: ChunkSpec, gen_frames: int, spec: RenderSpec) -> Touched:
        return preview_hears(chunk, gen_frames, spec)

    def load(self, device: str) -> None:  # noqa: ARG002  (whatever the slot has, a core draws)
        """Nothing to load; a slot is one core, so OpenCV gets one thread."""
        cv2.setNumThreads(1)

    def prepare(self, inputs: Inputs) -> PreviewFeatures:
        """Find the face and make the photo ready. Raises PortraitError where no face can be used."""
        image = load_portrait(inputs.portrait)
        face = _largest_face(image, inputs)
        crop = x0, y0, x1, y1 = _crop(image, face, inputs.spec)
        size = render_size(y1 - y0, x1 - x0, inputs.spec.min_resolution)
        shown = np.ascontiguousarray(image[y0:y1, x0:x1])
        return PreviewFeatures(Puppet.of(shown, size, face.moved(-x0, -y0)), crop, inputs)

    def crop(self, features: PreviewFeatures) -> Crop:
        return features.crop

    def render(self, chunk: ChunkSpec, features: PreviewFeatures, on_progress: OnProgress) -> Iterator[Frame]:
        start, stop = chunk.out
        for block in range(start, stop, _BLOCK):
            poses = poses_of(features.inputs, block, min(block + _BLOCK, stop), redraw=chunk.redraw)
            for frame, pose in enumerate(poses, start=block):
                yield draw(features.puppet, pose)
                on_progress((frame + 1 - start) / (stop - start))

    def close(self) -> None:
        """Nothing is held."""


def poses_of(inputs: Inputs, start: int, stop: int, *, redraw: Redraw | None = None) -> list[Pose]:
    """What mouth, head and lids do in frames25 [start, stop)."""
    spec = inputs.spec
    chance = Chance(spec.seed, inputs.gen_frames, redraw)
    track = mouth_track(inputs.speech, start, stop, gain=spec.dynamic_scale * spec.motion_scale)
    return [
        Pose(
            head=chance.head(start + index, spec.motion_scale),
            lips=LipPose.of(float(track.opening[index]), float(track.width[index]), float(track.teeth[index])),
            lids=chance.lids(start + index),
        )
        for index in range(stop - start)
    ]


def _crop(image: Frame, face: Face, spec: RenderSpec) -> Crop:
    height, width = image.shape[:2]
    if spec.framing == "full":
        return 0, 0, width, height
    return crop_to_face(height, width, box=face.box, expand_ratio=spec.expand_ratio)


def _largest_face(image: Frame, inputs: Inputs) -> Face:
    faces = detect_faces(image)
    if not faces:
        raise PortraitError(f"portrait {inputs.portrait.name} {NO_FACE}")
    if problems := face_problems(faces[0], (image.shape[1], image.shape[0])):
        raise PortraitError(f"portrait {inputs.portrait.name}: {'; '.join(problems)}")
    return faces[0]
