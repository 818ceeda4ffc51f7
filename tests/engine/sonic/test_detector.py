"""Faces found: what the network is shown, and what its raw answer means in the photo's own pixels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from engine.sonic.face import Seen, detect_faces, detector_input, distinct, faces_of

SQUARE = Seen((416, 416), (416, 416))


def answer(*rows: tuple[float, float, float, float, float, float]) -> torch.Tensor:
    """Raw candidates of (centre x, y, width, height, objectness, class)."""
    found = torch.zeros(1, len(rows), 16)
    for index, (x, y, width, height, objectness, face) in enumerate(rows):
        found[0, index, :5] = torch.tensor([x, y, width, height, objectness])
        found[0, index, 5:15] = torch.tensor([x, y] * 5)
        found[0, index, 15] = face
    return found


def found_in(prediction: torch.Tensor, seen: Seen = SQUARE) -> list[tuple[float, ...]]:
    return [face.xywh for face in faces_of(prediction, seen, least_score=0.5, most_overlap=0.45)]


@pytest.mark.parametrize(
    ("photo", "shown"),
    [((200, 300), (416, 640)), ((416, 416), (416, 416)), ((1000, 700), (608, 416)), ((1, 1), (416, 416))],
)
def test_the_network_sees_the_photo_at_a_multiple_of_32(photo: tuple[int, int], shown: tuple[int, int]) -> None:
    image, grids = detector_input(np.full((*photo, 3), 255, np.uint8))
    assert image.shape == (1, 3, *shown)
    assert (image == 1).all()
    assert [tuple(grid.shape) for grid in grids] == [(1, 1, shown[0] // s, shown[1] // s, 2) for s in (8, 16, 32)]
    assert grids[0][0, 0, 2, 5].tolist() == [5, 2]
    assert grids[0].dtype == torch.float32


def test_a_torchscript_detector_is_asked_once() -> None:
    def model(image: torch.Tensor, grids: list[torch.Tensor]) -> torch.Tensor:
        rows = image.mean() * 0 + torch.zeros(1, len(grids), 16)
        rows[..., :4] = torch.tensor([64.0, 32.0, 20.0, 10.0])
        rows[..., 4] = 0.9
        rows[..., 15] = 0.9
        return rows

    calls: list[int] = []
    with warnings.catch_warnings():
        # torch would rather have exported programs; the released detector is TorchScript
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        scripted = torch.jit.script(model)

    def counted(image: torch.Tensor, grids: list[torch.Tensor]) -> torch.Tensor:
        calls.append(1)
        return scripted(image, grids)

    (face,) = detect_faces(counted, np.zeros((832, 832, 3), np.uint8))
    assert calls == [1]
    assert face.xywh == (108, 54, 40, 20)


def test_boxes_and_landmarks_come_back_in_photo_pixels() -> None:
    seen = Seen((200, 300), (416, 640))
    (face,) = faces_of(answer((320, 208, 64, 104, 0.9, 0.9)), seen, least_score=0.5, most_overlap=0.45)
    np.testing.assert_allclose(face.xywh, (135, 75, 30, 50))
    np.testing.assert_allclose(face.box, (135, 75, 165, 125))
    np.testing.assert_allclose(face.landmarks, [(150, 100)] * 5)
    assert face.score == pytest.approx(0.81)
    assert face.moved(-100, 25).box == pytest.approx((35, 100, 65, 150))


def test_both_objectness_and_its_product_with_the_class_must_be_above_a_half() -> None:
    scores = [(0.5, 1.0), (0.6, 0.8), (0.4, 2.0), (0.8, 0.7)]
    rows = [(50 + 100 * index, 50, 20, 20, *both) for index, both in enumerate(scores)]
    assert found_in(answer(*rows)) == [(340, 40, 20, 20)]


def test_of_boxes_over_each_other_the_surest_stays() -> None:
    rows = [(100, 100, 40, 40, 0.7, 1), (104, 100, 40, 40, 0.9, 1), (100, 200, 40, 40, 0.8, 1)]
    assert found_in(answer(*rows)) == [(84, 80, 40, 40), (80, 180, 40, 40)]


def test_a_box_goes_only_for_one_that_stays() -> None:
    """The middle one goes for the first, so the last, which overlaps the middle one alone, stays."""
    boxes = np.array([[0, 0, 100, 10], [30, 0, 100, 10], [60, 0, 100, 10]], float)
    assert distinct(boxes, 0.45) == [0, 2]


def test_boxes_that_overlap_by_just_the_limit_both_stay() -> None:
    boxes = np.array([[0, 0, 3, 10], [1, 0, 3, 10]], float)
    assert distinct(boxes, 0.5) == [0, 1]
    assert distinct(boxes, 0.49) == [0]


def test_nothing_found_is_an_empty_list() -> None:
    assert found_in(torch.zeros(1, 0, 16)) == []
    assert found_in(answer((1, 1, 1, 1, 0.1, 0.1))) == []
