"""Which slots this machine has, and what each of their processes is told about itself."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import SettingsError

if TYPE_CHECKING:
    from farm.settings import Settings

SLOT_VARIABLE = "FARM_SLOT"
"""Name of the slot that a worker process is; unset in cpu workers. Set by launch, for one process alone."""
LAUNCHER_VARIABLE = "FARM_LAUNCHER"
"""Which launcher started a worker process; set by launch."""


@dataclass(frozen=True)
class Slot:
    """One GPU, or a share of the CPU, with one loaded renderer. visible_devices: what CUDA may see, "" for none."""

    name: str
    device: str
    visible_devices: str


def machine() -> str:
    """The machine's name, fit for a queue name and a Celery node name."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname()).strip("-") or "machine"


def cpu_worker_name(pid: int) -> str:
    """What the books call a process that plans and stitches on this machine."""
    return f"{machine()}-worker-{pid}"


def slots_of(settings: Settings) -> list[Slot]:
    """A slot for each GPU named in the settings, or as many CPU slots as they say."""
    if settings.gpus:
        slots = [Slot(f"{machine()}-{_short(gpu)}", "cuda", gpu) for gpu in settings.gpus]
        if len({slot.name for slot in slots}) < len(slots):
            raise SettingsError(f"gpus is {','.join(settings.gpus)}: wanted each GPU once")
        return slots
    return [Slot(f"{machine()}-cpu{index}", "cpu", "") for index in range(settings.slots)]


def _short(gpu: str) -> str:
    return f"gpu{gpu}" if gpu.isdigit() else re.sub(r"[^A-Za-z0-9-]+", "-", gpu)


def own_slot(settings: Settings) -> Slot:
    """The slot that this process is."""
    name = os.environ[SLOT_VARIABLE]
    return next(slot for slot in slots_of(settings) if slot.name == name)


def slot_environment(slot: Slot, settings: Settings) -> dict[str, str]:
    """What a slot's process must have in its environment before it imports anything."""
    sonic: dict[str, str] = {"FARM_MEMORY_MODE": settings.memory_mode}
    if settings.weights is not None:
        sonic["FARM_WEIGHTS"] = str(settings.weights.resolve())  # engine.sonic knows no settings
    return sonic | {
        SLOT_VARIABLE: slot.name,
        "CUDA_VISIBLE_DEVICES": slot.visible_devices,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # so that an index means the same card as in nvidia-smi
    }
