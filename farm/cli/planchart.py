"""How a plan looks before it is submitted: a row a chunk while they are few, a line of lengths when they are many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from engine.plan import GEN_RATE
from engine.spec import FRAME_RATE
from farm.cli.chunkmap import bar
from farm.cli.show import clock, duration, empty_table, facts_table
from farm.reuse import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

    from engine.plan import Plan
    from engine.spec import ChunkSpec
    from farm.dryrun import DryRun

MOST_ROWS = 24
"""Chunks that still get a row each."""
STEPS = ("▁▂▃▄▅▆▇█", "12345678")
"""A chunk's length as a share of the longest, and the same for terminals without Unicode."""
QUIET, HALF = 0.25, 0.75
"""Up to here a cut lies in a pause, and from there on in open speech."""


@dataclass(frozen=True)
class PlanChart:
    """Draws a dry run: what it will be, its chunks, what is computed twice, when it is finished."""

    found: DryRun

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        found, plan = self.found, self.found.plan
        yield Text("Nothing was submitted. This is the plan:", style="bold")
        yield _facts(found)
        yield Text("")
        yield self._rows(options) if len(plan.chunks) <= MOST_ROWS else self._line(options)
        for warning in found.warnings:
            yield Text(f"Warning: {warning}", style="yellow")

    def _rows(self, options: ConsoleOptions) -> Table:
        plan = self.found.plan
        longest = max(_kept(chunk) for chunk in plan.chunks)
        table = empty_table("chunk", "from", "keeps", "", "computes", "cut behind it lies in", whole=(3,))
        for number in (0, 2, 4):
            table.columns[number].justify = "right"
        for chunk, noise in zip(plan.chunks, (*self.found.noise, None), strict=True):
            table.add_row(
                str(chunk.index + 1),
                _timecode(chunk.kept[0]),
                f"{_kept(chunk) / GEN_RATE:.2f} s",
                bar(_kept(chunk) / longest, 20, ascii_only=options.ascii_only),
                _computed(plan, chunk),
                "" if noise is None else _cut_words(noise),
            )
        return table

    def _line(self, options: ConsoleOptions) -> Table:
        plan = self.found.plan
        kept = [_kept(chunk) for chunk in plan.chunks]
        steps = STEPS[options.ascii_only]
        bars = "".join(steps[max(0, -(-length * len(steps) // max(kept)) - 1)] for length in kept)
        table = facts_table()
        table.add_row("keeps", f"{min(kept) / GEN_RATE:.2f} to {max(kept) / GEN_RATE:.2f} s each")
        table.add_row("", bars)
        words = [_cut_words(noise) for noise in self.found.noise]
        table.add_row("cuts lie in", ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(sorted(words))))
        return table


def _facts(found: DryRun) -> Table:
    plan, table = found.plan, facts_table()
    table.add_row("length", f"{clock(plan.frames25)} ({plan.frames25} frames)")
    table.add_row("chunks", f"{len(plan.chunks)} of about {found.length.seconds:g} s ({found.length.because})")
    table.add_row("computed", _waste(plan))
    if found.rendered is not None:
        table.add_row("saved", in_words(plan, found.rendered))
    expected = found.expected
    table.add_row(
        "finished", "not known" if expected.seconds is None else f"about {duration(expected.seconds)} from now"
    )
    for word in expected.words:
        table.add_row("", Text(word, style="dim"))
    return table


def _waste(plan: Plan) -> str:
    wasted = plan.computed - plan.gen_frames
    frames = f"{wasted} generated frames more than are kept"
    if plan.geometry.window == 1:
        return f"{plan.waste:.1%} waste: {frames}"
    windows = plan.computed // plan.geometry.window
    return f"{plan.waste:.1%} waste: {plan.wasted_windows} of {windows} windows, {frames}"


def _computed(plan: Plan, chunk: ChunkSpec) -> str:
    count = plan.windows(chunk)
    return f"{count} windows" if plan.geometry.window > 1 else f"{count / GEN_RATE:.2f} s"


def _cut_words(noise: float) -> str:
    """A cut's place in words."""
    return "a pause" if noise <= QUIET else "part of a pause" if noise < HALF else "speech"


def _kept(chunk: ChunkSpec) -> int:
    return chunk.kept[1] - chunk.kept[0]


def _timecode(gen_frame: int) -> str:
    """A place in the video to a hundredth of a second."""
    hundredths = 2 * gen_frame * 100 // FRAME_RATE
    return f"{clock(2 * gen_frame)}.{hundredths % 100:02}"
