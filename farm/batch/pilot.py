"""The pilot of a batch: a few seconds of some rows, rendered and looked at before the rest is released."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from farm.errors import InputRefusedError
from farm.submission import LONGEST_NAME, Lesson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
"""A clip that shows something, and one that still is only a sample."""
MARK = " (pilot)"
"""What a clip's name ends with."""

Begin = Literal["start", "loudest"]


@dataclass(frozen=True)
class Pilot:
    """What to render first. seconds: of each clip. every: n-th row, None for one of each presenter. begin: where."""

    seconds: float
    every: int | None = None
    begin: Begin = "start"

    @classmethod
    def wanted(cls, seconds: str, of: str = "presenter", begin: str = "start") -> Pilot:
        """What people write: "8s" or "8"; "presenter" or a number; "start" or "loudest".

        Raises InputRefusedError with every problem at once.
        """
        problems = []
        length = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,3})?) ?s?", seconds.strip())
        if length is None or not SHORTEST_SECONDS <= float(length[1]) <= LONGEST_SECONDS:
            wanted = f"{SHORTEST_SECONDS:g}s to {LONGEST_SECONDS:g}s"
            problems.append(f"pilot is {seconds!r}, wanted a length from {wanted}, such as 8s")
        every = re.fullmatch(r"[1-9][0-9]{0,5}", of)
        if of != "presenter" and every is None:
            problems.append(f"pilot-of is {of!r}, wanted 'presenter', or N for every N-th row")
        beginning = next((known for known in get_args(Begin) if known == begin), None)
        if beginning is None:
            problems.append(f"pilot-from is {begin!r}, wanted one of {', '.join(get_args(Begin))}")
        if length is None or beginning is None or problems:
            raise InputRefusedError(problems)
        return cls(float(length[1]), int(of) if every else None, beginning)


@dataclass(frozen=True)
class Candidate:
    """A row that may be shown. presenter: its template's name, or nothing where it has none: then its portrait is."""

    row: int
    presenter: str
    lesson: Lesson


def pilot_lessons(
    rows: Iterable[Candidate], pilot: Pilot, *, folder: Path, local: Callable[[str | Path], Path]
) -> dict[int, Lesson]:
    """The clips to submit, by row: the same lesson with a few seconds of its speech, cut sample by sample.

    rows: in order, only those that are right. folder: where the cut speeches are written; they are needed until the
    clips are submitted. local: a speech's file on this machine. Raises SpeechError.
    """
    from engine.media.excerpt import cut_excerpt, loudest_start

    clips = {}
    for chosen in _chosen(rows, pilot):
        lesson, speech = chosen.lesson, local(chosen.lesson.speech)
        start = loudest_start(speech, seconds=pilot.seconds) if pilot.begin == "loudest" else 0.0
        cut = folder / f"row-{chosen.row}-pilot.wav"
        cut_excerpt(speech, cut, start=start, seconds=pilot.seconds)
        name = lesson.name if lesson.name is not None else Path(str(lesson.speech)).stem
        clips[chosen.row] = replace(
            lesson,
            speech=cut,
            name=name[: LONGEST_NAME - len(MARK)] + MARK,
            token=f"{lesson.token}{MARK}" if lesson.token is not None else None,
            duration=None,  # both speak of the whole speech
            subtitles=None,
        )
    return clips


def _chosen(rows: Iterable[Candidate], pilot: Pilot) -> list[Candidate]:
    if pilot.every is not None:
        return list(rows)[:: pilot.every]
    first: dict[str, Candidate] = {}
    for row in rows:
        first.setdefault(row.presenter or f"portrait {row.lesson.portrait}", row)
    return list(first.values())
