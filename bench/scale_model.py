"""How much of their time slots render on farms of any size: a model, fed and checked by what bench/scale.py measured.

    python -m bench.scale --json > scale.json
    python -m bench.scale_model scale.json [--picture PATH] [--json]

Every slot goes round: it renders, then needs processor time of its own and answers of others: Celery's parent, Redis,
storage. The chunk's delivery is work for which no slot waits. On one machine all of that queues for the same cores,
and so does the stitch of each job that ends. Where each slot has a machine of its own, only Redis is shared, which
runs one script at a time. How far the model is to be trusted is seen from each farm that was measured, by what a
chunk cost there and what was stitched meanwhile; the curves take the costs of the largest farm. It knows no other
work on the machine. Exit code 1 where it is off by more than a point.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from bench.scale import CHUNKS_A_SLOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SLICE = 0.004
"""Seconds that a process keeps a core while others wait for one."""
ROUNDS = 4
"""Requests that a slot makes between two renders, about; each is some work here and some there."""
SLOTS = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
WANTED, MOST_OFF = 0.97, 0.01
OTHERS = ("slot's parent", "s3", "redis")
"""Who answers while a slot waits between two renders."""
Step = tuple[str, float]
"""What a slot does next: "wait", "core" (processor time) or "books" (Redis' time), and its seconds. "beside" and
"books beside": others begin to do that, and nobody waits for them.
"""


@dataclass(frozen=True)
class Costs:
    """Seconds for each chunk. render: that the renderer waits. All else is processor time.

    drawing: the renderer's own, inside it too; child: the slot's between two renders. answers and books: of
    Celery's parent and storage, and of Redis, while the slot waits for them. beside and books_beside: of whoever
    works for the chunk while no slot waits. stitch: of its job's stitch, all of whose chunks are paid at once.
    """

    render: float
    drawing: float
    child: float
    answers: float
    books: float
    beside: float = 0.0
    books_beside: float = 0.0
    stitch: float = 0.0

    @property
    def processor_time(self) -> float:
        """All that wants a core."""
        own = self.drawing + self.child + self.answers + self.books
        return own + self.beside + self.books_beside + self.stitch


class Line:
    """What is served by so many at a time, first come first served, each for a slice."""

    def __init__(self, servers: int) -> None:
        self.free = servers
        self.waiting: deque[tuple[Any, float]] = deque()


class Floor:
    """So many slots at work on one machine with `cores`, or on a machine each where that is None.

    late_counts: whether a renderer that goes on late, for want of a core, is inside meanwhile.
    """

    def __init__(self, costs: Costs, slots: int, cores: int | None, *, late_counts: bool) -> None:
        self._costs, self._slots, self._one_machine = costs, slots, cores is not None
        self._late_counts = late_counts
        self._cores, self._books = Line(cores or 0), Line(1)
        self._due: list[tuple[float, int, Any, Any]] = []
        self._count = self._rendered = 0
        self._now = self.inside = 0.0
        self._watched = 0.0, 0.0

    def run(self, seconds: float, *, after: float) -> float:
        """Share of slot time inside the renderer, of so many seconds, the first ones left out."""
        for number in range(self._slots):
            first = self._costs.render * (number + 1) / self._slots  # slots do not begin together
            self._at(first, self._go_on, self._slot())
        self._watched = after, after + seconds
        while self._due[0][0] < after + seconds:
            self._now, _, act, what = heapq.heappop(self._due)
            act(what)
        return self.inside / (self._slots * seconds)

    def _renders(self, since: float, seconds: float) -> None:
        """Count what is rendered for so long, as far as it is watched."""
        start, stop = self._watched
        self.inside += max(0.0, min(since + seconds, stop) - max(since, start))

    def _slot(self) -> Iterator[Step]:
        costs = self._costs
        while True:
            for _ in range(ROUNDS):
                self._renders(self._now, costs.render / ROUNDS)
                yield "wait", costs.render / ROUNDS
                since = self._now
                yield "core", costs.drawing / ROUNDS
                self._renders(since, self._now - since if self._late_counts else costs.drawing / ROUNDS)
            for _ in range(ROUNDS):
                yield "core", costs.child / ROUNDS
                yield "core", costs.answers / ROUNDS
                yield "books", costs.books / ROUNDS
            yield "beside", costs.beside
            yield "books beside", costs.books_beside
            self._rendered += 1
            if self._rendered % (CHUNKS_A_SLOT * self._slots) == 0:
                yield "beside", costs.stitch * CHUNKS_A_SLOT * self._slots

    def _go_on(self, slot: Iterator[Step]) -> None:
        what, seconds = next(slot)
        if what.endswith("beside"):
            if self._one_machine or what == "books beside":
                self._join(self._cores if self._one_machine else self._books, iter(()), seconds)
            self._go_on(slot)
        elif what == "wait" or (what == "core" and not self._one_machine):
            self._at(self._now + seconds, self._go_on, slot)
        else:
            self._join(self._books if what == "books" and not self._one_machine else self._cores, slot, seconds)

    def _join(self, line: Line, slot: Any, seconds: float) -> None:
        line.waiting.append((slot, seconds))
        self._serve(line)

    def _serve(self, line: Line) -> None:
        while line.free and line.waiting:
            slot, seconds = line.waiting.popleft()
            line.free -= 1
            served = min(seconds, SLICE)
            self._at(self._now + served, self._served, (line, slot, seconds - served))

    def _served(self, what: tuple[Line, Any, float]) -> None:
        line, slot, left = what
        line.free += 1
        if left > 1e-9:
            line.waiting.append((slot, left))
        self._serve(line)
        if left <= 1e-9:
            self._ended(slot)

    def _ended(self, slot: Any) -> None:
        if hasattr(slot, "send"):  # what works beside has no slot that goes on
            self._go_on(slot)

    def _at(self, when: float, act: Any, what: Any) -> None:
        self._count += 1
        heapq.heappush(self._due, (when, self._count, act, what))


def share(costs: Costs, slots: int, *, cores: int | None, late_counts: bool = False) -> float:
    """Share of slot time inside the renderer; of a farm that has no time left, the part in which it gets on."""
    redis = costs.books + costs.books_beside
    round_of_all = slots * (costs.processor_time / cores if cores else redis)  # where all stand in line
    job = CHUNKS_A_SLOT * max(costs.render, round_of_all)  # its stitch is in what is watched
    return Floor(costs, slots, cores, late_counts=late_counts).run(2 * job, after=job)


def quietest(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The farm that waited least for cores."""
    row: Mapping[str, Any] = min(found["rows"], key=lambda row: row["mean"]["gap_waited_for_core_ms"])
    return row


def share_of(row: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    """What the model says of a farm that was measured, by its clock: a sleep that ends late is inside.

    In a minute a job's stitch may lie or not.
    """
    costs = costs_of(row, found)
    stitch = costs.stitch * row["stitched"] / row["chunks"]
    return share(replace(costs, stitch=stitch), row["slots"], cores=found["cores"], late_counts=True)


def costs_of(row: Mapping[str, Any], found: Mapping[str, Any]) -> Costs:
    """What a chunk cost on a farm that bench/scale.py measured; nothing is fitted to the share that it is held to.

    Of all that others do for a chunk the slot waits for as large a part as on the quietest farm: the time between two
    renders there in which the slot itself did nothing. A renderer waits as long as there: one that waits longer on a
    busy farm waits for a core. How fast cores are while
    all are busy is in the processor times.
    """
    quiet, spent = quietest(found), {kind: ms / 1000 for kind, ms in row["cpu_ms"].items()}
    others = sum(quiet["cpu_ms"][kind] for kind in OTHERS)
    idle = quiet["mean"]["gap_ms"] - quiet["mean"]["gap_cpu_ms"] - quiet["mean"]["gap_waited_for_core_ms"]
    awaited = min(1.0, max(0.0, idle) / others)
    handing = quiet["handing_over_ms"] / 1000  # between two calls of the renderer
    drawing = max(0.0, row["drawing_cpu_ms"] / 1000 - handing)
    child = row["mean"]["gap_cpu_ms"] / 1000 + handing
    answers, books = spent["slot's parent"] + spent["s3"], spent["redis"]
    stitched = sum(row["stitched"] for row in found["rows"])
    stitching = sum(row["cpu_ms"]["cpu worker"] * row["chunks"] for row in found["rows"]) / 1000
    rest = max(0.0, spent["slot's child"] - child - drawing)  # it encodes, delivers, sends and renews meanwhile
    return Costs(
        render=quiet["render_ms"] / 1000 - drawing,
        drawing=drawing,
        child=child,
        answers=awaited * answers,
        books=awaited * books,
        beside=(1 - awaited) * answers + rest + spent["sweeper"] + spent["launcher"],
        books_beside=(1 - awaited) * books,
        stitch=stitching / stitched if stitched else 0.0,
    )


def bounds(costs: Costs, cores: int) -> dict[str, float]:
    """Slots at which something has no time left, though nobody waited for anything else."""
    cycle = costs.render / WANTED
    return {
        f"{cores} cores for all": cores * cycle / costs.processor_time,
        "Redis alone": cycle / (costs.books + costs.books_beside),
    }


def picture(
    path: Path, curves: Mapping[str, Sequence[tuple[int, float]]], measured: Sequence[tuple[int, float]]
) -> None:
    """The curves over slots (each step twice as many), and a dot for each farm that was measured."""
    image = Image.new("RGB", (900, 520), "white")
    draw = ImageDraw.Draw(image)

    def at(slots: int, inside: float) -> tuple[float, float]:
        doublings = len(f"{slots:b}") - 1 + slots / (1 << (len(f"{slots:b}") - 1)) - 1
        return 70 + 78 * doublings, 460 - 420 * inside

    for doubling in range(11):
        x, _ = at(1 << doubling, 0)
        draw.line((x, 40, x, 460), "#e4e4e4")
        draw.text((x - 8, 468), str(1 << doubling), "black")
    for tenth in range(0, 11, 2):
        _, y = at(1, tenth / 10)
        draw.line((70, y, 850, y), "#e4e4e4")
        draw.text((30, y - 6), f"{10 * tenth} %", "black")
    draw.line((*at(1, WANTED), *at(1024, WANTED)), "#b0b0b0")
    draw.text((70, 490), "slots; share of their time inside the renderer, 2 s a chunk; grey line: 97 %", "black")
    for number, ((name, points), colour) in enumerate(zip(curves.items(), ("#c0392b", "#2471a3"), strict=True)):
        draw.line([at(*point) for point in points], colour, 3)
        draw.text((90, 400 + 20 * number), name, colour)
    for slots, inside in measured:
        x, y = at(slots, inside)
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), "black")
    draw.text((90, 440), "dots: measured", "black")
    image.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("found", type=Path, help="what bench/scale.py --json printed")
    parser.add_argument("--picture", type=Path, metavar="PATH", help="PNG of the curves")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    measured = json.loads(args.found.read_text())
    rows = sorted(measured["rows"], key=lambda row: row["slots"])
    cores = measured["cores"]
    costs = costs_of(rows[-1], measured)
    curves = {
        f"all on one machine of {cores} cores": [(slots, share(costs, slots, cores=cores)) for slots in SLOTS],
        "each slot on a machine of its own": [(slots, share(costs, slots, cores=None)) for slots in SLOTS],
    }
    held = {row["slots"]: (row["inside"], round(share_of(row, measured), 4)) for row in rows}
    if args.picture:
        picture(args.picture, curves, [(row["slots"], row["inside"]) for row in rows])
    found = {"costs": vars(costs), "held": held, "bounds": bounds(costs, cores), "curves": curves}
    print(json.dumps(found) if args.json else told(found))
    sys.exit(1 if any(abs(measured - model) > MOST_OFF for measured, model in held.values()) else 0)


def told(found: Mapping[str, Any]) -> str:
    """The tables of docs/scale.md."""
    lines = ["| slots | measured | model | |", "|---|---|---|---|"]
    for slots, (measured, model) in found["held"].items():
        verdict = "within a point" if abs(measured - model) <= MOST_OFF else "NOT within a point"
        lines.append(f"| {slots} | {measured:.1%} | {model:.1%} | {verdict} |")
    one, own = found["curves"].values()
    lines += ["", f"| slots | {' | '.join(found['curves'])} |", "|---|---|---|"]
    lines += [f"| {slots} | {shared:.1%} | {alone:.1%} |" for (slots, shared), (_, alone) in zip(one, own, strict=True)]
    lines += ["", *(f"{name}: at most {slots:.0f} slots" for name, slots in found["bounds"].items())]
    return "\n".join([*lines, "", json.dumps({name: round(1000 * value, 1) for name, value in found["costs"].items()})])


if __name__ == "__main__":
    main()
