"""`farm job ...`: look at jobs, steer them, fetch what they made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import redo, versions
from farm.cli.fetch import download, writable
from farm.cli.follow import follow
from farm.cli.options import A_JOB, PRIORITY_WORDS, Dir, JobId, Json, completes, examples
from farm.cli.screen import console, note, say, say_json
from farm.cli.seamchart import SeamChart
from farm.cli.show import JobCard, event_table, headline, job_table, plain
from farm.errors import InputRefusedError
from farm.jobs.model import JobState
from farm.logs import unit_words

if TYPE_CHECKING:
    from farm import Job
    from farm.storage.keys import ResultFile

PARTS: dict[str, ResultFile] = {
    "video": "video.mp4",
    "poster": "poster.jpg",
    "sheet": "sheet.jpg",
    "report": "report.json",
    "provenance": "provenance.json",
}
Priority = Annotated[int, typer.Argument(metavar="PRIORITY", show_default=False, help=f"{PRIORITY_WORDS}.")]

app = typer.Typer(name="job", no_args_is_help=True, help="Look at jobs, steer them, fetch what they made.")


@app.command(
    "list", epilog=examples("farm job list", "farm job list --owner ada --state rendering", "farm job list --json")
)
def list_jobs(
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Only jobs of this owner.")
    ] = None,
    state: Annotated[
        JobState | None,
        typer.Option(metavar="STATE", show_default=False, help=f"Only jobs in this state: {', '.join(JobState)}."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Most jobs to list, 1 or more.")] = 50,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """List jobs, newest first."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        views = farm.jobs(owner=owner, state=state, limit=limit)
    if as_json:
        say_json([view.to_dict() for view in views])
    elif views:
        console().print(job_table(views))
    else:
        note("No jobs.")


