"""What a name in an inbox says: what kind of file it is, whom it belongs to, and whether it may be taken at all.

Paths are relative to the inbox. They come from outside and are never decoded, normalised or made names on a disk.
"""

from __future__ import annotations

import hashlib
import unicodedata
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["portrait", "speech", "subtitles", "manifest", "other"]

DEFAULTS = "_defaults.yaml"
HOLD, MANIFESTS_ONLY = ".hold", ".manifests"
ERROR_SUFFIX = ".error.json"
LONGEST_KEY_BYTES = 1024
"""What S3 takes as a key, in UTF-8."""
LONGEST_NAME = 200

_ENDINGS: dict[Kind, str] = {
    "portrait": "jpg jpeg png webp bmp tif tiff",
    "speech": "wav mp3 m4a aac flac ogg oga opus wma aif aiff mp4 m4v mov mkv webm avi mpg mpeg wmv mts",
    "subtitles": "srt",
    "manifest": "csv tsv jsonl ndjson yaml yml",
}
KINDS: dict[str, Kind] = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings.split()}
"""Ending, in small letters -> what a file with it is."""
UNFINISHED = ("part", "tmp")

_BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_CONTROL = {"Cc", "Cs", "Zl", "Zp"}


def kind_of(path: str) -> Kind:
    """By its ending, in any letter case."""
    return KINDS.get(_ending(path), "other")


def stem_of(path: str) -> str:
    """What files that belong together share: the path without its ending, in one letter case and one composition.

    Only what is canonically the same character is one: a Cyrillic a is not a Latin one.
    """
    return unicodedata.normalize("NFC", without_ending(path)).casefold()


def without_ending(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return folder + slash + (stem if dot else name)


def left_alone(path: str, size: int) -> str | None:
    """Why a file is not looked at, None where it is. size: in bytes."""
    if _ending(path) in UNFINISHED or any(part.startswith(".") and part not in {".", ".."} for part in path.split("/")):
        return "it is hidden, or not finished by its name"
    return "it is empty" if size == 0 else None


def folders_above(path: str) -> Iterator[str]:
    """The inbox itself, then each folder on the way to a file or folder: "", "maths/", "maths/2026/"."""
    yield ""
    yield from accumulate(part + "/" for part in path.split("/")[:-1])


def held_by(folder: str) -> str:
    """Why nothing in a folder is taken while it has a `.hold`."""
    return f"{folder}{HOLD} stops this folder"


def belongs_to_folder(path: str) -> bool:
    """Whether it is the folder's own: what begins with an underscore is used and never taken."""
    return any(part.startswith("_") for part in path.split("/"))


def refusal(path: str) -> str | None:
    """Why a file of this name is never taken; None where it may be."""
    if any(part in {"", ".", ".."} for part in path.split("/")):
        return "its name has a part that is empty, '.' or '..'"
    if path.isascii() and path.isprintable():  # most are, and a look may be at 100,000
        return None
    if any(unicodedata.category(letter) in _CONTROL or unicodedata.bidirectional(letter) in _BIDI for letter in path):
        return "its name has characters that cannot be seen"
    return None


def title_of(path: str) -> str:
    """What a job made of this file is called: 1 to 200 printable characters."""
    return _printable(without_ending(path))[-LONGEST_NAME:].strip() or "lesson"


def batch_name(url: str) -> str:
    """What the batch of a manifest is called: its s3:// URL, so that no two manifests of the farm share a batch."""
    if len(url) <= LONGEST_NAME and url.isprintable():
        return url
    digest = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{digest} {_printable(url)[-LONGEST_NAME + len(digest) + 1 :]}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _ending(path: str) -> str:
    stem, dot, ending = path.rpartition("/")[2].rpartition(".")
    return ending.lower() if dot and stem else ""
