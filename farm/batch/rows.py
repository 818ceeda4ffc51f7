"""From a manifest's entries to lessons: presenters and defaults filled in, wildcards made into rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from farm.batch.columns import LESSON, PARAMETERS, PRESENTER, WEBHOOK
from farm.batch.globs import is_glob, matching
from farm.batch.manifest import MOST_ROWS
from farm.errors import InputRefusedError, NotFoundError, StorageError
from farm.jobs.model import DEFAULT_PRIORITY
from farm.submission import Lesson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farm.batch.manifest import Entry, Manifest
    from farm.storage.s3 import Storage

UNLIKE_OTHERS = frozenset({"subtitles", "duration", "token", "edit_of"})
"""Columns that cannot be the same for all that wildcards stand for."""


@dataclass(frozen=True)
class Row:
    """A lesson of a manifest, or why it is none. number: its line there, which wildcards make many rows share.

    name: what people call it, also where it is no lesson. presenter: whose template it has, if any.
    """

    number: int
    name: str
    presenter: str = ""
    lesson: Lesson | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """What was said beside the manifest, for rows and presenters that do not say it; it beats defaults."""

    owner: str | None = None
    priority: int | None = None

    def cells(self) -> dict[str, Any]:
        said = {"owner": self.owner, "priority": self.priority}
        return {name: value for name, value in said.items() if value is not None}


def rows_of(manifest: Manifest, given: Given, *, storage: Storage, inbox: str | None = None) -> list[Row]:
    """Every row, in the manifest's order. Reads folders and listings, but no file. inbox: the URL of the only folder
    that wildcards may look into, None for any.

    Raises InputRefusedError where wildcards make too many rows, UnreachableError where storage does not answer: that
    says nothing about a row.
    """
    every = (row for entry in manifest.entries for row in _rows(entry, manifest, given, storage, inbox))
    rows = list(islice(every, MOST_ROWS + 1))
    if len(rows) > MOST_ROWS:
        many = f"{manifest.stem} has more than {MOST_ROWS} rows with those of its wildcards"
        raise InputRefusedError([f"{many}, wanted {MOST_ROWS} at most"])
    return rows


def outside(role: str, url: str, inbox: str) -> str:
    """What is wrong with a file that a manifest in an inbox names elsewhere."""
    return f"{role} {url[:200]!r} lies outside the inbox, wanted a file of {inbox}"


@dataclass
class _Filled:
    """An entry with all that holds for it."""

    cells: dict[str, Any]
    presenter: str = ""
    problems: list[str] = field(default_factory=list)


def _rows(entry: Entry, manifest: Manifest, given: Given, storage: Storage, inbox: str | None) -> Iterator[Row]:
    filled = _fill(entry, manifest, given)
    cells, speech = filled.cells, filled.cells.get("speech")
    for name in ("portrait", "speech"):
        if name not in cells and not filled.problems:  # what it should have been may be what is wrong
            filled.problems.append(f"{name} is missing, wanted a file")
    title = str(cells.get("name") or (PurePath(speech).stem if speech else ""))
    whole = Row(entry.line, title, filled.presenter)
    if filled.problems:
        yield replace(whole, problems=tuple(filled.problems))
    elif speech is not None and is_glob(speech):
        yield from _many(whole, cells, storage, inbox)
    else:
        yield replace(whole, lesson=_lesson(cells))


def _fill(entry: Entry, manifest: Manifest, given: Given) -> _Filled:
    shared = {**manifest.defaults, **given.cells()}
    presenter = entry.cells.get(PRESENTER) or shared.pop(PRESENTER, "")
    shared.pop(PRESENTER, None)
    own = {name: value for name, value in entry.cells.items() if name != PRESENTER}
    filled = _Filled({}, presenter, list(entry.problems))
    pinned: Mapping[str, Any] = {}
    if presenter:
        pinned = manifest.presenters.get(presenter, {})
        if presenter not in manifest.presenters:
            known = ", ".join(sorted(manifest.presenters))
            wanted = f"there is {known}" if known else "and none is described: see --defaults FILE"
            filled.problems.append(f"presenter is {presenter[:60]!r}, {wanted}")
    for name in sorted(set(own) & set(pinned)):
        if own[name] != pinned[name]:
            said, fixed = ("another", "one") if name == WEBHOOK else (repr(own[name]), repr(pinned[name]))
            words = f"{name} is {said}, presenter {presenter!r} has {fixed} for all: leave it out of the row"
            filled.problems.append(words)
    filled.cells = {**shared, **pinned, **own}
    return filled


def _many(whole: Row, cells: dict[str, Any], storage: Storage, inbox: str | None) -> Iterator[Row]:
    """A row for each file that the speech's wildcards stand for, called like the file, behind the row's own name."""
    problems = [f"{name} cannot be the same for many" for name in sorted(UNLIKE_OTHERS & set(cells))]
    found: list[str] = []
    try:
        found = _found(cells["speech"], storage, inbox)
    except (InputRefusedError, NotFoundError, StorageError) as error:
        problems.append(str(error))
    if problems:
        yield replace(whole, problems=tuple(problems))
        return
    for path in found:
        stem = PurePath(path).stem
        name = f"{cells['name']} {stem}" if "name" in cells else stem
        yield replace(whole, name=name, lesson=_lesson({**cells, "speech": path, "name": name}))


def _found(speech: str, storage: Storage, inbox: str | None) -> list[str]:
    """The files that the speech's wildcards stand for, one at least."""
    if inbox is not None and not speech.startswith(f"{inbox}/"):  # the farm's key may list what nobody may name
        raise InputRefusedError([outside("speech", speech, inbox)])
    found = matching(speech, storage)
    if not found:
        raise InputRefusedError([f"speech {speech} stands for no file"])
    return found


def _lesson(cells: Mapping[str, Any]) -> Lesson:
    fixed = {name: cells[name] for name in LESSON if name in cells}
    parameters = {name: value for name, value in cells.items() if name in PARAMETERS}
    return Lesson(**{"priority": DEFAULT_PRIORITY, **fixed}, parameters=parameters)
