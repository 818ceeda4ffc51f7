"""How batches, their rows and their reports look on a terminal: values in, rich renderables out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from farm.cli.show import STATE_STYLES, day, empty_table, facts_table, left_words, moment, plain, progress_line
from farm.jobs.model import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

    from farm.batch.lines import RowView
    from farm.batch.progress import BatchView
    from farm.batch.report import ReportRow
    from farm.jobs.batches import BatchRow

BATCH_STYLES = {"paused": "yellow", "stopped": "bold red", "cancelled": "yellow"}


def counted(counts: Mapping[JobState, int]) -> str:
    """'12 done, 3 rendering, 25 queued', the furthest first."""
    return ", ".join(f"{counts[state]} {state}" for state in reversed(list(JobState)) if counts.get(state))


def headline(view: BatchView) -> str:
    """A batch in one line, for pipes and logs."""
    parts = [f"{view.id}  {view.state}  {view.percent:.0f} %", f"rows: {counted(view.counts) or 'none'}"]
    if view.seconds_left is not None and not view.ended:
        parts.append(left_words(view.seconds_left))
    if view.waits_for:
        parts.append(view.waits_for)
    return "  ".join(parts)


@dataclass(frozen=True)
class BatchCard:
    """All of one batch: totals, progress, what it waits for, which rows need somebody. rows: those asked for, if any
    were, else the view's own.
    """

    view: BatchView
    rows: Sequence[RowView] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        view = self.view
        style = BATCH_STYLES.get(view.state, "green" if view.ended else "cyan")
        yield Text.assemble(
            (plain(view.name), "bold"), "  ", ("all rows have ended" if view.ended else view.state, style)
        )
        left = "" if view.ended else left_words(view.seconds_left)
        yield progress_line(view.percent, style, left, options)
        yield _facts(view)
        if view.waits_for:
            yield Text(view.waits_for, style="yellow")
        rows = view.rows if self.rows is None else self.rows
        if rows:
            yield Text("")
            yield row_table(rows)
        wrong = view.counts.get(JobState.FAILED, 0) + view.needs_review
        if self.rows is None and wrong > len(rows):
            yield Text(
                f"and {wrong - len(rows)} more that failed or need review: farm batch report {view.id}", style="dim"
            )


def _facts(view: BatchView) -> Table:
    table = facts_table()
    table.add_row("batch", view.id)
    table.add_row("owner", plain(view.owner))
    table.add_row("submitted", moment(view.submitted))
    held = f"; {view.held} of them held" if view.held else ""
    table.add_row("rows", f"{view.total}: {counted(view.counts)}{held}")
    if view.needs_review:
        table.add_row("to review", str(view.needs_review))
    if view.taken:
        table.add_row("taken", f"{view.taken} chunks that were rendered before")
    if view.refused:
        table.add_row("refused", f"{view.refused} rows of the manifest: farm batch report {view.id}")
    if view.limit is not None:
        table.add_row("limit", f"{view.limit} slots at once")
    if view.pilot:
        table.add_row("pilot", view.pilot)
    return table


def row_table(rows: Sequence[RowView]) -> Table:
    """Rows that are jobs, with what is wrong with them."""
    table = empty_table("row", "name", "state", "done", "job", "what is wrong")
    for row in rows:
        review = [f"look at {found.timecode}: {found.sentence}" for found in row.review]
        table.add_row(
            str(row.row),
            plain(row.name),
            Text(state_words(row), style=STATE_STYLES.get(row.state, "")),
            f"{row.percent:.0f} %",
            row.job,
            plain("; ".join([*([row.reason] if row.reason else []), *review])),
        )
    return table


def state_words(row: RowView) -> str:
    """The state with its flags: 'planning, held'."""
    flags = [flag for flag, raised in (("held", row.held), ("paused", row.paused)) if raised]
    if row.review:
        flags.append("needs review")
    return ", ".join([str(row.state), *flags])


def batch_table(rows: Sequence[BatchRow]) -> Table:
    """Batches, a row each, from their counters alone."""
    table = empty_table("batch", "name", "owner", "state", "ended", "rows", "since", whole=(0, 6))
    for row in rows:
        state, usual = ("ended", "green") if row.all_ended else (row.state, "cyan")
        share = f"{100 * row.ended / row.total:.0f} %" if row.total else ""
        table.add_row(
            row.id,
            plain(row.name),
            plain(row.owner),
            Text(state, style=BATCH_STYLES.get(row.state, usual)),
            share,
            f"{row.total}: {counted(row.counts)}",
            day(row.submitted),
        )
    return table


def report_table(rows: Sequence[ReportRow]) -> Table:
    """What became of every lesson."""
    table = empty_table("row", "name", "state", "seconds", "result, or why there is none")
    styles = {str(state): style for state, style in STATE_STYLES.items()}
    styles |= {"refused": "bold red", "held": "yellow", "same": "dim"}
    for row in rows:
        words = [one for one in (row.url, row.reason, *(f"look at {found}" for found in row.needs_review)) if one]
        table.add_row(
            str(row.row),
            plain(row.name),
            Text(row.state, style=styles.get(row.state, "")),
            "" if row.seconds is None else f"{row.seconds:.1f}",
            plain("; ".join(words)),
        )
    return table
