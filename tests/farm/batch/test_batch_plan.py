"""What a batch is foretold to cost, and when it is done: from speeds that were measured, and from assumed ones."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.batch.intake import Order
from farm.batch.pilot import Pilot
from farm.batch.span import Span
from farm.jobs.batches import batch_jobs
from farm.jobs.model import PLAN
from farm.jobs.policy import Policy, write_policy
from farm.jobs.speeds import Work, note_speed, speeds_of
from tests.conftest import PORTRAIT
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from pathlib import Path

    from farm import Farm
    from farm.batch.plan import BatchPlan
    from tests.farm.hands import Hand

GPU = "NVIDIA L4"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    tone(tmp_path / "long.wav", 60.0)
    shutil.copy(PORTRAIT, tmp_path / "ada.png")
    return tmp_path


def slot(
    hand: Hand, name: str, *, device: str = GPU, is_gpu: bool = True, renderers: str = "preview", **more: int
) -> None:
    facts: dict[str, Any] = {
        "state": "ready",
        "host": "here",
        "pid": 1,
        "process": name,
        "launcher": "launcher",
        "device": device,
        "visible_devices": "0",
        "renderers": renderers.split(","),
        "ttl_ms": 600_000,
        **({"memory_mb": 24_000} if is_gpu else {}),
        **more,
    }
    hand.books.report_slot(name, facts, loaded=True)


def planned(farm: Farm, course: Path, lessons: int, *, more: str = "", **changes: Any) -> BatchPlan:
    rows = "".join(f"long.wav,ada.png,{seed},\n" for seed in range(lessons))
    (course / "term.csv").write_text(f"speech,portrait,seed,renderer\n{rows}{more}")
    farm.settings = farm.settings.model_copy(update=changes)
    return farm.plan_batch(str(course / "term.csv"))


def near(wanted: float, off: float = 0.03) -> Any:
    return pytest.approx(wanted, rel=off)


def test_hours_money_and_finish_come_from_what_slots_were_measured_at(hand: Hand, course: Path) -> None:
    for spent in (15.0, 25.0) * 20:  # 1.5 and 2.5 seconds for a second of video
        note_speed(hand.books, Work("preview", GPU, 25), spent=spent, video_seconds=10)
    for name in ("a", "b"):
        slot(hand, name)
    found = planned(hand.farm, course, 30, gpu_hour_price=3.0, currency="EUR")
    (device,) = found.devices
    assert (found.lessons, found.seconds, found.slots, device.slots, device.device) == (30, 1800, 2, 2, GPU)
    assert found.chunks >= 30
    assert device.hours is not None
    assert device.hours.likely == near(2 * 1800 / 3600)
    assert (device.hours.low, device.hours.high) == (near(1.5 * 0.5, 0.1), near(2.5 * 0.5, 0.1))
    assert device.source == "measured here on 40 chunks"
    assert device.money is not None
    assert (found.currency, device.money.likely) == ("EUR", near(3 * device.hours.likely))
    assert found.finish is not None
    assert found.finish.likely - time.time() == pytest.approx(1800, rel=0.05)
    assert found.sooner is not None
    assert found.sooner.likely == near(1800 - 600, 0.05)  # six slots instead of two
    told = found.to_dict()
    assert told["sooner_seconds"][1] == near(1200, 0.05)
    assert told["devices"][0]["hours"][1] == near(1.0)


def test_what_nobody_measured_is_assumed_and_said_to_be_within_half_and_twice(hand: Hand, course: Path) -> None:
    slot(hand, "cpu", device="two cores", is_gpu=False)
    found = planned(hand.farm, course, 2, gpu_hour_price=3.0)
    (device,) = found.devices
    assert device.source == "assumed, not measured: half to twice"
    assert device.hours is not None
    assert device.hours.low * 4 == near(device.hours.high)
    assert device.money is None  # a slot without a GPU costs no GPU hour
    assert planned(hand.farm, course, 2, gpu_hour_price=None).devices[0].money is None


def test_where_nobody_can_say_the_finish_the_reason_is_said(hand: Hand, course: Path) -> None:
    assert planned(hand.farm, course, 1).notes == (
        "no slot offers renderer 'preview': no slot is at work, so nobody can say when it is done",
    )
    slot(hand, "a", renderers="preview,stripes")
    found = planned(hand.farm, course, 1, more="long.wav,ada.png,1,stripes\n")
    assert found.finish is None
    assert found.notes[0] == f"renderer 'stripes' was not measured yet on {GPU}, so nobody can say when it is done"
    assert "its reach and window are known to the workers alone" in found.notes[1]
    assert [each.hours is None for each in found.devices] == [False, True]


def test_slots_without_memory_for_a_batchs_largest_frames_are_not_counted_on(hand: Hand, course: Path) -> None:
    slot(hand, "a", most_pixels=256 * 256)
    (note,) = planned(hand.farm, course, 1).notes
    said = "no slot has memory for frames of 262,144 pixels: the largest takes 65,536"
    assert note == f"{said}, so nobody can say when it is done"
    slot(hand, "b")
    alone = planned(hand.farm, course, 1).devices
    assert [each.slots for each in alone] == [1]


def test_a_lesson_is_cut_for_the_slots_that_its_frames_and_its_owner_may_have(hand: Hand, course: Path) -> None:
    for name in "abcdefgh":
        slot(hand, name, most_pixels=256 * 256)
    slot(hand, "large")
    dry = hand.farm.dry_run(PORTRAIT, course / "long.wav")
    found = planned(hand.farm, course, 1)
    assert (found.slots, found.chunks, len(dry.plan.chunks)) == (1, 2, 2)
    for name in "ijklmnop":
        slot(hand, name)
    assert (planned(hand.farm, course, 1).slots, planned(hand.farm, course, 1).chunks) == (9, 6)
    write_policy(hand.books, Policy(limits={hand.farm.settings.owner: 1}))
    assert planned(hand.farm, course, 1).chunks == 2


def test_renderers_that_share_slots_take_turns_and_others_go_on_side_by_side(hand: Hand, course: Path) -> None:
    for renderer, pace in (("preview", 1.0), ("stripes", 2.0)):
        note_speed(hand.books, Work(renderer, GPU, 25), spent=pace * 10, video_seconds=10)
    more = "".join(f"long.wav,ada.png,{seed},stripes\n" for seed in range(100, 120))
    slot(hand, "a")
    slot(hand, "b", renderers="stripes")
    apart = planned(hand.farm, course, 20, more=more)
    hand.books.retire_slot("b", launcher="launcher", gone=True)
    slot(hand, "a", renderers="preview,stripes")
    shared = planned(hand.farm, course, 20, more=more)
    assert apart.finish is not None
    assert shared.finish is not None
    assert apart.finish.likely - time.time() == pytest.approx(2400, rel=0.05)
    assert shared.finish.likely - time.time() == pytest.approx(3600, rel=0.05)


def test_what_waits_comes_first_and_what_is_there_counts_for_nothing(hand: Hand, course: Path) -> None:
    slot(hand, "a")
    note_speed(hand.books, Work("preview", GPU, 25), spent=10, video_seconds=10)
    alone = planned(hand.farm, course, 4)
    hand.planned(chunks=20)
    behind = planned(hand.farm, course, 4)
    assert (behind.ahead.others, behind.ahead.own) == (20, 0)
    assert "20 chunks of other jobs come first" in behind.notes
    assert alone.finish is not None
    assert behind.finish is not None
    assert behind.finish.likely - alone.finish.likely == pytest.approx(20 * hand.farm.settings.chunk_seconds, rel=0.05)
    hand.farm.submit_batch(str(course / "term.csv"))
    again = planned(hand.farm, course, 6)
    assert (again.lessons, again.there, again.seconds) == (2, 4, 120)
    nothing = planned(hand.farm, course, 4)
    assert (nothing.lessons, nothing.parts, nothing.finish) == (0, (), None)
    other = hand.farm.plan_batch(str(course / "term.csv"), Order(name="another"))
    assert (other.lessons, other.there) == (4, 0)


def test_limits_keep_a_batch_from_slots_before_it_is_submitted_and_after(hand: Hand, course: Path) -> None:
    for number in range(16):
        slot(hand, f"gpu-{number}")
    note_speed(hand.books, Work("preview", GPU, 25), spent=10, video_seconds=10)
    planned(hand.farm, course, 16)
    manifest = str(course / "term.csv")

    def seconds(order: Order) -> float:
        found = hand.farm.plan_batch(manifest, order)
        assert found.finish is not None
        assert found.sooner is not None
        assert (found.sooner.likely < 1) == bool(found.ahead.limits), "more slots are of no use where a limit binds"
        return found.finish.likely - time.time()

    assert seconds(Order()) == pytest.approx(60, rel=0.1)
    assert seconds(Order(limit=2)) == pytest.approx(480, rel=0.1)
    write_policy(hand.books, Policy(limits={"tests": 4}))
    assert seconds(Order()) == pytest.approx(240, rel=0.1)
    assert "owner tests may have 4 of 16 slots at once" in hand.farm.plan_batch(manifest).notes
    assert seconds(Order(limit=2)) == pytest.approx(480, rel=0.1), "the tighter one binds"
    hand.farm.submit_batch(manifest, Order(limit=2))
    again = planned(hand.farm, course, 32)
    assert again.lessons == 16
    assert "the batch may have 2 of 16 slots at once" in again.notes
    assert seconds(Order()) == pytest.approx(480, rel=0.1)


def test_chunks_of_the_batch_itself_are_told_from_those_of_others_and_unplanned_jobs_are_named(
    hand: Hand, course: Path
) -> None:
    slot(hand, "a")
    planned(hand.farm, course, 3)
    batch = hand.farm.submit_batch(str(course / "term.csv")).id
    job = hand.farm.job(batch_jobs(hand.books, batch)[0])
    hand.books.planned(hand.claim(job, PLAN), frames25=1500, chunks=2)
    hand.planned(chunks=4)
    hand.job()
    hand.farm.submit_batch(str(course / "term.csv"), Order(name="another"))
    hand.books.sweep()
    hand.farm.submit_batch(str(course / "term.csv"), Order(name="held", pilot=Pilot(1)))
    found = planned(hand.farm, course, 4)
    assert (found.ahead.own, found.ahead.others) == (2, 4)
    assert found.notes[:4] == (
        "2 chunks of the batch itself wait already and come first",
        "4 chunks of other jobs come first",
        "2 jobs of the batch itself are not planned yet and not counted",
        "5 other jobs are not planned yet: what comes first of them is not counted",  # a clip of the pilot is one
    )


def test_a_speed_remembers_how_much_its_chunks_differed(hand: Hand) -> None:
    even, uneven = Work("even", GPU, 25), Work("uneven", GPU, 25)
    for number in range(60):
        note_speed(hand.books, even, spent=10, video_seconds=10)
        note_speed(hand.books, uneven, spent=10 + 2 * (-1) ** number, video_seconds=10)
    found = speeds_of(hand.books)
    assert found[even].variance == pytest.approx(0, abs=1e-9)
    assert found[uneven].variance == pytest.approx(0.04, rel=0.2)


SPANS = st.lists(st.floats(0.01, 1e6), min_size=3, max_size=3).map(lambda each: Span(*sorted(each)))


@given(one=SPANS, two=SPANS)
def test_spans_stay_in_order_whatever_is_done_to_them(one: Span, two: Span) -> None:
    for found in (one.plus(two), one.minus(two), one.at_least(two), one.times(3), Span.together([one, two])):
        assert found.low <= found.likely <= found.high
    assert Span.together([one, one]).likely == pytest.approx(one.likely / 2)
