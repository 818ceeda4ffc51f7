"""A manifest as it was written: CSV, JSON Lines or YAML, a line for each lesson."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from farm.batch.columns import FILES, Raw, cells_of
from farm.batch.tables import decoded, read_table
from farm.batch.trees import Tree, read_json_lines, read_yaml
from farm.errors import InputRefusedError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.storage.s3 import Storage

MOST_BYTES = 64 << 20
MOST_ROWS = 100_000
TABLES, TREES, LINES = (".csv", ".tsv", ".txt"), (".yaml", ".yml"), (".jsonl", ".ndjson")
S3 = "s3://"


@dataclass(frozen=True)
class Entry:
    """A row as written. line: where it begins in the manifest, from 1. cells: values by column."""

    line: int
    cells: Mapping[str, Any]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """Rows and what they share; files are named by whole paths or URLs.

    stem: the manifest's name without its ending. presenters: settings by a presenter's name.
    """

    stem: str
    defaults: Mapping[str, Any]
    presenters: Mapping[str, Mapping[str, Any]]
    entries: tuple[Entry, ...]


def read_manifest(where: str, *, storage: Storage, defaults: str | None = None) -> Manifest:
    """Read a manifest from a path or an s3:// URL, which decides what relative paths in it begin at.

    defaults: a YAML file with `defaults` and `presenters` for it; its paths begin where it lies itself.

    Raises InputRefusedError for what is wrong with the whole; what is wrong with a row is told with the row.
    """
    shared = _shared(defaults, storage) if defaults is not None else Tree()
    ending = PurePosixPath(where).suffix.lower()
    if ending not in TABLES + TREES + LINES:
        wanted = ", ".join(TABLES + LINES + TREES)
        raise InputRefusedError([f"{where} ends in {ending or 'nothing'!r}, wanted a manifest that ends in {wanted}"])
    text, base, own = _text(where, storage), _folder(where), Tree()
    if ending in TABLES:
        rows = list(islice(read_table(text, where), MOST_ROWS + 1))
    elif ending in LINES:
        rows = list(islice(read_json_lines(text), MOST_ROWS + 1))
    else:
        own = read_yaml(text, where)
        rows = own.lessons
    if not 0 < len(rows) <= MOST_ROWS:
        raise InputRefusedError([f"{where} has {'more' if rows else 'no'} rows, wanted 1 to {MOST_ROWS}"])
    if twice := sorted(set(shared.presenters) & set(own.presenters)):
        raise InputRefusedError([f"presenter {name[:40]!r} is both in {where} and in {defaults}" for name in twice])
    presenters = {name: _located(settings, base) for name, settings in own.presenters.items()}
    return Manifest(
        stem=PurePosixPath(where).stem,
        defaults={**shared.defaults, **_located(own.defaults, base)},
        presenters={**shared.presenters, **presenters},
        entries=tuple(_entry(line, raw, problems, base) for line, raw, problems in rows),
    )


def _shared(where: str, storage: Storage) -> Tree:
    """A file of defaults and presenters."""
    tree, base = read_yaml(_text(where, storage), where), _folder(where)
    if tree.lessons:
        raise InputRefusedError([f"{where} has lessons, wanted defaults and presenters alone"])
    return Tree(_located(tree.defaults, base), {name: _located(cells, base) for name, cells in tree.presenters.items()})


def _entry(line: int, raw: Mapping[str, Raw], problems: list[str], base: str) -> Entry:
    cells, wrong = cells_of(raw)
    try:
        cells = _located(cells, base)
    except InputRefusedError as refusal:
        wrong += refusal.problems
    return Entry(line, cells, tuple(problems + wrong))


def _located(cells: Mapping[str, Any], base: str) -> dict[str, Any]:
    """The same with files named from the base on. Raises InputRefusedError for what lies outside storage."""
    return {name: located(value, base) if name in FILES else value for name, value in cells.items()}


def located(path: str, base: str) -> str:
    """A file of a manifest as a path or URL. A manifest in storage cannot name files of the machine that reads it."""
    if path.startswith(S3):
        return path
    if not base.startswith(S3):
        return str(Path(base) / path)
    if path.startswith("/") or "\\" in path or ".." in path.split("/"):
        raise InputRefusedError([f"{path[:80]!r} is no path below {base}, and the manifest lies in storage"])
    return base + path


def _folder(where: str) -> str:
    """What relative paths begin at: a folder, or an s3:// URL with a slash at its end."""
    return where.rpartition("/")[0] + "/" if where.startswith(S3) else str(Path(where).parent)


def _text(where: str, storage: Storage) -> str:
    if where.startswith(S3):
        with TemporaryDirectory(prefix="sonic-farm-manifest-") as folder:
            storage.fetch_url(where, Path(folder) / "manifest")
            return _decoded(Path(folder) / "manifest", where)
    return _decoded(Path(where), where)


def _decoded(path: Path, where: str) -> str:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputRefusedError([f"{where} has {size} bytes, wanted {MOST_BYTES} at most"])
        return decoded(path.read_bytes(), where)
    except OSError as error:
        raise NotFoundError(f"manifest {where} cannot be read: {error.strerror}") from error
