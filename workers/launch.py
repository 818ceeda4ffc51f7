"""`python -m workers.launch slots|cpu`: one Celery worker per slot (or one for planning and stitching), kept alive.

A slot's device is decided here, in the environment of a process that has imported nothing yet.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from farm.errors import FarmError, SettingsError
from farm.jobs.store import Books
from farm.logs import log_to_stderr
from farm.settings import Settings
from farm.watch.serving import CPU, SLOTS
from workers.metrics import serving_workers
from workers.slots import LAUNCHER_VARIABLE, SLOT_VARIABLE, Slot, machine, slot_environment, slots_of

log = logging.getLogger("workers.launch")  # __name__ is __main__ where it runs

GRACE_SECONDS = 75.0
"""How long a worker may take to hand back or finish what it has in hand once it is told to stop."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
HEALTHY_AFTER_SECONDS = 30.0
QUIET = "-q"  # no banner among the lines of the log
CELERY = (sys.executable, "-m", "celery", QUIET, "-A", "workers.app", "worker")
OPTIONS = ("--without-gossip", "--without-mingle", "-E")


@dataclass
class Child:
    """One Celery worker process and how often it had to be started."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    due: float = 0.0

    def start(self) -> None:
        # a session of its own: a Ctrl-C on the terminal reaches the launcher alone, which stops its workers in order
        self.process = subprocess.Popen(self.command, env={**os.environ, **self.environment}, start_new_session=True)
        self.started = time.monotonic()
        log.info("%s started, pid %d", self.name, self.process.pid)

    def keep_alive(self) -> None:
        """Start the worker again when it has died, slower each time that it dies young."""
        now = time.monotonic()
        if self.process is not None and (code := self.process.poll()) is not None:
            young = now - self.started < HEALTHY_AFTER_SECONDS
            self.pause = min(2 * self.pause, LONGEST_PAUSE_SECONDS) if young else FIRST_PAUSE_SECONDS
            log.warning("%s ended with %d, started again in %.1f s", self.name, code, self.pause)
            self.process, self.due = None, now + self.pause
        if self.process is None and now >= self.due:
            self.start()


def slot_children(settings: Settings) -> list[Child]:
    """A worker for each slot of this machine."""
    return [
        Child(
            slot.name,
            (*CELERY, *OPTIONS, "-n", f"{slot.name}@{machine()}", "-c", "1", "-P", "prefork"),
            slot_environment(slot, settings),
        )
        for slot in slots_of(settings)
    ]


def cpu_children(settings: Settings) -> list[Child]:
    """One worker with as many processes as the settings say."""
    node = f"cpu@{machine()}"
    return [Child("cpu", (*CELERY, *OPTIONS, "-n", node, "-c", str(settings.cpu_workers), "-P", "prefork"), {})]


def retire(settings: Settings, slots: list[Slot], *, gone: bool) -> None:
    """Tell the books that the slots drain, or are gone; without Redis they find out when the leases run out."""
    books = Books.connect(settings)
    try:
        for slot in slots:
            books.retire_slot(slot.name, launcher=os.environ[LAUNCHER_VARIABLE], gone=gone)
    except FarmError as error:
        log.warning("the books were not told: %s", error)
    finally:
        books.close()


def stop(children: list[Child]) -> None:
    """Warm shutdown for all, then the end for those that outlast the grace."""
    running = [child.process for child in children if child.process is not None and child.process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("pid %d did not stop within %.0f s and is killed", process.pid, GRACE_SECONDS)
            process.kill()
            process.wait()


def main() -> int:
    """Start the workers of this machine and keep them alive until SIGTERM or Ctrl-C; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers.launch", description=__doc__)
    parser.add_argument("what", choices=("slots", "cpu"), help="render slots, or planning and stitching")
    what = parser.parse_args().what
    settings = Settings.load()
    log_to_stderr(settings)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    try:
        with serving_workers(settings, SLOTS if what == "slots" else CPU) as environment:
            os.environ.update(environment)
            launch(what, settings, over)
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - an error of ours is its sentence
        return error.exit_code
    return 0


def launch(what: str, settings: Settings, over: threading.Event) -> None:
    """Keep the workers alive until `over` is set, then stop them in order."""
    os.environ.pop(SLOT_VARIABLE, None)
    os.environ[LAUNCHER_VARIABLE] = secrets.token_hex(8)
    children = slot_children(settings) if what == "slots" else cpu_children(settings)
    while not over.is_set():
        for child in children:
            child.keep_alive()
        over.wait(0.2)
    slots = slots_of(settings) if what == "slots" else []
    retire(settings, slots, gone=False)
    stop(children)
    retire(settings, slots, gone=True)


if __name__ == "__main__":
    sys.exit(main())
