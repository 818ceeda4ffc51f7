"""Where the command line writes: results to stdout, everything else to stderr, JSON one value a line."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIPE_COLUMNS = 160
"""Width where there is no terminal to ask: tables that are piped on should not be cut at 80."""


def console(*, stderr: bool = False) -> Console:
    """A console that prints names as they are: no markup, no highlighting, no emoji codes."""
    stream = sys.stderr if stderr else sys.stdout
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(
        stderr=stderr,
        width=PIPE_COLUMNS if piped else None,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=False,
    )


def say(text: str) -> None:
    """One line of a result; raises BrokenPipeError when nobody reads on."""
    print(text, flush=True)  # noqa: T201


def say_json(value: Any) -> None:
    """One JSON value on one line."""
    say(json.dumps(value))


def note(text: str) -> None:
    """A word to the person at the terminal, kept out of what a pipe reads."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def share_bar(what: str, *, quiet: bool) -> Iterator[Callable[[float], None]]:
    """A bar where somebody watches: inside, a function that is told the share (0 to 1) that is done."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield lambda _: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda share: progress.update(task, completed=share)


def complain(code: str, message: str, *, problems: list[str], as_json: bool) -> None:
    """An error: a plain sentence for people, {"error": ...} for programs; with several problems, a line each."""
    if as_json:
        error: dict[str, Any] = {"code": code, "message": message}
        if problems:
            error["problems"] = problems
        note(json.dumps({"error": error}))
    elif len(problems) > 1:
        note("\n".join([f"Error: {len(problems)} problems", *(f"  - {problem}" for problem in problems)]))
    else:
        note(message if code == "interrupted" else f"Error: {message}")
