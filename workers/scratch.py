"""A folder per attempt, always removed: by the attempt itself, or after a kill by the next process that starts."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator


def scratch_home() -> Path:
    """Where the folders of every attempt of this user lie, whatever the farm; made if need be."""
    home = Path(tempfile.gettempdir()) / f"sonic-farm-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    return home


def scratch_mark(process: psutil.Process) -> str:
    """What a process's folders begin with; a later process of the same pid has another start."""
    return f"{process.pid}-{process.create_time():.2f}"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder for one attempt of this process."""
    folder = Path(tempfile.mkdtemp(prefix=f"{scratch_mark(psutil.Process())}-", dir=scratch_home()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def clear_leftovers() -> None:
    """Remove what killed processes left behind; what belongs to a living one stays."""
    for folder in scratch_home().iterdir():
        pid = folder.name.partition("-")[0]
        try:
            alive = folder.name.startswith(f"{scratch_mark(psutil.Process(int(pid)))}-")
        except psutil.NoSuchProcess:
            alive = False
        if not alive:
            shutil.rmtree(folder, ignore_errors=True)  # another process that starts now may be at it too
