"""`farm batch ...` after its submit: look at batches, steer them, fetch their pilots and reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from farm.cli.batchcard import BatchCard, batch_table, headline, report_table, row_table
from farm.cli.fetch import writable
from farm.cli.follow import LeftAloneError
from farm.cli.options import A_JOB, PRIORITY_WORDS, Dir, Json, complete_batch, examples
from farm.cli.screen import console, note, say, say_json, share_bar
from farm.errors import InputRefusedError

if TYPE_CHECKING:
    from farm.batch.batch import Batch, Moved
    from farm.batch.lines import RowView
    from farm.batch.progress import BatchView

BatchId = Annotated[
    str,
    typer.Argument(
        metavar="BATCH", autocompletion=complete_batch, show_default=False, help="Id of the batch (Tab completes it)."
    ),
]
ALL_ROWS = (0, 10**9)


def list_batches(
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Only batches of this owner.")
    ] = None,
    most: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Most batches to list, 1 or more.")] = 50,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """List batches, newest first."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        rows = farm.batches(owner=owner, limit=most)
    if as_json:
        say_json([row.to_dict() for row in rows])
    elif rows:
        console().print(batch_table(rows))
    else:
        note("No batches.")


def show(
    batch_id: BatchId,
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="FROM-TO|all",
            show_default=False,
            help="These rows, by their numbers. Default: those that failed or need review.",
        ),
    ] = None,
    stay: Annotated[
        bool,
        typer.Option(
            "--follow", metavar="", help="Stay until all rows have ended. Ctrl-C ends the looking, not the batch."
        ),
    ] = False,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Show a batch: totals by state, time left, what it waits for, which rows need somebody."""
    from farm import Farm

    wanted = _wanted(rows)
    with Farm.from_settings(dir=folder) as farm:
        batch = farm.batch(batch_id)
        if stay:
            _follow(batch, wanted, as_json=as_json, folder=folder)
        else:
            _print(batch.view(), _asked(batch, wanted), as_json=as_json)


def pause(batch_id: BatchId, as_json: Json = False, folder: Dir = None) -> None:
    """Hold a batch until `farm batch resume`: chunks in hand are given back, and rendered anew then."""
    _steer(batch_id, lambda batch: batch.pause(), "Paused.", as_json=as_json, folder=folder)


def resume(batch_id: BatchId, as_json: Json = False, folder: Dir = None) -> None:
    """Let a batch go on that was paused, or stopped because too many rows failed.

    What failed until now does not stop it again. Cancelled rows stay cancelled: `farm batch retry --cancelled`.
    """
    _steer(batch_id, lambda batch: batch.resume(), "Goes on.", as_json=as_json, folder=folder)


def cancel(batch_id: BatchId, as_json: Json = False, folder: Dir = None) -> None:
    """Cancel all rows that have not ended: nothing more of the batch renders."""
    _move(batch_id, lambda batch, show: batch.cancel(on_progress=show), "cancelled", as_json=as_json, folder=folder)


def retry(
    batch_id: BatchId,
    cancelled: Annotated[
        bool, typer.Option("--cancelled", metavar="", help="The rows that were cancelled, too.")
    ] = False,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Take up the rows that failed again; finished chunks are kept."""
    _move(
        batch_id,
        lambda batch, show: batch.retry(cancelled=cancelled, on_progress=show),
        "taken up again",
        as_json=as_json,
        folder=folder,
    )