@app.command(
    epilog=examples(
        f"farm job show {A_JOB}",
        f"farm job show {A_JOB} --follow",
        f"farm job show {A_JOB} --follow --json | jq .percent",
        f"farm job show {A_JOB} --seams",
    )
)
def show(
    job_id: JobId,
    stay: Annotated[
        bool, typer.Option("--follow", metavar="", help="Stay until the job ends; exit codes as of `farm job wait`.")
    ] = False,
    seams: Annotated[
        bool, typer.Option("--seams", metavar="", help="Draw the seams of its result: how far each stands out.")
    ] = False,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Show a job: its chunk map, time left, what failed. With --follow, live."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        job = farm.job(job_id)
        if seams:
            _show_seams(job, as_json)
        elif stay:
            follow(job, as_json=as_json, folder=folder)
        else:
            _show(job, as_json)


@app.command(epilog=examples(f"farm job wait {A_JOB} && farm job fetch {A_JOB}"))
def wait(job_id: JobId, as_json: Json = False, folder: Dir = None) -> None:
    """Wait until a job ends. Exit code 0 when it is done, 3 when it failed or was cancelled.

    Ctrl-C ends the waiting, not the job.
    """
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        job = farm.job(job_id)
        try:
            follow(job, folder=folder, quiet=as_json)
        finally:
            if as_json:
                say_json(job.view().to_dict())


@app.command(epilog=examples(f"farm job events {A_JOB}"))
def events(job_id: JobId, as_json: Json = False, folder: Dir = None) -> None:
    """Print a job's history: what happened, when, and who did it."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        history = farm.job(job_id).events()
    if as_json:
        say_json([event.to_dict() for event in history])
    else:
        console().print(event_table(history))


@app.command(epilog=examples(f"farm job why {A_JOB}", f"farm job why {A_JOB} --json | jq -r .cause"))
def why(job_id: JobId, as_json: Json = False, folder: Dir = None) -> None:
    """Say in one sentence what a job waits for and which limit binds, or what it does."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        found = farm.job(job_id).why()
    if as_json:
        say_json(found.to_dict())
    else:
        say(plain(found.sentence))


@app.command(epilog=examples(f"farm job logs {A_JOB}", f"farm job logs {A_JOB} --chunk 4"))
def logs(
    job_id: JobId,
    chunk: Annotated[
        int | None, typer.Option(metavar="N", min=1, show_default=False, help="Only this chunk, counted from 1.")
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Print what the workers logged: every attempt at planning, at each chunk and at stitching."""
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        kept = farm.job(job_id).logs(None if chunk is None else chunk - 1)
    if as_json:
        say_json([{"unit": log.unit, "attempt": log.attempt, "text": log.text} for log in kept])
        return
    for log in kept:
        say(f"== {unit_words(log.unit)}, attempt {log.attempt} ==\n{log.text.rstrip()}\n")
    if not kept:
        note("No logs yet.")


@app.command(
    epilog=examples(
        f"farm job fetch {A_JOB}",
        f"farm job fetch {A_JOB} --output lesson.mp4",
        f"farm job fetch {A_JOB} --version 1",
        f"farm job fetch {A_JOB} --what poster --output lesson.jpg",
    )
)
def fetch(
    job_id: JobId,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            show_default=False,
            help="Where to write it. Default: JOB.mp4, JOB-poster.jpg ...",
        ),
    ] = None,
    what: Annotated[
        str,
        typer.Option(
            metavar="|".join(PARTS),
            autocompletion=completes(PARTS),
            help="Which part of the result; sheet: pictures with their times.",
        ),
    ] = "video",
    version: Annotated[
        int | None,
        typer.Option(metavar="N", show_default=False, help="This version of it. Default: the current one."),
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Download a job's video, or what comes with it."""
    from farm import Farm

    if what not in PARTS:
        raise InputRefusedError([f"--what is {what!r}, wanted one of {', '.join(PARTS)}"])
    part = PARTS[what]
    path = writable(output or Path(job_id + ("" if what == "video" else f"-{what}") + Path(part).suffix))
    with Farm.from_settings(dir=folder) as farm:
        job = farm.job(job_id)
        download(job, path, version=version, what=part, quiet=as_json)
        view = job.view()
    if as_json:
        say_json({**view.to_dict(), "output": str(path)})
    else:
        say(f"{path} written, {path.stat().st_size / 1e6:.1f} MB")


@app.command(epilog=examples(f"farm job cancel {A_JOB}"))
def cancel(job_id: JobId, as_json: Json = False, folder: Dir = None) -> None:
    """Cancel a job: chunks in hand stop, nothing more is rendered. `farm job retry` takes it up again."""
    _steer(job_id, lambda job: job.cancel(), as_json=as_json, folder=folder)


@app.command(epilog=examples(f"farm job retry {A_JOB}"))
def retry(job_id: JobId, as_json: Json = False, folder: Dir = None) -> None:
    """Take up a failed or cancelled job again; finished chunks are kept."""
    _steer(job_id, lambda job: job.retry(), as_json=as_json, folder=folder)


@app.command(epilog=examples(f"farm job pause {A_JOB}"))
def pause(job_id: JobId, as_json: Json = False, folder: Dir = None) -> None:
    """Hold a job until `farm job resume`: chunks in hand are given back, and rendered anew then."""
    _steer(job_id, lambda job: job.pause(), as_json=as_json, folder=folder)


@app.command(epilog=examples(f"farm job resume {A_JOB}"))
def resume(job_id: JobId, as_json: Json = False, folder: Dir = None) -> None:
    """Let a paused job go on."""
    _steer(job_id, lambda job: job.resume(), as_json=as_json, folder=folder)


@app.command(epilog=examples(f"farm job priority {A_JOB} 0"))
def priority(job_id: JobId, to: Priority, as_json: Json = False, folder: Dir = None) -> None:
    """Change how soon a job's waiting chunks are served."""
    _steer(job_id, lambda job: job.set_priority(to), as_json=as_json, folder=folder)


for more in (redo, versions):
    more.register(app)


def _show_seams(job: Job, as_json: bool) -> None:
    found = job.report()["seams"]
    if as_json:
        say_json(found)
        return
    console().print(SeamChart(found, frozenset(seam["cut"] for seam in found if not seam["accepted"])))


def _show(job: Job, as_json: bool) -> None:
    if as_json:
        say_json(job.view().to_dict())
    else:
        console().print(JobCard(job.view()))


def _steer(job_id: str, move: Callable[[Job], None], *, as_json: bool, folder: Path | None) -> None:
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        job = farm.job(job_id)
        move(job)
        view = job.view()
    if as_json:
        say_json(view.to_dict())
    else:
        say(headline(view))
