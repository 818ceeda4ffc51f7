"""Where a job stands as storage tells it: what the books are given when they have lost it. Pure: no Redis, no S3."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from farm.jobs.model import PLAN, STITCH, JobState, UnitState


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A job for the books. fields: its row, submitted and ended in milliseconds.

    done: the accepted attempt ("2-9f31c0aa") of each finished unit, by unit. tried: the highest attempt number that was
    seen of a unit, finished or not.
    """

    job: str
    state: JobState
    fields: dict[str, str | int | float]
    done: dict[str, str] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)

    @property
    def chunks_done(self) -> int:
        return len(self.done.keys() - {PLAN, STITCH})

    def to_dict(self) -> dict[str, Any]:
        """What restore.lua takes."""
        done = {unit: _unit(UnitState.DONE, *attempt.split("-")) for unit, attempt in self.done.items()}
        # without a suffix no attempt is the current one: a worker that still holds a lost lease is told to stop
        tried = {unit: _unit(UnitState.WAITING, number, "") for unit, number in self.tried.items()}
        chunks = self.fields.get("chunks")
        detail = "not planned" if chunks is None else f"{self.chunks_done} of {chunks} chunks done"
        return {
            "job": self.job,
            "state": self.state,
            "fields": self.fields if chunks is None else {**self.fields, "done": self.chunks_done},
            "units": tried | done,
            "detail": f"{self.state}, {detail}",
        }


def _unit(state: UnitState, number: str | int, suffix: str) -> dict[str, str | int]:
    return {"state": state, "number": int(number), "suffix": suffix}
