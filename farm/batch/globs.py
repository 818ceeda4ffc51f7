"""Names with wildcards in manifests: `*` and `?` stay in a folder, `**` goes through all below it."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import TYPE_CHECKING

from farm.storage.s3 import address_of_url

if TYPE_CHECKING:
    from farm.storage.s3 import Storage

WILD = re.compile(r"[*?]")
_PIECES = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}


def is_glob(path: str) -> bool:
    """Whether a path stands for many. A bracket is a letter like any other: recordings are called [03].wav."""
    return WILD.search(path) is not None


def matching(pattern: str, storage: Storage) -> list[str]:
    """Files or objects that a path or s3:// URL with wildcards stands for, by name; hidden ones are left out."""
    return _objects(pattern, storage) if pattern.startswith("s3://") else _local(pattern)


def _local(pattern: str) -> list[str]:
    if Path(pattern).is_file():  # a lesson may be called "Why?"
        return [pattern]
    found = glob.iglob(pattern.replace("[", "[[]"), recursive=True)  # noqa: PTH207  # Path.glob cannot start anywhere
    return sorted(path for path in found if Path(path).is_file())


def _objects(pattern: str, storage: Storage) -> list[str]:
    address = address_of_url(pattern)
    before = WILD.split(address.key, maxsplit=1)[0]
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", address.key)
    wanted = re.compile("".join(_PIECES.get(piece, re.escape(piece)) for piece in pieces), re.DOTALL)
    names = (item.key for item in storage.beside(address.bucket).list(before))
    shown = (name for name in names if not any(part.startswith(".") for part in name.split("/")))
    return [f"s3://{address.bucket}/{name}" for name in shown if wanted.fullmatch(name) and not name.endswith("/")]
