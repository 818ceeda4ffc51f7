"""What is found when a job's chunks and seams are looked at before they are joined."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.media.acceptance import movement, problems_of, seam_problem
from engine.media.lipsync import LagEstimator, Sync
from engine.media.mouth import rested
from engine.redraw import cut_beside
from engine.timecode import timecode
from farm.jobs.model import Finding
from farm.jobs.redo import Wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from engine.media.acceptance import Problem
    from engine.media.seam import SeamNumbers, Segment
    from engine.plan import Plan
    from engine.renderer import SpeechReader
    from workers.segments import Accepted


class Inspection:
    """Gathers measures, chunk by chunk and seam by seam; of a long job it keeps a few numbers a frame."""

    def __init__(self, plan: Plan, voiced: Sequence[tuple[int, int]], speech: SpeechReader) -> None:
        self._plan = plan
        self._voiced = voiced
        self._stops = [stop for _, stop in voiced]
        self._lag = LagEstimator(speech, voiced)
        self.size = (0, 0)
        self.accepted: list[dict[str, Any]] = []
        self.mouth: list[float | None] = []
        self._recipes: list[str | None] = []
        self._found: list[tuple[Problem, tuple[int, ...], int | None]] = []
        """With the chunks that it was found in, and the cut across which it must be mended, if it must."""
        self._cuts = 0
        self._sides: deque[Segment] = deque()

    def look_at(self, accepted: Accepted) -> None:
        """Take the next chunk's measures."""
        chunk, measures = accepted.segment.chunk, accepted.measures
        self.size = accepted.size
        self.accepted.append(accepted.shown())
        self._recipes.append(accepted.facts["recipe"])
        self._sides.append(accepted.segment)
        self._lag.add(measures.start, measures.mouth)
        # what two chunks share is taken from the later one
        del self.mouth[chunk.out[0] :]
        self.mouth += rested(measures.mouth)
        # of a long job's many spans, those that touch the chunk
        first, last = bisect_right(self._stops, measures.start), bisect_right(self._stops, measures.stop)
        for problem in problems_of(measures, voiced=self._voiced[first : last + 1]):
            cut = cut_beside(self._plan, chunk.index, problem.start, problem.stop)
            self._found.append((problem, (chunk.index,), cut))

    def look_at_seam(self, numbers: SeamNumbers) -> None:
        """Take the next seam's numbers, once both of its sides were looked at."""
        before, after = self._sides.popleft(), self._sides[0]
        moved = max(movement(side, numbers.frames25) for side in (before, after))
        problem = seam_problem(numbers, moved=moved)
        if problem is not None:
            self._found.append((problem, (self._cuts, self._cuts + 1), self._cuts))
        self._cuts += 1

    @property
    def refused_seams(self) -> frozenset[int]:
        """Cuts, counted from 0, whose seam is seen."""
        return frozenset(cut for problem, _, cut in self._found if problem.kind == "seam" and cut is not None)

    def wanted(self, may: Collection[int]) -> Wanted | None:
        """What is to be rendered again, as far as chunks `may` be; None where nothing is."""
        why: dict[int, list[str]] = {}
        across: set[int] = set()
        for problem, chunks, cut in self._found:
            # what both sides of a cut draw alike is drawn anew by both, or it would stay as it is
            if not {*chunks, *(() if cut is None else (cut, cut + 1))} <= set(may):
                continue
            across |= set() if cut is None else {cut}
            for chunk in chunks:
                why.setdefault(chunk, []).append(problem.sentence)
        reasons = {chunk: "; ".join(dict.fromkeys(said)) for chunk, said in sorted(why.items())}
        return Wanted(chunks=reasons, across=sorted(across)) if why else None

    def recipes_of(self, chunks: Iterable[int]) -> list[str]:
        """The recipes by which these chunks were made, as far as they have one."""
        return [recipe for chunk in chunks if (recipe := self._recipes[chunk]) is not None]

    def findings(self) -> list[dict[str, Any]]:
        """What a person should look at, in order of time."""
        problems = sorted((problem for problem, _, _ in self._found), key=lambda one: one.start)
        return [asdict(Finding(one.start, one.stop, timecode(one.start), one.sentence)) for one in problems]

    def sync(self) -> Sync:
        """The lag between mouth and speech over all chunks."""
        return self._lag.sync()
