"""`farm settings ...`: what this farm is set to, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from farm.cli.options import Dir, Json, examples
from farm.cli.screen import console, say_json
from farm.cli.show import empty_table

if TYPE_CHECKING:
    from rich.table import Table

    from farm.settings import Settings

app = typer.Typer(name="settings", no_args_is_help=True, help="Look at the settings.")


@app.callback()
def settings() -> None:
    """Look at the settings."""


@app.command(epilog=examples("farm settings show", "FARM_SLOTS=4 farm settings show --json"))
def show(as_json: Json = False, folder: Dir = None) -> None:
    """Show every setting, its value (secrets masked) and where the value came from.

    What wins: an option on the command line, then the environment (FARM_NAME), then farm.toml, then the default.
    """
    from farm.settings import Settings

    found = Settings.load({"dir": folder})
    if as_json:
        say_json(settings_dict(found))
    else:
        console().print(settings_table(found))


def settings_dict(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every setting by name: value (text; null where there is none), source, environment variable, description."""
    from farm.settings import environment_key

    return {
        name: {
            "value": value if getattr(settings, name) is not None else None,
            "source": settings.source(name),
            "environment": environment_key(name),
            "description": type(settings).model_fields[name].description,
        }
        for name, value in settings.shown().items()
    }


def settings_table(settings: Settings) -> Table:
    table = empty_table("setting", "value", "from", "what it is", whole=(0, 2))
    for name, value in settings.shown().items():
        source = settings.source(name)
        table.add_row(
            name,
            value,
            source,
            type(settings).model_fields[name].description,
            style="dim" if source == "default" else "",
        )
    return table
