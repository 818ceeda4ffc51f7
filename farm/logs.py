"""How long-running processes log: one line an event, to stderr, in UTC, as people or as machines read it."""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
PLACED_FORMAT = "%(asctime)s %(levelname)s %(name)s%(place)s: %(message)s"


@dataclass(frozen=True)
class InHand:
    """What a process works on: a job, a unit ("plan", "stitch" or a chunk's index) and, once claimed, its attempt."""

    job: str = ""
    unit: str = ""
    attempt: str = ""

    def to_dict(self) -> dict[str, str]:
        """What there is of it, in people's words."""
        told = {"job": self.job, "unit": unit_words(self.unit), "attempt": self.attempt}
        return {name: text for name, text in told.items() if text}

    def __str__(self) -> str:
        return " ".join(f"attempt {text}" if name == "attempt" else text for name, text in self.to_dict().items())


def unit_words(unit: str) -> str:
    """A unit in people's words: they count chunks from 1."""
    return f"chunk {int(unit) + 1}" if unit.isdigit() else unit


_of_process = InHand()
_of_thread: ContextVar[InHand] = ContextVar("in_hand")


def take_in_hand(work: InHand) -> None:
    """Name in every line from now on what this process works on; nothing any more: InHand().

    For the whole process: what threads of libraries and renderers say meanwhile belongs to it. Only a thread that was
    given its work by `for_same_hand` goes on with that when the process has taken something else.
    """
    global _of_process
    _of_process = work
    _of_thread.set(work)


def in_hand() -> InHand:
    """What a line that is logged here and now belongs to."""
    return _of_thread.get(_of_process)


def for_same_hand(work: Callable[P, T]) -> Callable[P, T]:
    """`work` for another thread: what it logs there belongs to what is in hand here and now, whatever comes next."""
    return partial(copy_context().run, work)


def formatter() -> logging.Formatter:
    """The format of a line that stands beside others of the same attempt: in storage."""
    return _in_utc(logging.Formatter(LOG_FORMAT))


def log_to_stderr(settings: Settings) -> None:
    """Send what this process logs to stderr, Python's warnings too; libraries only from warnings on."""
    handler = logging.StreamHandler()
    handler.addFilter(_place)
    handler.setFormatter(_JsonLine() if settings.log_format == "json" else _in_utc(logging.Formatter(PLACED_FORMAT)))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for ours in ("farm", "workers", "engine"):
        logging.getLogger(ours).setLevel(settings.log_level)


class _JsonLine(logging.Formatter):
    """One JSON object a line; job, unit and attempt only where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": at, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        line |= record.__dict__["in_hand"].to_dict()  # put there by _place
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, ensure_ascii=False)


def _place(record: logging.LogRecord) -> bool:
    """A filter that lets everything pass, and adds what is in hand: it sees the lines of every library too."""
    work = in_hand()
    place = str(work)
    record.__dict__.update(in_hand=work, place=f" [{place}]" if place else "")
    return True


def _in_utc(lines: logging.Formatter) -> logging.Formatter:
    lines.converter = time.gmtime
    return lines
