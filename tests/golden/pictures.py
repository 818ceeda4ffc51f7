"""The cases about pictures: the portrait made ready, faces found, middle frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from engine.media.image import MASK_AREA, crop_to_face, face_mask
from engine.sonic.config import SonicConfig
from engine.sonic.face import FoundFace, Seen, detect_faces, faces_of
from engine.sonic.interpolate import middle_frames
from engine.sonic.portrait import clip_pixels, picture_of
from tests.golden.cases import HALF, ONE_PASS, Against, Case, Quantity

if TYPE_CHECKING:
    from engine.sonic.weights.load import Models

USUAL_SCORE, USUAL_OVERLAP = 0.5, 0.45
"""The released thresholds: where a case has these, the engine's own are used."""


def preprocess(case: Case, models: Models) -> list[Quantity]:
    found = []
    for index, facts in enumerate(case.facts):
        found += _portrait(case, models, facts, index)
    return found


def _portrait(case: Case, models: Models, facts: dict[str, Any], index: int) -> list[Quantity]:
    against, image = Against(case), case.tensors[f"{index}.image"]
    face = FoundFace(tuple(facts["bbox_xywh"]), 1.0, ())
    config = SonicConfig(min_resolution=facts["min_resolution"], expand_ratio=facts["expand_ratio"])
    picture = picture_of(image, face, config)
    size = picture.image.shape[1], picture.image.shape[0]
    mask = picture.mask
    if facts["area"] != MASK_AREA:
        mask = face_mask(*image.shape[:2], box=face.box, size=size, area=facts["area"])
    crop = crop_to_face(*image.shape[:2], box=face.box, expand_ratio=facts["expand_ratio"])
    return [
        against.exact(f"{index}.crop_xyxy", crop, facts["crop_xyxy"]),
        against.exact(f"{index}.ref_size_wh", size, facts["ref_size_wh"]),
        against.levels(f"{index}.ref_image", picture.image.transpose(2, 0, 1)),
        against.levels(f"{index}.face_mask", mask[None]),
        against.reference(
            f"{index}.clip_pixels", clip_pixels(models.feature_extractor, picture.image)[0], tolerance=HALF
        ),
    ]


def face_detect(case: Case, models: Models) -> list[Quantity]:
    """The case's raw prediction in place of the detector's answer."""
    against, facts, image = Against(case), case.facts, case.tensors["image_rgb"]
    prediction = torch.from_numpy(case.tensors["prediction"])
    asked: list[tuple[Any, Any]] = []

    def detector(network_input: torch.Tensor, grids: list[torch.Tensor]) -> torch.Tensor:
        asked.append((network_input, grids))
        return prediction

    faces = detect_faces(detector, image)
    ((network_input, grids),) = asked
    if (facts["conf"], facts["iou"]) != (USUAL_SCORE, USUAL_OVERLAP):
        seen = Seen(image.shape[:2], tuple(network_input.shape[-2:]))
        faces = faces_of(prediction, seen, least_score=facts["conf"], most_overlap=facts["iou"])
    return [
        against.exact("input_hw", network_input.shape[-2:], facts["input_hw"]),
        against.exact("grids", [grid.shape for grid in grids], facts["grids"]),
        against.exact("grid corners", [grid[0, 0, -1, -1] for grid in grids], _last_cells(facts["grids"])),
        against.reference("network_input", network_input, tolerance=HALF),
        against.exact("boxes", [face.xywh for face in faces], facts["boxes_xywh"]),
        against.exact("landmarks", [face.landmarks for face in faces], facts["landmarks"]),
        against.exact("scores", [face.score for face in faces], facts["scores"]),
    ]


def _last_cells(grids: list[list[int]]) -> list[tuple[int, int]]:
    """(x, y) of each grid's last cell."""
    return [(shape[3] - 1, shape[2] - 1) for shape in grids]


def rife(case: Case, models: Models) -> list[Quantity]:
    frames = torch.from_numpy(case.tensors["frames"])
    middle = middle_frames(models.flow, frames[:-1], frames[1:])
    return [Against(case).reference("middle", middle, tolerance=ONE_PASS)]
