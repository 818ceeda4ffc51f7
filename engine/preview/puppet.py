"""A photo made ready to speak, and one frame drawn from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from engine.media.image import resize
from engine.preview import lids, lips
from engine.preview.anatomy import Anatomy, Axes, Slit, read_anatomy
from engine.preview.cavity import Cavity, opening_share, paint_cavity, seam_light
from engine.preview.head import HeadField, head_field
from engine.preview.lips import LipPose, warp_lips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.media.face import Face
    from engine.preview.motion import HeadPose

    Frame = NDArray[np.uint8]
    Plane = NDArray[np.float32]
    Source = tuple[Plane, Plane]
    # x and y, each [height, width]: the place of the photo that is seen at a pixel

_FINE = 2
"""The photo is sampled from a copy this much finer: bilinear sampling then costs no sharpness."""
_SWING = 0.08  # widths of the face that the head may carry mouth and eyes away from their rest


@dataclass(frozen=True)
class Pose:
    """Everything that moves in one frame."""

    head: HeadPose
    lips: LipPose
    lids: float


@dataclass(frozen=True)
class Area:
    """Pixels (rows and columns of the picture) that one feature may change."""

    rows: slice
    columns: slice

    def within(self, outer: Area | HeadField) -> tuple[slice, slice]:
        return (
            slice(self.rows.start - outer.rows.start, self.rows.stop - outer.rows.start),
            slice(self.columns.start - outer.columns.start, self.columns.stop - outer.columns.start),
        )


@dataclass(frozen=True)
class Puppet:
    """The photo at render size, its finer copy, and where its parts are."""

    photo: Frame
    fine: Frame
    head: HeadField
    anatomy: Anatomy
    cavity: Cavity
    mouth_area: Area
    inside_area: Area
    eye_areas: tuple[Area, ...]

    @classmethod
    def of(cls, image: Frame, size: tuple[int, int], face: Face) -> Puppet:
        """Make ready `image`, shown at `size` (width, height), whose face was found in its own pixels."""
        face = face.scaled(size[0] / image.shape[1], size[1] / image.shape[0])
        photo = resize(image, size)
        head = head_field(size, face.box)
        anatomy = read_anatomy(photo, face.landmarks)
        swing = _SWING * head.face_width
        mouth = anatomy.mouth.axes
        shown = anatomy.mouth.gap > 0
        return cls(
            photo=photo,
            fine=resize(image, (size[0] * _FINE, size[1] * _FINE)),
            head=head,
            anatomy=anatomy,
            cavity=Cavity.of(
                anatomy.skin, teeth_end=anatomy.mouth.lower - 0.05 if shown else anatomy.mouth.lower + 0.13
            ),
            mouth_area=_area(mouth, (lips.REACH_S, lips.REACH_UP, lips.REACH_DOWN), swing, head),
            inside_area=_area(mouth, (1.2, 0.45, 1.1), swing, head),
            eye_areas=tuple(
                _area(eye.slit.axes, (lids.REACH_S, lids.REACH_UP, lids.REACH_DOWN), swing, head)
                for eye in anatomy.eyes
            ),
        )


def draw(puppet: Puppet, pose: Pose) -> Frame:
    """One frame, [height, width, 3] RGB: the photo in `pose`."""
    source = puppet.head.source(pose.head)
    eyes = [
        (area, eye, _places(_part(source, area.within(puppet.head)), eye.slit.axes))
        for area, eye in zip(puppet.eye_areas, puppet.anatomy.eyes, strict=True)
        if pose.lids > 0
    ]
    frame = puppet.photo.copy()
    mouth = _Mouth.of(puppet, source, pose.lips)
    frame[puppet.head.rows, puppet.head.columns] = _sample(puppet.fine, source)
    mouth.paint(frame[puppet.inside_area.rows, puppet.inside_area.columns])
    for area, eye, (s, t) in eyes:
        lids.paint_lid(frame[area.rows, area.columns], s, t, eye=eye.slit, skin=eye.skin, shut=pose.lids)
    return frame


@dataclass(frozen=True)
class _Mouth:
    """One frame's mouth between the warp of the lips, which it has done, and the painting of the inside."""

    puppet: Puppet
    pose: LipPose
    s: Plane
    t: Plane
    warp: lips.LipWarp
    unmoved: Source

    @classmethod
    def of(cls, puppet: Puppet, source: Source, pose: LipPose) -> _Mouth:
        """Bend `source` by the lips and the jaw, and keep what the inside needs of it."""
        axes = puppet.anatomy.mouth.axes
        around = _part(source, puppet.mouth_area.within(puppet.head))
        s, t = _places(around, axes)
        warp = warp_lips(s, t, mouth=puppet.anatomy.mouth, pose=pose)
        part = puppet.inside_area.within(puppet.mouth_area)
        unmoved = around[0][part].copy(), around[1][part].copy()
        _shift(around, axes, warp.ds, warp.dt)
        return cls(puppet, pose, s[part], t[part], warp.within(part), unmoved)

    def paint(self, frame: Frame) -> None:
        """Draw the inside of the mouth over `frame`, the pixels of the inside area."""
        slit = self.puppet.anatomy.mouth
        share = opening_share(self.t, self.warp, slit.axes.unit)
        light = seam_light(self.t, self.warp) if slit.gap > 0 else np.ones_like(share)
        touched = (share > 0) | (light < 1)
        if not touched.any():
            return
        rows, columns = np.nonzero(touched)
        part = slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)
        near = self._within(part)
        colours = paint_cavity(
            self.puppet.cavity, near.s, near.t, warp=near.warp, pose=self.pose, photo_teeth=near._photo_teeth(slit)
        )
        lit = frame[part] * light[part][..., None]
        lit += (colours - lit) * share[part][..., None]
        frame[part] = np.clip(lit + np.float32(0.5), 0, 255).astype(np.uint8)

    def _within(self, part: tuple[slice, slice]) -> _Mouth:
        unmoved = self.unmoved[0][part], self.unmoved[1][part]
        return replace(self, s=self.s[part], t=self.t[part], warp=self.warp.within(part), unmoved=unmoved)

    def _photo_teeth(self, slit: Slit) -> Plane | None:
        if slit.gap <= 0:
            return None
        upper, lower = slit.edges(1 - np.minimum(self.s * self.s, 1))
        # teeth behind the lips were not photographed: what is seen at the edge goes on
        seen = np.clip(self.t, upper + np.float32(0.09), np.maximum(lower - np.float32(0.08), upper + np.float32(0.09)))
        teeth = self.unmoved[0].copy(), self.unmoved[1].copy()
        _shift(teeth, slit.axes, None, seen - self.t)
        return _sample(self.puppet.fine, teeth).astype(np.float32)


