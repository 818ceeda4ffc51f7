"""Jobs and chunks as values: states, legal moves, and what is shown of them. Pure: no clock, no Redis."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.jobs.redo import Redo
    from farm.jobs.turn import Place

PRIORITIES = range(10)
"""0 is served first."""
DEFAULT_PRIORITY = 5

PLAN = "plan"
STITCH = "stitch"


class JobState(StrEnum):
    PLANNING = "planning"
    QUEUED = "queued"
    RENDERING = "rendering"
    STITCHING = "stitching"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {JobState.DONE, JobState.FAILED, JobState.CANCELLED}


class UnitState(StrEnum):
    """Where a unit stands; a chunk's units are shown as chunk states."""

    WAITING = "waiting"
    SENT = "sent"
    RENDERING = "rendering"
    DONE = "done"
    FAILED = "failed"


JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.PLANNING: frozenset({JobState.QUEUED, JobState.FAILED, JobState.CANCELLED}),
    JobState.QUEUED: frozenset({JobState.RENDERING, JobState.STITCHING, JobState.FAILED, JobState.CANCELLED}),
    JobState.RENDERING: frozenset({JobState.STITCHING, JobState.FAILED, JobState.CANCELLED}),
    # queued by redo alone
    JobState.STITCHING: frozenset({JobState.QUEUED, JobState.DONE, JobState.FAILED, JobState.CANCELLED}),
    JobState.DONE: frozenset({JobState.QUEUED}),
    # done by rollback alone, the others by retry alone
    JobState.FAILED: frozenset({JobState.PLANNING, JobState.QUEUED, JobState.STITCHING, JobState.DONE}),
    JobState.CANCELLED: frozenset({JobState.PLANNING, JobState.QUEUED, JobState.STITCHING, JobState.DONE}),
}

UNIT_MOVES: dict[UnitState, frozenset[UnitState]] = {
    UnitState.WAITING: frozenset({UnitState.SENT, UnitState.RENDERING, UnitState.DONE}),  # done by rollback alone
    UnitState.SENT: frozenset({UnitState.WAITING, UnitState.RENDERING}),
    UnitState.RENDERING: frozenset({UnitState.WAITING, UnitState.DONE, UnitState.FAILED}),
    UnitState.DONE: frozenset({UnitState.WAITING}),  # by redo alone
    UnitState.FAILED: frozenset({UnitState.WAITING}),  # by retry or rollback alone
}


@dataclass(frozen=True)
class Failure:
    """Why a job or an attempt failed: a stable code and a plain sentence."""

    code: str
    message: str


@dataclass(frozen=True)
class ChunkView:
    """A chunk. index: from 0 (people are shown index + 1). percent: of the attempt in hand. slot: where it went.

    taken_from: the job whose segment it has, where it was not rendered for this one.
    """

    index: int
    state: UnitState
    slot: str | None = None
    percent: float = 0.0
    attempts: int = 0
    taken_from: str | None = None


@dataclass(frozen=True)
class AttemptView:
    """One try at a unit ("plan", "stitch" or a chunk's index) and how it ended; outcome None while it runs.

    taken_from: the job whose segment it took instead of rendering one; then the outcome is "taken".
    """

    unit: str
    number: int
    slot: str
    started: float
    ended: float | None = None
    outcome: str | None = None
    reason: str | None = None
    taken_from: str | None = None


@dataclass(frozen=True)
class Finding:
    """What a person should look at: frames25 [start, stop), the first one's timecode, and a sentence."""

    start: int
    stop: int
    timecode: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class VersionView:
    """A finished result of a job. at: Unix seconds. redos: what it has that the version before had not."""

    number: int
    at: float
    current: bool
    result: str
    digest: str
    review: tuple[Finding, ...] = ()
    redos: tuple[Redo, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class JobView:
    """A job as people see it: what `farm job show --json` prints.

    submitted, started, ended: Unix seconds. frames25: None until the job is planned. percent: of the whole job.
    seconds_left: None until something was rendered; of them stitch_seconds for the stitch, None until this farm has
    measured one. versions: finished results, oldest first. current: the one that
    counts; result, digest, review: its storage key, SHA-256 over its frame hashes, what to look at in it. rendered: how
    many of its chunks were rendered already, for others, when it was planned.
    """

    id: str
    state: JobState
    name: str
    owner: str
    renderer: str
    priority: int
    paused: bool
    needs_review: bool
    submitted: float
    started: float | None
    ended: float | None
    frames25: int | None
    percent: float
    seconds_left: float | None
    chunks: tuple[ChunkView, ...]
    attempts: tuple[AttemptView, ...]
    versions: tuple[int, ...]
    result: str | None
    digest: str | None
    error: Failure | None
    current: int | None = None
    review: tuple[Finding, ...] = ()
    licence: str = ""
    warnings: tuple[str, ...] = ()
    rendered: int = 0
    stitch_seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Event:
    """One line of a job's history: Unix seconds, what happened, who did it, and what else there is to say."""

    at: float
    what: str
    who: str
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SlotView:
    """A slot as it last reported. state: loading, idle, busy, draining, lost; sick: it failed for several owners and is
    to render a probe; probing; out: it failed at that too, or its disk is full. device: what it sees, in words.

    load_seconds: how long its renderer took to load; loads: how often it was loaded by this slot's processes.
    makers: by renderer the word for version and weights: slots that have the same draw the same frames. most_pixels: of
    a frame that fits into its memory, None for any. in_hand: chunks that it has begun or takes next.
    """

    name: str
    host: str
    device: str
    visible_devices: str
    memory_mb: int | None
    renderers: tuple[str, ...]
    state: str
    pid: int
    seen: float
    job: str | None
    chunk: int | None
    loads: int
    load_seconds: float
    makers: Mapping[str, str] = field(default_factory=dict)
    why_out: str | None = None
    most_pixels: int | None = None
    in_hand: int = 0

    def takes(self, pixels: int) -> bool:
        """Whether frames of so many pixels fit into its memory."""
        return self.most_pixels is None or pixels <= self.most_pixels

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def priority_problems(priority: int) -> list[str]:
    """What is wrong with a priority."""
    if type(priority) is int and priority in PRIORITIES:
        return []
    return [f"priority is {priority}, wanted 0 to 9"]


def largest_frames(slots: Iterable[SlotView | Place]) -> dict[str, float]:
    """Pixels of the largest frame that one of these slots takes, by renderer."""
    largest: dict[str, float] = {}
    for slot in slots:
        pixels = math.inf if slot.most_pixels is None else slot.most_pixels
        largest |= {renderer: max(pixels, largest.get(renderer, 0)) for renderer in slot.renderers}
    return largest


def no_slot(renderer: str, pixels: int, most: Mapping[str, float]) -> str | None:
    """Why no slot can take such frames, None where one can. most: pixels of the largest frame, by renderer."""
    if renderer not in most:
        there = f"they offer {', '.join(sorted(most))}" if most else "no slot is at work"
        return f"no slot offers renderer {renderer!r}: {there}"
    if pixels > most[renderer]:
        return f"no slot has memory for frames of {pixels:,} pixels: the largest takes {most[renderer]:,}"
    return None
