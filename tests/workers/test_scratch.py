from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from workers.scratch import clear_leftovers, scratch_folder, scratch_home

if TYPE_CHECKING:
    from pathlib import Path

DIES = """
import os
from workers.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "frame").write_text("half")
    print(folder, flush=True)
    os._exit(9)
"""


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not() -> None:
    died = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True, env=os.environ, check=False)
    left = died.stdout.strip()
    with scratch_folder() as mine:
        assert {str(folder) for folder in scratch_home().iterdir()} == {left, str(mine)}
        clear_leftovers()
        assert list(scratch_home().iterdir()) == [mine]
    assert not mine.exists()
