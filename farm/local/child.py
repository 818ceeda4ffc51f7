"""A child process on a tether: it ends when asked, and when we end, however we end."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import UnreachableError
from farm.local.ports import PortTakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TETHER = Path(__file__).with_name("tether.py")
OLD_LOGS = 3
TAIL_LINES = 12
POLL_SECONDS = 0.02
KILL_MARGIN_SECONDS = 5.0
"""Past its grace a family is killed; this long it may take the kernel."""


@dataclass(frozen=True)
class Command:
    """What to run.

    log: where its output goes. lock: held while anything of it lives; it waits for it first. grace: seconds between
    being asked to end and being killed.
    """

    name: str
    arguments: Sequence[str]
    log: Path
    lock: Path
    environ: Mapping[str, str]
    grace: float


@dataclass(frozen=True)
class Child:
    """A running command; `process` is its tether."""

    command: Command
    process: subprocess.Popen[bytes]

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def ask_to_end(self) -> None:
        asked = self.process.stdin
        if asked and not asked.closed:
            with suppress(BrokenPipeError):  # it has ended by itself
                asked.write(b".")
            asked.close()

    def end(self) -> None:
        """Ask it to end and wait until it has."""
        self.ask_to_end()
        self.process.wait(self.command.grace + KILL_MARGIN_SECONDS)

    def log_text(self) -> str:
        return self.command.log.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Ask `ready` until it says True; else end the child and raise UnreachableError with the tail of its log."""
        try:
            self._wait_until(ready, seconds)
        except BaseException:
            self.end()
            raise

    def _wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if (code := self.exit_code()) is not None:
                taken = "address already in use" in self.log_text().lower()
                raise (PortTakenError if taken else UnreachableError)(
                    self._story(f"ended with code {code} while starting")
                )
            if time.monotonic() > deadline:
                raise UnreachableError(self._story(f"was not ready after {seconds:.0f} s"))
            time.sleep(POLL_SECONDS)

    def _story(self, what: str) -> str:
        return f"{self.command.name} {what}; the end of {self.command.log}:\n{tail(self.command.log)}"


def start_child(command: Command) -> Child:
    """Start a command on a tether; its output goes to a fresh log, former logs are kept as LOG.1 and on."""
    for file in (command.log, command.lock):
        file.parent.mkdir(parents=True, exist_ok=True)
    rotate(command.log)
    with command.log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(TETHER), str(command.grace), str(command.lock), *command.arguments],
            stdin=subprocess.PIPE,
            bufsize=0,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(command.environ),
            start_new_session=True,  # Ctrl-C at the terminal reaches only us: the order of ending is ours
        )
    return Child(command, process)


def tail(log: Path) -> str:
    """Its last lines."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])


def rotate(log: Path) -> None:
    """Make room for a new log, keeping the last few."""
    names = [log, *(log.with_name(f"{log.name}.{number}") for number in range(1, OLD_LOGS + 1))]
    for newer, older in reversed(list(itertools.pairwise(names))):
        if newer.exists():
            newer.replace(older)
