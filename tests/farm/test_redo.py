"""Chunks drawn anew and versions kept, in storage and in the books; both come back when the books are emptied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.plan import Plan
from engine.redraw import derived_seed
from engine.spec import Redraw
from farm import Farm, InputRefusedError, NotAllowedError, NotFoundError, redo
from farm.errors import StorageUnreachableError
from farm.jobs import views
from farm.jobs.model import STITCH, JobState
from farm.jobs.redo import ACCEPTANCE, Decided, Drawn, Wanted, redos_of
from farm.jobs.store import AttemptFailure, Recorded
from farm.storage import keys

if TYPE_CHECKING:
    from farm import Job, Settings
    from tests.farm.hands import Hand


def plan_of(hand: Hand, job: Job) -> Plan:
    return Plan.from_dict(hand.storage.get_json(keys.plan_json(job.id)))


def redo_keys(hand: Hand, job: Job) -> list[str]:
    return [item.key for item in hand.storage.list(keys.redo_folder(job.id))]


def states(job: Job) -> list[str]:
    return [str(chunk.state) for chunk in job.view().chunks]


def refused(hand: Hand, job: Job, *chunks: int, across: tuple[int, ...] = ()) -> bool:
    """The stitch in hand refuses chunks."""
    lease = hand.claim(job, STITCH)
    wanted = Wanted(chunks=dict.fromkeys(chunks, "frozen"), across=across)
    return redo.refuse(hand.books, hand.storage, lease, wanted, plan_of(hand, job), seed=0)


# -- what is drawn anew


def test_the_chunk_at_a_timecode_is_drawn_anew_but_for_the_frames_at_its_cuts(hand: Hand) -> None:
    job = hand.done(4)  # cuts at 4, 8 and 12 s: gen_frames 50, 100 and 151
    (made,) = job.redo(at=["0:06"])
    assert (made.chunk, made.number, made.who, made.why) == (1, 1, "tests", "at 00:06.0")
    assert made.redraw == Redraw(derived_seed(0, 1, 1), 58, 92)
    assert states(job) == ["done", "waiting", "done", "done"]
    assert hand.storage.get_json(redo_keys(hand, job)[0])["redraw"]["seed"] == made.redraw.seed


def test_at_the_ends_of_a_job_there_is_no_neighbour_to_fit(hand: Hand) -> None:
    job = hand.done(2)
    first, last = job.redo(at=[0.0, "7.9"])
    assert [(one.redraw.start, one.redraw.stop) for one in (first, last)] == [(0, 42), (58, 101)]
    assert first.redraw.seed != last.redraw.seed


def test_in_a_seam_both_chunks_are_drawn_anew_by_one_seed_across_their_cut(hand: Hand) -> None:
    job = hand.done(4)
    one, other = job.redo(at=["0:08.2"])
    assert [one.chunk, other.chunk] == [1, 2]
    assert one.redraw == other.redraw == Redraw(derived_seed(0, 1, 1), 58, 143)
    assert one.why == "at 00:08.2, beside a cut"


@pytest.mark.parametrize(("at", "chunks"), [(7.0, [1]), (7.36, [1, 2]), (8.6, [1, 2]), (8.64, [2])])
def test_a_frame_so_near_to_a_cut_that_its_chunk_alone_would_leave_it_is_drawn_anew_by_both(
    hand: Hand, at: float, chunks: list[int]
) -> None:
    made = hand.done(4).redo(at=[at])
    assert [one.chunk for one in made] == chunks
    assert made[0].redraw.start <= at * 12.5 < made[0].redraw.stop


def test_what_was_drawn_across_a_cut_stays_together(hand: Hand) -> None:
    job = hand.done(4)
    job.redo(at=[8.0])
    hand.render(job, 1, 2)
    hand.stitch(job)
    made = job.redo(chunks=[2])
    assert [one.chunk for one in made] == [1, 2], "otherwise the seam between them would no longer fit"
    assert made[0].redraw == made[1].redraw
    assert made[0].number == 2
    hand.render(job, 1, 2)
    hand.stitch(job)
    job.rollback(1)
    assert [one.chunk for one in job.redo(chunks=[2])] == [2], "version 1 knows nothing of it"


def test_neighbours_that_were_asked_for_one_by_one_get_a_seed_each(hand: Hand) -> None:
    job = hand.done(4)
    made = job.redo(chunks=[1, 2])
    assert made[0].redraw.seed != made[1].redraw.seed
    assert [(one.redraw.start, one.redraw.stop) for one in made] == [(58, 92), (108, 143)]


def test_the_same_chunk_again_gets_yet_another_seed_and_a_given_one_is_taken_as_it_is(hand: Hand) -> None:
    job, seeds = hand.done(1), []
    for seed in (None, None, 2**63 - 1):
        (made,) = job.redo(chunks=[0], seed=seed)
        seeds.append(made.redraw.seed)
        hand.render(job, 0)
        hand.stitch(job)
    assert len(set(seeds)) == 3
    assert seeds[2] == 2**63 - 1


def test_a_seed_that_would_only_make_the_same_frames_again_is_refused(hand: Hand) -> None:
    job = hand.done(3)
    with pytest.raises(InputRefusedError, match="chunk 2 is drawn with seed 0 already, wanted another"):
        job.redo(chunks=[1], seed=0)
    job.redo(chunks=[1], seed=7)
    hand.render(job, 1)
    hand.stitch(job)
    before = redo_keys(hand, job)
    with pytest.raises(InputRefusedError) as refusal:
        job.redo(at=[6.0], chunks=[2], seed=7)
    assert refusal.value.problems == ["chunk 2 is drawn with seed 7 already, wanted another"]
    assert (job.view().state, redo_keys(hand, job)) == (JobState.DONE, before)
    assert [one.chunk for one in job.redo(chunks=[1], seed=0)] == [1], "as it was at first"
    hand.render(job, 1)
    hand.stitch(job)
    job.rollback(2)
    with pytest.raises(InputRefusedError, match="chunk 2 is drawn with seed 7"):
        job.redo(chunks=[1], seed=7)
    across = job.redo(at=[8.0], seed=7)
    assert [one.chunk for one in across] == [1, 2], "what lies beside the cut was never drawn with it"


def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_kept(hand: Hand) -> None:
    job = hand.done(2)
    with pytest.raises(InputRefusedError) as refusal:
        job.redo(at=["8:00", "1:75", "soon", -1], chunks=[7], seed=-1)
    assert refusal.value.problems == [
        "there is nothing at 08:00.0: the video ends at 00:08.0",
        "'1:75' is no place in a video: minutes and seconds behind a colon are below 60",
        "'soon' is no place in a video, wanted h:mm:ss, mm:ss or seconds",
        "'-1.000000' is no place in a video, wanted h:mm:ss, mm:ss or seconds",
        "there is no chunk 8, the job has 2",
        "seed is -1, wanted 0 to 9223372036854775807",
    ]
    with pytest.raises(InputRefusedError, match="nothing is named"):
        job.redo()
    with pytest.raises(InputRefusedError, match=r"seed is 7\.5, wanted 0 to"):
        job.redo(chunks=[0], seed=7.5)  # type: ignore[arg-type]
    assert (job.view().state, redo_keys(hand, job)) == (JobState.DONE, [])


def test_a_job_that_is_not_done_says_what_can_be_done_instead(hand: Hand) -> None:
    job = hand.planned(2)
    with pytest.raises(NotAllowedError, match="job is queued, a redo waits until it is done"):
        job.redo(chunks=[0])
    job.cancel()
    with pytest.raises(NotAllowedError, match=f"has no result yet; `farm job retry {job.id}`"):
        job.redo(chunks=[0])
    other = hand.done(2)
    other.redo(chunks=[0])
    other.cancel()
    with pytest.raises(NotAllowedError, match=f"`farm job rollback {other.id} 1` gives it up"):
        other.redo(chunks=[1])
    assert len(redo_keys(hand, other)) == 1


def test_what_the_books_refuse_leaves_nothing_in_storage(hand: Hand) -> None:
    job = hand.done(2)
    job.redo(chunks=[0])
    before = redo_keys(hand, job)
    with pytest.raises(NotAllowedError, match="job is queued"):  # somebody else was quicker
        redo.redo(hand.books, hand.storage, job.id, Wanted(chunks={1: "x"}), plan_of(hand, job), seed=0, who="bob")
    assert redo_keys(hand, job) == before


def test_a_redo_is_not_in_the_books_alone(hand: Hand, settings: Settings) -> None:
    job = hand.done(1)
    away = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1"})
    with Farm(away) as farm, pytest.raises(StorageUnreachableError):
        farm.job(job.id).redo(chunks=[0])
    assert job.view().state is JobState.DONE


# -- the farm's own redos


def test_the_farm_redoes_a_chunk_twice_by_itself_and_a_person_gives_it_two_more(hand: Hand) -> None:
    job = hand.planned(2)
    hand.render(job, 0, 1)
    seeds = set()
    for left in ([0, 1], [0]):
        assert redo.may_be_redone(hand.books, job.id, 2) == [0, 1]
        assert refused(hand, job, 1)
        lease = hand.publish(job, 1)
        assert lease.redraw is not None
        seeds.add(lease.redraw.seed)
        assert hand.books.record(lease) is Recorded.LAST
        assert redo.may_be_redone(hand.books, job.id, 2) == left
    assert len(seeds) == 2
    assert hand.stitch(job) == 3
    job.redo(chunks=[1])
    assert redo.may_be_redone(hand.books, job.id, 2) == [0, 1]


def test_a_stitch_that_is_no_longer_the_current_one_leaves_no_redo_in_storage(hand: Hand) -> None:
    job = hand.planned(1)
    hand.render(job, 0)
    stale = hand.claim(job, STITCH)
    hand.books.fail(stale, AttemptFailure(code="lost", message="lost", burn=False))
    hand.stitch(job)
    wanted = Wanted(chunks={0: "frozen"})
    assert not redo.refuse(hand.books, hand.storage, stale, wanted, plan_of(hand, job), seed=0)
    assert redo_keys(hand, job) == []
    assert job.view().state is JobState.DONE


def test_a_seed_that_somebody_named_is_not_replaced_by_the_farm(hand: Hand) -> None:
    job = hand.done(2)
    job.redo(chunks=[1], seed=5)
    assert redo.may_be_redone(hand.books, job.id, 2) == [0]


def test_a_seam_that_is_refused_is_drawn_anew_across_its_cut(hand: Hand) -> None:
    job = hand.planned(3)
    hand.render(job, 0, 1, 2)
    lease = hand.claim(job, STITCH)
    wanted = Wanted(chunks={1: "the seam shows", 2: "the seam shows"}, across=[1])
    assert redo.refuse(hand.books, hand.storage, lease, wanted, plan_of(hand, job), seed=0)
    drawn = views.drawn_anew(hand.books, job.id, 3)
    assert drawn[1].redraw == drawn[2].redraw == Redraw(derived_seed(0, 1, 1), 58, 151)


# -- versions


def test_versions_say_what_was_drawn_anew_for_each(hand: Hand) -> None:
    job = hand.planned(3)
    hand.render(job, 0, 1, 2)
    refused(hand, job, 2)
    hand.render(job, 2)
    hand.stitch(job)
    job.redo(at=[1.0], seed=7)
    job.cancel()
    job.rollback(2)
    job.redo(chunks=[1])
    hand.render(job, 1)
    hand.stitch(job)
    first, second = job.versions()
    assert (first.number, second.number, first.current, second.current) == (2, 4, False, True)
    assert [(one.chunk, one.who, one.why) for one in first.redos] == [(2, ACCEPTANCE, "frozen")]
    assert [(one.chunk, one.who, one.why) for one in second.redos] == [(1, "tests", "as asked")], (
        "seed 7 came to nothing"
    )


def test_a_redo_that_never_came_to_the_books_gives_way_to_the_one_decided_after_it(hand: Hand) -> None:
    job = hand.done(2)
    died = Decided(who="bob", at=1.0, after=1)
    (lost,) = redos_of(Wanted(chunks={1: "lost"}, seed=99), died, plan_of(hand, job), seed=0, drawn=[Drawn()] * 2)
    hand.storage.put_json(keys.redo(job.id, 1, "1-zzzzzzzz"), lost.to_dict())
    (asked,) = job.redo(chunks=[1], seed=7)
    hand.render(job, 1)
    hand.empty_and_recover()
    assert job.view().state is JobState.STITCHING, "the chunk that seed 7 drew is not rendered again"
    assert views.drawn_anew(hand.books, job.id, 2)[1].redraw == asked.redraw
    hand.stitch(job)
    assert [one.why for one in job.versions()[1].redos] == ["as asked"]


def test_an_older_version_is_fetched_by_its_number_and_rolled_back_to(hand: Hand, tmp_path: object) -> None:
    job = hand.done(1)
    job.redo(chunks=[0])
    assert hand.storage.get_bytes(job.view().result or "") == b"lesson 1", (
        "while a redo renders, the result before counts"
    )
    hand.render(job, 0)
    hand.stitch(job)
    assert job.fetch(f"{tmp_path}/new.mp4").read_bytes() == b"lesson 2"
    assert job.fetch(f"{tmp_path}/old.mp4", version=1).read_bytes() == b"lesson 1"
    assert job.report(1)["digest"] == "d1ge57-1"
    job.rollback(1)
    assert job.view().digest == "d1ge57-1"
    assert job.fetch(f"{tmp_path}/again.mp4").read_bytes() == b"lesson 1"
    with pytest.raises(NotAllowedError, match=f"version 1 of job {job.id} is the current one already"):
        job.rollback(1)
    with pytest.raises(NotFoundError, match="has no version 5, it has 1, 2"):
        job.rollback(5)
    with pytest.raises(NotFoundError, match="has no version 5, it has 1, 2"):
        job.fetch("x", version=5)


# -- emptied books


@pytest.mark.parametrize("point", ["kept", "moved", "published", "recorded", "stitched", "done"])
def test_a_redo_comes_back_from_any_point_and_nothing_is_rendered_twice(hand: Hand, point: str) -> None:
    job = hand.done(3)
    if point == "kept":  # in storage, and the books never heard of it
        plan = plan_of(hand, job)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hand.books, "redo", _die)
            with pytest.raises(KeyboardInterrupt):
                redo.redo(hand.books, hand.storage, job.id, Wanted(chunks={1: "x"}), plan, seed=0, who="ann")
        redraw = redo.stored(hand.storage, job.id)[0].redraw
    else:
        redraw = job.redo(chunks=[1])[0].redraw
    attempt = None
    if point not in {"kept", "moved"}:
        lease = hand.publish(job, 1)
        attempt = lease.attempt
        if point != "published":
            hand.books.record(lease)
    if point in {"stitched", "done"}:
        stitch = hand.claim(job, STITCH)
        version = hand.report(job, stitch)
        if point == "done":
            key = keys.result(job.id, version, "video.mp4")
            hand.books.stitched(stitch, version=version, result=key, digest=f"d1ge57-{version}")

    hand.empty_and_recover()

    view = job.view()
    expected = {"kept": "queued", "moved": "queued", "published": "stitching", "recorded": "stitching"}
    assert view.state == expected.get(point, "done")
    assert states(job) == ["done", "waiting" if view.state is JobState.QUEUED else "done", "done"]
    if view.state is not JobState.DONE:
        assert (view.versions, view.current, view.digest) == ((1,), 1, "d1ge57-1")
        if view.state is JobState.QUEUED:
            lease = hand.publish(job, 1)
            assert lease.redraw == redraw
            attempt = lease.attempt
            assert hand.books.record(lease) is Recorded.LAST
        hand.stitch(job)
    view = job.view()
    assert view.state is JobState.DONE
    assert len(view.versions) == 2
    assert view.current == view.versions[-1]
    accepted = views.accepted_attempts(hand.books, job.id, 3)
    assert accepted == ["1-s1", attempt, "1-s1"]
    assert [entry["attempt"] for entry in job.report()["segments"]] == accepted
    assert job.report()["segments"][1]["redraw"]["seed"] == redraw.seed
    assert hand.empty_and_recover().back == {"done": 1}, "what is done stays done"
    assert job.view().digest == view.digest


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("rendered", [False, True])
def test_a_chunk_that_the_stitch_refused_comes_back_as_refused(hand: Hand, rendered: bool) -> None:
    job = hand.planned(2)
    hand.render(job, 0, 1)
    assert refused(hand, job, 1)
    if rendered:
        hand.publish(job, 1)
    hand.empty_and_recover()
    assert states(job) == ["done", "done" if rendered else "waiting"]
    drawn = views.drawn_anew(hand.books, job.id, 2)[1]
    assert (drawn.number, drawn.left) == (1, 1), "how often it was tried is not forgotten"
    if rendered:
        assert views.accepted_attempts(hand.books, job.id, 2)[1].startswith("2-")
    else:
        assert hand.claim(job, 1).redraw == drawn.redraw
        hand.empty_and_recover()
        hand.render(job, 1)
    assert refused(hand, job, 1)
    assert views.drawn_anew(hand.books, job.id, 2)[1].left == 0
    hand.empty_and_recover()
    hand.render(job, 1)
    hand.stitch(job)
    hand.empty_and_recover()
    assert job.view().state is JobState.DONE


def test_a_segment_of_another_redraw_does_not_satisfy_a_redo(hand: Hand) -> None:
    job = hand.done(1)
    job.redo(chunks=[0], seed=5)
    hand.render(job, 0)
    hand.stitch(job)
    job.redo(chunks=[0], seed=6)
    hand.empty_and_recover()
    assert states(job) == ["waiting"]
    assert views.accepted_attempts(hand.books, job.id, 1) == ["2-s1"], "what the current version shows"
    assert hand.claim(job, 0).attempt == "3-s1"


@pytest.mark.parametrize("told", [True, False])
def test_a_rollback_comes_back_even_if_the_books_never_heard_of_it(hand: Hand, told: bool) -> None:
    job = hand.done(2)
    job.redo(chunks=[1])
    hand.render(job, 1)
    hand.stitch(job)
    if told:
        job.rollback(1)
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hand.books, "rollback", _die)
            with pytest.raises(KeyboardInterrupt):
                job.rollback(1)
    hand.empty_and_recover()
    view = job.view()
    assert (view.state, view.versions, view.current, view.digest) == ("done", (1, 2), 1, "d1ge57-1")
    assert views.accepted_attempts(hand.books, job.id, 2) == ["1-s1", "1-s1"]
    job.redo(chunks=[0])
    hand.empty_and_recover()
    assert states(job) == ["waiting", "done"], "a redo after a rollback builds on it"
    hand.render(job, 0)
    assert hand.stitch(job) > 3
    hand.empty_and_recover()
    assert views.accepted_attempts(hand.books, job.id, 2) == ["2-s1", "1-s1"]
    assert len(job.view().versions) == 3


def test_a_rollback_that_the_books_never_heard_of_loses_to_the_version_that_was_made_after_it(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = hand.done(2)
    job.redo(chunks=[1])
    hand.render(job, 1)
    hand.stitch(job)
    with monkeypatch.context() as patch:
        patch.setattr(hand.books, "rollback", _die)
        with pytest.raises(KeyboardInterrupt):
            job.rollback(1)
    job.redo(chunks=[0])
    hand.render(job, 0)
    newest = hand.stitch(job)
    hand.empty_and_recover()
    assert (job.view().state, job.view().current) == ("done", newest)


def test_of_two_rollbacks_at_once_the_one_that_the_books_took_comes_back(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = hand.done(1)
    for _ in range(2):
        job.redo(chunks=[0])
        hand.render(job, 0)
        hand.stitch(job)
    taken = hand.books.rollback

    def ann_is_quicker(*_: object, **__: object) -> None:
        monkeypatch.undo()
        job.rollback(1)
        taken(job.id, 2, number=4, who="bob")

    monkeypatch.setattr(hand.books, "rollback", ann_is_quicker)
    with pytest.raises(NotAllowedError, match="it has moved on meanwhile"):
        job.rollback(2)
    assert job.view().current == 1
    hand.empty_and_recover()
    assert job.view().current == 1


def test_a_redo_that_was_given_up_does_not_come_back(hand: Hand) -> None:
    job = hand.done(2)
    job.redo(chunks=[1])
    hand.books.fail(hand.claim(job, 1), AttemptFailure(code="x", message="no", permanent=True))
    assert job.view().state is JobState.FAILED
    job.rollback(1)
    hand.empty_and_recover()
    assert (job.view().state, states(job)) == (JobState.DONE, ["done", "done"])


def test_a_redo_that_was_cancelled_comes_back_cancelled_with_the_result_before(hand: Hand) -> None:
    job = hand.done(2)
    job.redo(chunks=[1])
    job.cancel()
    hand.empty_and_recover()
    view = job.view()
    assert (view.state, view.current, view.digest) == (JobState.CANCELLED, 1, "d1ge57-1")
    job.retry()
    hand.empty_and_recover()
    assert (job.view().state, states(job)) == (JobState.QUEUED, ["done", "waiting"])
    job.cancel()
    job.rollback(1)
    hand.empty_and_recover()
    assert job.view().state is JobState.DONE


def test_a_cancel_that_came_too_late_does_not_hold_a_redo(hand: Hand) -> None:
    job = hand.planned(1)
    hand.render(job, 0)
    hand.storage.put_json(keys.decision(job.id, "cancel"), {"version": 1, "who": "ann", "at": 0.0, "value": None})
    hand.stitch(job)
    job.redo(chunks=[0])
    hand.empty_and_recover()
    assert job.view().state is JobState.QUEUED


def test_what_needs_a_look_comes_back(hand: Hand) -> None:
    job = hand.done(1)
    finding = {"start": 50, "stop": 60, "timecode": "00:02.0", "sentence": "the mouth does not move"}
    key = keys.result(job.id, 1, "report.json")
    hand.storage.put_json(key, {**hand.storage.get_json(key), "needs_review": [finding]})
    hand.empty_and_recover()
    view = job.view()
    assert view.needs_review
    assert view.review[0].sentence == "the mouth does not move"
