"""`farm submit`: a portrait and a speech become a job."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.spec import BLURRY_BELOW_STEPS, FITS, FRAMINGS, QUALITIES, RANGES, SIZES, OutputSpec, RenderSpec
from farm.cli.fetch import download, writable
from farm.cli.follow import follow
from farm.cli.options import PRIORITY_WORDS, Dir, Json, complete_job, complete_renderer, completes, examples
from farm.cli.screen import console, note, say, say_json
from farm.jobs.model import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm import Farm, Job
    from farm.dryrun import DryRun

LOOK, FORM, ORDER = "What it looks like", "How it leaves", "How it is rendered"


def submit(
    portrait: Annotated[
        str,
        typer.Argument(metavar="PORTRAIT", show_default=False, help="Photo with one face: a file or s3://bucket/key."),
    ],
    speech: Annotated[
        str,
        typer.Argument(
            metavar="SPEECH", show_default=False, help="Recorded speech, audio or video: a file or s3://bucket/key."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default=False, help="What people call the job. Default: the speech's file name."
        ),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="Who it is for; owners share the farm fairly. Default: setting owner.",
        ),
    ] = None,
    renderer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_renderer,
            rich_help_panel=LOOK,
            help="What turns speech into frames: preview, sonic.",
        ),
    ] = RenderSpec.renderer,
    seed: Annotated[
        int,
        typer.Option(metavar="N", rich_help_panel=LOOK, help="Start of all chance, 0 or more: same seed, same frames."),
    ] = RenderSpec.seed,
    steps: Annotated[
        int,
        typer.Option(
            metavar="N",
            rich_help_panel=LOOK,
            help=f"Denoising steps, {RANGES['steps']}; below {BLURRY_BELOW_STEPS} is blurry.",
        ),
    ] = RenderSpec.steps,
    dynamic_scale: Annotated[
        float,
        typer.Option(
            metavar="X", rich_help_panel=LOOK, help=f"Gain from speech to mouth, factor {RANGES['dynamic_scale']}."
        ),
    ] = RenderSpec.dynamic_scale,
    motion_scale: Annotated[
        float,
        typer.Option(
            metavar="X", rich_help_panel=LOOK, help=f"Amplitude of mouth and head, factor {RANGES['motion_scale']}."
        ),
    ] = RenderSpec.motion_scale,
    expand_ratio: Annotated[
        float,
        typer.Option(
            metavar="X",
            rich_help_panel=LOOK,
            help=f"How far the face box grows before a face crop, share {RANGES['expand_ratio']}.",
        ),
    ] = RenderSpec.expand_ratio,
    min_resolution: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            rich_help_panel=LOOK,
            show_default=False,
            help=f"Pixels of the rendered picture's shorter side, {RANGES['min_resolution']}. "
            f"Default: {RenderSpec.min_resolution}, 1024 for --size 1080p.",
        ),
    ] = None,
    framing: Annotated[
        str,
        typer.Option(
            metavar="|".join(FRAMINGS),
            autocompletion=completes(FRAMINGS),
            rich_help_panel=LOOK,
            help="The whole photo, or a square around the face.",
        ),
    ] = RenderSpec.framing,
    smoothing: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            rich_help_panel=LOOK,
            show_default=False,
            help="Strength of the motion filter, 0 to 1. Default: the renderer's own (preview 0).",
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            metavar=f"source|{'|'.join(SIZES)}|WxH",
            autocompletion=completes(("source", *SIZES)),
            rich_help_panel=FORM,
            help="Pixels of the video; source: as rendered.",
        ),
    ] = OutputSpec.size,
    fit: Annotated[
        str,
        typer.Option(
            metavar="|".join(FITS),
            autocompletion=completes(FITS),
            rich_help_panel=FORM,
            help="Fill another shape with borders, or by cutting.",
        ),
    ] = OutputSpec.fit,
    paste_back: Annotated[
        bool,
        typer.Option("--paste-back", metavar="", rich_help_panel=FORM, help="Put the face crop back into the photo."),
    ] = False,
    quality: Annotated[
        str,
        typer.Option(
            metavar="|".join(QUALITIES),
            autocompletion=completes(QUALITIES),
            rich_help_panel=FORM,
            help="The encoder's preset.",
        ),
    ] = OutputSpec.quality,
    subtitles: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", rich_help_panel=FORM, show_default=False, help="SRT to carry along as a text track."
        ),
    ] = None,
    mark: Annotated[
        bool,
        typer.Option("--mark", metavar="", rich_help_panel=FORM, help="Write AI-generated into the picture."),
    ] = False,
    consent: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=FORM,
            show_default=False,
            help="Where the agreement of the person shown is kept; the video carries it.",
        ),
    ] = "",
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate/--no-calibrate",
            metavar="",
            rich_help_panel=FORM,
            help="Measure the lag between mouth and speech, and correct it.",
        ),
    ] = True,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            metavar="",
            rich_help_panel=ORDER,
            show_default=False,
            help="Render again what looks broken, twice at most. Default: setting check.",
        ),
    ] = None,
    priority: Annotated[
        int, typer.Option(metavar="N", rich_help_panel=ORDER, help=f"{PRIORITY_WORDS}.")
    ] = DEFAULT_PRIORITY,
    duration: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            rich_help_panel=ORDER,
            show_default=False,
            help="Refuse the job unless the speech lasts this long, to a frame (0.04 s). Default: not asked.",
        ),
    ] = None,
    chunk_seconds: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            rich_help_panel=ORDER,
            show_default=False,
            help="Seconds of video in a chunk, about. Default: setting chunk_seconds, fitted to the farm.",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=ORDER,
            show_default=False,
            help="Submits with one token are one job. Default: same owner, inputs and settings are.",
        ),
    ] = None,
    edit_of: Annotated[
        str,
        typer.Option(
            metavar="JOB",
            autocompletion=complete_job,
            rich_help_panel=ORDER,
            show_default=False,
            help="Keep this job's cuts where the speech is the same, so that only what changed is rendered.",
        ),
    ] = "",
    webhook: Annotated[
        str,
        typer.Option(
            metavar="URL",
            rich_help_panel=ORDER,
            show_default=False,
            help="Tell this URL, signed, when the job is done, failed or cancelled, or needs a look.",
        ),
    ] = "",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Check and plan, and show the plan; nothing is queued or stored."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", metavar="", help="Stay until the job ends. Ctrl-C ends the waiting, not the job.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", show_default=False, help="Wait, then write the video here."),
    ] = None,
    as_json: Json = False,
    folder: Dir = None,
) -> None:
    """Turn a PORTRAIT and a SPEECH into a talking-head video.

    Both are checked first; what is refused leaves nothing behind. Prints the job's id, which `farm job` takes.
    """
    from farm import Farm

    if output is not None:
        writable(output)
    wanted: dict[str, Any] = {
        "name": name,
        "owner": owner,
        "priority": priority,
        "duration": duration,
        "chunk_seconds": chunk_seconds,
        "token": token,
        "subtitles": subtitles,
        "consent": consent,
        "edit_of": edit_of,
        "webhook": webhook,
        "renderer": renderer,
        "seed": seed,
        "steps": steps,
        "dynamic_scale": dynamic_scale,
        "motion_scale": motion_scale,
        "expand_ratio": expand_ratio,
        "framing": framing,
        "size": size,
        "fit": fit,
        "paste_back": paste_back,
        "quality": quality,
        "mark": mark,
        "calibrate": calibrate,
    }
    # left out, they mean what the renderer, the size and the settings say
    wanted |= {
        what: value
        for what, value in (("min_resolution", min_resolution), ("smoothing", smoothing), ("check", check))
        if value is not None
    }
    with Farm.from_settings(dir=folder) as farm:
        if dry_run:
            _show_plan(farm, portrait, speech, wanted, as_json=as_json)
            return
        saved = _saved(farm, portrait, speech, wanted, quiet=as_json) if edit_of else {}
        job = _submitted(farm, portrait, speech, wanted, quiet=as_json)
        if not as_json:
            _announce(job)
        try:
            if wait or output is not None:
                _finish(job, output, as_json=as_json, folder=folder)
        finally:
            if as_json:
                extra = {"output": str(output)} if output is not None else {}
                say_json({**job.view().to_dict(), **saved, "created": job.created, **extra})


def _submitted(farm: Farm, portrait: str, speech: str, wanted: dict[str, Any], *, quiet: bool) -> Job:
    with _progress(quiet) as show:
        return farm.submit(portrait, speech, on_progress=show, **wanted)


def _saved(farm: Farm, portrait: str, speech: str, wanted: dict[str, Any], *, quiet: bool) -> dict[str, int]:
    """Say how many chunks are rendered already; answers the count too, as the job will have it once it is planned."""
    from farm.reuse import in_words

    found = _planned(farm, portrait, speech, wanted, quiet=quiet)
    if found.rendered is None:
        return {}
    if not quiet:
        say(f"{in_words(found.plan, found.rendered).capitalize()}.")
    return {"rendered": len(found.rendered)}


def _show_plan(farm: Farm, portrait: str, speech: str, wanted: dict[str, Any], *, as_json: bool) -> None:
    found = _planned(farm, portrait, speech, wanted, quiet=as_json)
    if as_json:
        say_json(found.to_dict())
    else:
        from farm.cli.planchart import PlanChart

        console().print(PlanChart(found))


def _planned(farm: Farm, portrait: str, speech: str, wanted: dict[str, Any], *, quiet: bool) -> DryRun:
    with _progress(quiet) as show:
        return farm.dry_run(portrait, speech, on_progress=show, **wanted)


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, float], None] | None]:
    """A line that says what is being done, on a terminal."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield None
        return
    with screen.status("checking ...") as status:

        def show(what: str, share: float) -> None:
            status.update(f"{what} {share:.0%}" if share else f"{what} ...")

        yield show


def _announce(job: Job) -> None:
    for warning in job.warnings:
        note(f"Warning: {warning}")
    if job.created:
        say(f"Job {job.id} submitted.")
    else:
        say(f"Job {job.id} is the same, {job.view().state} already. For a job of its own, give another --token.")


def _finish(job: Job, output: Path | None, *, as_json: bool, folder: Path | None) -> None:
    follow(job, folder=folder, quiet=as_json)
    if output is not None:
        download(job, output, quiet=as_json)
        if not as_json:
            say(f"{output} written, {output.stat().st_size / 1e6:.1f} MB")


EXAMPLES = examples(
    "farm submit ada.jpg algebra-03.wav",
    "farm submit ada.jpg algebra-03.wav --renderer sonic --steps 25 --wait --output algebra-03.mp4",
    "farm submit s3://lessons/ada.jpg s3://lessons/03.m4a --owner school-7 --priority 2 --json",
)


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLES)(submit)
