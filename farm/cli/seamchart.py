"""The seam chart: one line a seam, how far it stands out as a bar, and what the two sides were like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from engine.spec import FRAME_RATE
from farm.cli.chunkmap import bar

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

FULL_BAR = 10.0
"""Ordinary steps at which a bar is full."""
NARROW = 90
"""Columns below which the chart leaves out what the sides were like."""


@dataclass(frozen=True)
class SeamChart:
    """Draws `seams`, as report.json lists them, at the width it is given.

    bad: cuts of the seams that were refused.
    """

    seams: Sequence[Mapping[str, Any]]
    bad: frozenset[int]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if not self.seams:
            yield Text("One chunk, no seams.", style="dim")
            return
        wide = options.max_width >= NARROW
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("seam", justify="right", no_wrap=True)
        table.add_column("at", no_wrap=True)
        table.add_column("step in ordinary steps", no_wrap=True)
        for name in ("sides differ", "step after", "brightness", "moved") if wide else ():
            table.add_column(name, justify="right", no_wrap=True)
        for number, seam in enumerate(self.seams, start=1):
            table.add_row(str(number), *self._row(seam, options, wide=wide))
        yield table
        bad = sum(self._is_bad(seam) for seam in self.seams)
        yield Text(f"{bad} of {len(self.seams)} stand out" if bad else "None stands out", style="red" if bad else "dim")

    def _row(self, seam: Mapping[str, Any], options: ConsoleOptions, *, wide: bool) -> list[RenderableType]:
        bad, ratio = self._is_bad(seam), seam["step_ratio"]
        width = max(6, min(30, options.max_width // 4))
        mark = ("X" if options.ascii_only else "✗") if bad else ""
        drawn = Text.assemble(
            (bar(ratio / FULL_BAR, width, ascii_only=options.ascii_only), "bold red" if bad else "green"),
            f" {ratio:5.2f} ",
            (mark, "bold red"),
        )
        row: list[RenderableType] = [timecode(seam["frames25"]), drawn]
        if wide:
            # of the channels the one that says most
            lift = max(seam["brightness"], key=abs)
            moved = f"{seam['flow_p95']:.1f} px"
            row += [f"{seam['difference']:.2f}", f"{seam['step']:.2f}", f"{lift:+.0f}" if lift else "0", moved]
        return row

    def _is_bad(self, seam: Mapping[str, Any]) -> bool:
        return seam["cut"] in self.bad


def timecode(frames25: Sequence[int]) -> str:
    """Where the middle of frames25 [start, stop) lies: hours, minutes, seconds with two digits behind the point."""
    hundredths = (frames25[0] + frames25[1]) * 100 // (2 * FRAME_RATE)
    seconds = hundredths // 100
    return f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}.{hundredths % 100:02}"
