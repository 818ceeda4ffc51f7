"""`farm weights ...`: the model files of the Sonic renderer, looked at and brought here in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from farm.cli.options import Json, examples, nearest_dir

CHILD = (sys.executable, "-m", "engine.sonic.weights")
"""Needs torch, which the command line does without."""
KILLED = 128
"""What a shell adds to a signal's number for the exit code of a process that it ended."""

app = typer.Typer(
    name="weights", no_args_is_help=True, help="Check, fetch or make up the Sonic renderer's model files."
)

Weights = Annotated[
    Path,
    typer.Argument(metavar="DIR", show_default=False, help="Folder of the model files, in the released layout."),
]
Reach = Annotated[
    bool,
    typer.Option("--reach", metavar="", help="Measure the reach too: what a chunk must render and throw away."),
]
Portrait = Annotated[
    Path | None,
    typer.Option(metavar="FILE", show_default=False, help="With --reach: photo of a face. Default: a sample."),
]
Speech = Annotated[
    Path | None,
    typer.Option(metavar="FILE", show_default=False, help="With --reach: 10 s of speech or more. Default: a sample."),
]
Steps = Annotated[
    int | None, typer.Option(metavar="N", show_default=False, help="With --reach: denoising steps. Default: 25.")
]
Resolution = Annotated[
    int | None,
    typer.Option(metavar="PIXELS", show_default=False, help="With --reach: pixels of the shorter side. Default: 512."),
]
Yes = Annotated[bool, typer.Option("--yes", metavar="", help="Accept the licences without being asked.")]


@app.callback()
def weights() -> None:
    """Check, fetch or make up the Sonic renderer's model files."""


@app.command("check", epilog=examples("farm weights check checkpoints", "farm weights check checkpoints --reach"))
def check(
    ctx: typer.Context,
    folder: Weights,
    reach: Reach = False,
    portrait: Portrait = None,
    speech: Speech = None,
    steps: Steps = None,
    min_resolution: Resolution = None,
    as_json: Json = False,
) -> None:
    """Check every model file: there, whole, its keys, shapes and type; say where a missing one comes from.

    Exit code 0 when all are right, 2 when one is missing or wrong.

    With --reach, 10 s are then denoised in one piece and as two spans, on the GPU if there is one, and the reach is
    proposed from which on frames differ by less than 2 % of an ordinary frame step: 15 windows a denoising step.
    Setting sonic_reach is what chunks are planned with.
    """
    given = {"--portrait": portrait, "--speech": speech, "--steps": steps, "--min-resolution": min_resolution}
    named = {name: value for name, value in given.items() if value is not None}
    if named and not reach:
        raise typer.BadParameter(f"{', '.join(named)} is for measuring: say --reach too")
    if reach:
        from farm.settings import Settings

        named["--in-use"] = Settings.load({"dir": nearest_dir(ctx, None)}).sonic_reach
    options = [str(word) for pair in named.items() for word in pair]
    _run("reach" if reach else "check", folder, *options, as_json=as_json)


@app.command("fetch", epilog=examples("farm weights fetch checkpoints", "farm weights fetch checkpoints --yes --json"))
def fetch(folder: Weights, yes: Yes = False, as_json: Json = False) -> None:
    """Fetch what is missing from the Hugging Face hub, after showing sizes and licences; then check all of it.

    Sonic's weights are under CC BY-NC-SA 4.0, Stable Video Diffusion's under Stability's licence: accept both.
    An interrupted fetch goes on where it stopped. HF_TOKEN and HF_ENDPOINT hold as for every program of the hub.
    """
    _run("fetch", folder, *(["--yes"] if yes else []), as_json=as_json)


@app.command("tiny", epilog=examples("farm weights tiny tiny-checkpoints", "farm weights tiny tiny-checkpoints --json"))
def tiny(folder: Weights, as_json: Json = False) -> None:
    """Write a complete small checkpoint that runs on a CPU; its weights are drawn by lot, what it renders is noise."""
    _run("tiny", folder, as_json=as_json)


def _run(verb: str, folder: Path, *options: str, as_json: bool) -> None:
    """Run a verb in its own process, on this one's terminal; ends with its exit code."""
    command = [*CHILD, verb, *options, *(["--json"] if as_json else []), "--", str(folder)]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise typer.Exit(code if code > 0 else KILLED - code)
