"""`farm job redo`: what a person did not like, rendered again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engine.spec import RANGES
from farm.cli.follow import follow
from farm.cli.options import A_JOB, Dir, JobId, Json, examples
from farm.cli.screen import say, say_json

if TYPE_CHECKING:
    from farm.jobs.redo import Redo


def redo(
    job_id: JobId,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME",
            show_default=False,
            help="The chunk at this place of the video: h:mm:ss, mm:ss or seconds; 1:03:12.5. May be given again.",
        ),
    ] = None,
    chunk: Annotated[
        list[int] | None,
        typer.Option(metavar="N", min=1, show_default=False, help="This chunk, counted from 1. May be given again."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help=f"Seed of the new chance, {RANGES['seed']}, not the one in use there; its frames stay, "
            "even if they look broken. Default: derived from the job's, and rendered again if it looks broken.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", metavar="", help="Stay until the job ends. Ctrl-C ends the waiting, not the job.")
    ] = False,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Render chunks of a finished job again, with another seed, to a new version. All else stays as it is.

    Beside a cut, within two thirds of a second, both its chunks are drawn anew. The versions before are kept: see `farm
    job versions`, `farm job compare` and `farm job rollback`.
    """
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        job = farm.job(job_id)
        redos = job.redo(at=at or (), chunks=[number - 1 for number in chunk or ()], seed=seed)
        if not as_json:
            say(_announced(job_id, redos))
        try:
            if wait:
                follow(job, folder=folder, quiet=as_json)
        finally:
            if as_json:
                say_json({**job.view().to_dict(), "redos": [one.to_dict() for one in redos]})


def _announced(job_id: str, redos: list[Redo]) -> str:
    from farm.redo import in_words

    return f"Job {job_id} renders again: {in_words(redos)}."


EXAMPLES = examples(
    f"farm job redo {A_JOB} --at 03:12",
    f"farm job redo {A_JOB} --at 03:12 --at 1:14:02 --wait",
    f"farm job redo {A_JOB} --chunk 4 --seed 77",
)


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(redo)
