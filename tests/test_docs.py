"""The documentation, held to the program: links, commands, settings, tables, and Python that really runs."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer.main
from PIL import Image

from engine.plan import Geometry, plan_chunks
from engine.renderer import Inputs, OnProgress, Renderer
from engine.spec import ChunkSpec
from farm import Farm, Settings
from farm.cli.main import app
from farm.jobs.model import JOB_MOVES, UNIT_MOVES
from farm.messages import celery_config
from farm.settings import environment_key
from tests.conftest import PORTRAIT, environment_of
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "samples").glob("*.md"),
        *(ROOT / "tests").rglob("*.md"),
    ]
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
ROOT_COMMAND = typer.main.get_command(app)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def without_fences(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_fences(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[tuple[str, bool]]:
    """Every farm command that a page names, and whether it is one to be typed as it stands."""
    for line in "\n".join(blocks(page, "")).splitlines():
        if "[OPTIONS]" in line or "[ARGS]" in line or line.startswith(" "):
            continue  # how a command is made up, or a picture
        for part in re.split(r"&&|\|", line.partition("  #")[0]):
            typed = re.sub(r"^\s*(\$ |[A-Z_]+=\S+ )?", "", part)
            if typed.startswith("farm "):
                yield typed, True
    for text in INLINE.findall(without_fences(page)):
        if text.startswith("farm ") and not re.search(r"\b(NOUN|VERB)\b", text):
            yield text, False


def parse(command: str, *, whole: bool) -> None:
    """Parse a command without running it; one that is only named may lack its arguments."""
    words = [word for word in shlex.split(command)[1:] if word != "..."]
    context = ROOT_COMMAND.make_context("farm", list(words), resilient_parsing=not whole)
    found: Any = ROOT_COMMAND
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        assert words[0] in found.commands, f"{command!r}: there is no {words[0]!r}"
        found = found.commands[words.pop(0)]
    options = {option for parameter in found.get_params(context) for option in parameter.opts}
    assert not [word for word in words if word.startswith("-") and word not in options], command
    if whole:
        found.make_context(command, words, parent=context)


@each_page
def test_every_link_and_picture_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(without_fences(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path) if path else page
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} links to {target}"


def test_every_page_of_docs_is_reached_from_the_readme() -> None:
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in LINK.findall((ROOT / "README.md").read_text())}
    assert set((ROOT / "docs").glob("*.md")) <= linked
    assert set(ROOT.glob("*.md")) - {ROOT / "README.md"} <= linked


@each_page
def test_every_farm_command_is_one(page: Path) -> None:
    for command, whole in commands(page):
        parse(command, whole=whole)


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    for wrong in ("farm job shows", "farm submit --colour", "farm up --slot 2"):
        with pytest.raises(AssertionError):
            parse(wrong, whole=False)


@each_page
def test_every_setting_named_exists(page: Path) -> None:
    known = {environment_key(name) for name in Settings.model_fields} | {"FARM_NAME"}
    assert set(re.findall(r"\bFARM_[A-Z0-9_]+\b", page.read_text(encoding="utf-8"))) <= known


@each_page
def test_every_verb_of_make_named_is_in_the_makefile(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    typed = [line for _, block in FENCE.findall(text) for line in block.splitlines()] + INLINE.findall(
        without_fences(page)
    )
    named = {verb for line in typed for verb in re.findall(r"^make ([a-z]+)", line)}
    assert named <= verbs()


def test_every_verb_of_make_is_explained_to_contributors() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert not [verb for verb in verbs() if f"`make {verb}`" not in text and verb != "help"]


def verbs() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_nothing_names_a_place_that_readers_do_not_have() -> None:
    texts = [*PAGES, *(ROOT / "docs" / "pictures").glob("*.svg"), ROOT / ".env.example", ROOT / "compose.yaml"]
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pypi\.org|pythonhosted|index-url|(?<!\w)/(work|root|home|Users)/", text), path


def test_the_licence_is_the_one_that_the_package_declares() -> None:
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def rows(page: str, heading: str) -> list[list[str]]:
    """Cells of the first table whose heading row begins with `heading`, without that row."""
    table = (ROOT / page).read_text(encoding="utf-8").split(f"\n| {heading} |")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize(("heading", "moves"), [("job | may become", JOB_MOVES), ("unit | may become", UNIT_MOVES)])
def test_the_tables_of_states_are_those_of_the_program(heading: str, moves: dict[Any, frozenset[Any]]) -> None:
    told: dict[str, set[str]] = {}
    for states, becomes in rows("ARCHITECTURE.md", heading):
        words = re.findall(r"\w+", re.sub(r"\(.*?\)|:.*", "", becomes))
        told |= {state: {word for word in words if word in set(moves)} for state in states.split(", ")}
    assert told == {str(state): {str(to) for to in allowed} for state, allowed in moves.items()}


def test_the_example_of_a_plan_is_what_the_program_plans() -> None:
    near, far = (
        plan_chunks(805, chunk_seconds=10, geometry=geometry).chunks
        for geometry in (Geometry(), Geometry(reach=25, window=25))
    )
    for row, chunk, wide in zip(rows("docs/geometry.md", "| kept")[:3], near, far, strict=True):
        ranges = chunk.kept, chunk.out, chunk.span, wide.span
        assert row[1:] == [f"{start} to {stop}" for start, stop in ranges]


def test_the_page_on_celery_explains_every_setting_and_names_its_value() -> None:
    text = (ROOT / "docs" / "celery.md").read_text(encoding="utf-8")
    config = celery_config(Settings())
    known = config | config["broker_transport_options"]
    for name, value in re.findall(r"`([a-z_]+) = ([^`]+)`", text):
        assert ast.literal_eval(value) == known[name], name
    assert not [name for name in known if f"`{name}" not in text]


def test_the_renderer_of_the_architecture_renders() -> None:
    (code,) = blocks(ROOT / "ARCHITECTURE.md", "python")
    names = {each.__name__: each for each in (Renderer, Geometry, Inputs, ChunkSpec)}
    names |= {"Any": Any, "Iterator": Iterator, "OnProgress": OnProgress, "Frame": np.ndarray, "np": np}
    exec(code, names)  # noqa: S102
    chunk = plan_chunks(100, chunk_seconds=2, geometry=Geometry()).chunks[1]
    frames = list(names["Grey"]().render(chunk, None, lambda share: None))
    assert [frame[0, 0, 0] for frame in frames] == list(range(*chunk.out))


@each_page
def test_python_examples_are_python(page: Path) -> None:
    for code in blocks(page, "python"):
        compile(code, str(page), "exec")


def test_the_python_page_runs_from_top_to_bottom(
    run_farm: Callable[..., Farm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    farm = run_farm()
    for key, value in environment_of(farm.settings).items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(tmp_path)
    Image.open(PORTRAIT).convert("RGB").save("portrait.jpg")
    tone(Path("lesson.wav"), 1.0)
    names: dict[str, Any] = {}
    for code in blocks(ROOT / "docs" / "python.md", "python"):
        exec(code, names)  # noqa: S102
    said = capsys.readouterr().out
    assert "True\n" in said
    assert "min_resolution is 100, wanted 128 to 2048 in steps of 64" in said
    for name in ("algebra-03.mp4", "algebra-04.mp4"):
        assert Path(name).stat().st_size > 1000
