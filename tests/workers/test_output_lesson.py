"""Every output form at once, through the whole farm: the same pixels however the lesson is cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from engine.media.audio import inspect_speech
from engine.media.contract import check_contract
from engine.media.provenance import read_provenance
from engine.media.reader import read_rgb
from engine.media.subtitles import read_srt
from engine.spec import FRAME_RATE
from farm import Farm, InputRefusedError, Settings
from farm.verify import verify
from tests.conftest import PORTRAIT, ROOT
from tests.engine.media.lessons import decoded_sound, played
from tests.renderers import LATE_FRAMES25

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


GREETING = ROOT / "samples" / "greeting.opus"
SRT = "1\n00:00:00,500 --> 00:00:02,000\nGood morning.\n\n2\n00:00:02,500 --> 00:00:04,000\nLet us <i>begin</i>.\n"
EVERYTHING = {
    "framing": "face",
    "paste_back": True,
    "size": "640x360",
    "fit": "crop",
    "quality": "draft",
    "smoothing": 0.3,
    "mark": True,
    "consent": "folder 7, page 3",
    "min_resolution": 256,
}


def test_one_chunk_and_three_are_one_video_in_any_form(run_farm: Callable[..., Farm], tmp_path: Path) -> None:
    farm = run_farm(slots=2)
    (srt := tmp_path / "greeting.srt").write_text(SRT)
    jobs = [
        farm.submit(PORTRAIT, GREETING, chunk_seconds=seconds, subtitles=srt, token=f"{seconds}", **EVERYTHING)
        for seconds in (60, 2)
    ]
    views = [job.wait(120) for job in jobs]
    assert [len(view.chunks) for view in views] == [1, 3]
    assert len({view.digest for view in views}) == 1

    video, report = jobs[1].fetch(tmp_path / "video.mp4"), jobs[1].report()
    speech = inspect_speech(GREETING)
    check_contract(
        video,
        frames25=speech.frames25,
        size=(640, 360),
        speech=speech,
        seams=[tuple(seam["frames25"]) for seam in report["seams"]],
        offset=report["sync"]["offset_s"],
        cues=read_srt(srt),
    )
    assert next(read_rgb(video)).shape == (360, 640, 3)
    found = read_provenance(video)
    assert (found.job, found.consent) == (jobs[1].id, "folder 7, page 3")
    assert verify(video, portrait=PORTRAIT, speech=GREETING, subtitles=srt).right
    assert report["subtitles"] == found.subtitles

    for part in ("poster.jpg", "sheet.jpg"):
        with Image.open(jobs[1].fetch(tmp_path / part, what=part)) as picture:
            assert picture.format == "JPEG"
    beside = jobs[1].fetch(tmp_path / "provenance.json", what="provenance.json")
    assert json.loads(beside.read_text()) == found.to_dict()


def test_the_speech_of_a_mouth_that_lags_is_played_later_by_as_much(
    run_farm: Callable[..., Farm], tmp_path: Path
) -> None:
    farm = run_farm(slots=2, renderers=("late=tests.renderers:Late",))
    asked = {"renderer": "late", "framing": "face", "min_resolution": 128, "chunk_seconds": 3}
    jobs = [farm.submit(PORTRAIT, GREETING, calibrate=calibrate, **asked) for calibrate in (True, False)]
    calibrated, as_drawn = [job.wait(60) and job.report() for job in jobs]
    offset = calibrated["sync"]["offset_s"]
    assert offset == pytest.approx(LATE_FRAMES25 / FRAME_RATE, abs=0.01)
    assert as_drawn["sync"] is None

    rate = inspect_speech(GREETING).rate
    later, unmoved = (played(job.fetch(tmp_path / f"{job.id}.mp4"), rate) for job in jobs)
    spoken = slice(rate, 5 * rate)
    moved = later[spoken.start + round(offset * rate) : spoken.stop + round(offset * rate)]
    assert np.array_equal(moved, unmoved[spoken]), "in the file itself, to the sample"
    assert np.corrcoef(unmoved[spoken], decoded_sound(GREETING)[spoken])[0, 1] > 0.95
    assert calibrated["frame_hashes"] == as_drawn["frame_hashes"]
    assert [len(list(read_rgb(tmp_path / f"{job.id}.mp4"))) for job in jobs] == 2 * [calibrated["frames25"]]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"paste_back": True}, "paste_back was asked for with framing 'full', wanted framing 'face'"),
        ({"size": "721x400"}, "size is '721x400', wanted source, 720p, 1080p, or WxH of even sides"),
        ({"fit": "crop"}, "fit 'crop' was asked for without a size to fit, wanted a size as well"),
        ({"smoothing": 1.5}, "smoothing is 1.5, wanted 0 to 1"),
        ({"quality": "best"}, "quality is 'best', wanted one of draft, standard, master"),
        ({"mark": 1}, "mark is 1, wanted true or false"),
        ({"consent": "a\nb"}, "consent is 'a\\nb', wanted 1 to 200 printable characters"),
    ],
)
def test_a_form_that_cannot_be_is_refused_before_anything_is_queued(
    settings: Settings, asked: dict[str, object], words: str
) -> None:
    with Farm(settings) as farm:
        with pytest.raises(InputRefusedError) as refusal:
            farm.submit(PORTRAIT, GREETING, **asked)  # type: ignore[arg-type]
        assert words in "\n".join(refusal.value.problems)
        assert farm.jobs() == []


def test_a_lesson_is_planned_without_a_farm_too(settings: Settings) -> None:
    with Farm(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0", "slots": 3})) as farm:
        found = farm.dry_run(PORTRAIT, GREETING, chunk_seconds=2)
    assert len(found.plan.chunks) == 3
    assert any("planned for setting slots (3)" in warning for warning in found.warnings)


def test_subtitles_of_another_lesson_are_refused_with_their_line(settings: Settings, tmp_path: Path) -> None:
    (late := tmp_path / "late.srt").write_text("1\n00:10:00,000 --> 00:10:01,000\nToo late.\n")
    with Farm(settings) as farm:
        for given, words in ((late, "line 2"), (tmp_path / "none.srt", "none.srt cannot be read")):
            with pytest.raises(InputRefusedError) as refusal:
                farm.submit(PORTRAIT, GREETING, subtitles=given)
            assert words in "\n".join(refusal.value.problems)
