"""Finished chunks are drawn anew and versions come back, in the books of a real Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.spec import Redraw
from farm.errors import NotAllowedError, NotFoundError
from farm.jobs import views
from farm.jobs.model import STITCH, JobState, UnitState
from farm.jobs.redo import ACCEPTANCE, AUTOMATIC_REDOS, Redo
from farm.jobs.store import AttemptFailure, Recorded, Refused

if TYPE_CHECKING:
    from tests.farm.jobs.conftest import Desk

LARGEST_SEED = 2**63 - 1
FINDING = {"start": 50, "stop": 60, "timecode": "00:02.0", "sentence": "the mouth does not move"}


def redo(
    chunk: int, *, number: int = 1, seed: int = LARGEST_SEED, left: int = AUTOMATIC_REDOS, who: str = "ann"
) -> Redo:
    redraw = Redraw(seed, 25 * chunk + 8, 25 * chunk + 17)
    return Redo(chunk=chunk, number=number, redraw=redraw, after=1, left=left, who=who, at=0.0, why="at 00:02.0")


def rendered(desk: Desk, job: str, *chunks: int) -> None:
    for chunk in chunks:
        desk.books.record(desk.claim(job, chunk))


def stitched(desk: Desk, job: str, *findings: dict[str, object]) -> int:
    """Publish a version; its number."""
    lease = desk.claim(job, STITCH)
    version = int(lease.attempt.split("-")[0])
    key, digest = f"results/{version}/video.mp4", f"digest{version}"
    assert desk.books.stitched(lease, version=version, result=key, digest=digest, needs_review=findings)
    return version


def done(desk: Desk, chunks: int = 3, *findings: dict[str, object]) -> str:
    job = desk.planned(chunks)
    rendered(desk, job, *range(chunks))
    assert stitched(desk, job, *findings) == 1
    return job


def test_a_redo_renders_just_its_chunk_and_the_result_before_stays_until_the_next(desk: Desk) -> None:
    job = done(desk)
    desk.slot("a")
    desk.slot("b")
    desk.books.redo(job, [redo(1)], who="ann", why="chunk 2")
    view = views.job_view(desk.books, job)
    assert [chunk.state for chunk in view.chunks] == ["done", "waiting", "done"]
    assert (view.state, view.versions, view.current, view.result) == ("queued", (1,), 1, "results/1/video.mp4")
    assert view.percent < 100
    assert view.ended is None
    assert list(desk.sent().values()) == [(job, 1)]
    lease = desk.claim(job, 1, slot="a")
    assert (lease.attempt, lease.redraw) == ("2-abcd", redo(1).redraw), (
        "numbers go on, and the seed comes through whole"
    )
    assert desk.books.record(lease) is Recorded.LAST
    assert views.accepted_attempts(desk.books, job, 3) == ["1-abcd", "2-abcd", "1-abcd"]
    assert stitched(desk, job) == 2
    view = views.job_view(desk.books, job)
    assert (view.state, view.versions, view.current, view.digest) == ("done", (1, 2), 2, "digest2")
    assert views.drawn_anew(desk.books, job, 3)[1].redraw == redo(1).redraw


def test_moves_that_are_asked_again_after_a_lost_answer_are_harmless(desk: Desk) -> None:
    job = done(desk)
    for _ in range(2):
        desk.books.redo(job, [redo(1)], who="ann", why="")
    rendered(desk, job, 1)
    stitched(desk, job)
    for _ in range(2):
        desk.books.rollback(job, 1, number=3, who="ann")
    told = [event.what for event in views.events(desk.books, job)]
    assert (told.count("redo"), told.count("rolled back")) == (1, 1)


def test_a_claim_whose_answer_got_lost_names_the_redraw_again(desk: Desk) -> None:
    job = done(desk)
    desk.books.redo(job, [redo(0)], who="ann", why="")
    first = desk.claim(job, 0)
    assert desk.claim(job, 0) == first
    assert first.redraw is not None


def test_a_chunk_that_is_drawn_anew_is_not_recorded_by_an_attempt_from_before(desk: Desk) -> None:
    job = desk.planned(1)
    old = desk.claim(job, 0)
    desk.books.record(old)
    stitched(desk, job)
    desk.books.redo(job, [redo(0)], who="ann", why="")
    assert desk.books.record(old) is Recorded.STALE
    assert views.job_view(desk.books, job).chunks[0].state is UnitState.WAITING
    desk.claim(job, 0)
    assert desk.books.renew(old, percent=1, lease_seconds=60) == "lost"


@pytest.mark.parametrize("state", ["planning", "queued", "rendering", "stitching", "failed", "cancelled"])
def test_only_a_job_that_is_done_can_be_redone_by_people(desk: Desk, state: str) -> None:
    job = desk.job() if state == "planning" else desk.planned(1)
    if state == "rendering":
        desk.claim(job, 0)
    elif state == "stitching":
        rendered(desk, job, 0)
    elif state == "failed":
        desk.books.fail(desk.claim(job, 0), AttemptFailure(code="x", message="no", permanent=True))
    elif state == "cancelled":
        desk.books.decide(job, "cancel", who="ann")
    before = views.job_view(desk.books, job)
    with pytest.raises(NotAllowedError, match=f"cannot redo job {job}: job is {state}"):
        desk.books.redo(job, [redo(0)], who="ann", why="")
    assert views.job_view(desk.books, job) == before


def test_the_stitch_in_hand_may_refuse_a_chunk_and_burns_nothing_by_it(desk: Desk) -> None:
    job = desk.planned(2, attempts=1)
    rendered(desk, job, 0, 1)
    for number in (1, 2):
        lease = desk.claim(job, STITCH)
        refusal = redo(1, number=number, left=AUTOMATIC_REDOS - number, who=ACCEPTANCE)
        assert desk.books.refuse(lease, [refusal], why="chunk 2 is frozen")
        before = views.job_view(desk.books, job)
        assert desk.books.refuse(lease, [refusal], why="asked again after a lost answer")
        assert views.job_view(desk.books, job) == before
        assert not desk.books.stitched(lease, version=number, result="key", digest="d")
        view = views.job_view(desk.books, job)
        assert (view.state, [chunk.state for chunk in view.chunks]) == ("queued", ["done", "waiting"])
        assert (view.attempts[-1].outcome, view.attempts[-1].reason) == ("refused", "chunk 2 is frozen")
        assert desk.books.client.zrange("farm:outbox", 0, -1) == []
        assert isinstance(desk.books.claim(job, STITCH, slot="s", suffix="x", lease_seconds=60), Refused)
        rendered(desk, job, 1)
        assert desk.books.client.zrange("farm:outbox", 0, -1) == [f"stitch/{job}"]
    assert views.drawn_anew(desk.books, job, 2)[1].left == 0
    assert stitched(desk, job, FINDING) == 3
    view = views.job_view(desk.books, job)
    assert (view.state, view.versions, view.needs_review) == ("done", (3,), True)
    assert [(found.start, found.timecode) for found in view.review] == [(50, "00:02.0")]


def test_a_stitch_whose_lease_was_lost_refuses_nothing(desk: Desk) -> None:
    job = desk.planned(1)
    rendered(desk, job, 0)
    stale = desk.claim(job, STITCH)
    desk.books.fail(stale, AttemptFailure(code="lost", message="lost", burn=False))
    desk.claim(job, STITCH)
    assert not desk.books.refuse(stale, [redo(0)], why="")
    assert views.job_view(desk.books, job).state is JobState.STITCHING


def test_what_needs_a_look_is_of_the_version_that_is_current(desk: Desk) -> None:
    job = done(desk, 1, FINDING)
    assert views.job_view(desk.books, job).needs_review
    desk.books.redo(job, [redo(0)], who="ann", why="")
    rendered(desk, job, 0)
    stitched(desk, job)
    assert (views.job_view(desk.books, job).needs_review, views.job_view(desk.books, job).review) == (False, ())
    desk.books.rollback(job, 1, number=3, who="ann")
    assert views.job_view(desk.books, job).needs_review


def test_a_rollback_brings_back_a_versions_result_and_segments_and_a_redo_builds_on_them(desk: Desk) -> None:
    job = done(desk, 3)
    for number, chunk in ((1, 0), (1, 1)):
        desk.books.redo(job, [redo(chunk, number=number)], who="ann", why="")
        rendered(desk, job, chunk)
        stitched(desk, job)
    assert views.accepted_attempts(desk.books, job, 3) == ["2-abcd", "2-abcd", "1-abcd"]
    desk.books.rollback(job, 2, number=4, who="bob")
    view = views.job_view(desk.books, job)
    assert (view.state, view.versions, view.current, view.digest) == ("done", (1, 2, 3), 2, "digest2")
    assert views.accepted_attempts(desk.books, job, 3) == ["2-abcd", "1-abcd", "1-abcd"]
    assert [drawn.redraw for drawn in views.drawn_anew(desk.books, job, 3)] == [redo(0).redraw, None, None]
    desk.books.redo(job, [redo(2)], who="ann", why="")
    rendered(desk, job, 2)
    assert stitched(desk, job) == 5, "numbers never come twice"
    assert views.accepted_attempts(desk.books, job, 3) == ["2-abcd", "1-abcd", "2-abcd"]
    assert [
        (event.what, event.who, event.detail) for event in views.events(desk.books, job) if "back" in event.what
    ] == [("rolled back", "bob", "version 2")]


@pytest.mark.parametrize(
    "how", ["cancelled while it waits", "cancelled while it renders", "failed", "cancelled, stitch in hand"]
)
def test_a_redo_that_came_to_nothing_is_given_up_by_a_rollback(desk: Desk, how: str) -> None:
    job = done(desk, 2)
    desk.slot("a")
    desk.books.redo(job, [redo(0), redo(1)], who="ann", why="")
    if how == "failed":
        desk.books.fail(desk.claim(job, 1), AttemptFailure(code="x", message="no", permanent=True))
    elif how == "cancelled while it renders":
        desk.claim(job, 1, slot="a")
    elif how == "cancelled, stitch in hand":
        rendered(desk, job, 0, 1)
        desk.claim(job, STITCH)
    if how != "failed":
        desk.books.decide(job, "cancel", who="ann")
    stitches = views.stitch_attempts(desk.books, job)
    desk.books.rollback(job, 1, number=stitches + 1, who="ann")
    view = views.job_view(desk.books, job)
    assert (view.state, view.current, view.error, view.percent) == (JobState.DONE, 1, None, 100)
    assert [chunk.state for chunk in view.chunks] == ["done", "done"]
    assert desk.sent() == {}
    assert views.slot_views(desk.books)[0].state == "idle"
    assert desk.books.client.zcard("farm:leases") == 0
    desk.books.redo(job, [redo(0, number=2)], who="ann", why="")
    rendered(desk, job, 0)
    assert stitched(desk, job) == stitches + 2


def test_a_redo_that_was_cancelled_goes_on_when_it_is_retried(desk: Desk) -> None:
    job = done(desk, 2)
    desk.books.redo(job, [redo(1)], who="ann", why="")
    desk.books.decide(job, "cancel", who="ann")
    desk.books.decide(job, "retry", who="ann")
    assert desk.claim(job, 1).redraw == redo(1).redraw
    assert views.job_view(desk.books, job).current == 1


def test_what_cannot_be_rolled_back_says_why(desk: Desk) -> None:
    job = done(desk, 1)
    with pytest.raises(NotAllowedError, match="it has no version 7"):
        desk.books.rollback(job, 7, number=2, who="ann")
    desk.books.redo(job, [redo(0)], who="ann", why="")
    rendered(desk, job, 0)
    stitched(desk, job)
    with pytest.raises(NotAllowedError, match="it has moved on meanwhile"):
        desk.books.rollback(job, 1, number=2, who="ann")
    desk.books.redo(job, [redo(0, number=2)], who="ann", why="")
    with pytest.raises(NotAllowedError, match="job is queued"):
        desk.books.rollback(job, 1, number=3, who="ann")
    for move in (
        lambda: desk.books.rollback("20260101-000000-nobody", 1, number=2, who="ann"),
        lambda: desk.books.redo("20260101-000000-nobody", [redo(0)], who="ann", why=""),
    ):
        with pytest.raises(NotFoundError, match="is not in the books"):
            move()


def test_a_job_that_was_paused_too_late_is_not_held_when_it_is_redone(desk: Desk) -> None:
    job = desk.planned(1)
    lease = desk.claim(job, 0)
    desk.books.decide(job, "pause", who="ann")
    desk.books.record(lease)
    desk.books.decide(job, "resume", who="ann")
    stitch = desk.claim(job, STITCH)
    desk.books.decide(job, "pause", who="ann")
    desk.books.stitched(stitch, version=1, result="key", digest="d")
    desk.books.redo(job, [redo(0)], who="ann", why="")
    desk.slot("a")
    assert desk.sent() == {"a": (job, 0)}


def test_time_left_of_a_redo_counts_only_what_is_drawn_anew(desk: Desk) -> None:
    job = desk.planned(4)
    client = desk.books.client
    for chunk in range(4):
        lease = desk.claim(job, chunk)
        client.hincrby(f"farm:job:{job}:u:{chunk}", "started", -10_000)  # as if it had taken ten seconds
        desk.books.record(lease)
    stitched(desk, job)
    desk.books.redo(job, [redo(0)], who="ann", why="")
    assert views.job_view(desk.books, job).seconds_left == pytest.approx(10, abs=0.5)
    client.hincrby(f"farm:job:{job}:u:0", "started", -10_000)
    rendered(desk, job, 0)
    assert views.job_view(desk.books, job).seconds_left is None, "no stitch was measured"
