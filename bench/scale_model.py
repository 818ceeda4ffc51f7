"""How much of their time slots render on farms of any size: a model, fed and checked by what bench/scale.py measured.

    python -m bench.scale --json > scale.json
    python -m bench.scale_model scale.json [--picture PATH] [--json]

Every slot goes round: it renders, then needs processor time of its own, of its parent, of storage and of Redis, and
waits for answers. On one machine all of that queues for the same cores, and so does the stitch of each job that ends.
Where each slot has a machine of its own, only Redis is shared, which runs one script at a time. What a chunk costs is
taken from the farm that waited least for cores, what a stitch costs from all; how much slower cores are while all are
busy was measured beside. All farms say how far the model is to be trusted, each with as much stitched as there was. It
knows no other work on the machine. Exit code 1 where it is off by more than a point.
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
ROUNDS = 6
"""Requests that a slot makes between two renders, about; each is some work here and some there."""
SLOTS = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
WANTED, MOST_OFF = 0.97, 0.01
Step = tuple[str, float]
"""What a slot does next: "wait", "core" (processor time), "books" (Redis' time) or "beside"; and its seconds."""


@dataclass(frozen=True)
class Costs:
    """Seconds for each chunk. render: inside the renderer. All else is processor time, but for `waits`.

    drawing: the slot's own beside the renderer, while that renders; child: the same between two renders. parent:
    Celery's. beside: of who works for the chunk while no slot waits for it. stitch: of its job's stitch, all of whose
    chunks are paid at once. waits: for answers, with no core in use. company: a core's speed while all are busy.
    """

    render: float
    drawing: float
    child: float
    parent: float
    storage: float
    books: float
    beside: float = 0.0
    stitch: float = 0.0
    waits: float = 0.0
    company: float = 1.0


class Line:
    """What is served by so many at a time, first come first served, each for a slice."""

    def __init__(self, servers: int) -> None:
        self.free = servers
        self.waiting: deque[tuple[Any, float]] = deque()


class Floor:
    """So many slots at work on one machine with `cores`, or on a machine each where that is None."""

    def __init__(self, costs: Costs, slots: int, cores: int | None) -> None:
        self._costs, self._slots, self._one_machine = costs, slots, cores is not None
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

    def _renders(self, seconds: float) -> None:
        """Count what is rendered from now on, as far as it is watched."""
        start, stop = self._watched
        self.inside += max(0.0, min(self._now + seconds, stop) - max(self._now, start))

    def _slot(self) -> Iterator[Step]:
        costs = self._costs
        while True:
            for _ in range(ROUNDS):
                self._renders(costs.render / ROUNDS)
                yield "wait", costs.render / ROUNDS
                yield "core", costs.drawing / ROUNDS
            for _ in range(ROUNDS):
                yield "core", costs.child / ROUNDS
                yield "wait" if not self._one_machine else "core", costs.storage / ROUNDS
                yield "books", costs.books / ROUNDS
            yield "core", costs.parent
            yield "beside", costs.beside
            self._rendered += 1
            if self._rendered % (CHUNKS_A_SLOT * self._slots) == 0:
                yield "beside", costs.stitch * CHUNKS_A_SLOT * self._slots
            yield "wait", costs.waits

    def _go_on(self, slot: Iterator[Step]) -> None:
        what, seconds = next(slot)
        if what == "beside":
            if self._one_machine:
                self._join(self._cores, iter(()), seconds)
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
            speed = self._costs.company if line is self._cores and not line.free else 1.0
            self._at(self._now + served / speed, self._served, (line, slot, seconds - served))

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


def share(costs: Costs, slots: int, *, cores: int | None) -> float:
    """Share of slot time inside the renderer."""
    round_of_all = slots * (_processor_time(costs) / cores if cores else costs.books)  # where all stand in line
    job = CHUNKS_A_SLOT * max(costs.render, round_of_all)  # its stitch is in what is watched
    return Floor(costs, slots, cores).run(2 * job, after=job)


def share_of(row: Mapping[str, Any], costs: Costs, cores: int) -> float:
    """What the model says of a farm that was measured: in a minute a job's stitch may lie or not."""
    return share(replace(costs, stitch=costs.stitch * row["stitched"] / row["chunks"]), row["slots"], cores=cores)


def _processor_time(costs: Costs) -> float:
    return costs.drawing + costs.child + costs.parent + costs.storage + costs.books + costs.beside + costs.stitch


def costs_of(found: Mapping[str, Any]) -> Costs:
    """What bench/scale.py found, as the model wants it; nothing is fitted to the share that it is held to.

    waits: what is left of the time between two renders without all processor time, and waiting for a core.
    """
    rows = found["rows"]
    row = min(rows, key=lambda row: row["mean"]["gap_waited_for_core_ms"])
    stitched = sum(row["stitched"] for row in rows)
    stitching = sum(row["cpu_ms"]["cpu worker"] * row["chunks"] for row in rows) / 1000
    spent = {kind: ms / 1000 for kind, ms in row["cpu_ms"].items()}
    gap, own, waited = (row["mean"][name] / 1000 for name in ("gap_ms", "gap_cpu_ms", "gap_waited_for_core_ms"))
    child, parent, storage, books = own, spent["slot's parent"], spent["s3"], spent["redis"]
    drawing = row["drawing_cpu_ms"] / 1000  # the slot's other threads send, renew and keep the log meanwhile
    return Costs(
        render=row["render_ms"] / 1000,
        drawing=drawing,
        child=child,
        parent=parent,
        storage=storage,
        books=books,
        beside=spent["sweeper"] + spent["launcher"] + max(0.0, spent["slot's child"] - child - drawing),
        stitch=stitching / stitched if stitched else 0.0,
        waits=max(0.0, gap - waited - child - parent - storage - books),
        company=found["speed_in_company"],
    )


def bounds(costs: Costs, cores: int) -> dict[str, float]:
    """Slots at which something has no time left, though nobody waited for anything else."""
    cycle = costs.render / WANTED
    return {
        f"{cores} cores for all": cores * costs.company * cycle / _processor_time(costs),
        "Redis alone": cycle / costs.books,
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
    costs, cores = costs_of(measured), measured["cores"]
    curves = {
        f"all on one machine of {cores} cores": [(slots, share(costs, slots, cores=cores)) for slots in SLOTS],
        "each slot on a machine of its own": [(slots, share(costs, slots, cores=None)) for slots in SLOTS],
    }
    held = {row["slots"]: (row["inside"], round(share_of(row, costs, cores), 4)) for row in rows}
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
