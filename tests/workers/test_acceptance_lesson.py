"""What looks broken is found before it is joined, rendered again, and in the end shown to a person."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from engine.plan import Plan
from farm.storage import keys
from tests.conftest import PORTRAIT, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm import Farm, Job

GREETING = ROOT / "samples" / "greeting.opus"
RENDERERS = ("preview", "blackout=tests.renderers:Blackout", "lasting=tests.renderers:LastingBlackout")


def rendered(farm: Farm, job: Job) -> Counter[int]:
    """How often each chunk was rendered to its end."""
    found = (keys.job_object(item.key) for item in farm.storage.list(keys.segments_folder(job.id)))
    return Counter(int(one.unit or -1) for one in found if one and one.file == "segment.json")


@pytest.fixture
def submitted(run_farm: Callable[..., Farm]) -> Callable[[str], tuple[Farm, Job]]:
    def submit(renderer: str, **more: object) -> tuple[Farm, Job]:
        farm = run_farm(slots=2, renderers=RENDERERS)
        job = farm.submit(
            PORTRAIT, GREETING, renderer=renderer, chunk_seconds=2, min_resolution=256, check=True, **more
        )
        return farm, job

    return submit


def test_a_black_span_is_drawn_anew_and_nobody_is_troubled(submitted: Callable[..., tuple[Farm, Job]]) -> None:
    farm, job = submitted("blackout")
    view = job.wait(120)
    assert rendered(farm, job) == {index: 2 if index == 1 else 1 for index in range(len(view.chunks))}
    assert not view.needs_review
    assert job.report()["needs_review"] == []
    assert job.report()["segments"][1]["redraw"]["seed"] != 0
    (refused,) = [attempt for attempt in view.attempts if attempt.outcome == "refused"]
    assert "the picture is black from 00:0" in (refused.reason or "")


def test_what_stays_broken_is_delivered_with_its_timecodes(submitted: Callable[..., tuple[Farm, Job]]) -> None:
    farm, job = submitted("lasting")
    view = job.wait(120)
    assert rendered(farm, job)[1] == 3, "twice more, then never again"
    assert view.needs_review
    (finding,) = job.report()["needs_review"]
    plan = Plan.from_dict(farm.storage.get_json(keys.plan_json(job.id)))
    start = plan.chunks[1].body[0] + 20
    assert (finding["start"], finding["stop"]) == (start, start + 13)
    assert finding["timecode"] in finding["sentence"]
    assert [found.sentence for found in view.review] == [finding["sentence"]]


def test_without_checks_the_same_is_taken_as_it_is(submitted: Callable[..., tuple[Farm, Job]]) -> None:
    farm, job = submitted("preview")
    clean = job.wait(120)
    assert not clean.needs_review
    assert set(rendered(farm, job).values()) == {1}
    unchecked = farm.submit(PORTRAIT, GREETING, renderer="blackout", chunk_seconds=2, min_resolution=256, check=False)
    view = unchecked.wait(120)
    assert not view.needs_review
    assert set(rendered(farm, unchecked).values()) == {1}
