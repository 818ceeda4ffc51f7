"""Where a batch stands: totals from its counters, percent and pace from the rows in hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from farm.batch.lines import row_views, spread_rows, wrong_rows
from farm.jobs import views
from farm.jobs.batches import batch_row
from farm.jobs.model import JobState, UnitState
from farm.jobs.why import why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.batch.lines import RowView
    from farm.jobs.batches import BatchRow
    from farm.jobs.store import Books

SAMPLE = 200
"""Rows, spread over the batch, whose lengths stand for those of all."""
TIMED = 8
"""Jobs whose chunks tell how long a second of video takes."""


@dataclass(frozen=True, kw_only=True)
class BatchView:
    """A batch as people see it: what `farm batch show --json` prints.

    counts: rows by state. percent: of its rows, those in hand by their share. seconds_left: at the pace of this farm's
    slots, if they all had nothing else to do; None where that is not known. waits_for: what keeps rows from being
    rendered now, in words. pilot: the batch of its clips. refused: rows that the check refused. taken: chunks that were
    rendered before and are not rendered again.
    """

    id: str
    name: str
    owner: str
    submitted: float
    state: str
    reason: str
    total: int
    counts: dict[JobState, int]
    held: int
    needs_review: int
    taken: int
    limit: int | None
    refused: int
    pilot: str
    percent: float
    seconds_left: float | None
    waits_for: str
    rows: tuple[RowView, ...]

    @property
    def ended(self) -> bool:
        """Whether every row has ended."""
        return sum(self.counts.get(state, 0) for state in JobState if state.ended) >= self.total

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def batch_view(books: Books, batch: str, *, most: int) -> BatchView:
    """A batch with the first rows that failed or need review, `most` of them; raises NotFoundError."""
    row = batch_row(books, batch)
    in_hand, begun = _in_hand(books, batch)
    sample = spread_rows(books, row, most=SAMPLE)
    return BatchView(
        id=batch,
        name=row.name,
        owner=row.owner,
        submitted=row.submitted,
        state=row.state,
        reason=row.reason,
        total=row.total,
        counts=row.counts,
        held=row.held,
        needs_review=row.needs_review,
        taken=row.taken,
        limit=row.limit,
        refused=row.refused,
        pilot=row.pilot,
        percent=_percent(row, in_hand, begun),
        seconds_left=_seconds_left(books, row, in_hand, begun, sample) if row.state == "open" else None,
        waits_for=_kept(row) or _binding(books, sample, len(begun)),
        rows=wrong_rows(books, row, most=most),
    )


def _in_hand(books: Books, batch: str) -> tuple[tuple[RowView, ...], list[tuple[str, float]]]:
    """The rows that slots render now; and for each slot its row's job, with the share of it that is in hand there."""
    slots = [slot for slot in views.slot_views(books) if slot.job and slot.state != "lost"]
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for slot in slots:
            pipe.hmget(f"farm:job:{slot.job}", "batch", "chunks")
            pipe.hget(f"farm:job:{slot.job}:u:{slot.chunk}", "percent")
        found = pipe.execute()
    begun = [
        (slot.job or "", float(percent or 0) / 100 / int(chunks or 1))
        for slot, (of_batch, chunks), percent in zip(slots, found[::2], found[1::2], strict=True)
        if of_batch == batch
    ]
    return row_views(books, list(dict.fromkeys(job for job, _ in begun))), begun


def _percent(row: BatchRow, in_hand: Sequence[RowView], begun: Sequence[tuple[str, float]]) -> float:
    if not row.total:
        return 0.0
    rendered = sum(one.percent for one in in_hand) / 100 + views.RENDERED_SHARE * sum(share for _, share in begun)
    stitching = views.RENDERED_SHARE * row.counts[JobState.STITCHING]
    return round(100 * min(1.0, (row.ended + rendered + stitching) / row.total), 1)


def _seconds_left(
    books: Books,
    row: BatchRow,
    in_hand: Sequence[RowView],
    begun: Sequence[tuple[str, float]],
    sample: Sequence[RowView],
) -> float | None:
    """The video that is left, at the pace of the chunks so far and on as many slots as work on it now; None before
    there are any. Rows that are held do not count.
    """
    lengths = [one.seconds for one in sample if one.seconds is not None]
    goes_on = [one for one in sample if not one.state.ended and not one.held]
    pace = _pace(books, [*in_hand, *(one for one in sample if one.state is JobState.DONE)])
    if pace is None or not begun or not lengths or not goes_on:
        return None
    usual = sum(lengths) / len(lengths)
    video = sum((one.seconds or usual) * (1 - one.percent / 100) for one in goes_on) / len(goes_on)
    of_rows = {one.job: one.seconds or usual for one in in_hand}
    rendered = sum(share * of_rows.get(job, usual) for job, share in begun)
    return round(max(0.0, (row.total - row.ended - row.held) * video - rendered) * pace / len(begun), 1)


def _pace(books: Books, rows: Sequence[RowView]) -> float | None:
    """Seconds of a slot for a second of video, over a few rows; None before anything of them is rendered."""
    spent = video = 0.0
    for row in islice((one for one in rows if one.seconds), TIMED):
        view = views.job_view(books, row.job)
        chunk = (row.seconds or 0) / max(1, len(view.chunks))
        running = sum(attempt.outcome is None for attempt in view.attempts)
        left = sum(1 - one.percent / 100 for one in view.chunks if one.state is not UnitState.DONE)
        if view.seconds_left is not None and left:
            rendering = view.seconds_left - (view.stitch_seconds or 0)
            spent, video = spent + rendering * max(1, running), video + left * chunk
            continue
        took = [
            attempt.ended - attempt.started
            for attempt in view.attempts
            if attempt.unit.isdecimal() and attempt.outcome == "done" and attempt.ended is not None
        ]
        spent, video = spent + sum(took), video + len(took) * chunk
    return spent / video if video else None


def _kept(row: BatchRow) -> str:
    """What people or failures keep from being rendered; nothing where only slots are awaited."""
    left = row.total - row.ended
    if not left:
        return ""
    if row.state in {"paused", "stopped"}:
        return f"{row.reason}: nothing more begins until `farm batch resume {row.id}`"
    if row.state == "cancelled":
        return f"{row.reason}: nothing more begins"
    if row.held:
        rows = "1 row is" if row.held == 1 else f"{row.held} rows are"
        look = f", after a look at its pilot {row.pilot}" if row.pilot else ""
        return f"{rows} held until `farm batch release {row.id}`{look}"
    return ""


def _binding(books: Books, sample: Sequence[RowView], lanes: int) -> str:
    """The limit, or what else, that the next row waits for; nothing while it merely waits its turn behind others."""
    waiting = (one for one in sample if one.state in {JobState.PLANNING, JobState.QUEUED} and not one.held)
    following = next(waiting, None)
    if following is None:
        return ""
    found = why(books, following.job)
    if found.cause in {"working", "sent"} or (lanes and found.cause in {"turn", "queue"}):
        return ""
    sentence = found.sentence
    return f"Row {following.row} {sentence[3:]}" if sentence.startswith("It ") else f"Row {following.row}: {sentence}"
