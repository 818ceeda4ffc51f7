"""`farm batch ...`: many lessons from one manifest, checked, planned and submitted."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farm.cli import batches
from farm.cli.fetch import writable
from farm.cli.follow import CutShortError
from farm.cli.options import PRIORITY_WORDS, Dir, Json, completes, examples
from farm.cli.screen import console, note, say, say_json
from farm.cli.show import empty_table, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from farm import Farm
    from farm.batch.intake import BatchCheck, Order
    from farm.batch.submit import Submitted

EXIT_ROWS_WRONG = 2
MOST_REASONS = 60
"""Reasons that are shown on a terminal; the CSV has all."""

app = typer.Typer(name="batch", no_args_is_help=True, help="Submit many lessons by a manifest; steer them together.")

Manifest = Annotated[
    str,
    typer.Argument(
        metavar="MANIFEST",
        show_default=False,
        help="CSV, JSON Lines or YAML, a row a lesson: a file or s3://bucket/key.",
    ),
]
Defaults = Annotated[
    str | None,
    typer.Option(metavar="FILE", show_default=False, help="YAML with `defaults` and `presenters` for the manifest."),
]
Name = Annotated[
    str | None,
    typer.Option(metavar="NAME", show_default=False, help="What people call it. Default: the manifest's name."),
]
Owner = Annotated[
    str | None,
    typer.Option(metavar="NAME", show_default=False, help="Who it is for, unless rows say. Default: setting owner."),
]
Priority = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, max=9, show_default=False, help=f"{PRIORITY_WORDS}, unless rows say. Default: 5."),
]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", show_default=False, help="Write every row and its reasons to this file."),
]


@app.command(epilog=examples("farm batch check term.csv", "farm batch check term.yaml --csv wrong.csv"))
def check(
    manifest: Manifest,
    defaults: Defaults = None,
    owner: Owner = None,
    priority: Priority = None,
    table: Csv = None,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Look at every row of a MANIFEST, its files and settings; nothing is stored or queued.

    Files that many rows share are looked at once. Exit code 2 when a row is wrong.
    """
    from farm import Farm

    if table is not None:
        writable(table)
    with Farm.from_settings(dir=folder) as farm:
        found = _checked(farm, manifest, defaults=defaults, owner=owner, priority=priority, quiet=as_json)
    _tell(found, table, as_json=as_json)
    if found.wrong:
        raise typer.Exit(EXIT_ROWS_WRONG)


@app.command(
    epilog=examples(
        "farm batch submit term.csv",
        "farm batch submit term.csv --defaults presenters.yaml --owner maths --max-failures 5% --limit 8",
        "farm batch submit term.yaml --pilot 8s --pilot-from loudest",
        "farm batch submit term.yaml --all-or-nothing --json",
    )
)
def submit(
    manifest: Manifest,
    defaults: Defaults = None,
    name: Name = None,
    owner: Owner = None,
    priority: Priority = None,
    max_failures: Annotated[
        str | None,
        typer.Option(
            metavar="N|N%", show_default=False, help="Stop the batch when more jobs than this fail. Default: never."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, show_default=False, help="Most slots that it has at once. Default: no limit."),
    ] = None,
    webhook: Annotated[
        str, typer.Option(metavar="URL", show_default=False, help="Who is told how the batch and its jobs end.")
    ] = "",
    pilot: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS",
            show_default=False,
            help="Render so much of some rows first, 8s say; the rest waits for `farm batch release`.",
        ),
    ] = None,
    pilot_of: Annotated[
        str, typer.Option(metavar="presenter|N", help="Which rows: one of each presenter, or every N-th.")
    ] = "presenter",
    pilot_from: Annotated[
        str,
        typer.Option(
            metavar="start|loudest", autocompletion=completes(("start", "loudest")), help="Which part of the speech."
        ),
    ] = "start",
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", metavar="", help="Submit nothing unless every row is right.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Check and plan; nothing is stored or queued.")
    ] = False,
    table: Csv = None,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Check a MANIFEST and make jobs of the rows that are right; the others wait for mending.

    The same manifest again adds only what is new or changed, also after an interruption: a row is known by its content
    and settings. Prints the batch's id, which `farm batch` takes.
    """
    from farm import Farm
    from farm.batch.intake import Order
    from farm.batch.pilot import Pilot

    if table is not None:
        writable(table)
    order = Order(
        name=name,
        max_failures=max_failures,
        limit=limit,
        webhook=webhook,
        pilot=Pilot.wanted(pilot, pilot_of, pilot_from) if pilot is not None else None,
        all_or_nothing=all_or_nothing,
    )
    with Farm.from_settings(dir=folder) as farm:
        found = _checked(farm, manifest, defaults=defaults, owner=owner, priority=priority, quiet=as_json)
        if dry_run:
            _show_plan(farm, found, order, as_json=as_json)
            raise typer.Exit(EXIT_ROWS_WRONG if found.wrong else 0)
        if not as_json or table is not None:
            _tell(found, table, as_json=False, brief=as_json)
        if not as_json and found.wrong and (all_or_nothing or not found.right):
            note("Nothing was submitted.")
            raise typer.Exit(EXIT_ROWS_WRONG)
        try:
            with _progress(quiet=as_json) as on_step:
                submitted = farm.submit_batch(found, order, on_step=on_step)
        except KeyboardInterrupt:
            raise CutShortError("Interrupted: submit the manifest again, it goes on where this ended.") from None
    if as_json:
        say_json(submitted.to_dict())
    else:
        _announce(submitted)


batches.register(app)


@app.command(epilog=examples("farm batch plan term.csv", "farm batch plan term.yaml --json"))
def plan(
    manifest: Manifest,
    defaults: Defaults = None,
    name: Name = None,
    owner: Owner = None,
    priority: Priority = None,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Check a MANIFEST and say what its right rows would cost: video, chunks, slot hours, money, when they are done.

    Speeds are those that this farm measured, or assumed ones, which are named so; money needs setting gpu_hour_price.
    Nothing is stored or queued. Exit code 2 when a row is wrong.
    """
    from farm import Farm
    from farm.batch.intake import Order

    with Farm.from_settings(dir=folder) as farm:
        found = _checked(farm, manifest, defaults=defaults, owner=owner, priority=priority, quiet=as_json)
        _show_plan(farm, found, Order(name=name), as_json=as_json)
    if found.wrong:
        raise typer.Exit(EXIT_ROWS_WRONG)


