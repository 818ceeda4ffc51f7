"""`farm up`, `farm down`: the whole farm on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farm.cli.options import Dir, Json, examples
from farm.cli.screen import console, note, say, say_json
from farm.cli.show import empty_table

if TYPE_CHECKING:
    from rich.table import Table

    from farm.local import Service, Stack
    from farm.settings import Settings

UP_EXAMPLES = (
    "farm up",
    "farm up --detach --slots 2",
    "farm up --inbox s3://sonic-farm/inbox",
    "farm up --gpus 0,1 --renderers preview --dir /srv/farm",
)


def register(app: typer.Typer) -> None:
    app.command(epilog=examples(*UP_EXAMPLES))(up)
    app.command(epilog=examples("farm down", "farm down --dir /srv/farm"))(down)


def up(
    folder: Dir = None,
    slots: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Render slots on the CPU. Default: 1")
    ] = None,
    gpus: Annotated[
        str | None,
        typer.Option(metavar="LIST", show_default=False, help="GPUs, a slot each, by index or UUID: 0,1,GPU-UUID"),
    ] = None,
    renderers: Annotated[
        str | None,
        typer.Option(metavar="LIST", show_default=False, help="Renderers that the slots offer. Default: preview"),
    ] = None,
    inbox: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", show_default=False, help="Folders in storage to watch: s3://sonic-farm/inbox. Default: none"
        ),
    ] = None,
    flower_port: Annotated[
        int | None,
        typer.Option(metavar="PORT", show_default=False, help="Port of Flower. Default: 5555, or the next free one"),
    ] = None,
    flower_operator_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            show_default=False,
            help="Port of a second Flower, in which operators stop workers and tasks. Default: none",
        ),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", metavar="", help="Return when it is up; it stays up.")] = False,
    as_json: Json = False,
) -> None:
    """Start the whole farm on this machine: Redis, an S3 server, workers, the sweeper and Flower.

    What it keeps lies in one folder, and farm.toml in there tells every other command how to reach it. Started again,
    it goes on where it was. Without --dir the folder is FARM_DIR, else .farm.
    """
    from farm.settings import Settings

    flags = {"dir": folder, "slots": slots, "gpus": gpus, "renderers": renderers, "flower_port": flower_port}
    settings = Settings.load({**flags, "inboxes": inbox, "flower_operator_port": flower_operator_port})
    on_step = _quiet if as_json else _announce
    if detach:
        from farm.local import up as start

        _show(start(settings, on_step=on_step), as_json=as_json, detached=True)
    else:
        _stay_up(settings, as_json=as_json)


def down(folder: Dir = None, as_json: Json = False) -> None:
    """Stop the farm of this machine. What it made and what waits stays, and goes on with the next `farm up`."""
    from farm.local import down as stop
    from farm.settings import Settings

    settings = Settings.load({"dir": folder})
    was_up = stop(settings.dir)
    if as_json:
        say_json({"state": "down", "dir": str(settings.dir), "was_up": was_up})
    else:
        say(f"The farm in {settings.dir} is down." if was_up else f"No farm is up in {settings.dir}.")


def _stay_up(settings: Settings, *, as_json: bool) -> None:
    """Be the supervisor until Ctrl-C, SIGTERM or `farm down`."""
    from farm.local import Stack
    from farm.local.background import already_up
    from farm.local.supervisor import run
    from farm.logs import log_to_stderr

    on_step = _quiet if as_json else _announce
    if stack := already_up(settings, on_step=on_step):
        _show(stack, as_json=as_json, detached=True)
        return
    log_to_stderr(settings)

    def on_ready(running: Settings, services: list[Service]) -> None:
        _show(Stack(running, tuple(services)), as_json=as_json, detached=False)

    run(settings, on_step=on_step, on_ready=on_ready)
    if not as_json:
        note("The farm is down. What it keeps is in " + str(settings.dir))


def _announce(step: str) -> None:
    note(f"Starting {step} ...")


def _quiet(step: str) -> None:
    del step


def _show(stack: Stack, *, as_json: bool, detached: bool) -> None:
    if as_json:
        say_json(stack_dict(stack))
        return
    folder = _shown(stack.settings.dir)
    if stack.already_up:
        say(f"The farm in {folder} is already up.")
    console().print(stack_table(stack))
    stop = f"farm down --dir {folder}" if folder != ".farm" else "farm down"
    say(f"Settings: {folder}/farm.toml    Logs: {folder}/logs    Stop it: {stop if detached else 'Ctrl-C, or ' + stop}")


def _shown(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)


def stack_dict(stack: Stack) -> dict[str, Any]:
    """What `farm up --json` prints. services: name, what, where, login and log of each part."""
    from dataclasses import asdict

    return {
        "state": "up",
        "already_up": stack.already_up,
        "dir": str(stack.settings.dir),
        "settings": str(stack.settings.dir / "farm.toml"),
        "services": [asdict(service) for service in stack.services],
    }


def stack_table(stack: Stack) -> Table:
    # an address is there to be copied
    table = empty_table("part", "what it is", "where", "log in with", whole=(2,))
    for service in stack.services:
        table.add_row(service.name, service.what, service.where, service.login)
    return table
