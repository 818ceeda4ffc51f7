"""How a batch looks before it is submitted: what it is, what it costs on each kind of device, when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from farm.batch.plan import MORE_SLOTS
from farm.cli.show import duration, empty_table, facts_table, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table

    from farm.batch.plan import BatchPlan, OnDevice


@dataclass(frozen=True)
class BatchPlanCard:
    """All of a plan."""

    plan: BatchPlan

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        plan = self.plan
        yield Text("Nothing was submitted. This is the plan:", style="bold")
        yield self._facts()
        if plan.devices:
            yield Text("")
            yield self._devices()
        for note in plan.notes:
            yield Text(f"Note: {note}", style="yellow")

    def _facts(self) -> Table:
        plan, table = self.plan, facts_table()
        there = f", and {plan.there} that are there already" if plan.there else ""
        table.add_row("lessons", f"{plan.lessons} new{there}")
        table.add_row("video", f"{duration(plan.seconds)} ({plan.seconds / 60:.1f} minutes)")
        table.add_row("chunks", f"about {plan.chunks}")
        table.add_row("slots", f"{plan.slots} now; {plan.ahead.own + plan.ahead.others} chunks wait before it")
        if plan.finish is not None:
            table.add_row("done", f"about {moment(plan.finish.likely)}")
            table.add_row("", f"between {moment(plan.finish.low)} and {moment(plan.finish.high)}")
        if plan.sooner is not None:
            table.add_row(f"{MORE_SLOTS} more slots", f"about {duration(plan.sooner.likely)} sooner")
        return table

    def _devices(self) -> Table:
        paid = any(each.money for each in self.plan.devices)
        money = (self.plan.currency,) if paid else ()
        table = empty_table("renderer", "if all is done on", "slots", "slot hours", "between", *money, "speed")
        for each in self.plan.devices:
            cells = [each.renderer, each.device, str(each.slots), *_hours(each)]
            table.add_row(*cells, *([_money(each)] if paid else []), each.source)
        return table


def _hours(each: OnDevice) -> tuple[str, str]:
    hours = each.hours
    return ("", "") if hours is None else (f"{hours.likely:.3g}", f"{hours.low:.3g} and {hours.high:.3g}")


def _money(each: OnDevice) -> str:
    money = each.money
    return "" if money is None else f"{money.likely:.2f} ({money.low:.2f} to {money.high:.2f})"
