"""docs/cli.md, docs/settings.md and .env.example, written from the program itself: python -m farm.cli.docs"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.main
from pydantic_core import PydanticUndefined

from farm.cli.main import app
from farm.settings import Settings, environment_key, is_secret, shown_value

WRITTEN_BY = "<!-- Written by `python -m farm.cli.docs`; change the program, not this page. -->"
MADE_BY_A_RULE = {"owner": "who is logged in"}
"""Defaults that are not the same everywhere."""
GROUPS = {
    "dir": "The folder",
    "redis_url": "Redis",
    "s3_endpoint": "Storage",
    "slots": "Workers of this machine",
    "lease_seconds": "Jobs",
    "inboxes": "Drop folder",
    "keep_segments_days": "What is kept",
    "owner": "People and logs",
    "metrics_host": "Metrics",
    "webhook_secret": "Webhooks",
    "flower_port": "Flower",
}
"""First setting of a group -> the group's heading."""


def default_text(name: str) -> str:
    """A setting's default as one would write it; empty where there is none."""
    default = Settings.model_fields[name].default
    if default is PydanticUndefined:
        return MADE_BY_A_RULE[name]
    if default is not None and is_secret(name):
        return str(default)  # a default is printed in the source: there is nothing to hide
    return shown_value(name, default)


def wanted_text(name: str) -> str:
    """The values a setting may have, where they are bounded: '1 to 3600', 'path or virtual'."""
    field = Settings.model_fields[name]
    if get_origin(field.annotation) is Literal:
        return " or ".join(get_args(field.annotation))
    bounds = {
        bound: getattr(rule, bound) for rule in field.metadata for bound in ("ge", "gt", "le") if hasattr(rule, bound)
    }
    low = f"{bounds['ge']:g}" if "ge" in bounds else f"above {bounds['gt']:g}" if "gt" in bounds else ""
    return f"{low} to {bounds['le']:g}" if "le" in bounds else low


def env_example() -> str:
    """.env.example: every setting with its default, commented out."""
    lines = [
        "# Settings of sonic-farm. Take the # away where you want another value; docs/settings.md says more.",
        "# Named .env, it is read by docker compose alone: farm reads exported variables and farm.toml.",
    ]
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            lines += ["", f"# -- {GROUPS[name]}"]
        value = "" if name in MADE_BY_A_RULE else default_text(name)
        lines += [f"# {field.description}", f"# {environment_key(name)}={value}"]
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """docs/settings.md: one table a group."""
    lines = [
        "# Settings",
        WRITTEN_BY,
        "",
        "Every setting can stand in the environment as `FARM_NAME` and in the `[farm]` table of `farm.toml` as `name`.",
        "What wins: an option on the command line, then the environment, then `farm.toml`, then the default.",
        "`farm up` writes `farm.toml` into the folder that `--dir` names, else `FARM_DIR`, else `.farm`, and every",
        "command reads it there. An empty variable counts as not set. Lists are written with commas.",
        "`farm settings show` prints what holds and where each value came from.",
    ]
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            lines += ["", f"## {GROUPS[name]}", "", "| variable | default | wanted | what it is |", "|---|---|---|---|"]
        default = default_text(name)
        shown = default if name in MADE_BY_A_RULE or not default else f"`{default}`"
        meaning = f"{field.description}{' (secret)' * is_secret(name)}"
        lines.append(f"| `{environment_key(name)}` | {shown} | {wanted_text(name)} | {meaning} |")
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """docs/cli.md: every command with its arguments, options and examples."""
    root = typer.main.get_command(app)
    context = root.make_context("farm", [], resilient_parsing=True)
    return "\n".join(["# Command line", WRITTEN_BY, "", *_command("farm", root, context)]).rstrip() + "\n"


def _command(path: str, command: Any, context: Any) -> Iterator[str]:
    yield from (f"## `{path}`", "", (command.help or "").strip(), "")
    usage = " ".join(command.collect_usage_pieces(context)).translate({ord(brace): None for brace in "{}"})
    yield from ("```", f"{path} {usage}", "```", "")
    rows = [row for parameter in command.get_params(context) if (row := _row(parameter, context))]
    if rows:
        yield from ("| | |", "|---|---|", *rows, "")
    if command.epilog:
        yield from (command.epilog.strip(), "")
    for name, inner in getattr(command, "commands", {}).items():
        yield from _command(f"{path} {name}", inner, context)


def _row(parameter: Any, context: Any) -> str | None:
    record = parameter.get_help_record(context)
    if record is None or parameter.name in {"help", "install_completion", "show_completion"}:
        return None
    usage, text = (part.strip().replace("|", "\\|") for part in record)
    return f"| `{usage}` | {text} |"


def write(root: Path) -> None:
    """Write the three files below `root`."""
    (root / ".env.example").write_text(env_example(), encoding="utf-8")
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
    (root / "docs" / "cli.md").write_text(cli_page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path.cwd())
