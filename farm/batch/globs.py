"""Names with wildcards in manifests: `*` and `?` stay in a folder, `**` goes through all below it."""

from __future__ import annotations

import glob
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from farm.batch.manifest import MOST_ROWS
from farm.errors import InputRefusedError
from farm.storage.s3 import address_of_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.storage.s3 import Storage

WILD = re.compile(r"[*?]")
_PIECES = re.compile(r"(\*\*/|\*\*|\*|\?)")
MOST_WILD = 16
"""Wildcards of one name: each may cost a look at every letter of every key."""


def is_glob(path: str) -> bool:
    """Whether a path stands for many. A bracket is a letter like any other: recordings are called [03].wav."""
    return WILD.search(path) is not None


def matching(pattern: str, storage: Storage) -> list[str]:
    """Files or objects that a path or s3:// URL with wildcards stands for, by name; hidden ones are left out.

    Raises InputRefusedError where they are more than a manifest may have rows: a bucket may hold millions.
    """
    every = _objects(pattern, storage) if pattern.startswith("s3://") else _local(pattern)
    found = list(islice(every, MOST_ROWS + 1))
    if len(found) > MOST_ROWS:
        many = f"speech {pattern[:200]} stands for more than {MOST_ROWS} files"
        raise InputRefusedError([f"{many}, wanted {MOST_ROWS} at most"])
    return sorted(found)


def _local(pattern: str) -> Iterator[str]:
    if Path(pattern).is_file():  # a lesson may be called "Why?"
        return iter([pattern])
    found = glob.iglob(pattern.replace("[", "[[]"), recursive=True)  # noqa: PTH207  # Path.glob cannot start anywhere
    return (path for path in found if Path(path).is_file())


def _objects(pattern: str, storage: Storage) -> Iterator[str]:
    address = address_of_url(pattern)
    before = WILD.split(address.key, maxsplit=1)[0]
    pieces = [piece for piece in _PIECES.split(address.key) if piece]
    if sum(is_glob(piece) for piece in pieces) > MOST_WILD:
        raise InputRefusedError([f"speech {pattern[:200]} has more than {MOST_WILD} wildcards"])
    names = (item.key for item in storage.beside(address.bucket).list(before))
    shown = (name for name in names if not any(part.startswith(".") for part in name.split("/")))
    return (f"s3://{address.bucket}/{name}" for name in shown if _fits(name, pieces) and not name.endswith("/"))


def _fits(name: str, pieces: list[str]) -> bool:
    """Whether a key is one that the pieces of a pattern stand for.

    Goes through the pieces with all the places in the name that they may have led to: a regular expression would try
    every way there by itself, and a hostile pattern has more of them than there is time.
    """
    places = {0}
    for piece in pieces:
        if piece == "**":
            places = set(range(min(places), len(name) + 1))
        elif piece == "**/":
            places = _behind_folders(name, places)
        elif piece == "*":
            first: dict[int, int] = {}
            for place in sorted(places):
                first.setdefault(_folder_end(name, place), place)
            places = {at for end, place in first.items() for at in range(place, end + 1)}
        elif piece == "?":
            places = {place + 1 for place in places if place < _folder_end(name, place)}
        else:
            places = {place + len(piece) for place in places if name.startswith(piece, place)}
        if not places:
            return False
    return len(name) in places


def _behind_folders(name: str, places: set[int]) -> set[int]:
    """The places, and those behind each whole part of the name that follows one of them."""
    found = set(places)
    for start in places:
        at = start
        while (end := name.find("/", at)) > at and end + 1 not in found:
            at = end + 1
            found.add(at)
    return found


def _folder_end(name: str, place: int) -> int:
    """Where the part of a name that `place` lies in ends: before the next slash."""
    end = name.find("/", place)
    return len(name) if end < 0 else end
