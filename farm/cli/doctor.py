"""`farm doctor`: what is wrong here, and how to mend it."""

from __future__ import annotations

import typer
from rich.text import Text

from farm.cli.options import Dir, Json, examples
from farm.cli.screen import console, say_json

EXIT_UNWELL = 4


def doctor(as_json: Json = False, folder: Dir = None) -> None:
    """Check Redis, storage, workers, clocks and disks, and say how to mend what is wrong.

    Exit code 0 when all is well, 4 when anything is unreachable or wrong.
    """
    from farm.doctor import Check, checks
    from farm.settings import Settings

    screen = console()
    found: list[Check] = []
    for check in checks(Settings.load({"dir": folder})):
        found.append(check)
        if not as_json:
            mark = Text.assemble(
                ("ok   ", "green") if check.ok else ("WRONG", "bold red"), f"  {check.name}: {check.found}"
            )
            screen.print(mark, overflow="fold", soft_wrap=True)
            if not check.ok:
                screen.print(f"       mend: {check.mend}", soft_wrap=True)
    well = all(check.ok for check in found)
    if as_json:
        say_json({"ok": well, "checks": [check.to_dict() for check in found]})
    if not well:
        raise typer.Exit(EXIT_UNWELL)


def register(app: typer.Typer) -> None:
    app.command(epilog=examples("farm doctor", "farm doctor --json"))(doctor)
