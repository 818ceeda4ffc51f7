"""What the books know of a farm's slots, its queue and its speed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farm.jobs.load import Load, load_of
from farm.jobs.model import PLAN
from farm.jobs.policy import Policy, write_policy
from farm.jobs.speeds import Speed, Work, note_speed, speeds_of
from farm.jobs.store import PLANS_OF_AN_OWNER, AttemptFailure

if TYPE_CHECKING:
    from tests.farm.jobs.conftest import Desk


def test_slots_count_where_they_offer_the_renderer_and_live(desk: Desk) -> None:
    desk.slot("a", device="A100")
    desk.slot("b", device="L4", renderers=("sonic", "preview"))
    desk.slot("c", renderers=("sonic",))
    desk.slot("d", ttl=0)
    assert load_of(desk.books, "preview", priority=5) == Load(("A100", "L4"), 0)
    assert load_of(desk.books, "stripes", priority=5) == Load((), 0)


def test_slots_without_memory_for_its_frames_are_told_from_those_that_can_render_a_job(desk: Desk) -> None:
    desk.slot("a", device="L4", most_pixels=512 * 512)
    desk.slot("b", device="A100")
    found = load_of(desk.books, "preview", priority=5, pixels=1024 * 1024)
    assert (found.devices, found.too_small) == (("A100",), ("L4",))
    assert load_of(desk.books, "preview", priority=5, pixels=512 * 512).too_small == ()


def test_an_owners_limit_keeps_him_from_slots_and_only_his_own_chunks_stand_in_his_way_there(desk: Desk) -> None:
    for name, device in (("b", "second"), ("a", "first"), ("c", "third")):
        desk.slot(name, device=device)
    desk.planned(chunks=4, owner="ann")
    desk.planned(chunks=3, owner="bob")
    write_policy(desk.books, Policy(limits={"ann": 2}))
    ann, bob = (load_of(desk.books, "preview", priority=5, owner=owner) for owner in ("ann", "bob"))
    assert (ann.usable, ann.waiting, ann.own) == (("first", "second"), 7, 4)
    assert (bob.usable, bob.waiting, bob.own) == (("first", "second", "third"), 7, 3)


def test_what_slots_have_in_hand_is_counted_whatever_its_priority(desk: Desk) -> None:
    job = desk.planned(chunks=4, priority=9)
    desk.slot("a")
    desk.slot("b", renderers=("sonic",))
    desk.sent()
    desk.claim(job, 0, slot="a")
    desk.sent()
    found = load_of(desk.books, "preview", priority=5)
    assert (found.in_hand, found.waiting) == (2, 0)
    assert load_of(desk.books, "sonic", priority=5).in_hand == 0


def test_jobs_that_wait_for_their_plan_are_counted_up_to_a_priority_but_not_the_one_that_is_planned(desk: Desk) -> None:
    jobs = [desk.job(priority=priority) for priority in (5, *(3,) * PLANS_OF_AN_OWNER, 5, 9)]
    desk.books.sweep()  # lets a few of them into the queue, the others stay in line
    desk.planned()

    def waiting(priority: int, job: str = "") -> int:
        return load_of(desk.books, "preview", priority=priority, job=job).unplanned

    assert [waiting(priority) for priority in (0, 3, 4, 5, 9)] == [0, 8, 8, 10, 11]
    desk.claim(jobs[1], PLAN)
    assert waiting(5) == 10, "it is not planned yet"
    assert waiting(5, jobs[1]) == 9
    lease = desk.claim(jobs[2], PLAN)
    put_back = AttemptFailure(code="unknown", message="no such renderer", burn=False, delay_seconds=60)
    desk.books.fail(lease, put_back)
    assert waiting(5, jobs[1]) == 8, "one that was put back may wait for ever"


def test_what_waits_is_counted_where_it_comes_before_a_new_job(desk: Desk) -> None:
    desk.planned(chunks=4, owner="ann")
    urgent = desk.planned(chunks=3, owner="bob", priority=0)
    desk.planned(chunks=5, priority=9)
    desk.planned(chunks=6, renderer="sonic")
    paused = desk.planned(chunks=7)
    desk.books.decide(paused, "pause", who="ann")
    assert load_of(desk.books, "preview", priority=5).waiting == 4 + 3
    assert load_of(desk.books, "preview", priority=0).waiting == 3
    assert load_of(desk.books, "preview", priority=9).waiting == 4 + 3 + 5
    desk.slot("a")
    desk.sent()
    desk.claim(urgent, 0, slot="a")
    assert load_of(desk.books, "preview", priority=0).waiting == 2


def test_a_failed_job_waits_for_nothing(desk: Desk) -> None:
    job = desk.planned(chunks=4)
    lease = desk.claim(job, 0)
    assert desk.books.fail(lease, AttemptFailure(code="x", message="y", permanent=True))
    assert load_of(desk.books, "preview", priority=5).waiting == 0


PREVIEW = Work("preview", "AMD EPYC, 2 cores", 25)


def test_a_speed_is_the_mean_of_what_was_measured_for_one_picture_size(desk: Desk) -> None:
    assert speeds_of(desk.books) == {}
    note_speed(desk.books, PREVIEW, spent=10, video_seconds=20)
    note_speed(desk.books, PREVIEW, spent=120, video_seconds=20, pixels=4 * 512 * 512)
    note_speed(desk.books, Work("sonic", "L4", 10), spent=60, video_seconds=6)
    assert speeds_of(desk.books) == {
        PREVIEW: Speed(pytest.approx(1.0), 2),  # type: ignore[arg-type]
        Work("sonic", "L4", 10): Speed(10.0, 1),
    }


def test_a_slot_that_became_slower_is_believed_after_a_while(desk: Desk) -> None:
    for _ in range(200):
        note_speed(desk.books, PREVIEW, spent=1, video_seconds=1)
    for _ in range(60):
        note_speed(desk.books, PREVIEW, spent=3, video_seconds=1)
    found = speeds_of(desk.books)[PREVIEW]
    assert 2.8 < found.pace < 3
    assert found.pieces == 260


def test_slots_that_finish_at_once_are_all_counted(desk: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(100):
            pool.submit(note_speed, desk.books, PREVIEW, spent=2, video_seconds=1)
    assert speeds_of(desk.books) == {PREVIEW: Speed(2.0, 100)}
