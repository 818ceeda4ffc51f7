"""`farm slot ...`: what renders."""

from __future__ import annotations

import typer

from farm.cli.options import Dir, Json, examples
from farm.cli.screen import console, note, say_json
from farm.cli.show import slot_table

app = typer.Typer(name="slot", no_args_is_help=True, help="Look at the slots that render.")


@app.callback()
def slot() -> None:
    """Look at the slots that render."""


@app.command("list", epilog=examples("farm slot list", "farm slot list --json"))
def list_slots(as_json: Json = False, folder: Dir = None) -> None:
    """List slots: what each sees, offers and has in hand, and when it last reported."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        slots = farm.slots()
    if as_json:
        say_json([slot.to_dict() for slot in slots])
    elif slots:
        console().print(slot_table(slots))
    else:
        note("No slot has reported yet: start workers with `farm up`.")
