"""Staying with a job until it ends: a live card on a terminal, lines in a pipe, JSON Lines for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.live import Live

from farm.cli.screen import console, say, say_json
from farm.cli.show import JobCard, headline
from farm.errors import FarmError

if TYPE_CHECKING:
    from farm import Job
    from farm.jobs.model import JobView

STEP_PERCENT = 5
"""A pipe gets a line each time this much more is done."""


class CutShortError(FarmError):
    """Raised when a command is interrupted: what the farm has by then stays."""

    code = "interrupted"
    exit_code = 130


class LeftAloneError(CutShortError):
    """Raised when whoever waits for a job or a batch is interrupted: it goes on."""

    def __init__(self, what: str, name: str, folder: Path | None) -> None:
        where = f" --dir '{folder}'" if folder else ""
        super().__init__(f"Interrupted: {what} {name} goes on. Come back with: farm {what} show {name} --follow{where}")


def follow(job: Job, *, folder: Path | None, as_json: bool = False, quiet: bool = False) -> JobView:
    """Show every change of a job until it is done; quiet: wait for that without a word.

    Raises JobFailedError when it fails or is cancelled, LeftAloneError on Ctrl-C.
    """
    if quiet:
        return _until_end(job, None, folder)
    if as_json:
        return _until_end(job, lambda view: say_json(view.to_dict()), folder)
    screen = console()
    if not screen.is_terminal:
        return _until_end(job, PlainLines(), folder)
    with Live(JobCard(job.view()), console=screen, refresh_per_second=4, vertical_overflow="ellipsis") as live:
        return _until_end(job, lambda view: live.update(JobCard(view)), folder)


class PlainLines:
    """One line when the state changes, a chunk ends, or STEP_PERCENT more is done."""

    def __init__(self) -> None:
        self._last: tuple[object, ...] = ()

    def __call__(self, view: JobView) -> None:
        ended = sum(chunk.state in {"done", "failed"} for chunk in view.chunks)
        mark = (view.state, view.paused, ended, view.percent // STEP_PERCENT)
        if mark != self._last:
            say(headline(view))
            self._last = mark


def _until_end(job: Job, show: Callable[[JobView], None] | None, folder: Path | None) -> JobView:
    try:
        return job.wait(on_change=show)
    except KeyboardInterrupt:
        raise LeftAloneError("job", job.id, folder) from None
