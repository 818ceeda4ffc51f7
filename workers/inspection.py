"""What is found when a job's chunks and seams are looked at before they are joined."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.media.acceptance import movement, problems_of, seam_problem
from engine.media.lipsync import LagEstimator, Sync
from engine.media.mouth import rested
from engine.timecode import timecode
from farm.jobs.model import Finding
from farm.jobs.redo import Wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from engine.media.acceptance import Problem
    from engine.media.measures import Measures
    from engine.media.seam import SeamNumbers
    from engine.renderer import SpeechReader
    from workers.segments import Accepted


class Inspection:
    """Gathers measures, chunk by chunk and seam by seam; of a long job it keeps a few numbers a frame."""

    def __init__(self, voiced: Sequence[tuple[int, int]], speech: SpeechReader) -> None:
        self._voiced = voiced
        self._stops = [stop for _, stop in voiced]
        self._lag = LagEstimator(speech, voiced)
        self.size = (0, 0)
        self.accepted: list[dict[str, Any]] = []
        self.mouth: list[float | None] = []
        self._recipes: list[str | None] = []
        self._chunks: dict[int, list[Problem]] = {}
        self._seams: dict[int, Problem] = {}
        self._cuts = 0
        self._sides: deque[Measures] = deque()

    def look_at(self, accepted: Accepted) -> None:
        """Take the next chunk's measures."""
        chunk, measures = accepted.segment.chunk, accepted.measures
        self.size = accepted.size
        self.accepted.append(accepted.shown())
        self._recipes.append(accepted.facts["recipe"])
        self._sides.append(measures)
        self._lag.add(measures.start, measures.mouth)
        # what two chunks share is taken from the later one
        del self.mouth[chunk.out[0] :]
        self.mouth += rested(measures.mouth)
        # of a long job's many spans, those that touch the chunk
        first, last = bisect_right(self._stops, measures.start), bisect_right(self._stops, measures.stop)
        if problems := problems_of(measures, voiced=self._voiced[first : last + 1]):
            self._chunks[chunk.index] = problems

    def look_at_seam(self, numbers: SeamNumbers) -> None:
        """Take the next seam's numbers, once both of its sides were looked at."""
        before, after = self._sides.popleft(), self._sides[0]
        moved = max(movement(side, numbers.frames25) for side in (before, after))
        problem = seam_problem(numbers, moved=moved)
        if problem is not None:
            self._seams[self._cuts] = problem
        self._cuts += 1

    @property
    def refused_seams(self) -> frozenset[int]:
        """Cuts, counted from 0, whose seam is seen."""
        return frozenset(self._seams)

    def wanted(self, may: Collection[int]) -> Wanted | None:
        """What is to be rendered again, as far as chunks `may` be; None where nothing is."""
        why = {chunk: _sentences(problems) for chunk, problems in self._chunks.items() if chunk in may}
        # what both sides of a cut draw alike is drawn anew by both, or the seam would stay as it is
        across = {cut: problem for cut, problem in self._seams.items() if {cut, cut + 1} <= set(may)}
        for cut, problem in across.items():
            for side in (cut, cut + 1):
                why.setdefault(side, problem.sentence)
        return Wanted(chunks=why, across=sorted(across)) if why else None

    def recipes_of(self, chunks: Iterable[int]) -> list[str]:
        """The recipes by which these chunks were made, as far as they have one."""
        return [recipe for chunk in chunks if (recipe := self._recipes[chunk]) is not None]

    def findings(self) -> list[dict[str, Any]]:
        """What a person should look at, in order of time."""
        problems = [*self._seams.values(), *(one for found in self._chunks.values() for one in found)]
        return [
            asdict(Finding(one.start, one.stop, timecode(one.start), one.sentence))
            for one in sorted(problems, key=lambda one: one.start)
        ]

    def sync(self) -> Sync:
        """The lag between mouth and speech over all chunks."""
        return self._lag.sync()


def _sentences(problems: Sequence[Problem]) -> str:
    return "; ".join(problem.sentence for problem in problems)
