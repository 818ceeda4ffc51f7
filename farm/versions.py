"""A job's results: listed, rolled back, compared."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from farm import decisions, redo
from farm.decisions import Decision
from farm.errors import NotAllowedError, NotFoundError
from farm.jobs import views
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.jobs.model import VersionView
    from farm.jobs.store import Books
    from farm.storage.s3 import Storage


def versions(books: Books, storage: Storage, job: str) -> list[VersionView]:
    """A job's results, oldest first, each with the redos that made it."""
    found, redos = views.versions(books, job), redo.stored(storage, job)
    objects = (keys.job_object(item.key) for item in storage.list(keys.rollbacks_folder(job)))
    settled = {0, *(version.number for version in found), *(one.rollback or 0 for one in objects if one)}
    listed = []
    for version in found:
        before = max(number for number in settled if number < version.number)
        made_by = tuple(one for one in redos if before <= one.after < version.number)
        listed.append(replace(version, redos=made_by))
    return listed


def named(books: Books, job: str, number: int) -> VersionView:
    """One of a job's versions; raises NotFoundError."""
    found = views.versions(books, job)
    for version in found:
        if version.number == number:
            return version
    there = ", ".join(str(version.number) for version in found) or "none"
    raise NotFoundError(f"job {job} has no version {number}, it has {there}")


def pair(books: Books, job: str, one: int | None, other: int | None) -> tuple[VersionView, VersionView]:
    """Two versions to compare; without numbers the one before the current one, and the current one.

    Raises NotFoundError for one that is not there, NotAllowedError where there are no two.
    """
    found = views.versions(books, job)
    if len(found) < 2:
        have = "one version: there is nothing to compare; `farm job redo` makes another" if found else "no result yet"
        raise NotAllowedError(f"job {job} has {have}")
    place = next(place for place, version in enumerate(found) if version.current)
    current, beside = found[place], found[place - 1] if place else found[1]
    left = named(books, job, one) if one is not None else beside
    right = named(books, job, other) if other is not None else current
    if left.number == right.number:
        raise NotAllowedError(f"both sides are version {left.number} of job {job}, wanted two")
    return left, right


def rollback(books: Books, storage: Storage, job: str, number: int, *, who: str) -> None:
    """Make an older version the current one; what was to be drawn for a newer one is given up."""
    state = views.job_fields(books, job)["state"]
    if named(books, job, number).current and state == "done":
        raise NotAllowedError(f"version {number} of job {job} is the current one already")
    # above every version until now, below all to come: so a recovery knows which of them it came after
    above = views.stitch_attempts(books, job) + 1
    key = keys.rollback(job, f"{above}-{secrets.token_hex(4)}")
    storage.put_json(key, {"version": 1, **asdict(Decision(who, time.time(), number))})
    try:
        books.rollback(job, number, number=above, who=who)
    except NotAllowedError:
        storage.delete(key)
        raise
    decisions.lift(storage, job, "retry")  # a redo that was cancelled is over for good


def compare(
    storage: Storage,
    job: str,
    pair: tuple[VersionView, VersionView],
    out: Path,
    *,
    frames: range,
    on_progress: Callable[[float], None],
) -> None:
    """Write two versions of a job side by side to `out`. frames: frames25."""
    from engine.media.compare import Side, side_by_side
    from engine.media.provenance import Provenance

    with TemporaryDirectory(prefix="sonic-farm-compare-") as folder:
        sides = []
        for version in pair:
            label = f"version {version.number}"
            video = Path(folder) / f"{label}.mp4"  # whatever is wrong with it is said by its name
            storage.get_file(version.result, video)
            said = storage.get_json(keys.result(job, version.number, "provenance.json"))
            sides.append(Side(video, label, Provenance.from_dict(said)))
        side_by_side(sides[0], sides[1], out, frames=frames, on_progress=on_progress)
