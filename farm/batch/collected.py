"""A pilot brought home: its clips on a contact sheet and on a page, for whoever decides."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from farm.batch.checksheet import ranges
from farm.batch.lines import all_rows, facts
from farm.batch.pilot import MARK
from farm.batch.sheet import Clip, contact_sheet, page
from farm.errors import NotAllowedError
from farm.jobs.batches import batch_row
from farm.jobs.model import JobState
from farm.jobs.request import JobRequest
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.batch.lines import RowView
    from farm.batch.pilot import Kept, Shown
    from farm.jobs.store import Books
    from farm.storage.s3 import Storage


@dataclass(frozen=True)
class Collected:
    """What was written. clips: shown. waiting, failed: those without a video, yet or for good."""

    sheet: Path
    page: Path
    clips: int
    waiting: int
    failed: int

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "sheet": str(self.sheet), "page": str(self.page)}


def collect(
    books: Books, storage: Storage, batch: str, kept: Kept, out: Path, *, on_progress: Callable[[float], None]
) -> Collected:
    """Write sheet.png and pilot.html to folder `out`, which is made; raises NotAllowedError while no clip is done."""
    rows = list(all_rows(books, kept.batch))
    done = sum(row.state is JobState.DONE for row in rows)
    failed = sum(row.state in {JobState.FAILED, JobState.CANCELLED} for row in rows)
    if not done:
        what = "failed, all of it" if rows and failed == len(rows) else "has no clip yet"
        raise NotAllowedError(f"the pilot of batch {batch} {what}: `farm batch show {kept.batch}`")
    shown = {one.job: one for one in kept.clips}
    held = {fact.row for fact in facts(books, batch) if fact.held}
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="sonic-farm-pilot-") as folder:
        clips = []
        for number, row in enumerate(rows):
            clips.append(_clip(storage, row, shown.get(row.job), held, Path(folder) / f"{number}.mp4"))
            on_progress((number + 1) / (len(rows) + 1))
        sheet, html = out / "sheet.png", out / "pilot.html"
        sheet.write_bytes(contact_sheet(clips))
        title = f"Pilot of {batch_row(books, batch).name}"
        html.write_text(page(clips, title=title, batch=batch, held=len(held)), encoding="utf-8")
    on_progress(1.0)
    return Collected(sheet, html, clips=done, waiting=len(rows) - done - failed, failed=failed)


def _clip(storage: Storage, row: RowView, shown: Shown | None, held: set[int], video: Path) -> Clip:
    request = JobRequest.from_dict(storage.get_json(keys.job_json(row.job)))
    spec = request.spec
    label = [f"{spec.renderer}, seed {spec.seed}"]
    if shown is not None:
        label = [shown.who, *label, f"for {_rows_in_words(shown.stands_for)}"]
    why = row.reason or f"not rendered yet: it is {row.state}"
    poster = b""
    if row.result is not None:
        storage.get_file(row.result, video)
        poster = storage.get_bytes(f"{row.result.rpartition('/')[0]}/poster.jpg")
    label += [f"look at {one.timecode}: {one.sentence}" for one in row.review]
    return Clip(
        row=row.row if shown is None else shown.row,
        name=row.name.removesuffix(MARK),
        label=", ".join(label),
        rows=ranges(held.intersection(shown.stands_for), " ") if shown is not None else "",  # for `farm batch reject`
        video=video if row.result is not None else None,
        poster=poster,
        why=why,
    )


def _rows_in_words(rows: tuple[int, ...]) -> str:
    written = ranges(rows, " ")
    return f"row {written}" if len(rows) == 1 else f"{len(rows)} rows: {written}"
