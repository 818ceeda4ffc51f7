"""The chunk map: a bar a chunk while they are few, a cell a chunk when they are many.

States differ by shape as well as by colour, and a terminal without Unicode gets plain letters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from farm.jobs.model import ChunkView, UnitState

MOST_BARS = 12
"""Chunks that still get a bar each."""
MOST_DETAILS = 8
"""Chunks failed or in hand that are listed under a map of cells."""
GROUP = 10
"""Cells between two gaps, so that a chunk's number can be counted."""

STYLES: Mapping[UnitState, str] = {
    UnitState.WAITING: "dim",
    UnitState.SENT: "dim",
    UnitState.RENDERING: "cyan",
    UnitState.DONE: "green",
    UnitState.FAILED: "bold red",
}
CELLS: Mapping[UnitState, tuple[str, str]] = {
    UnitState.WAITING: ("·", "."),
    UnitState.SENT: ("·", "."),
    UnitState.RENDERING: ("▶", ">"),
    UnitState.DONE: ("■", "#"),
    UnitState.FAILED: ("✗", "X"),
}
"""State -> its cell, and the one for terminals without Unicode."""
LEGEND = (UnitState.DONE, UnitState.RENDERING, UnitState.WAITING, UnitState.FAILED)


def bar(share: float, width: int, *, ascii_only: bool) -> str:
    """`width` characters of which `share` (0 to 1) are filled; full only when all is done."""
    full, empty = ("#", "-") if ascii_only else ("█", "░")
    filled = int(min(max(share, 0.0), 1.0) * width)
    return full * filled + empty * (width - filled)


def counted(chunks: Sequence[ChunkView]) -> str:
    """How many chunks are in each state: '8 done, 2 rendering, 11 waiting'."""
    shown = [_shown(chunk) for chunk in chunks]
    return ", ".join(f"{shown.count(state)} {state}" for state in LEGEND if state in shown)


def words(chunk: ChunkView) -> str:
    """A chunk's state in words: 'rendering 41 % on gpu0, attempt 2'."""
    text = f"{chunk.state} {chunk.percent:.0f} %" if chunk.state is UnitState.RENDERING else str(_shown(chunk))
    if chunk.slot and chunk.state in {UnitState.RENDERING, UnitState.DONE}:
        text += f" on {chunk.slot}"
    if chunk.slot and chunk.state is UnitState.SENT:
        text += f" for {chunk.slot}"
    if chunk.taken_from and chunk.state is UnitState.DONE:
        text += f", taken from {chunk.taken_from}"
    return f"{text}, attempt {chunk.attempts}" if chunk.attempts > 1 else text


@dataclass(frozen=True)
class ChunkMap:
    """Draws chunks at the width it is given. reasons: why a chunk's last attempt failed, by chunk index."""

    chunks: Sequence[ChunkView]
    reasons: Mapping[int, str] = field(default_factory=dict)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if len(self.chunks) <= MOST_BARS:
            yield self._bars(self.chunks, options)
            return
        yield self._cells(options)
        failed = [chunk for chunk in self.chunks if chunk.state is UnitState.FAILED]
        notable = failed + [chunk for chunk in self.chunks if chunk.state is UnitState.RENDERING]
        if notable:
            yield Text("")
            yield self._bars(notable[:MOST_DETAILS], options)
        if len(notable) > MOST_DETAILS:
            yield Text(f"... and {len(notable) - MOST_DETAILS} more failed or in hand", style="dim")

    def _bars(self, chunks: Sequence[ChunkView], options: ConsoleOptions) -> Table:
        width = max(8, min(40, options.max_width // 3))
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for chunk in chunks:
            share = 1.0 if chunk.state is UnitState.DONE else chunk.percent / 100
            style = STYLES[chunk.state]
            reason = self.reasons.get(chunk.index, "") if chunk.state is not UnitState.DONE else ""
            table.add_row(
                f"chunk {chunk.index + 1}",
                Text(bar(share, width, ascii_only=options.ascii_only), style=style),
                Group(Text(words(chunk), style=style), *([Text(reason)] if reason else [])),
            )
        return table

    def _cells(self, options: ConsoleOptions) -> Table:
        label = len(str(self.chunks[-1].index + 1))
        groups = max(1, (options.max_width - label - 2 + 1) // (GROUP + 1))
        per_row = groups * GROUP if groups < 10 else groups // 5 * 5 * GROUP
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", no_wrap=True, style="dim")
        table.add_column(no_wrap=True)
        for start in range(0, len(self.chunks), per_row):
            table.add_row(str(self.chunks[start].index + 1), self._row(self.chunks[start : start + per_row], options))
        table.add_row("", _legend(options))
        return table

    def _row(self, chunks: Sequence[ChunkView], options: ConsoleOptions) -> Text:
        row = Text()
        for place, chunk in enumerate(chunks):
            if place and place % GROUP == 0:
                row.append(" ")
            row.append(CELLS[chunk.state][options.ascii_only], style=STYLES[chunk.state])
        return row


def _legend(options: ConsoleOptions) -> Text:
    legend = Text()
    for state in LEGEND:
        legend.append(f"{CELLS[state][options.ascii_only]} ", style=STYLES[state])
        legend.append(f"{state}  ", style="dim")
    return legend


def _shown(chunk: ChunkView) -> UnitState:
    """A chunk that was sent to a slot still waits, as far as people are concerned."""
    return UnitState.WAITING if chunk.state is UnitState.SENT else chunk.state
