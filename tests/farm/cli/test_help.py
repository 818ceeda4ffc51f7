"""What help, errors and Tab teach; what the command line does not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from engine.spec import RANGES, RenderSpec
from farm.cli import docs
from farm.cli.main import app, run

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]


def commands(command: Any, path: str = "farm") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}")


EVERY = dict(commands(typer.main.get_command(app)))


def test_the_pages_that_are_written_from_the_program_are_up_to_date() -> None:
    """If this fails: python -m farm.cli.docs"""
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == docs.cli_page()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == docs.settings_page()
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == docs.env_example()


@pytest.mark.parametrize("path", EVERY)
def test_every_command_and_every_option_has_help(path: str) -> None:
    command = EVERY[path]
    assert command.help
    for parameter in command.params:
        assert parameter.help, parameter.name


@pytest.mark.parametrize("path", [path for path, command in EVERY.items() if not hasattr(command, "commands")])
def test_every_command_shows_an_example_and_takes_json_and_dir(path: str) -> None:
    command = EVERY[path]
    assert path in (command.epilog or "")
    # the demo makes a farm of its own; model files are no farm's, and a video speaks for itself
    farmless = path.startswith("farm weights ") or path == "farm verify"
    where = {"--to"} if path == "farm demo" else set() if farmless else {"--dir"}
    assert {"--json"} | where <= {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("name", ["steps", "dynamic_scale", "motion_scale", "expand_ratio", "min_resolution"])
def test_help_of_submit_names_range_and_default(name: str) -> None:
    option = next(parameter for parameter in EVERY["farm submit"].params if parameter.name == name)
    assert str(RANGES[name]) in option.help
    stated = getattr(RenderSpec, name)
    assert option.default == stated or f"Default: {stated}" in option.help


def test_help_documents_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    lines = [
        line.split()[0] for line in capsys.readouterr().out.partition("Exit codes")[2].splitlines() if line.strip()
    ]
    assert lines[1:] == ["0", "1", "2", "3", "4", "130"]


@pytest.mark.parametrize("arguments", [[], ["job"], ["slot"], ["settings"]])
def test_a_noun_without_a_verb_prints_its_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert "Usage: " in said.out
    assert said.err == ""


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip()[0].isdecimal()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["job", "show"], "JOB"),
        (["job", "priority", "x", "first"], "first"),
        (["submit", "a.jpg", "b.wav", "--steps", "many"], "many"),
        (["nonsense"], "nonsense"),
        (["job", "list", "--state", "asleep"], "asleep"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_sentence(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count(word) == 1
    assert "--help" in said.err
    assert len(said.err.splitlines()) == 1


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = ("torch", "av", "cv2", "numpy", "boto3", "PIL", "workers")
    code = f"import sys, farm.cli.main; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == "[]"
