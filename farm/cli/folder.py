"""`farm folder ...`: folders in storage whose files become jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.options import Dir, Json, examples, nearest_dir
from farm.cli.screen import console, note, say, say_json
from farm.cli.show import empty_table
from farm.errors import FarmError, NotFoundError

if TYPE_CHECKING:
    from rich.table import Table

    from farm import Farm
    from farm.folder.inbox import Inbox
    from farm.folder.report import FileRow, InboxView

app = typer.Typer(name="folder", no_args_is_help=True, help="Watch folders in storage whose files become jobs.")


@app.callback()
def folder_noun() -> None:
    """Watch folders in storage whose files become jobs."""


def complete_inbox(ctx: typer.Context, incomplete: str) -> list[str]:
    """Inboxes of the settings."""
    from farm.settings import Settings

    try:
        settings = Settings.load({"dir": nearest_dir(ctx, ctx.params.get("folder"))})
    except FarmError:  # pressing Tab is no place for an error
        return []
    return [url for url in settings.inboxes if url.startswith(incomplete)]


Inboxes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INBOX",
        autocompletion=complete_inbox,
        show_default=False,
        help="s3://bucket/folder. Default: setting inboxes.",
    ),
]
OneInbox = Annotated[
    str,
    typer.Argument(metavar="INBOX", autocompletion=complete_inbox, show_default=False, help="s3://bucket/folder."),
]


@app.command(
    epilog=examples("farm folder watch s3://sonic-farm/inbox", "FARM_INBOXES=s3://sonic-farm/inbox farm folder watch")
)
def watch(inbox: Inboxes = None, as_json: Json = False, folder: Dir = None) -> None:
    """Take what is dropped into INBOX, follow it to its end, until Ctrl-C. Any number may watch one inbox.

    A portrait and a speech of one name are a lesson, or a manifest and what it names. Inputs go to processing/, done/
    or failed/ beside the inbox, videos to results/. With --json each line of its log is an object.
    """
    import signal
    import threading

    from farm import Farm
    from farm.folder.watch import watch as keep_watching
    from farm.logs import log_to_stderr
    from farm.settings import Settings

    settings = Settings.load({"dir": folder, "log_format": "json" if as_json else None})
    log_to_stderr(settings)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    with Farm.from_settings(settings) as farm:
        keep_watching(farm, inbox or settings.inboxes, over)


@app.command(epilog=examples("farm folder look s3://sonic-farm/inbox"))
def look(inbox: Inboxes = None, as_json: Json = False, folder: Dir = None) -> None:
    """Ask the watchers of INBOX to look now: for a hook that hears of uploads. It may be lost, they look anyway."""
    from farm import Farm
    from farm.jobs.inboxes import bump

    with Farm.from_settings(dir=folder) as farm:
        asked = _watched(farm, inbox or list(farm.settings.inboxes))
        for one in asked:
            bump(farm.books, one.id)
    if as_json:
        say_json({"asked": [one.url for one in asked]})
    else:
        note(f"Asked the watchers of {', '.join(one.url for one in asked)} to look.")


@app.command(epilog=examples("farm folder status", "farm folder status s3://sonic-farm/inbox --json"))
def status(inbox: Inboxes = None, as_json: Json = False, folder: Dir = None) -> None:
    """Show how inboxes stand: what waits, what is in hand, what ended, and what a person should look at."""
    from farm import Farm
    from farm.folder.report import inbox_view

    with Farm.from_settings(dir=folder) as farm:
        views = [inbox_view(farm, one) for one in _known(farm, inbox)]
    if as_json:
        say_json([view.to_dict() for view in views])
    elif views:
        _show_status(views)
    else:
        note("No inbox is set or was ever watched: farm folder watch s3://bucket/inbox")


@app.command(epilog=examples("farm folder report s3://sonic-farm/inbox --csv files.csv"))
def report(
    inbox: OneInbox,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", show_default=False, help="Write it as CSV to this file.")
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Show a row for every file: taken or why not, its job, its video or the plain reason of its failure."""
    from farm import Farm
    from farm.cli.fetch import writable
    from farm.folder.report import file_rows

    if csv_file is not None:
        writable(csv_file)
    with Farm.from_settings(dir=folder) as farm:
        (one,) = _watched(farm, [inbox])
        with console(stderr=True).status("looking through the inbox ..."):
            rows = list(file_rows(farm, one))
    if csv_file is not None:
        _write_csv(csv_file, rows)
    if as_json:
        say_json([row.to_dict() for row in rows])
    elif csv_file is None:
        console().print(_file_table(rows))
    else:
        say(f"{csv_file} written, {len(rows)} files")


