"""Options and arguments that several commands share, and how the shell completes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.errors import FarmError
from farm.jobs.model import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from farm import Farm

A_JOB = "20261122-181530-k3f9ab"
"""What a job's id looks like, for examples."""
PRIORITY_WORDS = f"{PRIORITIES.start} (served first) to {PRIORITIES.stop - 1} (last)"


def nearest_dir(ctx: typer.Context, value: Path | None) -> Path | None:
    """--dir may stand before the command or behind it; the one behind wins."""
    return value if value is not None else ctx.find_root().params.get("folder")


def completing(
    look: Callable[[Farm], Iterable[tuple[str, str]]],
) -> Callable[[typer.Context, str], list[tuple[str, str]]]:
    """Completion from what the farm has: ids, each with words on it."""

    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        from farm import Farm

        try:
            with Farm.from_settings(dir=nearest_dir(ctx, ctx.params.get("folder"))) as farm:
                found = look(farm)
        except FarmError:  # pressing Tab is no place for an error: the command itself will print it
            return []
        return [(name, words) for name, words in found if name.startswith(incomplete)]

    return complete


complete_job = completing(lambda farm: [(job.id, f"{job.name}, {job.state}") for job in farm.jobs(limit=100)])
complete_batch = completing(lambda farm: [(row.id, f"{row.name}, {row.state}") for row in farm.batches(limit=100)])


def complete_renderer(ctx: typer.Context, incomplete: str) -> list[str]:
    """Renderers that the farm's slots have declared; without an answer, those of the settings."""
    from farm import Farm
    from farm.settings import Settings

    names: set[str] = set()
    try:
        settings = Settings.load({"dir": nearest_dir(ctx, ctx.params.get("folder"))})
        names.update(declaration.partition("=")[0] for declaration in settings.renderers)
        with Farm.from_settings(settings) as farm:
            names.update(name for slot in farm.slots() for name in slot.renderers)
    except FarmError:  # as above: what is known is still worth offering
        pass
    return sorted(name for name in names if name.startswith(incomplete))


def completes(words: Collection[str]) -> Callable[[str], list[str]]:
    """Completion from a fixed set of words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


Dir = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="FOLDER",
        callback=nearest_dir,
        show_default=False,
        help="Folder of the farm, whose farm.toml is read. Default: FARM_DIR, else .farm",
    ),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON, one value a line; errors too, on stderr.")]
JobId = Annotated[
    str,
    typer.Argument(
        metavar="JOB", autocompletion=complete_job, show_default=False, help="Id of the job (Tab completes it)."
    ),
]


def examples(*lines: str) -> str:
    """The end of a command's help, in Markdown."""
    return "\n".join(["Examples:", "", "```", *lines, "```"])
