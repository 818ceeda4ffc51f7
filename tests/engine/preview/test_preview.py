"""The preview as its viewer sees it: measured on rendered frames, never on the numbers behind them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from looking import CLOSE_UP, CLOSURES, PORTRAIT, Samples, Viewer, decoded, job, rendered, vowel
from PIL import Image

from engine.errors import PortraitError
from engine.media.face import detect_faces
from engine.plan import Geometry, plan_chunks
from engine.preview.motion import blink, head_motion
from engine.preview.mouth import CONTEXT_SAMPLES
from engine.preview.renderer import PreviewRenderer
from engine.renderer import load_renderer
from engine.spec import Redraw, RenderSpec

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from engine.renderer import Frame
    from engine.spec import ChunkSpec

SILENCE = np.zeros(8_000, np.int16)
SMALL = RenderSpec(min_resolution=128)


def hashes(frames: list[Frame]) -> list[str]:
    return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames]


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.fixture(scope="module")
def heights(close_up: list[Frame]) -> NDArray[np.float64]:
    return Viewer.of(close_up[0]).heights(close_up)


@pytest.fixture(scope="module")
def loudness(lesson: NDArray[np.int16], close_up: list[Frame]) -> NDArray[np.float64]:
    """Root mean square of the speech under each frame."""
    padded = np.pad(lesson, (0, 640))[: 640 * len(close_up)].astype(np.float64)
    return np.sqrt((padded.reshape(-1, 640) ** 2).mean(axis=1))


def test_the_mouth_follows_the_speech(heights: NDArray[np.float64], loudness: NDArray[np.float64]) -> None:
    by_lag = {lag: np.corrcoef(np.roll(heights, lag), loudness)[0, 1] for lag in range(-4, 5)}
    assert by_lag[0] >= 0.6
    assert max(by_lag, key=lambda lag: by_lag[lag]) in (-1, 0, 1)


def test_pauses_shut_the_mouth(heights: NDArray[np.float64], loudness: NDArray[np.float64]) -> None:
    quiet = np.convolve(loudness < 30, np.ones(5), "same") == 5
    assert quiet.sum() > 20
    assert heights[quiet].max() < 0.05 * heights.max()


def test_the_lips_close_for_p_b_and_m(heights: NDArray[np.float64]) -> None:
    frames = rendered(job(decoded(CLOSURES)))
    seen = Viewer.of(frames[0]).heights(frames)
    for start in (12, 38, 65):  # frames at which apa, aba and ama begin
        spoken = seen[start : start + 14]
        opened = np.flatnonzero(spoken > 0.5 * heights.max())
        closure = spoken[opened[0] : opened[-1]].min()
        assert closure < 0.15 * heights.max()


def test_open_spread_and_rounded_vowels_look_different() -> None:
    ratios = {}
    for name, formants in {
        "a": (750, 1200, 2500, 3500),
        "i": (280, 2250, 2900, 3500),
        "u": (310, 800, 2250, 3300),
    }.items():
        frames = rendered(job(np.concatenate([SILENCE, vowel(formants), SILENCE])))
        viewer = Viewer.of(frames[0])
        seen = [viewer.look(frame) for frame in frames[20:30]]
        ratios[name] = sum(one.width for one in seen) / sum(one.height for one in seen)
    narrow, middle, wide = sorted(ratios.values())
    assert middle > 1.2 * narrow
    assert wide > 1.2 * middle
    assert ratios["i"] == wide


@pytest.mark.parametrize("framing", ["full", "face"])
def test_beyond_the_face_the_photo_is_only_moved(framing: str, lesson: NDArray[np.int16]) -> None:
    inputs = job(lesson[32_000:64_000], spec=RenderSpec(framing=framing, min_resolution=512))  # type: ignore[arg-type]
    renderer = PreviewRenderer()
    features = renderer.prepare(inputs)
    puppet = features.puppet
    x0, y0, x1, y1 = detect_faces(puppet.photo)[0].box
    rows, columns = np.mgrid[: puppet.photo.shape[0], : puppet.photo.shape[1]]
    across, down = np.abs(columns - (x0 + x1) / 2), np.abs(rows - (y0 + y1) / 2)
    beyond = (across > 0.75 * (x1 - x0)) | (down > 0.75 * (y1 - y0))
    for number, frame in enumerate(rendered(inputs)):
        if number % 8:
            continue
        moved = puppet.photo.copy()
        head_x, head_y = puppet.head.source(head_motion(inputs.spec.seed, number))
        moved[puppet.head.rows, puppet.head.columns] = cv2.remap(
            puppet.photo, head_x, head_y, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
        )
        assert psnr(frame[beyond], moved[beyond]) >= 40


def test_nothing_tears(close_up: list[Frame]) -> None:
    """No pixel far from mouth and eyes jumps from one frame to the next."""
    steps = [np.abs(one.astype(int) - other).max(axis=2) for one, other in pairwise(close_up[60:160])]
    still = np.ones(close_up[0].shape[:2], bool)
    still[60:] = False  # hair and forehead, above the eyes
    assert max(np.percentile(step[still], 99) for step in steps) < 60


def test_one_three_and_ten_chunks_give_the_same_frames(lesson: NDArray[np.int16]) -> None:
    inputs = job(lesson[: 12 * 16_000], spec=SMALL)
    whole = hashes(rendered(inputs))
    assert len(whole) == 300
    assert len(set(whole)) > 290
    for chunks in (3, 10):
        seconds = 12 / chunks
        assert len(plan_chunks(300, chunk_seconds=seconds, geometry=Geometry()).chunks) == chunks
        assert hashes(rendered(inputs, chunk_seconds=seconds)) == whole


def test_neighbours_agree_bit_for_bit_where_they_overlap(lesson: NDArray[np.int16]) -> None:
    inputs = job(lesson[: 8 * 16_000], spec=SMALL)
    renderer = load_renderer("preview", "cpu")
    features = renderer.prepare(inputs)
    early, late = plan_chunks(200, chunk_seconds=4, geometry=renderer.geometry).chunks
    overlap = early.tail
    assert overlap > 0
    last = list(renderer.render(early, features, lambda _: None))[-overlap:]
    first = list(renderer.render(late, features, lambda _: None))[:overlap]
    assert hashes(last) == hashes(first)


def test_what_is_drawn_anew_is_the_same_for_any_plan_and_changes_no_frame_beside_it(lesson: NDArray[np.int16]) -> None:
    inputs = job(lesson[: 8 * 16_000], spec=SMALL)
    renderer = load_renderer("preview", "cpu")
    features = renderer.prepare(inputs)
    (whole,), plan = (plan_chunks(200, chunk_seconds=seconds, geometry=Geometry()).chunks for seconds in (60, 4))
    redraw = Redraw(seed=5, start=plan[1].kept[0] + 8, stop=plan[1].kept[1])

    def drawn(chunk: ChunkSpec, anew: Redraw | None) -> list[str]:
        return hashes(list(renderer.render(replace(chunk, redraw=anew), features, lambda _: None)))

    before, after = drawn(whole, None), drawn(whole, redraw)
    assert after[: 2 * redraw.start] == before[: 2 * redraw.start]
    assert len(set(after[2 * redraw.start :]) & set(before[2 * redraw.start :])) < 5
    for chunk in plan:
        assert drawn(chunk, redraw) == after[slice(*chunk.out)]


def test_the_number_of_threads_changes_nothing(lesson: NDArray[np.int16]) -> None:
    inputs = job(lesson[32_000:40_000], spec=SMALL)
    renderer = load_renderer("preview", "cpu")
    features = renderer.prepare(inputs)
    (chunk,) = plan_chunks(inputs.frames25, chunk_seconds=60, geometry=Geometry()).chunks
    by_threads = []
    for threads in (1, 2, 4):
        cv2.setNumThreads(threads)
        by_threads.append(hashes(list(renderer.render(chunk, features, lambda _: None))))
    cv2.setNumThreads(1)
    assert by_threads[0] == by_threads[1] == by_threads[2]


def test_the_first_chunk_reads_no_speech_beyond_its_own_surroundings(lesson: NDArray[np.int16]) -> None:
    inputs = job(lesson, spec=SMALL)
    renderer = PreviewRenderer()
    features = renderer.prepare(inputs)
    first = plan_chunks(inputs.frames25, chunk_seconds=4, geometry=Geometry()).chunks[0]
    list(renderer.render(first, features, lambda _: None))
    assert isinstance(inputs.speech, Samples)
    assert max(stop for _, stop in inputs.speech.ranges) <= first.out[1] * 640 + CONTEXT_SAMPLES


def test_progress_rises_to_one(lesson: NDArray[np.int16]) -> None:
    inputs = job(lesson[:32_000], spec=SMALL)
    renderer = load_renderer("preview", "cpu")
    (chunk,) = plan_chunks(inputs.frames25, chunk_seconds=60, geometry=Geometry()).chunks
    shares: list[float] = []
    frames = list(renderer.render(chunk, renderer.prepare(inputs), shares.append))
    assert len(frames) == inputs.frames25 == len(shares)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_seeds_differ_and_a_seed_repeats(lesson: NDArray[np.int16]) -> None:
    spoken = lesson[32_000:48_000]
    by_seed = [hashes(rendered(job(spoken, spec=replace(SMALL, seed=seed)))) for seed in (0, 1, 0)]
    assert by_seed[0] == by_seed[2]
    assert not set(by_seed[0]) & set(by_seed[1])


def test_gain_and_amplitude_act_on_what_they_name(lesson: NDArray[np.int16]) -> None:
    spoken = np.concatenate([SILENCE, lesson[2 * 16_000 : 5 * 16_000]])

    def opened(spec: RenderSpec) -> float:
        frames = rendered(job(spoken, spec=spec))
        return float(Viewer.of(frames[0]).heights(frames).mean())

    usual = opened(CLOSE_UP)
    assert opened(replace(CLOSE_UP, dynamic_scale=0.5)) < 0.75 * usual
    assert opened(replace(CLOSE_UP, dynamic_scale=1.6)) > 1.15 * usual
    assert opened(replace(CLOSE_UP, motion_scale=0.5)) < 0.75 * usual

    def swayed(scale: float) -> float:
        frames = rendered(job(np.zeros(80_000, np.int16), spec=replace(CLOSE_UP, motion_scale=scale)))
        return float(np.mean([np.abs(frame.astype(int) - frames[0]).mean() for frame in frames]))

    assert swayed(2.0) > 1.3 * swayed(1.0) > 1.3 * 1.3 * swayed(0.5)


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        pytest.param(RenderSpec(min_resolution=128), (128, 128), id="smallest"),
        pytest.param(RenderSpec(min_resolution=192, framing="face"), (192, 192), id="face"),
        pytest.param(RenderSpec(min_resolution=2048), (2048, 2048), id="largest"),
    ],
)
def test_every_size_is_honoured(spec: RenderSpec, size: tuple[int, int]) -> None:
    frames = rendered(job(vowel((750, 1200, 2500, 3500), seconds=0.08), spec=spec))
    assert [frame.shape for frame in frames] == [(size[1], size[0], 3)] * 2
    assert all(frame.dtype == np.uint8 for frame in frames)


def test_a_wide_photo_stays_wide_and_a_face_crop_is_square(tmp_path: Path) -> None:
    with Image.open(PORTRAIT) as portrait:
        wide = Image.new("RGB", (520, 288), (90, 120, 90))
        wide.paste(portrait, (200, 0))
    wide.save(tmp_path / "wide.png")
    (full,) = rendered(job(SILENCE[:640], portrait=tmp_path / "wide.png", spec=RenderSpec(min_resolution=256)))
    assert full.shape == (256, 448, 3)
    face = RenderSpec(min_resolution=256, framing="face")
    (near,) = rendered(job(SILENCE[:640], portrait=tmp_path / "wide.png", spec=face))
    assert near.shape == (256, 256, 3)


def test_a_larger_expand_ratio_shows_more_around_the_face() -> None:
    def face_share(ratio: float) -> float:
        spec = RenderSpec(min_resolution=256, framing="face", expand_ratio=ratio)
        features = PreviewRenderer().prepare(job(SILENCE, spec=spec))
        return features.puppet.head.face_width / 256

    assert face_share(0.1) > 1.2 * face_share(0.5) > 1.2 * face_share(1.0)


def test_a_blink_hides_the_eyes() -> None:
    seed, shut = 0, next(frame for frame in range(200) if blink(0, frame) == 1.0)
    frames = rendered(job(np.zeros((shut + 1) * 640, np.int16), spec=replace(CLOSE_UP, seed=seed)))
    features = PreviewRenderer().prepare(job(SILENCE))
    x, y = (round(value) for value in features.puppet.anatomy.eyes[0].slit.axes.centre)
    pupil = [frame[y - 3 : y + 4, x - 3 : x + 4].mean() for frame in (frames[0], frames[shut])]
    assert pupil[1] > 1.4 * pupil[0]


def test_a_photo_without_a_face_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), (120, 160, 200)).save(tmp_path / "sky.png")
    with pytest.raises(PortraitError, match=r"sky\.png shows no face"):
        PreviewRenderer().prepare(job(SILENCE, portrait=tmp_path / "sky.png"))


def test_a_face_that_cannot_be_used_is_refused_in_plain_words(tmp_path: Path) -> None:
    with Image.open(PORTRAIT) as portrait:
        portrait.crop((115, 0, 288, 288)).save(tmp_path / "cut.png")
    with pytest.raises(PortraitError, match=r"cut\.png: the face is cut off: \d+% of it lies beyond the left border"):
        PreviewRenderer().prepare(job(SILENCE, portrait=tmp_path / "cut.png"))


def test_lips_that_are_shut_in_the_photo_open_too(tmp_path: Path) -> None:
    (shut,) = rendered(job(SILENCE[:640], spec=RenderSpec(min_resolution=512)))
    Image.fromarray(shut).save(tmp_path / "shut.png")
    sung = np.concatenate([SILENCE, vowel((750, 1200, 2500, 3500)), SILENCE])
    frames = rendered(job(sung, portrait=tmp_path / "shut.png"))
    seen = Viewer.of(frames[0]).heights(frames)
    assert seen[20:30].min() > 6
    assert seen[:10].max() < 0.5
