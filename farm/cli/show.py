"""How jobs, slots and history look on a terminal: values in, rich renderables out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from engine.spec import FRAME_RATE
from farm.cli.chunkmap import ChunkMap, bar, counted
from farm.jobs.model import PLAN, STITCH, AttemptView, Event, JobState, JobView, SlotView

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType

STATE_STYLES = {
    JobState.DONE: "green",
    JobState.FAILED: "bold red",
    JobState.CANCELLED: "yellow",
    JobState.RENDERING: "cyan",
    JobState.STITCHING: "cyan",
}


def duration(seconds: float) -> str:
    """A length of time as people say it: '42 s', '3 min 05 s', '2 h 07 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def moment(at: float) -> str:
    """Local date and time."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def day(at: float) -> str:
    """Local date and time for a narrow column: the year stands in the id beside it."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%m-%d %H:%M")


def clock(frames25: int) -> str:
    """A video's length as a player shows it."""
    seconds = frames25 // FRAME_RATE
    return f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"


def plain(text: str) -> str:
    """A name that someone else chose, without characters that could drive the terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def state_words(view: JobView) -> str:
    """The state, its flags, and what it waits for: 'rendering, paused'."""
    flags = [flag for flag, raised in (("paused", view.paused), ("needs review", view.needs_review)) if raised]
    return ", ".join([str(view.state), *flags])


def time_left(view: JobView) -> str:
    """'about 3 min 05 s left', or the time it took."""
    if view.state.ended:
        # a redo may have been asked for long after the first version: the time between says nothing
        took = view.ended - view.submitted if view.ended is not None and len(view.versions) < 2 else None
        return f"in {duration(took)}" if took is not None else ""
    return left_words(view.seconds_left)


def left_words(seconds: float | None) -> str:
    """'about 3 min 05 s left', as far as that is known."""
    return "time left not known yet" if seconds is None else f"about {duration(seconds)} left"


def progress_line(percent: float, style: str, words: str, options: ConsoleOptions) -> Text:
    """A bar as wide as there is room, the percentage, and words behind it."""
    width = max(10, min(60, options.max_width - 40))
    drawn = bar(percent / 100, width, ascii_only=options.ascii_only)
    return Text.assemble((drawn, style), f" {percent:.0f} %  ", (words, "dim"))


def saved_words(view: JobView) -> str:
    """'14 of 21 chunks taken from 20261122-181530-k3f9ab', before that how many can be, or nothing."""
    taken = [chunk.taken_from for chunk in view.chunks if chunk.taken_from]
    if taken:
        return f"{len(taken)} of {len(view.chunks)} chunks taken from {', '.join(sorted(set(taken)))}"
    return f"{view.rendered} of {len(view.chunks)} chunks were rendered already" if view.rendered else ""


def headline(view: JobView) -> str:
    """A job in one line, for pipes and logs: state, percent, chunks, time left."""
    parts = [f"{view.id}  {state_words(view)}  {view.percent:.0f} %"]
    if view.chunks:
        parts.append(f"chunks: {counted(view.chunks)}")
    if view.state.ended or view.seconds_left is not None:
        parts.append(time_left(view))
    return "  ".join(parts)


@dataclass(frozen=True)
class JobCard:
    """All of one job: facts, progress, chunk map, what failed."""

    view: JobView

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        view = self.view
        style = STATE_STYLES.get(view.state, "")
        yield Text.assemble((plain(view.name), "bold"), "  ", (state_words(view), style))
        yield progress_line(view.percent, style, time_left(view), options)
        yield _facts(view)
        if view.chunks:
            yield Text("")
            yield ChunkMap(view.chunks, _reasons(view.attempts))
        for unit in (PLAN, STITCH):
            for attempt in view.attempts:
                if attempt.unit == unit and attempt.reason:
                    yield Text(f"{unit}, attempt {attempt.number} on {attempt.slot}: {attempt.reason}")
        for finding in view.review:
            yield Text(f"Look at {finding.timecode}: {finding.sentence}", style="yellow")
        for warning in view.warnings:
            yield Text(f"Warning: {warning}", style="yellow")
        if view.error:
            yield Text(f"{view.error.message} ({view.error.code})", style="bold red")


def _facts(view: JobView) -> Table:
    table = facts_table()
    table.add_row("job", view.id)
    table.add_row("owner", f"{plain(view.owner)}, renderer {view.renderer}, priority {view.priority}")
    table.add_row("submitted", moment(view.submitted))
    if view.frames25 is not None:
        table.add_row("length", f"{clock(view.frames25)} ({view.frames25} frames)")
    if view.chunks:
        table.add_row("chunks", f"{len(view.chunks)}: {counted(view.chunks)}")
    if saved := saved_words(view):
        table.add_row("saved", saved)
    if view.result:
        table.add_row("result", f"{view.result} (version {view.current})")
    if view.digest:
        table.add_row("digest", view.digest)
    return table


def _reasons(attempts: Sequence[AttemptView]) -> dict[int, str]:
    return {int(attempt.unit): attempt.reason for attempt in attempts if attempt.unit.isdecimal() and attempt.reason}


def facts_table() -> Table:
    """A table of names and what they are, to be filled."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def empty_table(*columns: str, whole: Collection[int] = (0,)) -> Table:
    """A table as all of ours look. whole: columns in which no cell is broken into lines, by number."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number in whole, overflow="fold")
    return table


def job_table(views: Sequence[JobView]) -> Table:
    """Jobs, a row each; in 80 columns a row of an ordinary job is one line or two."""
    table = empty_table("job", "name", "owner", "state", "done", "left/since", whole=(0, 4, 5))
    table.columns[3].min_width = len("rendering")
    for view in views:
        left = None if view.state.ended else view.seconds_left
        table.add_row(
            view.id,
            plain(view.name),
            plain(view.owner),
            Text(state_words(view), style=STATE_STYLES.get(view.state, "")),
            f"{view.percent:.0f} %",
            day(view.submitted) if left is None else duration(left),
        )
    return table


SLOT_STYLES = {"busy": "cyan", "idle": "green", **dict.fromkeys(("lost", "sick", "probing", "out"), "bold red")}


def slot_table(slots: Sequence[SlotView]) -> Table:
    """Slots, a row each, with what they have in hand and when they last reported."""
    table = empty_table("slot", "state", "in hand", "device", "renderers", "loads", "seen", "process")
    now = time.time()
    for slot in slots:
        in_hand = "" if slot.chunk is None else f"{slot.job} chunk {slot.chunk + 1}"
        table.add_row(
            slot.name,
            Text(slot.state, style=SLOT_STYLES.get(slot.state, "")),
            in_hand,
            slot.device if slot.memory_mb is None else f"{slot.device}, {slot.memory_mb / 1024:.0f} GB",
            ", ".join(slot.renderers),
            f"{slot.loads} ({slot.load_seconds:.1f} s)",
            f"{duration(max(0.0, now - slot.seen))} ago",
            f"{slot.pid} on {slot.host}",
        )
    return table


def event_table(events: Sequence[Event]) -> Table:
    """A job's history, oldest first."""
    table = empty_table("when", "what", "who", "detail")
    for event in events:
        table.add_row(moment(event.at), event.what, plain(event.who), plain(event.detail))
    return table
