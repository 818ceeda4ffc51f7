"""The shipped lesson, drawn by the preview renderer through the whole farm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.media.audio import inspect_speech
from engine.media.contract import check_contract
from engine.media.video import read_rgb
from farm.storage import keys
from tests.conftest import PORTRAIT, ROOT
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm import Farm

SPEECH = ROOT / "samples" / "lesson.opus"
BIT_EQUAL = 100
"""dB above which two decoded frames are the same: both videos started with the same packets."""


def luma(path: Path) -> list[np.ndarray]:
    return [frame.astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32) for frame in read_rgb(path)]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((one - other) ** 2), 1e-9)))


def test_one_three_ten_and_forty_chunks_are_the_same_video(run_farm: Callable[..., Farm], tmp_path: Path) -> None:
    farm = run_farm(slots=2)
    jobs = {
        count: farm.submit(PORTRAIT, SPEECH, chunk_seconds=seconds, token=f"{count}")
        for count, seconds in ((1, 60), (3, 10), (10, 3.2), (40, 0.8))
    }
    views = {count: job.wait(120) for count, job in jobs.items()}
    assert {count: len(view.chunks) for count, view in views.items()} == {1: 1, 3: 3, 10: 10, 40: 40}

    assert len({view.digest for view in views.values()}) == 1
    assert len({tuple(job.report()["frame_hashes"]) for job in jobs.values()}) == 1

    videos = {count: job.fetch(tmp_path / f"{count}.mp4") for count, job in jobs.items()}
    heard = inspect_speech(SPEECH)
    for count, video in videos.items():
        report = jobs[count].report()
        check_contract(video, frames25=heard.frames25, size=(report["width"], report["height"]), speech=heard, seams=[])
    pictures = {count: luma(videos[count]) for count in (1, 3, 10)}
    for one, other in ((1, 3), (1, 10), (3, 10)):
        levels = np.array([psnr(a, b) for a, b in zip(pictures[one], pictures[other], strict=True)])
        encoded_apart = levels < BIT_EQUAL
        seams = np.zeros(len(levels), bool)
        for cut in (2 * chunk["kept"][0] for count in (one, other) for chunk in chunks_of(farm, jobs[count].id)[1:]):
            seams[cut - 8 : cut + 8] = True
        assert levels[encoded_apart].mean() >= 43
        assert levels[encoded_apart & seams].mean() >= levels[encoded_apart & ~seams].mean() - 1


def chunks_of(farm: Farm, job: str) -> list[dict[str, list[int]]]:
    chunks: list[dict[str, list[int]]] = farm.storage.get_json(keys.plan_json(job))["chunks"]
    return chunks


@pytest.mark.parametrize("framing", ["full", "face"])
def test_a_lesson_of_a_fifth_of_a_second_comes_out_whole(
    run_farm: Callable[..., Farm], tmp_path: Path, framing: str
) -> None:
    farm = run_farm(slots=1)
    job = farm.submit(PORTRAIT, tone(tmp_path / "short.wav", 0.2), framing=framing, min_resolution=128)
    assert job.wait(60).frames25 == 5
    assert len(list(read_rgb(job.fetch(tmp_path / "short.mp4")))) == 5
