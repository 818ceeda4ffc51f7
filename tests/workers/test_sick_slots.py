"""A slot that fails for several owners is out until it renders a known-good probe right; the jobs go on elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from farm import Farm, Settings
from farm.local.servers import redis_server
from farm.storage import keys
from tests.conftest import PORTRAIT, running, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm import Job
    from farm.jobs.model import SlotView
    from farm.local.servers import S3Server


@dataclass
class Ward:
    """A farm of two slots that can be made ill one by one."""

    farm: Farm
    folder: Path
    count: int = 0

    def submit(self, owner: str, *, chunks: int = 3) -> Job:
        self.count += 1
        return self.farm.submit(
            PORTRAIT,
            tone(self.folder / f"{chunks}.wav", 2 * chunks),
            renderer="sickly",
            chunk_seconds=2,
            owner=owner,
            seed=self.count,
        )

    def names(self) -> list[str]:
        return [slot.name for slot in self.farm.slots()]

    def slot(self, name: str) -> SlotView:
        return next(slot for slot in self.farm.slots() if slot.name == name)

    def make_ill(self, name: str, how: str) -> None:
        (self.folder / "ill" / name).write_text(how)

    def heal(self, name: str) -> None:
        (self.folder / "ill" / name).unlink()

    def out(self, name: str, why: str) -> SlotView:
        def is_out() -> SlotView | None:
            slot = self.slot(name)
            return slot if slot.state == "out" and why in str(slot.why_out) else None

        return wait_until(is_out, what=f"{name} out because of {why!r}")

    def out_for_two_owners(self, ill: str, well: str, why: str) -> tuple[SlotView, list[Job]]:
        """The ill slot once it is out, and the jobs that it failed. The well one draws nothing until then."""
        self.make_ill(well, "held")
        jobs = [self.submit("ann"), self.submit("bob")]
        slot = self.out(ill, why)
        self.heal(well)
        return slot, jobs

    def well(self, name: str) -> None:
        wait_until(lambda: self.slot(name).state == "idle" and self.slot(name).why_out is None, what=f"{name} back")


@pytest.fixture(scope="module")
def ward(s3_service: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    folder = tmp_path_factory.mktemp("ward")
    (folder / "ill").mkdir()
    with redis_server(folder / "redis") as redis:
        settings = Settings(
            dir=folder / "farm",
            redis_url=redis.url,
            s3_endpoint=s3_service.endpoint,
            s3_access_key=s3_service.access_key,
            s3_secret_key=s3_service.secret_key,
            s3_bucket="sonic-farm",
            s3_prefix=folder.name,
            lease_seconds=2,
            sweep_seconds=0.2,
            check=False,
            slots=2,
            renderers=("sickly=tests.workers.sickly:Sickly",),
        )
        with Farm(settings) as farm, running(farm, {"FARM_TEST_ILL": str(folder / "ill")}):
            yield Ward(farm, folder)


def test_a_slot_that_fails_two_owners_is_out_their_jobs_finish_and_mended_it_comes_back_by_itself(ward: Ward) -> None:
    ill, well = ward.names()
    ward.make_ill(ill, "raise")
    slot, jobs = ward.out_for_two_owners(ill, well, "fallen off the bus")
    assert "the probe failed with renderer sickly" in str(slot.why_out)
    views = [job.wait(60) for job in jobs]
    assert [view.state for view in views] == ["done", "done"]
    assert {chunk.slot for view in views for chunk in view.chunks} == {well}
    begun = [attempt for view in views for attempt in view.attempts if attempt.slot == ill]
    after = ward.submit("cat").wait(60)
    assert {attempt.slot for attempt in after.attempts if attempt.unit.isdecimal()} == {well}, "it gets no work"
    assert len(begun) <= 4, "two attempts a job at most"
    ward.heal(ill)
    ward.well(ill)
    assert {chunk.slot for chunk in ward.submit("dan", chunks=6).wait(60).chunks} == {ill, well}


def test_frames_that_are_not_the_expected_ones_keep_a_slot_out(ward: Ward) -> None:
    for owner in ("ann", "ann"):  # after a video was accepted, the next chunk's slot keeps what the probe looks like
        ward.submit(owner).wait(60)
    kept = wait_until(lambda: [item.key for item in ward.farm.storage.list("probes/")], what="expected frames kept")
    assert len(kept) == 1
    about = ward.farm.storage.get_json(kept[0])
    assert about["made_by"] == {"renderer": "tests.workers.sickly:Sickly", "version": "1"}
    assert kept[0] == keys.probe(kept[0].removeprefix("probes/").removesuffix(".json"))
    well = about["slot"]
    ill = next(name for name in ward.names() if name != well)
    ward.make_ill(ill, "liar")
    slot, jobs = ward.out_for_two_owners(ill, well, "levels of 255 off")
    assert f"held against those of {well} in {kept[0]}" in str(slot.why_out)
    assert [job.wait(60).state for job in jobs] == ["done", "done"]
    ward.heal(ill)
    ward.well(ill)


def test_a_full_disk_costs_no_attempt_and_its_machine_works_again_when_there_is_room(ward: Ward) -> None:
    for name in ward.names():
        ward.make_ill(name, "full")
    job = ward.submit("ann", chunks=1)
    ward.out(ward.names()[0], "No space left on device")
    assert {slot.state for slot in ward.farm.slots()} == {"out"}
    for name in ward.names():
        ward.heal(name)
    view = job.wait(60)
    assert view.state == "done"
    assert {attempt.outcome for attempt in view.attempts if attempt.unit == "0"} == {"outage", "done"}
