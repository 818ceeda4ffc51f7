"""A folder per attempt, always removed: by the attempt itself, or after a kill by the next process that starts."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_NAME = ".in-use"
"""A file in every folder, locked by the process that uses it: the lock goes when the process does, however it ends."""
NEW_SECONDS = 60
"""A folder younger than this may not have its lock yet."""


def scratch_home() -> Path:
    """Where the folders of every attempt of this user lie, whatever the farm; made if need be."""
    home = Path(tempfile.gettempdir()) / f"sonic-farm-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    return home


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder for one attempt of this process."""
    folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=scratch_home()))
    with (folder / LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def clear_leftovers() -> None:
    """Remove what killed processes left behind; what a living one uses stays."""
    for folder in scratch_home().iterdir():
        if not _in_use(folder):
            shutil.rmtree(folder, ignore_errors=True)  # another process that starts now may be at it too


def _in_use(folder: Path) -> bool:
    try:
        with (folder / LOCK_NAME).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return folder.exists() and time.time() - folder.stat().st_mtime < NEW_SECONDS
    return False
