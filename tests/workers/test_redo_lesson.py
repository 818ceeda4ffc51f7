"""A chunk of a finished lesson is rendered again by the whole farm: a new version, all else to the bit as it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from engine.media.provenance import read_provenance
from engine.media.reader import read_rgb
from farm.storage import keys
from tests.conftest import PORTRAIT, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm import Farm, Job


def segments(farm: Farm, job: Job) -> Counter[int]:
    """How many finished segments each chunk has."""
    found = (keys.job_object(item.key) for item in farm.storage.list(keys.segments_folder(job.id)))
    return Counter(int(one.unit or -1) for one in found if one and one.file == "segment.json")


def changed(job: Job, one: int, other: int) -> tuple[int, int]:
    """The first frame25 that differs between two versions, and the one behind the last."""
    hashes = [np.array(job.report(version)["frame_hashes"]) for version in (one, other)]
    differs = np.flatnonzero(hashes[0] != hashes[1])
    return int(differs[0]), int(differs[-1]) + 1


def test_one_chunk_is_drawn_anew_and_the_version_before_comes_back(
    run_farm: Callable[..., Farm], tmp_path: Path
) -> None:
    farm = run_farm(slots=2)
    speech = tone(tmp_path / "speech.wav", 12)
    job = farm.submit(PORTRAIT, speech, chunk_seconds=4, min_resolution=128, token="redo")
    first = job.wait(60)
    (made,) = job.redo(at=["0:06"])
    while_it_renders = job.fetch(tmp_path / "1.mp4").read_bytes()
    second = job.wait(60)

    assert segments(farm, job) == {0: 1, 1: 2, 2: 1}, "just that chunk"
    assert second.versions == (1, 2)
    assert changed(job, 1, 2) == (2 * made.redraw.start, 2 * made.redraw.stop)
    report = job.report()
    assert report["segments"][1]["redraw"] == asdict(made.redraw)
    assert read_provenance(job.fetch(tmp_path / "2.mp4")).redrawn.endswith(f"from seed {made.redraw.seed}")
    assert read_provenance(tmp_path / "1.mp4").redrawn == ""
    assert job.fetch(tmp_path / "again.mp4", version=1).read_bytes() == while_it_renders

    compared = list(read_rgb(job.compare(tmp_path / "compared.mp4")))
    shown = next(read_rgb(job.fetch(tmp_path / "2.mp4")))
    assert len(compared) == first.frames25 == 300
    assert compared[0].shape[1] == 2 * shown.shape[1]

    job.rollback(1)
    assert (job.view().digest, job.view().state) == (first.digest, "done")
    assert first.digest != second.digest
    (again,) = job.redo(chunks=[0], seed=5)
    third = job.wait(60)
    assert third.current == 4
    assert changed(job, 1, 4) == (0, 2 * again.redraw.stop), "it builds on the version that was rolled back to"
    assert segments(farm, job) == {0: 2, 1: 2, 2: 1}


def test_a_fault_in_a_seam_is_drawn_anew_on_both_sides_alike(run_farm: Callable[..., Farm], tmp_path: Path) -> None:
    farm = run_farm(slots=1)
    job = farm.submit(PORTRAIT, tone(tmp_path / "s.wav", 8), chunk_seconds=4, min_resolution=128, token="seam")
    job.wait(60)
    made = job.redo(at=[4.0])
    assert [one.chunk for one in made] == [0, 1]
    job.wait(60)
    assert changed(job, 1, 2) == (0, 200)
    whole = farm.submit(
        PORTRAIT, tmp_path / "s.wav", chunk_seconds=60, min_resolution=128, token="whole", seed=made[0].redraw.seed
    )
    whole.wait(60)
    assert whole.report()["frame_hashes"] == job.report()["frame_hashes"], "as one piece of that seed"


def test_redis_emptied_while_a_redo_renders_costs_that_chunk_alone(
    run_farm: Callable[..., Farm], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    farm = run_farm(slots=2, renderers=("gated=tests.renderers:Gated",), environment={"FARM_TEST_GATE": str(gate)})
    job = farm.submit(PORTRAIT, tone(tmp_path / "s.wav", 12), renderer="gated", chunk_seconds=4)
    first = job.wait(60)
    gate.unlink()
    (made,) = job.redo(chunks=[1])
    wait_until(lambda: any(slot.job == job.id for slot in farm.slots()), what="a slot at work")

    farm.books.client.flushall()
    assert farm.recover().back == {"queued": 1}
    view = job.view()
    assert (view.current, view.digest) == (1, first.digest), "the result before can be fetched all the time"
    assert [str(chunk.state) for chunk in view.chunks][::2] == ["done", "done"]
    gate.touch()

    last = job.wait(60)
    assert len(last.versions) == 2
    made_now = segments(farm, job)
    assert (made_now[0], made_now[2]) == (1, 1), "what was finished is not rendered again"
    assert job.report()["segments"][1]["redraw"] == asdict(made.redraw)
