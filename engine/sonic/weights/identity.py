"""Which weights these are: one hash over all files that are read, cheap to ask for a second time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from typing import TYPE_CHECKING, Any

from engine.errors import WeightsError
from engine.sonic.weights.layout import NEEDED, WeightFile

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

CACHE_NAME = ".weights-identity.json"
"""Lies beside the files, so that it travels with the folder into a container that mounts it read-only."""
READ_BYTES = 8 << 20


def identity(folder: Path) -> str:
    """SHA-256 over the names and contents of every file that is read, as 64 hex digits.

    A file's hash is kept in the folder with its size and time of change, and taken from there while both hold.
    Raises WeightsError naming the first file that is missing.
    """
    known = _read_cache(folder / CACHE_NAME)
    found = {file.path: _entry(folder, file, known.get(file.path)) for file in NEEDED}
    if found != known:
        _write_cache(folder / CACHE_NAME, found)
    lines = "".join(f"{path} {entry['sha256']}\n" for path, entry in sorted(found.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _entry(folder: Path, file: WeightFile, known: dict[str, Any] | None) -> dict[str, Any]:
    path = file.found_in(folder)
    try:
        facts = path.stat()
        stamp = {"file": path.name, "size": facts.st_size, "mtime_ns": facts.st_mtime_ns}
        if known is not None and {**known, **stamp} == known:
            return known
        return {**stamp, "sha256": _sha256(path)}
    except FileNotFoundError as error:
        raise WeightsError([f"{path} is missing; it is {file.source}"]) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _read_cache(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # not there yet, or cut off by a full disk: hashed anew
        return {}
    return known if isinstance(known, dict) else {}


def _write_cache(path: Path, found: dict[str, Any]) -> None:
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=CACHE_NAME, delete=False) as stream:
            json.dump(found, stream, indent=1)
            os.fchmod(stream.fileno(), 0o644)  # temporary files are their owner's alone; this one is for every slot
        os.replace(stream.name, path)  # noqa: PTH105  # two slots may write at once: one whole file wins
    except OSError as error:  # a folder that may only be read is right as it is; each start then hashes it anew
        log.warning("the hashes of the weights cannot be kept in %s (%s): every start reads all files", path, error)
