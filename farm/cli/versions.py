"""`farm job versions`, `rollback` and `compare`: the results that a job has had."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from farm.cli.fetch import writable
from farm.cli.options import A_JOB, Dir, JobId, Json, examples
from farm.cli.screen import console, note, say, say_json, share_bar
from farm.cli.show import empty_table, headline, moment, plain

if TYPE_CHECKING:
    from rich.table import Table

    from farm.jobs.model import VersionView

DIGEST_SHOWN = 12
"""Letters of a digest that are printed: enough to tell versions apart."""


def versions(job_id: JobId, as_json: Json = False, folder: Dir = None) -> None:
    """List a job's versions: when each was made, of what, and what needs a look."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        found = farm.job(job_id).versions()
    if as_json:
        say_json([version.to_dict() for version in found])
    elif found:
        console().print(version_table(found))
    else:
        note("No version yet.")


def rollback(
    job_id: JobId,
    version: Annotated[int, typer.Argument(metavar="VERSION", show_default=False, help="Number of the version.")],
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Make an older version of a job the current one again: what is fetched, and what a redo builds on.

    A redo that failed or was cancelled is given up by it.
    """
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        job = farm.job(job_id)
        job.rollback(version)
        view = job.view()
    if as_json:
        say_json(view.to_dict())
    else:
        say(f"{headline(view)}  version {view.current} is the current one")


def compare(
    job_id: JobId,
    one: Annotated[
        int | None,
        typer.Argument(metavar="LEFT", show_default=False, help="A version. Default: the one before the current one."),
    ] = None,
    other: Annotated[
        int | None, typer.Argument(metavar="RIGHT", show_default=False, help="Another. Default: the current one.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", show_default=False, help="Where to write it. Default: JOB-compared.mp4"
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", show_default=False, help="Only 5 s before and behind this place: h:mm:ss, mm:ss or seconds."
        ),
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Write two versions of a job side by side as one video, with its sound; its provenance names both.

    Where they differ in size, the lower one is scaled to the height of the other.
    """
    from farm import Farm

    path = writable(output or Path(f"{job_id}-compared.mp4"))
    with Farm.from_settings(dir=folder) as farm:
        job = farm.job(job_id)
        with share_bar("comparing", quiet=as_json) as show_share:
            job.compare(path, one, other, at=at, on_progress=show_share)
    if as_json:
        say_json({"job": job_id, "output": str(path)})
    else:
        say(f"{path} written, {path.stat().st_size / 1e6:.1f} MB")


def version_table(found: list[VersionView]) -> Table:
    """Versions, a row each, oldest first."""
    shown = empty_table("version", "made", "of", "digest", "needs a look")
    for version in found:
        shown.add_row(
            Text(f"{version.number}, current" if version.current else f"{version.number}", style="bold"),
            moment(version.at),
            made_of(version, first=version is found[0]),
            version.digest[:DIGEST_SHOWN],
            "\n".join(f"{finding.timecode} {finding.sentence}" for finding in version.review),
        )
    return shown


def made_of(version: VersionView, *, first: bool) -> str:
    """'first', or what was drawn anew for it and by whom."""
    from farm.redo import in_words

    parts = ["first"] if first else []
    people = dict.fromkeys(redo.who for redo in version.redos)
    parts += [f"{in_words([redo for redo in version.redos if redo.who == who])}, by {who}" for who in people]
    return "\n".join(map(plain, parts))


def register(app: typer.Typer) -> None:
    app.command(epilog=examples(f"farm job versions {A_JOB}", f"farm job versions {A_JOB} --json"))(versions)
    app.command(epilog=examples(f"farm job rollback {A_JOB} 1"))(rollback)
    lines = (f"farm job compare {A_JOB} --at 03:12 --output look.mp4", f"farm job compare {A_JOB} 1 3")
    app.command(epilog=examples(*lines))(compare)
