"""`farm demo`: the shipped lesson through a farm that is started for it and stopped after it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live

from engine.errors import MissingExtraError
from farm.cli.follow import PlainLines
from farm.cli.options import examples
from farm.cli.screen import console, note, say_json
from farm.cli.show import JobCard, duration, facts_table
from farm.errors import InputRefusedError, NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from rich.table import Table

    from farm import Job
    from farm.jobs.model import JobView
    from farm.local import Stack

SAMPLES = Path(__file__).parent.parent.parent / "samples"
PORTRAIT = "portrait.png"
SLOTS = 2


@dataclass(frozen=True)
class Show:
    """What is rendered: the sample, how it is cut, and the parameters."""

    video: str
    speech: str
    chunk_seconds: float
    parameters: dict[str, Any]


SHOWS = {
    "preview": Show("lesson.mp4", "lesson.opus", 10, {}),
    # made-up weights draw noise, in which no check finds a face; small and short, for this runs on a CPU
    "sonic": Show(
        "sonic.mp4", "greeting.opus", 2.5, {"renderer": "sonic", "steps": 4, "min_resolution": 128, "check": False}
    ),
}


def demo(
    folder: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="Where the video and the farm's state go.")
    ] = Path("demo"),
    renderer: Annotated[
        str,
        typer.Option(metavar="NAME", help="preview; or sonic, with tiny made-up weights whose picture is noise."),
    ] = "preview",
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object at the end.")] = False,
) -> None:
    """Render the shipped lesson from start to end: Redis, storage, workers, chunks in parallel, one checked video."""
    from farm import Farm
    from farm.local import embedded_stack, standing

    if renderer not in SHOWS:
        raise InputRefusedError([f"renderer is {renderer!r}, wanted one of {', '.join(SHOWS)}"])
    show = SHOWS[renderer]
    portrait, speech = _sample(PORTRAIT), _sample(show.speech)
    state = folder / "farm"
    if standing(state):
        raise NotAllowedError(f"a demo runs in {folder}: wait for its end, or name another folder with --to")
    shutil.rmtree(state, ignore_errors=True)  # each demo is a new farm
    began = time.monotonic()
    flags: dict[str, Any] = {"slots": SLOTS, "renderers": (renderer,)}
    if renderer == "sonic":
        flags["weights"] = _tiny_weights(folder / "weights")
    note("Starting a farm: Redis, storage, workers, sweeper, Flower ...")
    with embedded_stack(state, on_step=lambda step: note(f"  {step}"), **flags) as stack:
        up_after = time.monotonic() - began
        note(f"The farm is up after {duration(up_after)}. {_flower(stack)}")
        with Farm.from_settings(stack.settings) as farm:
            job = farm.submit(portrait, speech, name="Demo lesson", chunk_seconds=show.chunk_seconds, **show.parameters)
            submitted = time.monotonic()
            view = job.wait() if as_json else _watch(job)
            video = job.fetch(folder / show.video)
            seconds = time.monotonic() - submitted
            facts = _verify(job, view, speech, video) | {"seconds": round(seconds, 1), "video": str(video)}
        note("Stopping the farm ...")
    if as_json:
        say_json(facts | {"total_seconds": round(time.monotonic() - began, 1)})
    else:
        console().print(_summary(facts))
    if renderer == "sonic":
        note("The picture is noise: these weights are made up. `farm weights fetch DIR` gets the real ones.")


def _tiny_weights(folder: Path) -> Path:
    """A tiny made-up checkpoint, in a process of its own that may import torch."""
    if folder.is_dir():
        shutil.rmtree(folder)
    note("Making up tiny weights ...")
    command = [sys.executable, "-m", "engine.sonic.weights", "tiny", str(folder)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise MissingExtraError("farm demo --renderer sonic", "sonic")
    return folder.resolve()


def _sample(name: str) -> Path:
    path = SAMPLES / name
    if not path.is_file():
        raise NotFoundError(f"{path} is not there: the demo's samples come with a clone of the project")
    return path


def _flower(stack: Stack) -> str:
    flower = next((service for service in stack.services if service.name == "flower"), None)
    return f"Watch it in Flower while it runs: {flower.where} ({flower.login})" if flower else ""


def _watch(job: Job) -> JobView:
    screen = console(stderr=True)
    if not screen.is_terminal:
        return job.wait(on_change=PlainLines())
    with Live(JobCard(job.view()), console=screen, refresh_per_second=4) as live:
        return job.wait(on_change=lambda view: live.update(JobCard(view)))


def _verify(job: Job, view: JobView, speech: Path, video: Path) -> dict[str, Any]:
    """Read the fetched file back as a stranger would; raises ContractError."""
    from engine.media.audio import inspect_speech
    from engine.media.contract import check_contract

    report, heard = job.report(), inspect_speech(speech)
    check_contract(video, frames25=heard.frames25, size=(report["width"], report["height"]), speech=heard, seams=[])
    return {
        "job": job.id,
        "frames25": heard.frames25,
        "size": [report["width"], report["height"]],
        "video_seconds": round(heard.seconds, 2),
        "chunks": {str(chunk.index): chunk.slot for chunk in view.chunks},
        "digest": report["digest"],
        "bytes": video.stat().st_size,
    }


def _summary(facts: dict[str, Any]) -> Table:
    table = facts_table()
    width, height = facts["size"]
    slots = sorted(set(facts["chunks"].values()))
    table.add_row("video", f"{facts['video']}  {width}x{height}, {facts['bytes'] / 1e6:.1f} MB")
    table.add_row(
        "verified",
        f"{facts['frames25']} frames at 25 a second for {facts['video_seconds']} s of speech, nothing missing",
    )
    table.add_row("rendered", f"{len(facts['chunks'])} chunks on {len(slots)} slots: {', '.join(slots)}")
    speed = facts["video_seconds"] / facts["seconds"]
    compared = f"{speed:.1f} times faster" if speed >= 1 else f"{1 / speed:.1f} times slower"
    table.add_row("took", f"{facts['seconds']} s from submit to file, {compared} than it plays")
    return table


def register(app: typer.Typer) -> None:
    """Add the command."""
    lines = ("farm demo", "farm demo --to /tmp/look --json | jq .digest")
    app.command("demo", epilog=examples(*lines))(demo)
