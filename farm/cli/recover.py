"""`farm recover`: the books, rebuilt from storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from farm.cli.options import Dir, Json, examples
from farm.cli.screen import console, say, say_json

if TYPE_CHECKING:
    from farm import Farm
    from farm.recover import Recovered

EXIT_UNREADABLE = 4


def recover(as_json: Json = False, folder: Dir = None) -> None:
    """Bring back from storage the jobs that Redis has lost. Finished chunks are not rendered again.

    Safe at any time and as often as you like: jobs that Redis knows are left alone. Exit code 4 when a job's objects
    in storage cannot be read; the others come back all the same.
    """
    from farm import Farm

    with Farm.from_settings(dir=folder) as farm:
        found = _recover(farm)
    if as_json:
        say_json(found.to_dict())
    else:
        say(summary(found))
    if found.problems:
        raise typer.Exit(EXIT_UNREADABLE)


def summary(found: Recovered) -> str:
    """What came back, in a sentence; below it a line for each job that could not."""
    states = ", ".join(f"{count} {state}" for state, count in sorted(found.back.items()))
    back = sum(found.back.values())
    came = f"{back} came back ({states}) with {found.chunks} finished chunks" if back else "none came back"
    lines = [f"{found.jobs} jobs in storage: {found.known} known, {came}"]
    return "\n".join([*lines, *(f"{job} could not come back: {why}" for job, why in found.problems.items())])


def _recover(farm: Farm) -> Recovered:
    screen = console(stderr=True)
    if not screen.is_terminal:
        return farm.recover()
    with screen.status("looking through storage ...") as status:
        return farm.recover(on_step=lambda so_far: status.update(f"{so_far.jobs} jobs, {so_far.known} known ..."))


def register(app: typer.Typer) -> None:
    app.command(epilog=examples("farm recover", "farm recover --json"))(recover)