def _part(source: Source, part: tuple[slice, slice]) -> Source:
    return source[0][part], source[1][part]


def _places(source: Source, axes: Axes) -> tuple[Plane, Plane]:
    """(s, t) of the photo's pixels in `source`."""
    matrix = axes.inverse().astype(np.float32)
    s, t = (row[0] * source[0] + row[1] * source[1] + row[2] for row in matrix)
    return s, t


def _shift(source: Source, axes: Axes, ds: Plane | None, dt: Plane) -> None:
    """Move `source` itself by (ds, dt)."""
    matrix = axes.forward().astype(np.float32)
    for plane, (along, across, _) in zip(source, matrix, strict=True):
        plane += across * dt
        if ds is not None:
            plane += along * ds


def _sample(fine: Frame, source: Source) -> Frame:
    """The pixels that `source` leads to; uses its planes up."""
    for plane in source:
        # the middle of pixel x lies at FINE * x + (FINE - 1) / 2 of the finer copy
        plane *= np.float32(_FINE)
        plane += np.float32((_FINE - 1) / 2)
    taken = cv2.remap(fine, source[0], source[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return taken.astype(np.uint8, copy=False)


def _area(axes: Axes, reach: tuple[float, float, float], swing: float, head: HeadField) -> Area:
    """The head's pixels within reach (s to either side, t up, t down) of a slit, however the head swings."""
    s, up, down = reach
    corners = np.array([[-s, -s, s, s], [-up, down, -up, down], [1, 1, 1, 1]])
    x, y = axes.forward() @ corners
    return Area(
        slice(max(head.rows.start, int(y.min() - swing)), min(head.rows.stop, int(y.max() + swing) + 1)),
        slice(max(head.columns.start, int(x.min() - swing)), min(head.columns.stop, int(x.max() + swing) + 1)),
    )
