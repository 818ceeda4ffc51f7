"""One worker process per slot, each with its own device, its renderers loaded once and kept."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from farm import Farm, Settings
from tests.conftest import PORTRAIT, wait_until
from tests.workers.conftest import tone
from workers.slots import slots_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GPUS = ("0", "1", "GPU-5f2c6a1e-0b7d-4f7e-9a55-2d1c3e4f5a6b")


def test_each_named_gpu_is_a_slot_that_sees_it_alone_and_loads_once(
    run_farm: Callable[..., Farm], tmp_path: Path
) -> None:
    farm = run_farm(gpus=GPUS, renderers=("stripes=tests.renderers:Stripes",))
    for seed in range(3):
        farm.submit(PORTRAIT, tone(tmp_path / "s.wav", 6), renderer="stripes", seed=seed, chunk_seconds=2).wait(60)
    slots = {slot.visible_devices: slot for slot in farm.slots()}
    assert set(slots) == set(GPUS)
    assert [slot.loads for slot in slots.values()] == [1, 1, 1], "three jobs, one load a slot"
    assert len({slot.pid for slot in slots.values()}) == 3

    os.kill(slots["1"].pid, signal.SIGKILL)
    wait_until(lambda: [slot.loads for slot in farm.slots() if slot.visible_devices == "1"] == [2], what="loaded again")
    assert sorted(slot.loads for slot in farm.slots()) == [1, 1, 2]
    wait_until(lambda: all(slot.state == "idle" for slot in farm.slots()), what="all slots back")


def test_without_gpus_there_are_as_many_cpu_slots_as_asked_for() -> None:
    slots = slots_of(Settings(slots=3))
    assert len({slot.name for slot in slots}) == 3
    assert {(slot.device, slot.visible_devices) for slot in slots} == {("cpu", "")}


def test_a_slot_has_its_next_chunk_before_the_one_in_hand_is_rendered(
    run_farm: Callable[..., Farm], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    seldom = {"sweep_seconds": 60, "lease_seconds": 60}  # nobody but the slot itself gives out chunks
    renderers = ("gated=tests.renderers:Gated",)
    farm = run_farm(slots=1, renderers=renderers, environment={"FARM_TEST_GATE": str(gate)}, **seldom)
    job = farm.submit(PORTRAIT, tone(tmp_path / "s.wav", 8), renderer="gated", chunk_seconds=2)
    wait_until(lambda: farm.books.has_next(farm.slots()[0].name) and farm.slots()[0].state == "busy", what="next waits")
    states = [chunk.state for chunk in job.view().chunks]
    assert states == ["rendering", "sent", "waiting", "waiting"]
    gate.touch()
    assert job.wait(60).state == "done"
