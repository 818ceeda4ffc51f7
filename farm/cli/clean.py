"""`farm clean`: what is no longer kept goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from farm.cli.options import Dir, Json, examples
from farm.cli.screen import console, note, say_json
from farm.cli.show import empty_table, moment

if TYPE_CHECKING:
    from rich.table import Table

    from farm import Farm
    from farm.retention import Cleaned

EXIT_UNREADABLE = 4
WORDS = {
    "jobs": "jobs that ended long ago, with all they made",
    "segments": "rendered chunks of jobs that are done",
    "index": "entries by which other jobs would take them",
    "logs": "logs of jobs that have ended",
    "results": "versions that are not the current one",
    "leftovers": "of submits that were given up",
    "inputs": "portraits and speeches of no job",
    "inbox": "files in done/ and failed/ of inboxes",
}


def clean(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Only show what would go; nothing is removed.")
    ] = False,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Remove from storage what the settings keep_... no longer keep, and show what went.

    Never what a job that goes on needs, nor a current version. Safe at any time, and to be run again when interrupted.
    A job whose segments went can no longer be redone. Exit code 4 when a job's objects cannot be read.
    """
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        found = _cleaned(farm, dry_run=dry_run)
    if as_json:
        say_json({**found.to_dict(), "dry_run": dry_run})
    else:
        _show(found, dry_run=dry_run)
    if found.problems:
        raise typer.Exit(EXIT_UNREADABLE)


def _show(found: Cleaned, *, dry_run: bool) -> None:
    if any(gone.objects for gone in found.gone.values()):
        console().print(gone_table(found, dry_run=dry_run))
    else:
        note(f"Nothing to remove: {found.jobs} jobs looked at.")
    if found.unknown:
        note(f"{found.unknown} jobs in storage are not in the books and were left alone (`farm recover`).")
    for why in found.problems.values():
        note(f"Inputs were left alone, they may be of a job that cannot be read: {why}")


def gone_table(found: Cleaned, *, dry_run: bool) -> Table:
    """What went, a row a kind, and all of it."""
    table = empty_table("would go" if dry_run else "gone", "what it is", "objects", "size", "oldest")
    shown = {kind: gone for kind, gone in found.gone.items() if gone.objects}
    for kind, gone in shown.items():
        oldest = moment(gone.oldest) if gone.oldest is not None else ""
        table.add_row(kind, WORDS[kind], str(gone.objects), size(gone.bytes), oldest)
    objects, total = (sum(getattr(gone, what) for gone in shown.values()) for what in ("objects", "bytes"))
    table.add_row("all", "", str(objects), size(total), "", style="bold")
    return table


def size(count: int) -> str:
    """Bytes as people say them: '3.2 GB'."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _cleaned(farm: Farm, *, dry_run: bool) -> Cleaned:
    screen = console(stderr=True)
    if not screen.is_terminal:
        return farm.clean(dry_run=dry_run)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("jobs"))
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task("looking" if dry_run else "cleaning", total=None)

        def show(so_far: Cleaned) -> None:
            progress.update(task, completed=so_far.jobs, total=max(so_far.jobs, so_far.of))

        return farm.clean(dry_run=dry_run, on_step=show)


def register(app: typer.Typer) -> None:
    app.command(epilog=examples("farm clean --dry-run", "farm clean", "farm clean --dry-run --json"))(clean)
