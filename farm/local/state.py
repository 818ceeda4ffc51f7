"""What the supervisor of a stack says about itself: stack.json in the stack's folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

import psutil

from farm.local.servers import write_private

if TYPE_CHECKING:
    from pathlib import Path

STATE_NAME = "stack.json"
Phase = Literal["starting", "ready", "failed", "stopping"]


@dataclass(frozen=True)
class Service:
    """One part of the stack: what it is, where it is reached, how to log in, where it logs. Empty: nothing to say."""

    name: str
    what: str
    where: str = ""
    login: str = ""
    log: str = ""


@dataclass(frozen=True)
class State:
    """pid, created: the supervisor's process id and start (Unix seconds): a reused pid has another start.

    step: what it is starting. code, message: the error it failed with.
    """

    pid: int
    created: float
    phase: Phase = "starting"
    step: str = ""
    code: str = ""
    message: str = ""
    services: tuple[Service, ...] = ()

    @classmethod
    def of_this_process(cls) -> State:
        return cls(os.getpid(), psutil.Process().create_time())

    def write(self, folder: Path, **changes: object) -> State:
        """Write it with these changes; the changed one."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        write_private(folder / STATE_NAME, json.dumps(asdict(changed)))
        return changed

    def supervisor(self) -> psutil.Process | None:
        """The process that wrote this, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            alive = abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


def read_state(folder: Path) -> State | None:
    """What the last supervisor on this folder wrote; it may be long gone."""
    try:
        written = json.loads((folder / STATE_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return State(**{**written, "services": tuple(Service(**service) for service in written["services"])})