def _show_plan(farm: Farm, found: BatchCheck, order: Order, *, as_json: bool) -> None:
    planned = farm.plan_batch(found, order)
    if as_json:
        say_json({**planned.to_dict(), "problems": found.problems})
        return
    from farm.cli.batchplan import BatchPlanCard

    _tell(found, None, as_json=False)
    console().print(BatchPlanCard(planned))


def _announce(done: Submitted) -> None:
    parts = [f"{done.created} new"]
    if done.known:
        parts.append(f"{done.known} were there already")
    if done.twins:
        parts.append(f"{len(done.twins)} are the same as another row")
    if done.refused:
        parts.append(f"{len(done.refused)} are wrong and wait for mending")
    say(f"Batch {done.id} submitted: {', '.join(parts)}.")
    for twin in done.twins[:5]:
        note(f"Row {twin.row} is the same lesson as row {twin.same_as}: one job.")
    if len(done.twins) > 5:
        note(f"... and {len(done.twins) - 5} more rows that are the same as another.")
    if done.state != "open":
        note(f"The batch is {done.state}: nothing of it begins until `farm batch resume {done.id}`.")
    if done.pilot is not None and done.created:
        note(f"Batch {done.pilot} renders its pilot; the rows wait for `farm batch release {done.id}`.")
    if done.gone:
        note(f"{done.gone} jobs of the batch are no longer in the manifest; they go on. `farm job cancel` ends one.")
    if done.refused:
        note("Mend the rows that are wrong and submit the manifest again: what is there already stays as it is.")


def _checked(farm: Farm, manifest: str, *, quiet: bool, **given: Any) -> BatchCheck:
    with _progress(quiet=quiet) as on_step:
        return farm.check_batch(manifest, on_step=on_step, **given)


def _tell(found: BatchCheck, table: Path | None, *, as_json: bool, brief: bool = False) -> None:
    """What came of looking: JSON, or the reasons and a sentence; and the CSV, if it is wanted. brief: nothing else."""
    if table is not None:
        from farm.batch.checksheet import write_csv

        write_csv(found.rows, table)
    if as_json:
        say_json(found.to_dict())
    elif not brief:
        if found.wrong or any(row.warnings for row in found.rows):
            console().print(_reasons(found))
        files = "" if table is None else f" {table} has them all."
        say(f"{len(found.rows)} rows: {len(found.right)} right, {len(found.wrong)} wrong.{files}")


def _reasons(found: BatchCheck) -> Table:
    """A line for each reason, with the rows that have it."""
    from rich.text import Text

    from farm.batch.checksheet import ranges, reasons

    table = empty_table("row", "name", "", "reason", whole=())
    kinds = [(*each, "wrong", "bold red") for each in reasons(found.wrong)]
    kinds += [(*each, "warning", "yellow") for each in reasons(found.right, warnings=True)]
    for sentence, rows, word, style in kinds[:MOST_REASONS]:
        more = "" if len(rows) == 1 else f" and {len(rows) - 1} more"
        numbers = ranges(each.row.number for each in rows)
        table.add_row(numbers, plain(rows[0].row.name) + more, Text(word, style=style), plain(sentence))
    if len(kinds) > MOST_REASONS:
        table.add_row("...", "", "", f"{len(kinds) - MOST_REASONS} more reasons: --csv FILE has them all")
    return table


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on a terminal, one for each thing that is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars: dict[str, Any] = {}
    with Progress(*columns, console=screen, transient=True) as progress:

        def show(what: str, done: int, of: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=of)
            progress.update(bars[what], completed=done, total=of)

        yield show