@app.command(
    epilog=examples(
        "farm folder redrive s3://sonic-farm/inbox maths/algebra-03.wav",
        "farm folder redrive s3://sonic-farm/inbox --all",
    )
)
def redrive(
    inbox: OneInbox,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", show_default=False, help="A file as it was called in the inbox, or a folder: maths/"
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", metavar="", help="All that failed.")] = False,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Try what failed once more: its files go back into INBOX and are taken under the defaults as they are now."""
    from farm import Farm
    from farm.folder.report import redrive as put_back

    if bool(names) == everything:
        raise NotFoundError("wanted names of files that failed, or --all")
    with Farm.from_settings(dir=folder) as farm:
        (one,) = _watched(farm, [inbox])
        with console(stderr=True).status("putting files back ..."):
            found = put_back(farm, one, names or [], everything=everything)
    if as_json:
        say_json({"again": list(found.again), "refused": found.refused})
        return
    say(f"{len(found.again)} will be tried again.")
    for name, why in found.refused.items():
        note(f"{name}: {why}")


def _watched(farm: Farm, urls: list[str]) -> list[Inbox]:
    """Those asked for. Raises NotFoundError for one that nobody ever watched and no setting names."""
    from farm.folder.inbox import inboxes

    known = {one.url for one in _known(farm, None)}
    asked = inboxes(urls, farm.settings)
    for one in asked:
        if one.url not in known:
            raise NotFoundError(f"nobody watches {one.url}, wanted one of: {', '.join(sorted(known)) or 'none yet'}")
    return asked


def _known(farm: Farm, urls: list[str] | None) -> list[Inbox]:
    """Those asked for; else those of the settings and all that were ever watched."""
    from farm.folder.inbox import Inbox
    from farm.jobs.inboxes import known_inboxes

    wanted = urls or [*farm.settings.inboxes, *known_inboxes(farm.books).values()]
    found = {one.url: one for one in (Inbox.at(url, farm.settings) for url in wanted)}
    return list(found.values())


def _show_status(views: list[InboxView]) -> None:
    table = empty_table("inbox", "last look", "files", "waiting", "in hand", "done", "failed", whole=())
    for view in views:
        table.add_row(*_status_cells(view))
    console().print(table)
    for view in views:
        for problem in (*(view.look.problems if view.look else ()), *view.troubles):
            say(f"{view.url}: {problem}")


def _status_cells(view: InboxView) -> list[str]:
    import time

    look, claims = view.look, dict(view.claims)
    done, failed = claims.pop("done", 0), claims.pop("failed", 0)
    claims.pop("released", None)
    waiting = ", ".join(f"{count} {why}" for why, count in sorted(look.waiting.items())) if look else ""
    ago = f"{max(0.0, time.time() - look.at):.0f} s ago, took {look.seconds:.1f} s" if look else "never"
    return [
        view.url, ago, str(look.files if look else ""), waiting, str(sum(claims.values())), str(done), str(failed)
    ]  # fmt: skip


def _file_table(rows: list[FileRow]) -> Table:
    table = empty_table("file", "state", "job", "result or reason", whole=(1, 2))
    for row in rows:
        table.add_row(_visible(row.path), row.state, row.batch or row.job, row.result or _visible(row.words))
    return table


def _visible(text: str) -> str:
    """Without what a terminal would obey: names come from outside."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _write_csv(path: Path, rows: list[FileRow]) -> None:
    from dataclasses import fields

    from farm.batch.spreadsheet import write_table
    from farm.folder.report import FileRow

    columns = [each.name for each in fields(FileRow)]
    write_table(path, columns, ({name: _visible(value) for name, value in row.to_dict().items()} for row in rows))
