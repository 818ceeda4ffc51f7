"""`farm batch plan`: what a batch will be, what it costs and when it is done, before anything is submitted.

Work is what a plan with even cuts computes; speeds are what this farm measured, give or take how much its chunks
differed, or assumed ones at half and twice their value. The finish takes all slots that limits allow for busy all the
time.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from engine.plan import GEN_RATE, Geometry, plan_chunks
from engine.renderer import known_geometry
from engine.spec import FRAME_RATE
from farm.batch.ahead import ahead_of
from farm.batch.span import Span
from farm.estimate import chunk_length, geometry_for, speed_of, unknown_geometry
from farm.jobs import views
from farm.jobs.load import AWAY, Load, load_of
from farm.jobs.model import largest_frames, no_slot
from farm.jobs.speeds import REFERENCE_PIXELS, Speed, Work, speeds_of
from farm.submission import settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from farm.batch.ahead import Ahead, Limit
    from farm.batch.check import Right
    from farm.jobs.model import SlotView
    from farm.service import Farm
    from farm.settings import Settings

    Kind = tuple[str, int]
    """Renderer and steps."""

MORE_SLOTS = 4
ASSUMED_OFF = 2.0
"""An assumed speed may be wrong by this factor."""


@dataclass(frozen=True)
class Part:
    """Lessons of a batch that are the same work for a slot. seconds: of video. chunks: about, plans move cuts.

    computed: seconds of video of REFERENCE_PIXELS that slots compute for them, kept or not. pixels: of their largest
    frames.
    """

    renderer: str
    steps: int
    lessons: int
    seconds: float
    chunks: int
    computed: float
    pixels: int

    @property
    def kind(self) -> Kind:
        return self.renderer, self.steps


@dataclass(frozen=True)
class OnDevice:
    """What a part costs on one kind of device, if that did all of it. slots: of this kind there are now.

    hours: of one slot, None where nobody knows the speed. money: for GPUs, where a price is set. source: of the speed.
    """

    renderer: str
    device: str
    slots: int
    hours: Span | None
    money: Span | None
    source: str

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "hours": _told(self.hours), "money": _told(self.money)}


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """A batch foretold. there: rows that are jobs of the batch already, which count for nothing here.

    ahead: what is served before. slots: that can render all of some part. finish: Unix seconds, None
    where it cannot be said; sooner: by how many seconds MORE_SLOTS bring it nearer. notes: what it rests on.
    """

    lessons: int
    there: int
    parts: tuple[Part, ...]
    devices: tuple[OnDevice, ...]
    ahead: Ahead
    slots: int
    finish: Span | None
    sooner: Span | None
    currency: str
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Of video."""
        return sum(part.seconds for part in self.parts)

    @property
    def chunks(self) -> int:
        return sum(part.chunks for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """What `farm batch plan --json` prints."""
        told = {name: getattr(self, name) for name in ("lessons", "there", "seconds", "chunks", "slots")}
        return {
            **told,
            **self.ahead.to_dict(),
            "parts": [vars(part) for part in self.parts],
            "devices": [each.to_dict() for each in self.devices],
            "currency": self.currency,
            "finish": _told(self.finish),
            "more_slots": MORE_SLOTS,
            "sooner_seconds": _told(self.sooner),
            "notes": list(self.notes),
        }


def plan_rights(farm: Farm, rights: Sequence[Right], *, there: int, batch: str | None, limit: int | None) -> BatchPlan:
    """Foretell lessons that were found right, on the farm as it is now. batch: that they would be added to, if there is
    one. limit: most slots that it would have at once.
    """
    look = _Look.of(farm, rights, batch=batch, limit=limit)
    parts = [_part(kind, lessons, look, farm.settings) for kind, lessons in sorted(_kinds(rights).items())]
    devices = [each for part in parts for each in _devices(part, look, farm.settings)]
    finish, sooner, notes = _finish(parts, look, farm.settings)
    for renderer in dict.fromkeys(part.renderer for part in parts):
        notes += unknown_geometry(renderer)
    began = time.time()
    return BatchPlan(
        lessons=len(rights),
        there=there,
        parts=tuple(parts),
        devices=tuple(devices),
        ahead=look.ahead,
        slots=look.of_any(parts),
        finish=finish.moved(began) if finish else None,
        sooner=sooner,
        currency=farm.settings.currency,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Look:
    """The farm as it is now. largest: pixels of a frame that some slot takes, by renderer. loads: of each kind, as its
    largest frames find it.
    """

    slots: tuple[SlotView, ...]
    largest: Mapping[str, float]
    loads: Mapping[Kind, Load]
    speeds: Mapping[Work, Speed]
    cpu_workers: int
    ahead: Ahead

    @classmethod
    def of(cls, farm: Farm, rights: Sequence[Right], *, batch: str | None, limit: int | None) -> _Look:
        last: dict[str, int] = {}
        for right in rights:
            renderer = right.checked.spec.renderer
            last[renderer] = max(right.lesson.priority, last.get(renderer, 0))
        usable = [slot for slot in views.slot_views(farm.books) if slot.state not in AWAY]
        return cls(
            tuple(slot for slot in usable if set(slot.renderers) & set(last)),
            largest_frames(usable),
            {kind: _load(farm, kind, lessons, priority=last[kind[0]]) for kind, lessons in _kinds(rights).items()},
            speeds_of(farm.books),
            len(views.cpu_workers(farm.books)),
            ahead_of(farm.books, rights, last=last, batch=batch, limit=limit),
        )

    def pace(self, part: Part, device: str) -> Span | None:
        """Seconds of work for a second of video of REFERENCE_PIXELS."""
        return _paced(speed_of(Work(part.renderer, device, part.steps), self.speeds))

    def paces(self, part: Part, more: int) -> list[Span]:
        """Of the slots that can render it, and of `more` of the kind that there are most of."""
        devices = [slot.device for slot in self.of_part(part)]
        common = Counter(devices).most_common(1)[0][0]
        return [pace for device in [*devices, *[common] * more] if (pace := self.pace(part, device)) is not None]

    def of_part(self, part: Part) -> list[SlotView]:
        """The slots that can render all of it."""
        return [slot for slot in self.slots if part.renderer in slot.renderers and slot.takes(part.pixels)]

    def of_any(self, parts: Sequence[Part]) -> int:
        """How many slots can render all of some part."""
        return len({slot.name for part in parts for slot in self.of_part(part)})


def _load(farm: Farm, kind: Kind, rights: Sequence[Right], *, priority: int) -> Load:
    """What the lessons find, as each does when it is planned; owners that are several have no limit together."""
    owners = {right.lesson.owner or "" for right in rights}
    owner = owners.pop() if len(owners) == 1 else None
    return load_of(farm.books, kind[0], priority=priority, pixels=_largest(rights), owner=owner)


def _largest(rights: Iterable[Right]) -> int:
    """Pixels of the largest frame."""
    return max(right.checked.pixels for right in rights)


def _kinds(rights: Iterable[Right]) -> dict[Kind, list[Right]]:
    kinds: dict[Kind, list[Right]] = {}
    for right in rights:
        kinds.setdefault((right.checked.spec.renderer, right.checked.spec.steps), []).append(right)
    return kinds


def _part(kind: Kind, rights: Sequence[Right], look: _Look, settings: Settings) -> Part:
    renderer, steps = kind
    seconds = sum(right.checked.speech.frames25 for right in rights) / FRAME_RATE
    load = look.loads[kind]
    # when a lesson in the middle is planned, half of the others wait before it
    load = replace(load, waiting=load.waiting + round(seconds / settings.chunk_seconds / 2) * (len(rights) > 1))
    chunks, computed = 0, 0.0
    for right in rights:
        geometry = geometry_for(known_geometry(renderer, settings.reaches), settled(right.checked, settings))
        frames25 = right.checked.speech.frames25
        asked = right.lesson.chunk_seconds
        length = chunk_length(asked, frames25 / FRAME_RATE, load=load, settings=settings, geometry=geometry)
        number, gen_frames = _cut(frames25, length.seconds, geometry)
        chunks += number
        computed += gen_frames / GEN_RATE * right.checked.pixels / REFERENCE_PIXELS
    return Part(renderer, steps, len(rights), seconds, chunks, computed, _largest(rights))


@cache
def _cut(frames25: int, chunk_seconds: float, geometry: Geometry) -> tuple[int, int]:
    """Chunks, and gen_frames that they compute, when nothing is moved for a pause."""
    plan = plan_chunks(frames25, chunk_seconds=chunk_seconds, geometry=geometry)
    return len(plan.chunks), plan.computed


def _devices(part: Part, look: _Look, settings: Settings) -> list[OnDevice]:
    """Every kind of device that has a slot for the part, and those that were measured for it before."""
    slots = Counter(slot.device for slot in look.of_part(part))
    measured = {work.device for work in look.speeds if (work.renderer, work.steps) == (part.renderer, part.steps)}
    gpus = {slot.device for slot in look.slots if slot.memory_mb is not None}
    found = []
    for device in sorted(set(slots) | measured) or ["any device"]:
        pace = look.pace(part, device)
        hours = pace.times(part.computed / 3600) if pace else None
        paid = device in gpus or (device not in slots and part.renderer != "preview")
        money = hours.times(settings.gpu_hour_price) if hours and paid and settings.gpu_hour_price else None
        speed = speed_of(Work(part.renderer, device, part.steps), look.speeds)
        found.append(OnDevice(part.renderer, device, slots[device], hours, money, _source(speed)))
    return found


def _finish(parts: Sequence[Part], look: _Look, settings: Settings) -> tuple[Span | None, Span | None, list[str]]:
    """Seconds from now until all is done, how many of them more slots save, and what that rests on."""
    notes = [
        f"{missing}, so nobody can say when it is done"
        for part in parts
        if (missing := no_slot(part.renderer, part.pixels, look.largest))
    ]
    notes += [
        f"renderer {part.renderer!r} was not measured yet on {device}, so nobody can say when it is done"
        for part in parts
        for device in sorted({slot.device for slot in look.of_part(part)})
        if look.pace(part, device) is None
    ]
    if notes or not parts:
        return None, None, notes
    now, then = (_busy(parts, look, settings, more) for more in (0, MORE_SLOTS))
    around = _around(parts, look)
    notes += look.ahead.words(slots=look.of_any(parts))
    if look.cpu_workers == 0:
        notes.append("no cpu worker shows itself: nothing is planned or stitched until one does")
    return now.at_least(around), now.at_least(around).minus(then.at_least(around)), notes


def _busy(parts: Sequence[Part], look: _Look, settings: Settings, more: int) -> Span:
    """Seconds that the slots are busy; parts that share slots take turns, the others go on side by side. Where a limit
    lets fewer slots work for it at once, those are busy longer.
    """
    groups: list[tuple[set[str], Span]] = []
    for part in parts:
        mine = {slot.name for slot in look.of_part(part)}
        seconds = _seconds(part, look, settings, more)
        for shared in [group for group in groups if group[0] & mine]:
            groups.remove(shared)
            mine, seconds = mine | shared[0], seconds.plus(shared[1])
        groups.append((mine, seconds))
    limited = [_limited(limit, parts, look, settings, more) for limit in look.ahead.limits]
    return Span.most([*(seconds for _, seconds in groups), *limited])


def _seconds(part: Part, look: _Look, settings: Settings, more: int) -> Span:
    """A part and what comes before it, on all slots that can."""
    paces = look.paces(part, more)
    waiting = look.loads[part.kind].waiting * settings.chunk_seconds
    all_together = Span.together(paces).times(part.computed + waiting)
    longest_chunk = Span.least(paces).times(part.computed / max(1, part.chunks))
    return all_together.at_least(longest_chunk)


def _limited(limit: Limit, parts: Sequence[Part], look: _Look, settings: Settings, more: int) -> Span:
    """What a limit holds for, on so many slots of the usual pace, behind what others have in line."""
    first, own = [], []
    for part in parts:
        paces, held = look.paces(part, more), limit.waiting.get(part.renderer, 0)
        work = part.computed * limit.share + held * settings.chunk_seconds
        of_others = (look.loads[part.kind].waiting - held) * settings.chunk_seconds
        first.append(Span.together(paces).times(of_others))
        own.append(Span.together(paces).times(work * len(paces) / limit.slots))
    return Span.most(first).plus(Span.total(own))


def _around(parts: Sequence[Part], look: _Look) -> Span:
    """Seconds that the cpu workers plan and stitch, which goes on beside rendering."""
    video = sum(part.seconds for part in parts)
    paces = [_paced(speed_of(Work(step, "cpu"), look.speeds)) for step in ("plan", "stitch")]
    return Span.total(pace for pace in paces if pace).times(video / max(1, look.cpu_workers))


def _paced(speed: Speed | None) -> Span | None:
    if speed is None:
        return None
    if not speed.pieces:
        return Span(speed.pace / ASSUMED_OFF, speed.pace, speed.pace * ASSUMED_OFF)
    off = min(math.sqrt(speed.variance), 0.9 * speed.pace)
    return Span(speed.pace - off, speed.pace, speed.pace + off)


def _source(speed: Speed | None) -> str:
    if speed is None:
        return "not measured yet"
    return f"measured here on {speed.pieces} chunks" if speed.pieces else "assumed, not measured: half to twice"


def _told(span: Span | None) -> list[float] | None:
    return span.to_list() if span else None