def priority(
    batch_id: BatchId,
    to: Annotated[int, typer.Argument(metavar="PRIORITY", show_default=False, help=f"{PRIORITY_WORDS}.")],
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Change how soon the waiting chunks of all its rows are served."""
    _move(
        batch_id,
        lambda batch, show: batch.set_priority(to, on_progress=show),
        f"at priority {to}",
        as_json=as_json,
        folder=folder,
    )


def limit(
    batch_id: BatchId,
    slots: Annotated[
        str, typer.Argument(metavar="SLOTS|none", show_default=False, help="Most slots at once, 1 or more, or none.")
    ],
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Change how many slots a batch may have at once."""
    if slots != "none" and not slots.isdecimal():
        raise InputRefusedError([f"SLOTS is {slots!r}, wanted a number of slots, 1 or more, or none"])
    most = None if slots == "none" else int(slots)
    done = "Any number of slots from now on." if most is None else f"At most {most} slots at once from now on."
    _steer(batch_id, lambda batch: batch.set_limit(most), done, as_json=as_json, folder=folder)


def release(batch_id: BatchId, as_json: Json = False, folder: Dir = None) -> None:
    """Let go all rows that are held, once their pilot was found good."""
    _steer(batch_id, lambda batch: batch.release(), "Released.", as_json=as_json, folder=folder)


def reject(
    batch_id: BatchId,
    rows: Annotated[
        list[str], typer.Argument(metavar="ROW", show_default=False, help="Rows that are held: 3, or 7-12.")
    ],
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Cancel rows that are held: they are not rendered when the others are released."""

    def move(batch: Batch, _: Callable[[float], None]) -> Moved:
        moved = batch.reject(rows)
        if not as_json:  # by name, too: numbers may differ from the lines of the manifest as it is now
            console().print(row_table(batch.rows_of(moved.jobs)))
        return moved

    _move(batch_id, move, "rejected", as_json=as_json, folder=folder)


def pilot(
    batch_id: BatchId,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", show_default=False, help="Where to write it.")],
    wait: Annotated[bool, typer.Option("--wait", metavar="", help="Wait until all clips have ended.")] = False,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Collect a batch's pilot: sheet.png, a strip of frames for each clip, and pilot.html, with the clips inside."""
    from farm import Farm

    if out.exists() and not out.is_dir():
        raise InputRefusedError([f"--out is {out}, which is no folder"])
    with Farm.from_settings(dir=folder) as farm:
        batch = farm.batch(batch_id)
        if wait:
            _follow(batch.pilot(), None, as_json=False, folder=folder, quiet=as_json)
        with share_bar("collecting", quiet=as_json) as show_share:
            found = batch.collect_pilot(out, on_progress=show_share)
    if as_json:
        say_json(found.to_dict())
        return
    say(f"{found.sheet} and {found.page} written, {found.clips} clips")
    if found.waiting or found.failed:
        note(f"{found.waiting} clips are not rendered yet, {found.failed} failed: the sheet says which.")


def report(
    batch_id: BatchId,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", show_default=False, help="Write it as CSV to this file.")
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(
            "--urls",
            metavar="HOURS",
            show_default=False,
            help="Link results so that anybody can fetch them for so many hours.",
        ),
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Say what became of every lesson of the manifest: its result, or plainly why there is none."""
    from farm import Farm
    from farm.batch.report import write_csv

    if table is not None:
        writable(table)
    with Farm.from_settings(dir=folder) as farm:
        rows = list(farm.batch(batch_id).report(url_seconds=None if hours is None else round(3600 * hours)))
    if table is not None:
        write_csv(rows, table)
    if as_json:
        say_json([row.to_dict() for row in rows])
    elif table is not None:
        say(f"{table} written, {len(rows)} rows")
    else:
        console().print(report_table(rows))


def _wanted(rows: str | None) -> tuple[int, int] | None:
    from farm.batch.batch import row_range

    if rows is None:
        return None
    return ALL_ROWS if rows == "all" else row_range(rows)


def _asked(batch: Batch, wanted: tuple[int, int] | None) -> tuple[RowView, ...] | None:
    return None if wanted is None else batch.rows(*wanted)


def _print(view: BatchView, rows: tuple[RowView, ...] | None, *, as_json: bool) -> None:
    if as_json:
        say_json({**view.to_dict(), **({} if rows is None else {"rows": [row.to_dict() for row in rows]})})
    else:
        console().print(BatchCard(view, rows))


def _follow(
    batch: Batch, wanted: tuple[int, int] | None, *, as_json: bool, folder: Path | None, quiet: bool = False
) -> None:
    """Show every change until all rows have ended: a live card on a terminal, lines in a pipe."""
    screen = console()
    try:
        if quiet:
            for _ in batch.changes():
                pass
        elif as_json or not screen.is_terminal:
            for view in batch.changes():
                if as_json:
                    _print(view, _asked(batch, wanted), as_json=True)
                else:
                    say(headline(view))
        else:
            with Live(console=screen, refresh_per_second=4, vertical_overflow="ellipsis") as live:
                for view in batch.changes():
                    live.update(BatchCard(view, _asked(batch, wanted)))
    except KeyboardInterrupt:
        raise LeftAloneError("batch", batch.id, folder) from None


def _steer(batch_id: str, move: Callable[[Batch], object], done: str, *, as_json: bool, folder: Path | None) -> None:
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        batch = farm.batch(batch_id)
        move(batch)
        view = batch.view()
    if as_json:
        say_json(view.to_dict())
    else:
        say(f"{done} {headline(view)}")


def _move(
    batch_id: str,
    move: Callable[[Batch, Callable[[float], None]], Moved],
    done: str,
    *,
    as_json: bool,
    folder: Path | None,
) -> None:
    """Decide about many rows, with a bar; then say how many, and name those that would not."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        batch = farm.batch(batch_id)
        with share_bar(f"batch {batch_id}", quiet=as_json) as show_share:
            moved = move(batch, show_share)
        view = batch.view()
    if as_json:
        say_json({**view.to_dict(), "changed": moved.changed, "not_changed": moved.refused})
        return
    say(f"{moved.changed} {'row' if moved.changed == 1 else 'rows'} {done}.")
    for why in moved.refused.values():
        note(why)
    say(headline(view))


EXAMPLES: dict[str, tuple[str, ...]] = {
    "list": ("farm batch list", "farm batch list --owner maths --json"),
    "show": (
        f"farm batch show {A_JOB}",
        f"farm batch show {A_JOB} --follow",
        f"farm batch show {A_JOB} --rows 1-50 --json",
    ),
    "pause": (f"farm batch pause {A_JOB}",),
    "resume": (f"farm batch resume {A_JOB}",),
    "cancel": (f"farm batch cancel {A_JOB}",),
    "retry": (f"farm batch retry {A_JOB}", f"farm batch retry {A_JOB} --cancelled"),
    "priority": (f"farm batch priority {A_JOB} 2",),
    "limit": (f"farm batch limit {A_JOB} 8", f"farm batch limit {A_JOB} none"),
    "pilot": (f"farm batch pilot {A_JOB} --out pilot --wait",),
    "release": (f"farm batch release {A_JOB}",),
    "reject": (f"farm batch reject {A_JOB} 3 7-12",),
    "report": (
        f"farm batch report {A_JOB}",
        f"farm batch report {A_JOB} --csv report.csv --urls 48",
        f"farm batch report {A_JOB} --json",
    ),
}


VERBS: dict[str, Callable[..., None]] = {
    "list": list_batches,
    "show": show,
    "pause": pause,
    "resume": resume,
    "cancel": cancel,
    "retry": retry,
    "priority": priority,
    "limit": limit,
    "pilot": pilot,
    "release": release,
    "reject": reject,
    "report": report,
}


def register(app: typer.Typer) -> None:
    for name, verb in VERBS.items():
        app.command(name, epilog=examples(*EXAMPLES[name]))(verb)
