"""How `farm top` looks: as many lines of everything as the terminal has room for, what is wrong first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from farm.cli.batchcard import BATCH_STYLES
from farm.cli.chunkmap import bar
from farm.cli.show import SLOT_STYLES, STATE_STYLES, duration, plain
from farm.jobs.load import AWAY
from farm.jobs.model import JobState
from farm.logs import unit_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType

    from farm.jobs.batches import BatchRow
    from farm.jobs.glance import Glance, Queue, RunningJob
    from farm.jobs.lately import InHand, LateFailure
    from farm.jobs.model import SlotView

BARS_FROM = 80
"""Columns from which on a terminal has room for bars."""
GAP = 2
LEAST_LETTERS, READABLE_LETTERS, MOST_LETTERS = 8, 32, 40
"""Of a column: what is left of the long one at worst, what it should have, and what the others have at most."""
LEAST_LINES = 4
"""Of a section: an empty one, its heads and two rows."""
SILENT_SWEEPER_SECONDS = 90.0
"""After which a sweeper is missed; it may pause a minute between two looks."""
BAR = 12

Row = tuple["str | Text", ...]


@dataclass(frozen=True)
class Section:
    """A table of one kind. long: the column that takes what room is left. spare: those that a narrow terminal does
    without, the first to go first.
    """

    columns: tuple[str, ...]
    rows: Sequence[Row]
    long: str
    spare: tuple[str, ...] = ()

    def lines(self, room: int, width: int) -> Iterator[RenderableType]:
        """The first rows that `room` lines take, and how many are left."""
        fits = len(self.rows) if len(self.rows) <= room else room - 1
        rows = self.rows[:fits]
        widths = {
            name: min(MOST_LETTERS, max(map(_letters, (name, *(row[number] for row in rows)))))
            for number, name in enumerate(self.columns)
        }
        gone = self._without(widths, width)
        others = sum(widths[name] + GAP for name in self.columns if name not in gone and name != self.long)
        widths[self.long] = max(LEAST_LETTERS, width - others - GAP)
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
        for name in self.columns:
            if name not in gone:
                table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=widths[name])
        for row in rows:
            table.add_row(*(cell for name, cell in zip(self.columns, row, strict=True) if name not in gone))
        yield table
        if fits < len(self.rows):
            yield Text(f"and {len(self.rows) - fits} more"[:width], style="dim")

    def _without(self, widths: Mapping[str, int], width: int) -> tuple[str, ...]:
        for number in range(len(self.spare)):
            left = [name for name in self.columns if name not in self.spare[:number]]
            taken = sum(widths[name] for name in left if name != self.long) + GAP * len(left)
            if taken + min(widths[self.long], READABLE_LETTERS) <= width:
                return self.spare[:number]
        return self.spare


@dataclass(frozen=True)
class TopView:
    """A glance as text. live: it fills a terminal and is cut to its height. trouble: why there is no newer one."""

    glance: Glance
    live: bool = False
    trouble: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        width = options.max_width
        head = list(self._head(width))
        yield from head
        sections = [section for section in _sections(self.glance, options) if section.rows]
        free = console.height - len(head) - 1  # a line more would scroll
        if self.live:
            sections = sections[: max(1, free // LEAST_LINES)]
        wanted = [len(section.rows) for section in sections]
        given = rooms(wanted, free - 2 * len(sections)) if self.live else wanted
        for section, room in zip(sections, given, strict=True):
            if room:
                yield Text("")
                yield from section.lines(room, width)

    def _head(self, width: int) -> Iterator[Text]:
        seen = self.glance
        clock = datetime.fromtimestamp(seen.at, UTC).astimezone().strftime("%H:%M:%S")
        states = [slot.state for slot, _ in seen.slots]
        slots = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "none"
        yield _line(width, (clock, "bold"), f"  slots: {slots}  cpu workers: {seen.cpu_workers}", self._hint())
        done = seen.rates
        work = "" if done.work_per_video is None else f", {done.work_per_video:.2f} s of work for a second of it"
        yield _line(
            width, f"lately: {done.chunks_per_minute:.1f} chunks, {done.video_per_minute:.0f} s of video a minute{work}"
        )
        waiting, oldest = sum(row.chunks for row in seen.queue), max((row.oldest for row in seen.queue), default=0.0)
        age = f", oldest {duration(oldest)}" if waiting else ""
        others = [(seen.units["unplanned"], "jobs unplanned"), (seen.units["delayed"], "chunks delayed")]
        more = "".join(f", {number} {what}" for number, what in others if number)
        yield _line(width, f"waiting: {waiting} chunks{age}{more}; jobs in hand: {seen.running}")
        for wrong in self._wrong():
            yield _line(width, (plain(wrong), "bold red"))

    def _hint(self) -> tuple[str, str]:
        return ("  q ends", "dim") if self.live else ("", "")

    def _wrong(self) -> Iterator[str]:
        pause, age = self.glance.storage_paused, self.glance.sweeper_age
        if self.trouble:
            yield self.trouble
        if pause is not None:
            yield f"nothing is begun for {duration(self.glance.at - pause.since)}, storage failed: {pause.reason}"
        if age is None or age > SILENT_SWEEPER_SECONDS:
            yield "no sweeper has looked yet" if age is None else f"no sweeper has looked for {duration(age)}"


def rooms(wanted: Sequence[int], lines: int) -> list[int]:
    """So many lines shared out: one each in turn, until all have what they want or nothing is left."""
    given = [0] * len(wanted)
    while lines > 0 and given != list(wanted):
        for number, wants in enumerate(wanted):
            if lines > 0 and given[number] < wants:
                given[number] += 1
                lines -= 1
    return given


def _line(width: int, *parts: str | tuple[str, str]) -> Text:
    text = Text.assemble(*parts)
    text.truncate(width, overflow="ellipsis")
    return text


def _sections(seen: Glance, options: ConsoleOptions) -> Iterator[Section]:
    wide = options.max_width >= BARS_FROM

    def done(percent: float, style: str = "cyan") -> Text:
        drawn = bar(percent / 100, BAR, ascii_only=options.ascii_only) + " " if wide else ""
        return Text.assemble((drawn, style), f"{percent:3.0f} %")

    slots = sorted(seen.slots, key=lambda slot: (slot[0].state not in AWAY, _as_counted(slot[0].name)))
    yield Section(
        ("slot", "state", "busy", "done", "in hand", "device"),
        [_slot(slot, work, done) for slot, work in slots],
        "in hand",
        ("device", "busy", "done"),
    )
    yield Section(
        ("job", "state", "done", "chunks", "left", "owner", "id"),
        [_job(job, done) for job in seen.jobs],
        "job",
        ("id", "owner", "chunks", "left"),
    )
    yield Section(
        ("waits of", "priority", "chunks", "oldest"),
        [_queue(row) for row in seen.queue],
        "waits of",
        ("oldest", "priority"),
    )
    yield Section(
        ("batch", "state", "ended", "failed", "owner", "id"),
        [_batch(row) for row in seen.batches],
        "batch",
        ("id", "owner", "failed"),
    )
    yield Section(
        ("failed", "where", "what", "why"),
        [_failure(one, seen.at) for one in seen.failures],
        "why",
        ("where", "failed"),
    )


def _letters(cell: str | Text) -> int:
    return cell.cell_len if isinstance(cell, Text) else cell_len(cell)


def _as_counted(name: str) -> list[str | int]:
    """For sorting: gpu2 before gpu10."""
    return [int(part) if part.isdigit() else part for part in re.split("([0-9]+)", name)]


def _slot(slot: SlotView, work: InHand, done: Callable[[float], Text]) -> Row:
    busy = "" if work.busy is None else f"{100 * work.busy:3.0f} %"
    has = Text("")
    if slot.why_out:
        has = Text(plain(slot.why_out), style="red")
    elif work.title is not None and slot.chunk is not None:
        has = Text(f"{plain(work.title)}, chunk {slot.chunk + 1} of {work.chunks}")
    share = Text("") if work.percent is None else done(work.percent)
    return (slot.name, Text(slot.state, style=SLOT_STYLES.get(slot.state, "")), busy, share, has, plain(slot.device))


def _job(job: RunningJob, done: Callable[[float], Text]) -> Row:
    left = "" if job.seconds_left is None else duration(job.seconds_left)
    chunks = f"{job.done}/{job.chunks}" if job.chunks else ""
    state = Text(job.state, style=STATE_STYLES.get(JobState(job.state), ""))
    return (plain(job.name), state, done(job.percent), chunks, left, plain(job.owner), job.id)


def _queue(row: Queue) -> Row:
    return (plain(row.owner), str(row.priority), str(row.chunks), duration(row.oldest))


def _batch(row: BatchRow) -> Row:
    state = "ended" if row.all_ended else row.state
    failed = row.counts.get(JobState.FAILED, 0)
    return (
        plain(row.name),
        Text(state, style=BATCH_STYLES.get(state, "")),
        f"{row.ended}/{row.total}",
        Text(str(failed), style="red" if failed else ""),
        plain(row.owner),
        row.id,
    )


def _failure(one: LateFailure, now: float) -> Row:
    what = Text(f"{plain(one.title or one.job)}, {unit_words(one.unit)}", style="bold red" if one.over else "")
    return (f"{duration(max(0.0, now - one.at))} ago", plain(one.slot), what, plain(one.reason))
