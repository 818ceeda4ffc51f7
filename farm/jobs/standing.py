"""Where a job stands as storage tells it: what the books are given when they have lost it. Pure: no Redis, no S3."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from farm.jobs.model import PLAN, STITCH, JobState, UnitState
from farm.jobs.redo import redraw_text

if TYPE_CHECKING:
    from engine.spec import Redraw
    from farm.jobs.redo import Drawn


@dataclass(frozen=True)
class Accepted:
    """The segment of a chunk that a version shows, and what it was drawn anew by."""

    attempt: str
    redraw: Redraw | None = None

    def to_dict(self) -> dict[str, str]:
        redraw = {} if self.redraw is None else {"redraw": redraw_text(self.redraw)}
        return {"attempt": self.attempt, **redraw}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A version as its report tells it. at: Unix seconds. segments: by chunk. review: as Finding has it."""

    number: int
    at: float
    result: str
    digest: str
    frames25: int
    segments: tuple[Accepted, ...]
    review: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, str | int]:
        return {
            "number": self.number,
            "at": round(1000 * self.at),
            "result": self.result,
            "digest": self.digest,
            "review": json.dumps(self.review),
            "segments": json.dumps([segment.to_dict() for segment in self.segments]),
        }


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A job for the books. fields: its row, submitted and ended in milliseconds.

    done: the finished units and the attempt ("2-9f31c0aa") that finished each. shown: of chunks that wait for a redo,
    what the current version shows. tried: the highest attempt number that was seen of a unit, finished or not.
    drawn: how the chunks were drawn anew. versions: its results. current: the number of the one that counts.
    """

    job: str
    state: JobState
    fields: dict[str, str | int | float]
    done: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    drawn: dict[str, Drawn] = field(default_factory=dict)
    versions: tuple[Published, ...] = ()
    current: int | None = None

    @property
    def chunks_done(self) -> int:
        return len(self.done.keys() - {PLAN, STITCH})

    def to_dict(self) -> dict[str, Any]:
        """What restore.lua takes."""
        chunks = self.fields.get("chunks")
        detail = "not planned" if chunks is None else f"{self.chunks_done} of {chunks} chunks done"
        current = {} if self.current is None else {"current": self.current}
        return {
            "job": self.job,
            "state": self.state,
            "fields": self.fields if chunks is None else {**self.fields, "done": self.chunks_done},
            "units": {unit: self._unit(unit) for unit in {*self.tried, *self.done, *self.shown, *self.drawn}},
            "versions": [version.to_dict() for version in self.versions],
            "detail": f"{self.state}, {detail}",
            **current,
        }

    def _unit(self, unit: str) -> dict[str, str | int]:
        """A unit's row. Its last attempt is the one that finished it, or one that is over: whoever still holds a lost
        lease is told to stop.
        """
        number, suffix = self.tried.get(unit, 0), ""
        row: dict[str, str | int] = {"state": UnitState.DONE if unit in self.done else UnitState.WAITING}
        if unit in self.done:
            finished, of_finished = self.done[unit].split("-")
            if int(finished) >= number:
                number, suffix = int(finished), of_finished
        accepted = self.done.get(unit, self.shown.get(unit))
        if accepted is not None:
            row["accepted"] = accepted
        if unit in self.drawn:
            drawn = self.drawn[unit]
            row |= {"redo": drawn.number, "left": drawn.left}
            if drawn.redraw is not None:
                row["redraw"] = redraw_text(drawn.redraw)
        return {**row, "attempt": number, "suffix": suffix}
