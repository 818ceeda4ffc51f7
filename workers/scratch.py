"""A folder per attempt, always removed."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def scratch_home() -> Path:
    """Where every attempt's folder lies, made if need be."""
    home = Path(tempfile.gettempdir()) / "sonic-farm"
    home.mkdir(mode=0o700, exist_ok=True)
    return home


@contextmanager
def scratch_folder(owner: str) -> Iterator[Path]:
    """An empty folder for one attempt of `owner` (a slot or cpu worker)."""
    folder = Path(tempfile.mkdtemp(prefix=f"{owner}.", dir=scratch_home()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def clear_leftovers(owner: str) -> None:
    """Remove what a killed process of this owner left behind; called once when its successor starts."""
    for folder in scratch_home().glob(f"{owner}.*"):
        shutil.rmtree(folder)
