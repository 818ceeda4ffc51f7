"""plan.json: the chunks of a job, why they are as they are, and the facts of its speech."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from engine.media.audio import SpeechInfo
from engine.plan import Plan


@dataclass(frozen=True)
class PlanFile:
    """Written once; no retry, recovery or redo makes it anew.

    voiced: frames25 [start, stop) with a voice. chunk_seconds: the length that was wanted. because: who wanted it.
    edit_of: the job whose cuts were kept, or nothing. rendered: the chunks that were rendered already for others when
    the plan was made; None where that was not known, or nothing is taken.
    """

    plan: Plan
    speech: SpeechInfo
    voiced: tuple[tuple[int, int], ...]
    chunk_seconds: float
    because: str
    edit_of: str = ""
    rendered: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        # JSON has no infinity, and the level of digital silence is minus infinity
        speech = {name: None if value == -math.inf else value for name, value in asdict(self.speech).items()}
        return {
            "version": 3,
            "chunk_seconds": self.chunk_seconds,
            "because": self.because,
            "edit_of": self.edit_of,
            "rendered": self.rendered,
            "waste": round(self.plan.waste, 4),
            **self.plan.to_dict(),
            "speech": speech,
            "voiced": self.voiced,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PlanFile:
        speech: dict[str, Any] = {name: -math.inf if value is None else value for name, value in data["speech"].items()}
        return cls(
            Plan.from_dict(data),
            SpeechInfo(**speech),
            tuple((start, stop) for start, stop in data["voiced"]),
            data["chunk_seconds"],
            data["because"],
            data["edit_of"],
            None if data["rendered"] is None else tuple(data["rendered"]),
        )
