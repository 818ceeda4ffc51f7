"""The process that starts the embedded stack, keeps every part of it alive, and ends all in order.

`python -m farm.local.supervisor` is the same in the background: settings come by environment, words go to stack.json.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout

from farm.errors import FarmError, NotAllowedError
from farm.jobs.store import Books
from farm.jobs.views import cpu_workers, slot_views
from farm.local import config, metrics, parts
from farm.local.background import FLAGS_VARIABLE
from farm.local.child import Child, start_child
from farm.local.ports import LOOPBACK, TRIES, PortTakenError
from farm.local.state import Service, State
from farm.local.windows import windows
from farm.logs import log_to_stderr
from farm.settings import Settings
from farm.watch.serving import SWEEPER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.local.windows import Window

log = logging.getLogger("farm.local.supervisor")  # __name__ is __main__ in the background

LOCK_NAME = "stack.lock"
WORKERS_READY_SECONDS = 180.0
"""A renderer's weights may have to come from a slow disk first."""
FLOWER_READY_SECONDS = 60.0
LOOK_SECONDS = 0.3
WORKERS = 3
"""Sweeper, cpu workers, slots: the first of the workers that are kept alive."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
HEALTHY_AFTER_SECONDS = 60.0
END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class Kept:
    """A child that is started again when it dies, slower each time that it dies young."""

    child: Child
    started: float
    pause: float = FIRST_PAUSE_SECONDS
    due: float | None = None

    def keep_alive(self, now: float) -> None:
        name, code = self.child.command.name, self.child.exit_code()
        if self.due is None and code is not None:
            young = now - self.started < HEALTHY_AFTER_SECONDS
            self.pause = min(2 * self.pause, LONGEST_PAUSE_SECONDS) if young else FIRST_PAUSE_SECONDS
            self.due = now + self.pause
            log.warning("%s ended with code %d; it is started again in %.1f s", name, code, self.pause)
        if self.due is not None and now >= self.due:
            self.child, self.started, self.due = start_child(self.child.command), now, None


class Supervisor:
    """The stack of one folder, in this process. settings: from flags, environment and farm.toml."""

    def __init__(self, settings: Settings, on_step: Callable[[str], None]) -> None:
        self.settings = settings.model_copy(update={"dir": settings.dir.resolve()})
        self.services: list[Service] = []
        self._on_step = on_step
        self._servers: list[Kept] = []
        self._workers: list[Kept] = []
        self._workers_began = 0.0

    def start(self) -> None:
        """Start everything and wait until it works. Raises FarmError, with the end of a log where a part fails."""
        for refuse_taken in (config.flower_values, metrics.metrics_port):
            refuse_taken(self.settings)  # before anything is started
        self._start_servers()
        self.settings = config.write_toml(
            self.settings,
            {
                **config.flower_values(self.settings),
                "webhook_secret": config.webhook_secret(self.settings),
                "metrics_port": metrics.metrics_port(self.settings),
            },
        )
        self._workers = self._start_workers()
        for window in windows(self.settings):
            self._start_flower(window)
        self._wait_for_workers()
        self.services += parts.worker_services(self.settings)
        self.services += [parts.flower_service(self.settings, window) for window in windows(self.settings)]
        if self.settings.inboxes:
            self._workers.append(Kept(start_child(parts.folder_command(self.settings)), time.monotonic()))
            self.services.append(parts.folder_service(self.settings))

    def _start_servers(self) -> None:
        former, values = config.Former.read(self.settings.dir), dict[str, object]()
        for name, start in (("Redis", parts.redis_part), ("S3 server", parts.s3_part)):
            self._on_step(name)
            part = start(self.settings, former)
            self.services.append(part.service)
            values |= part.values
            if part.child:
                self._servers.append(Kept(part.child, time.monotonic()))
        self.settings = config.write_toml(self.settings, values)
        config.Former(**{name: values.get(name) for name in ("redis_url", "s3_endpoint")}).write(self.settings.dir)  # type: ignore[arg-type]

    def _start_workers(self) -> list[Kept]:
        self._workers_began = time.time()
        commands = (parts.sweeper_command, parts.cpu_command, parts.slots_command)
        return [Kept(start_child(command(self.settings)), time.monotonic()) for command in commands]

    def _wait_for_workers(self) -> None:
        """Wait until they work; where another process took a port of their metrics in between, start them on others."""
        for attempt in range(TRIES):
            try:
                with closing(Books.connect(self.settings)) as books:
                    self._wait(books, *(kept.child for kept in self._workers[:WORKERS]))
            except PortTakenError:
                if attempt == TRIES - 1:
                    raise
                for kept in self._workers[:WORKERS]:
                    kept.child.end()
                self.settings = config.write_toml(self.settings, {"metrics_port": metrics.metrics_port(self.settings)})
                self._workers[:WORKERS] = self._start_workers()
            else:
                return

    def _wait(self, books: Books, sweeper: Child, cpu: Child, slots: Child) -> None:
        sweeper.wait_until(lambda: metrics.answers(self.settings, SWEEPER), seconds=WORKERS_READY_SECONDS)
        self._on_step("cpu workers")
        cpu.wait_until(lambda: cpu_is_ready(books, self._workers_began), seconds=WORKERS_READY_SECONDS)
        self._on_step("render slots")
        count = parts.slot_count(self.settings)
        slots.wait_until(lambda: slots_are_ready(books, slots, count), seconds=WORKERS_READY_SECONDS)

    def _start_flower(self, window: Window) -> None:
        """Start a Flower; where another process took its port in between and nobody asked for that, on the next."""
        self._on_step("Flower" if window.read_only else "Flower for operators")
        for attempt in range(TRIES):
            child = start_child(parts.flower_command(self.settings, window))
            try:
                child.wait_until(lambda: flower_answers(self.settings, window), seconds=FLOWER_READY_SECONDS)
            except PortTakenError:
                if attempt == TRIES - 1:
                    raise
                port = config.flower_port(self.settings, window)
                self.settings = config.write_toml(self.settings, {f"{window.setting}_port": port})
            else:
                self._workers.append(Kept(child, time.monotonic()))
                return

    def keep_alive(self) -> None:
        """Start again what dies; returns only by the exception that a signal raises."""
        while True:
            for kept in (*self._servers, *self._workers):
                kept.keep_alive(time.monotonic())
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """End the workers, who may have a last word for the books, then the servers."""
        for group in (self._workers, self._servers):
            for kept in group:
                kept.child.ask_to_end()
            for kept in group:
                kept.child.end()


def run(
    settings: Settings, *, on_step: Callable[[str], None], on_ready: Callable[[Settings, list[Service]], None]
) -> None:
    """Start the stack and keep it alive until SIGTERM, SIGHUP or Ctrl-C; nothing is left running.

    Raises FarmError when a part cannot be started, NotAllowedError when another supervisor has the folder.
    """
    folder = settings.dir
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder):
        state = State.of_this_process().write(folder)

        def note_step(step: str) -> None:
            state.write(folder, step=step)
            on_step(step)

        supervisor = Supervisor(settings, note_step)
        try:
            with interruptible():
                supervisor.start()
                state = state.write(folder, phase="ready", services=tuple(supervisor.services))
                on_ready(supervisor.settings, supervisor.services)
                supervisor.keep_alive()
        except KeyboardInterrupt:
            state.write(folder, phase="stopping")
        except FarmError as error:
            state.write(folder, phase="failed", code=error.code, message=str(error))
            raise
        finally:
            supervisor.stop()


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / LOCK_NAME, timeout=0):
            yield
    except Timeout:
        raise NotAllowedError(f"another `farm up` is at work in {folder}") from None


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, a signal that asks to end raises KeyboardInterrupt; afterwards it is ignored: ending is under way."""

    def interrupt(*_: object) -> None:
        for number in END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in END_SIGNALS:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in END_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def cpu_is_ready(books: Books, began: float) -> bool:
    return bool(cpu_workers(books, within_seconds=time.time() - began))


def slots_are_ready(books: Books, slots: Child, count: int) -> bool:
    """Whether as many slots as wanted say so themselves, from processes that are ours and of this start.

    One that was sick when the stack was stopped has loaded too: it must not keep the others from starting.
    """
    ours = {process.pid for process in psutil.Process(slots.process.pid).children(recursive=True)}
    states = [view.state for view in slot_views(books) if view.pid in ours]
    return sum(state not in {"loading", "draining", "lost"} for state in states) >= count


def flower_answers(settings: Settings, window: Window) -> bool:
    with closing(HTTPConnection(LOOPBACK, window.port(settings), timeout=2)) as connection:
        try:
            connection.request("GET", window.path(settings, "/healthcheck"))
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False


def main() -> int:
    """The supervisor in the background."""
    try:
        settings = Settings.load(json.loads(os.environ.pop(FLAGS_VARIABLE, "{}")))
        log_to_stderr(settings)
        run(settings, on_step=lambda step: log.info("starting %s", step), on_ready=lambda *_: log.info("up"))
    except FarmError as error:
        log.error("%s", error)  # noqa: TRY400 - an error of ours is its sentence
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
