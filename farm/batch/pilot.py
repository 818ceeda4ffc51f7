"""The pilot of a batch: a few seconds of some rows, rendered and looked at before the rest is released."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from farm.errors import InputRefusedError
from farm.storage import keys
from farm.submission import LONGEST_NAME, Lesson

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from contextlib import AbstractContextManager

    from farm.storage.s3 import Storage

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
    """A row that may be shown. row: its number in the batch. presenter: its template's name, or nothing where it has
    none: then its portrait is.
    """

    row: int
    presenter: str
    lesson: Lesson

    @property
    def who(self) -> str:
        return self.presenter or f"portrait {Path(str(self.lesson.portrait)).name}"

    @property
    def clip_name(self) -> str:
        name = self.lesson.name if self.lesson.name is not None else Path(str(self.lesson.speech)).stem
        return name[: LONGEST_NAME - len(MARK)] + MARK


@dataclass(frozen=True)
class Sample:
    """A clip to be rendered, of the row `row`, in a batch of its own. stands_for: the rows that it shows."""

    row: int
    who: str
    stands_for: tuple[int, ...]
    lesson: Lesson


def pilot_samples(
    rows: Iterable[Candidate],
    pilot: Pilot,
    *,
    folder: Path,
    local: Callable[[str], AbstractContextManager[Path]],
    before: Kept | None = None,
) -> list[Sample]:
    """The clips to submit: a row's own lesson with a few seconds of its speech, cut sample by sample.

    rows: in order, only those that are right. folder: where the cut speeches are written; they are needed until the
    clips are submitted. local: a speech's file on this machine, for a while. before: the clips of an earlier submit,
    which go on standing for theirs. Raises SpeechError.
    """
    found = []
    shown = {clip.row for clip in before.clips} if before is not None else set()
    for number, (chosen, stands_for) in enumerate(_chosen(list(rows), pilot, shown)):
        lesson = chosen.lesson
        with local(str(lesson.speech)) as speech:
            cut = _cut(speech, folder / f"pilot-{number}.wav", pilot)
        clip = replace(
            lesson,
            speech=cut,
            name=chosen.clip_name,
            token=f"{lesson.token}{MARK}" if lesson.token is not None else None,
            duration=None,  # both speak of the whole speech
            subtitles=None,
            edit_of="",
            webhook="",  # who waits for the lesson is not told of a sample
        )
        found.append(Sample(chosen.row, chosen.who, stands_for, clip))
    return found


def _cut(speech: Path, target: Path, pilot: Pilot) -> Path:
    from engine.media.excerpt import cut_excerpt, loudest_start

    start = loudest_start(speech, seconds=pilot.seconds) if pilot.begin == "loudest" else 0.0
    cut_excerpt(speech, target, start=start, seconds=pilot.seconds)
    return target


def _chosen(rows: list[Candidate], pilot: Pilot, shown: Collection[int]) -> list[tuple[Candidate, tuple[int, ...]]]:
    """The rows to show, each with those it stands for: the ones up to the next, or all of its presenter."""
    groups: dict[object, list[Candidate]] = {}
    for place, row in enumerate(rows):
        one = place // pilot.every if pilot.every is not None else (row.presenter, row.presenter or row.lesson.portrait)
        groups.setdefault(one, []).append(row)
    chosen = []
    for group in groups.values():
        known = next((row for row in group if row.row in shown), None)
        chosen.append((known or group[0], tuple(row.row for row in group)))
    return chosen


@dataclass(frozen=True)
class Shown:
    """A clip as it was written down, by its job. row: of the batch that it is a clip of."""

    job: str
    row: int
    who: str
    stands_for: tuple[int, ...]


@dataclass(frozen=True)
class Kept:
    """A batch's pilot. batch: the one that has the clips."""

    batch: str
    clips: tuple[Shown, ...]


def keep_samples(storage: Storage, batch: str, pilot_batch: str, samples: Sequence[tuple[str, Sample]]) -> None:
    """Write down which batch has the clips and what each stands for; clips of an earlier submit stay.

    samples: each with its job; those that are the same are one.
    """
    known = pilot_of(storage, batch)
    clips: dict[str, Shown] = {}
    for job, one in samples:
        first = clips.setdefault(job, Shown(job, one.row, one.who, ()))
        clips[job] = replace(first, stands_for=first.stands_for + one.stands_for)
    clips = {clip.job: clip for clip in (known.clips if known else ())} | clips
    found = {"version": 1, "pilot": pilot_batch, "clips": [asdict(clip) for clip in clips.values()]}
    storage.put_json(keys.batch_pilot(batch), found)


def pilot_of(storage: Storage, batch: str) -> Kept | None:
    """A batch's pilot, None where it has none."""
    key = keys.batch_pilot(batch)
    if not storage.exists(key):
        return None
    found = storage.get_json(key)
    clips = tuple(Shown(**{**clip, "stands_for": tuple(clip["stands_for"])}) for clip in found["clips"])
    return Kept(found["pilot"], clips)
