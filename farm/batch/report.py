"""What became of every lesson of a manifest: a row each, for people's spreadsheets and for programs."""

from __future__ import annotations

import heapq
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from farm.batch.jobless import jobless_rows
from farm.batch.lines import all_rows
from farm.batch.spreadsheet import write_table
from farm.errors import InputRefusedError
from farm.jobs.batches import batch_row
from farm.storage.s3 import LONGEST_URL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farm.batch.jobless import Jobless
    from farm.batch.lines import RowView
    from farm.jobs.batches import BatchRow
    from farm.jobs.store import Books
    from farm.storage.s3 import Storage

COLUMNS = ("row", "name", "state", "seconds", "taken", "url", "needs_review", "reason", "job")


@dataclass(frozen=True, kw_only=True)
class ReportRow:
    """A lesson. state: of its job, or "held"; of a row that is none "refused", or "same" as another. seconds: of video.
    taken: chunks that were rendered before. url: of the current version. needs_review: "3:12 the mouth does not follow
    the speech". reason: why there is none.
    """

    row: int
    name: str
    state: str
    seconds: float | None = None
    taken: int = 0
    url: str = ""
    needs_review: tuple[str, ...] = ()
    reason: str = ""
    job: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def report_rows(books: Books, storage: Storage, batch: str, *, url_seconds: int | None) -> Iterator[ReportRow]:
    """A row for every lesson of the manifest, by number; raises NotFoundError.

    url_seconds: results are linked so that anybody may fetch them for so long; None: named as s3:// URLs.
    """
    if url_seconds is not None and not 0 < url_seconds <= LONGEST_URL_SECONDS:
        longest = LONGEST_URL_SECONDS // 3600
        raise InputRefusedError([f"urls is {url_seconds / 3600:g} hours, wanted above 0 to {longest}"])
    whole = batch_row(books, batch)
    jobs = (_of_job(row, whole, storage, url_seconds) for row in all_rows(books, batch))
    return heapq.merge(jobs, map(_of_jobless, jobless_rows(storage, batch)), key=lambda row: row.row)


def _of_jobless(row: Jobless) -> ReportRow:
    if row.same_as is None:
        return ReportRow(row=row.row, name=row.name, state="refused", reason="; ".join(row.problems))
    return ReportRow(row=row.row, name=row.name, state="same", reason=f"the same as row {row.same_as}")


def _of_job(row: RowView, batch: BatchRow, storage: Storage, url_seconds: int | None) -> ReportRow:
    url, state = "", str(row.state)
    if row.result is not None:
        url = (
            str(storage.address(row.result)) if url_seconds is None else storage.url(row.result, expires_s=url_seconds)
        )
    if row.held and not row.state.ended:
        state = "held"
    return ReportRow(
        row=row.row,
        name=row.name,
        state=state,
        seconds=row.seconds,
        taken=row.taken,
        url=url,
        needs_review=tuple(f"{one.timecode} {one.sentence}" for one in row.review),
        reason=_why_none(row, batch),
        job=row.job,
    )


def _why_none(row: RowView, batch: BatchRow) -> str:
    """Why there is no video, or none of the last try; nothing where the one that is there counts meanwhile."""
    if row.reason is not None:
        return row.reason
    if row.result is not None:
        return ""
    if row.held:
        return f"held until `farm batch release {batch.id}`"
    if row.paused:
        return f"paused until `farm job resume {row.job}`"
    if batch.state != "open":
        words = batch.reason if batch.state in batch.reason else f"{batch.state}: {batch.reason}"
        return f"the batch is {words}"
    return "not done yet"


def write_csv(rows: Iterable[ReportRow], path: Path) -> None:
    """The same as a table that spreadsheets open."""
    write_table(path, COLUMNS, map(_cells, rows))


def _cells(row: ReportRow) -> dict[str, Any]:
    seconds = None if row.seconds is None else f"{row.seconds:.2f}"
    return {**row.to_dict(), "seconds": seconds, "needs_review": "; ".join(row.needs_review)}
