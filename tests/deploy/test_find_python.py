"""The Makefile's choice of a Python: one that fits, or plain words about what is wanted."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def find_python(*names: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "deploy" / "find-python"), *names]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)


def python_that_says(version: tuple[int, int], folder: Path) -> Path:
    """A stand-in for a Python of another version."""
    program = folder / "a python"
    program.write_text(
        "#!/bin/sh\n"
        f'exec "{sys.executable}" -c "import sys; sys.version_info = {(*version, 0)}; exec(sys.argv[1])" "$2"\n'
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("version", [(3, 11), (3, 12)])
def test_a_python_that_is_named_and_fits_is_taken(version: tuple[int, int], tmp_path: Path) -> None:
    program = python_that_says(version, tmp_path)
    assert find_python(str(program)).stdout == f"{program}\n"


def test_a_later_python_is_taken_where_there_is_a_redis_server(tmp_path: Path) -> None:
    program = python_that_says((3, 14), tmp_path)
    refused = find_python(str(program), path=f"{tmp_path}/none:/bin")
    (tmp_path / "redis-server").symlink_to("/bin/true")
    assert find_python(str(program), path=f"{tmp_path}:/bin").stdout == f"{program}\n"
    assert refused.returncode == 1
    assert "needs Python 3.11 or 3.12 with venv, or a later one and redis-server" in refused.stderr


def test_a_python_that_is_too_old_or_not_there_is_named_and_no_other_is_taken(tmp_path: Path) -> None:
    old = find_python(str(python_that_says((3, 10), tmp_path)))
    assert (old.returncode, old.stdout) == (1, "")
    assert "is 3.10" in old.stderr
    absent = find_python("/no/python")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert "/no/python is not there" in absent.stderr
