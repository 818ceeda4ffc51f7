"""Starting the stack in the background, finding the one that is up, and ending it."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from farm.errors import FarmError, NotAllowedError, SettingsError, UnreachableError
from farm.local import config, parts
from farm.local.child import Command, rotate, start_child, tail
from farm.local.state import Service, read_state
from farm.settings import Settings, environment_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLL_SECONDS = 0.05
DOWN_SECONDS = parts.WORKER_GRACE_SECONDS + 45.0
SUPERVISOR = (sys.executable, "-m", "farm.local.supervisor")
FLAGS_VARIABLE = "FARM_UP_FLAGS"
"""How a supervisor in the background learns which settings were flags: JSON."""


@dataclass(frozen=True)
class Stack:
    """A stack that is up. settings: those that reach it. already_up: it was up before it was asked for."""

    settings: Settings
    services: tuple[Service, ...]
    already_up: bool = False


def up(settings: Settings, *, on_step: Callable[[str], None] = lambda _: None) -> Stack:
    """Start the stack of `settings.dir` in the background and wait until it works; one already up is the answer.

    on_step: told each part that is being started. Raises SettingsError when the one that is up has other settings than
    are asked for or a port is taken, UnreachableError with the end of a log when a part does not start,
    MissingExtraError.
    """
    if stack := already_up(settings, on_step=on_step):
        return stack
    folder = settings.dir.resolve()
    log = parts.log_of(settings, "supervisor")
    log.parent.mkdir(parents=True, exist_ok=True)
    rotate(log)
    began, pid = time.time(), spawn(log, supervisor_environ(settings))
    try:
        return _wait_until_up(folder, lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, log, began, on_step)
    except KeyboardInterrupt:
        down(folder)
        raise


@contextmanager
def embedded_stack(folder: Path, *, on_step: Callable[[str], None] = lambda _: None, **flags: Any) -> Iterator[Stack]:
    """A stack for as long as the `with` lasts, or until this process ends, however it ends.

    flags: settings by name; the environment's FARM_* are not looked at. What it keeps in `folder` stays. Raises what
    `up` does, and NotAllowedError when a stack is up in that folder already.
    """
    settings = Settings.load({"dir": folder, **flags}, environ={})
    if already_up(settings, on_step=on_step):
        raise NotAllowedError(f"a farm is up in {folder}: `farm down --dir {folder}` first")
    log = parts.log_of(settings, "supervisor")
    lock = settings.dir / parts.RUN / "supervisor.lock"
    command = Command("farm up", SUPERVISOR, log, lock, supervisor_environ(settings), DOWN_SECONDS)
    began, child = time.time(), start_child(command)
    try:
        yield _wait_until_up(folder.resolve(), lambda: child.exit_code() is not None, log, began, on_step)
    finally:
        child.end()


def already_up(settings: Settings, *, on_step: Callable[[str], None] = lambda _: None) -> Stack | None:
    """The stack that is up in `settings.dir`, if it has the settings that are asked for; errors as `up`."""
    parts.require_extra()
    config.refuse_contradictions(settings)
    stack = standing(settings.dir, on_step=on_step)
    if stack:
        config.refuse_other_settings(stack.settings, settings)
    return stack


def standing(folder: Path, *, on_step: Callable[[str], None] = lambda _: None) -> Stack | None:
    """The stack that is up in this folder; one that is starting or ending is waited for."""
    step = ""
    while (state := read_state(folder)) and state.supervisor():
        if state.phase == "ready":
            return Stack(Settings.load({"dir": folder.resolve()}, environ={}), state.services, already_up=True)
        if state.phase == "starting" and state.step != step:
            step = state.step
            on_step(step)
        time.sleep(POLL_SECONDS)
    return None


def down(folder: Path) -> bool:
    """End the stack of this folder and all that is left of former ones; False when there was none.

    Raises UnreachableError when something does not end in time.
    """
    state = read_state(folder)
    supervisor = state.supervisor() if state else None
    if supervisor:
        supervisor.terminate()
        try:
            supervisor.wait(DOWN_SECONDS)
        except psutil.TimeoutExpired:
            raise UnreachableError(
                f"the farm in {folder}, process {supervisor.pid}, has not ended after {DOWN_SECONDS:.0f} s"
            ) from None
    left = [lock for lock in locks(folder) if is_held(lock)]
    deadline = time.monotonic() + DOWN_SECONDS
    while held := [lock for lock in left if is_held(lock)]:
        if time.monotonic() > deadline:
            raise UnreachableError(f"{held[0].stem} of a former farm in {folder} has not ended ({held[0]} is held)")
        time.sleep(POLL_SECONDS)
    return bool(supervisor or left)


def locks(folder: Path) -> list[Path]:
    """What tethers hold while anything of theirs lives."""
    return [*(folder / parts.RUN).glob("*.lock"), *folder.glob("*/.*.lock")]


def is_held(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def supervisor_environ(settings: Settings) -> dict[str, str]:
    """What makes Settings.load in the supervisor give these settings, from the same sources."""
    sources = {name: settings.source(name) for name in Settings.model_fields if name != "dir"}
    flags = settings.model_dump(mode="json", include={name for name, source in sources.items() if source == "flag"})
    given = {environment_key(name) for name, source in sources.items() if source == "environment"}
    environ = parts.child_environ(settings.model_copy(update={"dir": settings.dir.resolve()}))
    return {**environ, **{key: os.environ[key] for key in given}, FLAGS_VARIABLE: json.dumps(flags)}


def spawn(log: Path, environ: dict[str, str]) -> int:
    """Start a supervisor that stays when we end; its process id. Not a Popen: nobody will wait for it."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(SUPERVISOR[0], SUPERVISOR, environ, file_actions=actions, setsid=True)


def _wait_until_up(
    folder: Path, has_ended: Callable[[], bool], log: Path, began: float, on_step: Callable[[str], None]
) -> Stack:
    step = ""
    while not has_ended():
        state = read_state(folder)
        if state and state.created >= began - 1:
            if state.phase == "ready":
                return Stack(Settings.load({"dir": folder}, environ={}), state.services)
            if state.phase == "starting" and state.step != step:
                step = state.step
                on_step(step)
        time.sleep(POLL_SECONDS)
    if stack := standing(folder, on_step=on_step):  # another `farm up` was quicker
        return stack
    raise _failure(folder, log, began)


def _failure(folder: Path, log: Path, began: float) -> FarmError:
    state = read_state(folder)
    if state and state.created >= began - 1 and state.phase == "failed":
        return (SettingsError if state.code == SettingsError.code else UnreachableError)(state.message)
    return UnreachableError(f"the farm in {folder} did not come up; the end of {log}:\n{tail(log)}")
