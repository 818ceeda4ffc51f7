"""A whole batch looked at before anything is queued: each file once, whatever the number of rows."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import cpu_count
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from farm import submission
from farm.edit import edit_problems
from farm.errors import InputRefusedError, NotFoundError, StorageError
from farm.preflight import (
    Looks,
    PortraitLook,
    SpeechLook,
    SubtitlesLook,
    look_at_portrait,
    look_at_speech,
    look_at_subtitles,
)
from farm.storage.s3 import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from farm.batch.rows import Row
    from farm.preflight import Checked
    from farm.settings import Settings
    from farm.storage.s3 import Storage

Kind = Literal["portrait", "speech", "subtitles"]
KINDS: tuple[Kind, ...] = ("portrait", "speech", "subtitles")
AT_ONCE = max(4, cpu_count() or 1)
"""Files looked at together: on a small machine, too, one may be on its way while another is decoded."""
LONGEST_FILE_NAME = 80


@dataclass(frozen=True)
class Seen:
    """A file, looked at once. sha256: of its content, nothing where it could not be read."""

    look: PortraitLook | SpeechLook | SubtitlesLook
    sha256: str = ""
    size: int = 0


Seens = dict[tuple[Kind, str], Seen]
"""Files by what they are taken for and where they lie."""


@dataclass(frozen=True)
class Right:
    """A lesson that can be submitted: with a name and an owner, what it was found to be, and its files' SHA-256."""

    lesson: submission.Lesson
    checked: Checked
    stored: submission.Stored


@dataclass(frozen=True)
class CheckedRow:
    """A row and what came of looking at it: right, or problems."""

    row: Row
    right: Right | None
    problems: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.right.checked.warnings if self.right else ()

    def to_dict(self) -> dict[str, Any]:
        """What the table and the CSV of `farm batch check` say of it."""
        lesson = self.row.lesson
        return {
            "row": self.row.number,
            "name": self.row.name,
            "ok": not self.problems,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "seconds": self.right.checked.speech.seconds if self.right else None,
            "portrait": str(lesson.portrait) if lesson else None,
            "speech": str(lesson.speech) if lesson else None,
        }


def check_rows(
    rows: Sequence[Row],
    *,
    storage: Storage,
    settings: Settings,
    declared: Mapping[str, float] | None,
    on_file: Callable[[int, int], None],
) -> list[CheckedRow]:
    """Look at every file that the rows name, in parallel, and hold each row against what was seen.

    declared: renderers that slots offer, each with the most pixels of a frame, None where that is not known. on_file:
    called with the files looked at and the number of all. Raises UnreachableError where storage does not answer: that
    says nothing about a row.
    """
    seen = look_at_files(rows, storage=storage, settings=settings, on_file=on_file)
    edits = {row.lesson.edit_of for row in rows if row.lesson is not None}
    wrong = {job: edit_problems(storage, job) for job in edits}
    return [_checked(row, seen, settings, declared, wrong) for row in rows]


def problems_of(rows: Iterable[CheckedRow]) -> list[str]:
    """One sentence for each reason, with the row's number before it."""
    return [f"row {row.row.number}: {problem}" for row in rows for problem in row.problems]


def look_at_files(
    rows: Sequence[Row], *, storage: Storage, settings: Settings, on_file: Callable[[int, int], None]
) -> Seens:
    """Every file that the rows name, looked at once."""
    named = {(kind, path): None for row in rows for kind, path in _files_of(row)}
    seen: Seens = {}
    on_file(0, len(named))
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="check")
    try:
        looking = {pool.submit(_look, kind, path, storage, settings): (kind, path) for kind, path in named}
        for done in as_completed(looking):
            seen[looking[done]] = done.result()
            on_file(len(seen), len(named))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C nobody waits for the rest
    return seen


@contextmanager
def local_file(where: str, storage: Storage) -> Iterator[Path]:
    """A file of a manifest on this machine, for a while."""
    if not where.startswith("s3://"):
        yield Path(where)
        return
    with TemporaryDirectory(prefix="sonic-farm-batch-") as folder:
        # what the sentences about it call it; letters that could lead elsewhere are not taken over
        name = re.sub(r"[^\w .()+-]", "_", PurePosixPath(where).name).strip(". ")[-LONGEST_FILE_NAME:] or "file"
        storage.fetch_url(where, Path(folder) / name)
        yield Path(folder) / name


def _files_of(row: Row) -> Iterator[tuple[Kind, str]]:
    if row.lesson is None:
        return
    for kind in KINDS:
        path = getattr(row.lesson, kind)
        if path is not None:
            yield kind, str(path)


def _look(kind: Kind, path: str, storage: Storage, settings: Settings) -> Seen:
    speech = partial(look_at_speech, max_speech_seconds=settings.max_speech_seconds)
    looks: dict[Kind, Callable[[Path], PortraitLook | SpeechLook | SubtitlesLook]]
    looks = {"portrait": look_at_portrait, "speech": speech, "subtitles": look_at_subtitles}
    try:
        with local_file(path, storage) as file:
            sha256 = sha256_of(file)
            return Seen(looks[kind](file), sha256, file.stat().st_size)
    except (NotFoundError, StorageError) as error:
        unread = {"portrait": PortraitLook, "speech": SpeechLook, "subtitles": SubtitlesLook}[kind]
        return Seen(unread(PurePosixPath(path).name, (f"{kind}: {error}",)))


def _checked(
    row: Row, seen: Seens, settings: Settings, declared: Mapping[str, float] | None, wrong: Mapping[str, list[str]]
) -> CheckedRow:
    if row.lesson is None:
        return CheckedRow(row, None, row.problems)
    files = {kind: seen[kind, path] for kind, path in _files_of(row)}
    looks = Looks(**{kind: found.look for kind, found in files.items()})  # type: ignore[arg-type]
    stored = submission.Stored(**{kind: found.sha256 for kind, found in files.items()})
    lesson = row.lesson.named(settings)
    try:
        checked = submission.check(lesson, looks, settings, declared=declared, found=wrong[lesson.edit_of])
    except InputRefusedError as refusal:
        return CheckedRow(row, None, tuple(refusal.problems))
    return CheckedRow(row, Right(lesson, checked, stored))
