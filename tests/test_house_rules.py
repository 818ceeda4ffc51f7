"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import distributions, requires
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("farm", "engine", "workers")
SOURCES = sorted(chain.from_iterable((ROOT / package).rglob("*.py") for package in OURS))


def imported_modules(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def modules_after(code: str) -> set[str]:
    """Names in sys.modules of a fresh process that ran `code`."""
    script = f"{code}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("code", ["import farm.cli.main", "from farm import Farm"])
def test_submitting_needs_neither_torch_nor_the_task_code_nor_a_renderer(code: str) -> None:
    loaded = modules_after(code)
    assert not loaded & {"torch", "workers", "workers.tasks", "engine.preview", "engine.preview.renderer"}


def test_the_engines_top_level_is_standard_library_only() -> None:
    for path in (ROOT / "engine").glob("*.py"):
        foreign = {
            name
            for name in imported_modules(path)
            if name not in sys.stdlib_module_names and name not in {"engine", "numpy"}
        }
        assert not foreign, f"{path.name} imports {foreign}"
    assert not modules_after("import engine.plan, engine.renderer, engine.spec, engine.errors") & {"numpy", "av", "cv2"}


def test_only_the_command_line_prints() -> None:
    for path in SOURCES:
        if (ROOT / "farm" / "cli") in path.parents:
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"], path


def test_no_exception_is_swallowed_bare() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{path}:{node.lineno} catches everything"
                caught = node.type.id if isinstance(node.type, ast.Name) else ""
                only_pass = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
                assert not (caught in {"Exception", "BaseException"} and only_pass), f"{path}:{node.lineno}"


def test_one_opencv_is_installed_the_one_without_a_display() -> None:
    names = {(found.metadata["Name"] or "").lower() for found in distributions()}
    assert {name for name in names if name.startswith("opencv")} == {"opencv-python-headless"}
    assert not [need for need in requires("sonic-farm") or () if need.startswith("opencv-python ")]


def test_files_and_functions_stay_short() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 450, f"{path} has {text.count(chr(10))} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or node.lineno) - node.body[0].lineno + 1  # options are no code
                assert length <= 80, f"{path}:{node.lineno} {node.name} has {length} lines"
