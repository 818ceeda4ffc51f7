"""Bringing a job's video to a file, for `farm job fetch` and `farm submit --output`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from farm.cli.screen import share_bar
from farm.errors import NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from farm import Job
    from farm.storage.keys import ResultFile


def writable(path: Path) -> Path:
    """The path, if a file can be written there: asked before hours are spent on rendering it."""
    folder = path.absolute().parent
    if path.is_dir():
        raise NotAllowedError(f"{path} is a folder, wanted the name of a file")
    if not folder.is_dir():
        raise NotFoundError(f"{path} cannot be written: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise NotAllowedError(f"{path} cannot be written: folder {folder} is not writable")
    return path


def download(job: Job, path: Path, *, version: int | None = None, what: ResultFile = "video.mp4", quiet: bool) -> None:
    """Write a file of a job's result, the current one or that version, to `path`, with a bar where somebody watches."""
    with share_bar(f"fetching {path.name}", quiet=quiet) as show_share:
        job.fetch(path, version=version, what=what, on_progress=show_share)
