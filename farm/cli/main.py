"""The command line's root: its commands, and the one place where an error becomes an exit code."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from engine.errors import EngineError, InputError, MissingExtraError, UnknownRendererError
from farm.cli import (
    batch,
    clean,
    demo,
    doctor,
    folder,
    job,
    recover,
    settings,
    slot,
    stack,
    submit,
    top,
    verify,
    webhook,
    weights,
)
from farm.cli.options import Dir  # noqa: TC001  # Typer reads it
from farm.cli.screen import complain
from farm.errors import FarmError

EXIT_WRONG_INPUT, EXIT_NOT_WELL, EXIT_INTERRUPTED, EXIT_NO_READER = 2, 4, 130, 1
HELP = """Turn a portrait photo and a recorded lesson into a talking-head video, on a farm of workers.

`farm demo` shows all of it in one go. For your own: `farm up`, then `farm submit`, then `farm job show`.
"""
EXIT_CODES = """Exit codes:

```
0    done
1    farm verify: the video is not what it says it is
2    wrong input: a file, an option, a setting, a job that is not there
3    the job failed or was cancelled
4    the farm cannot be reached, or something about it is wrong
130  interrupted (Ctrl-C)
```
"""

app = typer.Typer(
    name="farm",
    help=HELP,
    epilog=EXIT_CODES,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("sonic-farm"))
        raise typer.Exit


@app.callback()
def root(
    folder: Dir = None,
    print_version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


for command in (demo, stack, submit, top, verify, doctor, recover, clean):
    command.register(app)
for noun in (job, batch, folder, slot, weights, webhook, settings):
    app.add_typer(noun.app)


def run(arguments: list[str]) -> int:
    """Run one command; the exit code. What is not an error of ours, of the engine's or of usage is a bug and passes."""
    as_json = "--json" in arguments
    try:
        code = app(arguments, prog_name="farm", standalone_mode=False) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has gone, as `| head` does: nothing to say, nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_NO_READER
    except typer.TyperException as error:
        if error.format_message():  # a noun without a verb has printed its help already
            complain("usage", _usage_sentence(error), problems=[], as_json=as_json)
        return EXIT_WRONG_INPUT
    except FarmError as error:
        complain(error.code, str(error), problems=getattr(error, "problems", []), as_json=as_json)
        return error.exit_code
    except EngineError as error:
        complain(error.code, str(error), problems=getattr(error, "problems", []), as_json=as_json)
        given = isinstance(error, InputError | UnknownRendererError | MissingExtraError)
        return EXIT_WRONG_INPUT if given else EXIT_NOT_WELL
    if code == EXIT_INTERRUPTED:  # click's answer to Ctrl-C
        complain("interrupted", "Interrupted.", problems=[], as_json=as_json)
    return int(code)


def _usage_sentence(error: typer.TyperException) -> str:
    """What is wrong with the words of a command, with the value found where Typer leaves it out."""
    from pydantic import ValidationError

    sentence = error.format_message().replace("\n\t", " ").rstrip(".")
    sentence = sentence.replace("Value error, ", "")  # pydantic's word for an error of ours or Typer's
    if isinstance(error.__cause__, ValidationError):
        found = repr(error.__cause__.errors()[0]["input"])
        sentence += "" if found in sentence else f", found {found}"
    command = getattr(getattr(error, "ctx", None), "command_path", "farm")
    return f"{sentence} (see {command} --help)"


def main() -> None:
    """Entry point of `farm`."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without Unicode must not crash us
    sys.exit(run(sys.argv[1:]))
