"""`farm slot ...`: what renders."""

from __future__ import annotations

import typer
from rich.text import Text

from farm.cli.options import Dir, Json, examples
from farm.cli.screen import console, note, say_json
from farm.cli.show import moment, plain, slot_table

app = typer.Typer(name="slot", no_args_is_help=True, help="Look at the slots that render.")


@app.callback()
def slot() -> None:
    """Look at the slots that render."""


@app.command("list", epilog=examples("farm slot list", "farm slot list --json"))
def list_slots(as_json: Json = False, folder: Dir = None) -> None:
    """List slots: what each sees, offers and has in hand, when it last reported, and why one is out."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        slots, pause = farm.slots(), farm.storage_pause()
    if as_json:
        say_json([slot.to_dict() for slot in slots])
    elif slots:
        console().print(slot_table(slots))
        for slot in slots:
            if slot.why_out is not None:
                console().print(Text(f"{slot.name} is {slot.state}: {plain(slot.why_out)}", style="bold red"))
    else:
        note("No slot has reported yet: start workers with `farm up`.")
    if pause and not as_json:
        words = f"Nothing is begun since {moment(pause.since)}, storage failed: {plain(pause.reason)}"
        console().print(Text(words, style="bold red"))
