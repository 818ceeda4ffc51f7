"""`farm top`: the farm at one glance, live."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.options import Dir, Json, examples
from farm.cli.screen import console, say_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from farm import Farm

LOOK_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    app.command(epilog=examples("farm top", "farm top --once", "farm top --json"))(top)


def top(
    once: Annotated[bool, typer.Option("--once", metavar="", help="Print one look and end, as in a pipe.")] = False,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Watch the farm: slots and what they have in hand, what waits, how fast it goes, what failed; q ends it.

    Busy shares and rates are of the last minutes: what is five minutes old counts half. Reading it costs the farm
    next to nothing, however many jobs there are.
    """
    from farm import Farm
    from farm.cli.topview import TopView

    screen = console()
    with Farm.from_settings(dir=folder) as farm:
        if as_json:
            say_json(farm.glance().to_dict())
        elif once or not screen.is_terminal:
            screen.print(TopView(farm.glance()))
        else:
            _watch(farm, screen)


def _watch(farm: Farm, screen: Console) -> None:
    """A look a second until q or Ctrl-C; a Redis that does not answer is said and asked again."""
    from rich.live import Live

    from farm.cli.topview import TopView
    from farm.errors import FarmError

    view = TopView(farm.glance(), live=True)
    with Live(view, console=screen, screen=True, auto_refresh=False) as live, keys() as pressed:
        try:
            while pressed(LOOK_SECONDS) not in {"q", "Q", "\x03"}:
                try:
                    view = TopView(farm.glance(), live=True)
                except FarmError as error:
                    view = TopView(view.glance, live=True, trouble=str(error))
                live.update(view, refresh=True)
        except KeyboardInterrupt:
            return


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Inside, a function that waits so many seconds for a key and answers it, or nothing."""
    if not sys.stdin.isatty():
        yield _no_key
        return
    import select
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return sys.stdin.read(1) if ready else ""

    try:
        tty.setcbreak(sys.stdin)
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""
