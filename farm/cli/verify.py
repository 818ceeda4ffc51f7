"""`farm verify`: where a video comes from, and whether it is still the one that was made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from farm.cli.options import Json, examples
from farm.cli.screen import console, say_json
from farm.cli.show import facts_table, plain

if TYPE_CHECKING:
    from rich.table import Table

    from engine.media.provenance import Provenance
    from farm.verify import Verdict

EXIT_NOT_RIGHT = 1


def verify(
    video: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="A video that the farm made.")],
    portrait: Annotated[
        Path | None,
        typer.Option("--portrait", metavar="FILE", show_default=False, help="A photo: was it made of this one?"),
    ] = None,
    speech: Annotated[
        Path | None,
        typer.Option("--speech", metavar="FILE", show_default=False, help="A recording: was it made of this one?"),
    ] = None,
    subtitles: Annotated[
        Path | None,
        typer.Option("--subtitles", metavar="FILE", show_default=False, help="An SRT file: does it carry this one?"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read where a video comes from, out of the file itself, and compare it with what the file holds.

    No farm is needed. Exit code 0 when all is right, 1 when something is not, 2 when the file carries no provenance.
    """
    from farm.verify import verify as verified

    verdict = verified(video, portrait=portrait, speech=speech, subtitles=subtitles)
    if as_json:
        say_json(verdict.to_dict())
    else:
        _print(video, verdict)
    if not verdict.right:
        raise typer.Exit(EXIT_NOT_RIGHT)


def _print(video: Path, verdict: Verdict) -> None:
    screen = console()
    word = Text("right", "green") if verdict.right else Text("NOT RIGHT", "bold red")
    screen.print(Text.assemble((plain(video.name), "bold"), "  AI-generated video: ", word))
    screen.print(_facts(verdict.provenance))
    for check in verdict.checks:
        mark = ("WRONG", "bold red") if check.problem else ("ok   ", "green")
        screen.print(Text.assemble(mark, f"  {plain(check.what)}"), soft_wrap=True)
        if check.problem:
            screen.print(f"       {plain(check.problem)}", soft_wrap=True)


def _facts(provenance: Provenance) -> Table:
    table = facts_table()
    weights = f", weights {provenance.weights}" if provenance.weights else ""
    beside = f" beside version {provenance.beside}" if provenance.beside else ""
    for name, value in (
        ("name", provenance.name),
        ("job", f"{provenance.job}, version {provenance.result}{beside}"),
        ("made", f"{provenance.made} by {provenance.program}"),
        ("renderer", f"{provenance.renderer} {provenance.renderer_version}{weights}"),
        ("licence", provenance.licence or "the renderer names none"),
        ("portrait", provenance.portrait),
        ("speech", provenance.speech),
        ("subtitles", provenance.subtitles or "none were given"),
        ("seed", str(provenance.seed) + (f"; {provenance.redrawn}" if provenance.redrawn else "")),
        ("consent", provenance.consent or "none was given"),
    ):
        table.add_row(name, plain(value))
    return table


def register(app: typer.Typer) -> None:
    app.command(
        epilog=examples(
            "farm verify lesson.mp4",
            "farm verify lesson.mp4 --portrait portrait.jpg --speech lesson.wav --subtitles lesson.srt",
            "farm verify lesson.mp4 --json",
        )
    )(verify)
