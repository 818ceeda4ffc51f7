"""Faces in real photos: found, described, and never seen where there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from engine.media.face import Face, Landmarks, detect_faces, face_problems
from engine.media.image import load_portrait

if TYPE_CHECKING:
    from numpy.typing import NDArray

PHOTOS = Path(__file__).parent / "photos"
PORTRAIT = Path(__file__).resolve().parents[3] / "samples" / "portrait.png"


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    return load_portrait(PORTRAIT)


def problems_of(photo: NDArray[np.uint8]) -> list[str]:
    return face_problems(detect_faces(photo)[0], (photo.shape[1], photo.shape[0]))


def test_the_shipped_portrait_has_one_usable_face(portrait: NDArray[np.uint8]) -> None:
    (face,) = detect_faces(portrait)
    assert face.box == pytest.approx((98, 63, 187, 175), abs=6)
    assert face.score > 0.99
    marks = face.landmarks
    assert marks.left_eye[0] < marks.nose[0] < marks.right_eye[0]
    assert marks.mouth_left == pytest.approx((122, 142), abs=5)
    assert marks.mouth_right == pytest.approx((163, 144), abs=5)
    assert problems_of(portrait) == []


def test_the_same_photo_gives_the_same_faces_on_any_number_of_threads(portrait: NDArray[np.uint8]) -> None:
    before = cv2.getNumThreads()
    found = []
    for threads in (1, 2, 4, 1):
        cv2.setNumThreads(threads)
        found.append(detect_faces(portrait))
    cv2.setNumThreads(before)
    assert all(faces == found[0] for faces in found)


def test_several_faces_come_largest_first(portrait: NDArray[np.uint8]) -> None:
    small = cv2.resize(portrait, (180, 180), interpolation=cv2.INTER_AREA)
    crowd = np.full((288, 680, 3), 128, np.uint8)
    crowd[50:230, :180], crowd[:, 200:488], crowd[50:230, 500:] = small, portrait, small
    faces = detect_faces(crowd)
    assert len(faces) == 3
    assert 200 < faces[0].box[0] < faces[0].box[2] < 488
    assert faces[0].width > 1.3 * faces[1].width


@pytest.mark.parametrize("scale", [0.5, 2.0, 9.0])
def test_landmarks_are_in_the_photos_own_pixels_at_any_size(scale: float, portrait: NDArray[np.uint8]) -> None:
    (face,) = detect_faces(cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))
    assert np.array(face.landmarks.nose) / scale == pytest.approx((144, 130), abs=5)


def test_no_face_is_seen_in_a_landscape() -> None:
    assert detect_faces(load_portrait(PHOTOS / "landscape.jpg")) == []


def test_no_face_is_seen_in_a_page_of_text() -> None:
    page = np.full((400, 600, 3), 245, np.uint8)
    for line in range(12):
        cv2.putText(page, "Frames are counted on two grids.", (15, 30 + 30 * line), 0, 1, (20, 20, 20), 2)
    assert detect_faces(page) == []


def test_no_face_is_seen_in_noise_or_a_plain_wall() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    blotches = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 9), None, 0, 255, cv2.NORM_MINMAX)
    assert detect_faces(noise) == []
    assert detect_faces(blotches) == []
    assert detect_faces(np.full((200, 200, 3), 200, np.uint8)) == []


def test_a_profile_is_called_turned() -> None:
    (problem,) = problems_of(load_portrait(PHOTOS / "profile.jpg"))
    assert problem.startswith("the head is turned about ")
    assert problem.endswith("to the photo's right, wanted 35 or less")


def test_a_head_on_the_shoulder_is_called_tilted(portrait: NDArray[np.uint8]) -> None:
    turn = cv2.getRotationMatrix2D((143, 120), -40, 1.0)
    (problem,) = problems_of(cv2.warpAffine(portrait, turn, (288, 288), borderMode=cv2.BORDER_REPLICATE))
    assert "tilted" in problem
    assert "wanted 30 or less" in problem


@pytest.mark.parametrize(
    ("rows", "columns", "border"),
    [
        pytest.param(slice(0, 288), slice(115, 288), "left", id="left"),
        pytest.param(slice(0, 288), slice(0, 168), "right", id="right"),
        pytest.param(slice(86, 288), slice(0, 288), "top", id="top"),
        pytest.param(slice(0, 152), slice(0, 288), "bottom", id="bottom"),
    ],
)
def test_a_face_cut_by_the_border_says_which(
    rows: slice, columns: slice, border: str, portrait: NDArray[np.uint8]
) -> None:
    (problem,) = problems_of(np.ascontiguousarray(portrait[rows, columns]))
    assert f"beyond the {border} border, wanted 5% or less" in problem


def test_a_small_face_names_its_width(portrait: NDArray[np.uint8]) -> None:
    small = cv2.resize(portrait, (128, 128), interpolation=cv2.INTER_AREA)
    (problem,) = problems_of(small)
    assert "pixels wide, wanted 48 or more" in problem


def test_a_face_lost_in_a_large_photo_names_its_share() -> None:
    marks = Landmarks((1000, 1000), (1060, 1000), (1030, 1030), (1005, 1060), (1055, 1060))
    face = Face((970, 940, 1090, 1090), 0.99, marks)
    (problem,) = face_problems(face, (4000, 3000))
    assert "4.0% as wide as the photo's shorter side, wanted 8% or more" in problem
    nearer = replace(face, box=(850, 850, 1210, 1240))
    assert face_problems(nearer, (4000, 3000)) == []
