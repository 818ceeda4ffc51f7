"""The decision that a chunk is rendered again. Pure: no Redis, no S3."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from engine.redraw import derived_seed, redraw_of, together
from engine.spec import Redraw

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from engine.plan import Plan

AUTOMATIC_REDOS = 2
"""How often the farm renders a chunk again by itself; a person's redo begins the count anew."""
ACCEPTANCE = "acceptance"
"""Who decides when no person does."""


@dataclass(frozen=True, kw_only=True)
class Redo:
    """Chunk `chunk` is rendered again, with `redraw`.

    number: counts the redos of the chunk, from 1. after: attempts at the job's stitch until then; any version with a
    higher number contains it. left: how often the farm may still do the same by itself. at: Unix seconds.
    """

    chunk: int
    number: int
    redraw: Redraw
    after: int
    left: int
    who: str
    at: float
    why: str

    def to_dict(self) -> dict[str, Any]:
        return {"version": 1, **asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Redo:
        return cls(**{**{name: data[name] for name in cls.__dataclass_fields__}, "redraw": Redraw(**data["redraw"])})

    def for_books(self) -> dict[str, str | int]:
        return {"chunk": self.chunk, "number": self.number, "left": self.left, "redraw": redraw_text(self.redraw)}

    def __str__(self) -> str:
        return f"chunk {self.chunk + 1}, seed {self.redraw.seed}: {self.why}"


@dataclass(frozen=True)
class Drawn:
    """How often a chunk was redone, how often the farm may still do so by itself, and what it was drawn anew by."""

    number: int = 0
    left: int = AUTOMATIC_REDOS
    redraw: Redraw | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be rendered again. chunks: why, by chunk. across: cuts whose frames are to change as well, k lies
    between chunks k and k + 1. seed: None for one that is derived from the job's.
    """

    chunks: Mapping[int, str]
    across: Collection[int] = ()
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Decided:
    """Who decides, when (Unix seconds), and how many stitch attempts there were until then."""

    who: str
    at: float
    after: int


def redos_of(wanted: Wanted, decided: Decided, plan: Plan, *, seed: int, drawn: Sequence[Drawn]) -> list[Redo]:
    """The redos that fulfil what is wanted, by chunk. seed: the job's. drawn: how each chunk was drawn anew by now."""
    redraws = {chunk: known.redraw for chunk, known in enumerate(drawn) if known.redraw}
    made = []
    for run in together(plan, wanted.chunks, across=wanted.across, drawn=redraws):
        number = 1 + max(drawn[chunk].number for chunk in run)
        chosen = derived_seed(seed, run[0], number) if wanted.seed is None else wanted.seed
        why = "; ".join(dict.fromkeys(wanted.chunks[chunk] for chunk in run if chunk in wanted.chunks))
        made += [
            Redo(
                chunk=chunk,
                number=number,
                redraw=redraw_of(plan, run, chosen),
                left=_left(wanted, decided, drawn[chunk]),
                why=why,
                **asdict(decided),
            )
            for chunk in run
        ]
    return made


def _left(wanted: Wanted, decided: Decided, drawn: Drawn) -> int:
    if decided.who == ACCEPTANCE:
        return max(0, drawn.left - 1)
    return AUTOMATIC_REDOS if wanted.seed is None else 0  # who names a seed gets that one


def decided_last(redos: Iterable[Redo]) -> list[Redo]:
    """One redo for each number of a chunk, oldest first: whoever died half way has left another, and it was decided
    once more.
    """
    order = sorted(redos, key=lambda redo: (redo.after, redo.at, redo.chunk))
    known = {(redo.chunk, redo.number): redo for redo in order}
    return [redo for redo in order if known[redo.chunk, redo.number] is redo]


def redraw_text(redraw: Redraw) -> str:
    """As the books hold it: a text, for numbers in Lua are too short for a seed."""
    return json.dumps(asdict(redraw))


def redraw_from(text: str | None) -> Redraw | None:
    return Redraw(**json.loads(text)) if text else None
