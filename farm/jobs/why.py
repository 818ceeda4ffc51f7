"""Why a job stands where it stands, in one sentence: what it waits for, and which limit binds."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from farm.jobs import turn, views
from farm.jobs.batches import batch_row
from farm.jobs.model import PLAN, STITCH, JobState, UnitState, largest_frames, no_slot
from farm.jobs.policy import policy_of
from farm.messages import CPU_LISTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.jobs.store import Books
    from farm.jobs.turn import Place

Cause = Literal[
    "ended",
    "paused",
    "held",
    "batch",
    "storage",
    "outage",
    "queue",
    "working",
    "sent",
    "renderer",
    "memory",
    "kept off",
    "slots",
    "owner limit",
    "batch limit",
    "turn",
]
NAMED = 3
"""Slots that a sentence names; the others are counted."""


@dataclass(frozen=True)
class Why:
    """cause: what programs may rely on, "working" and "sent" while it is served. sentence: the same for people."""

    job: str
    cause: Cause
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Found = tuple[Cause, str]


@dataclass(frozen=True)
class _Units:
    """A job's chunks: where those in hand are, and how many wait in line or for the end of an outage."""

    rendering: tuple[str, ...]
    sent: tuple[str, ...]
    in_line: int
    put_off: int
    total: int


def why(books: Books, job: str) -> Why:
    """What the job waits for, or does. Raises NotFoundError."""
    fields = views.job_fields(books, job)
    state = JobState(fields["state"])
    if state.ended:
        found: Found = _ended(state, fields)
    else:
        found = _kept(books, job, fields) or (
            _on_cpu(books, job, fields, PLAN if state is JobState.PLANNING else STITCH)
            if state in {JobState.PLANNING, JobState.STITCHING}
            else _on_slots(books, job, fields)
        )
    return Why(job, *found)


def _ended(state: JobState, fields: dict[str, str]) -> Found:
    if state is JobState.DONE:
        return "ended", "It is done."
    return "ended", f"It {'failed' if state is JobState.FAILED else 'was cancelled'}: {fields['error_message']}."


def _kept(books: Books, job: str, fields: dict[str, str]) -> Found | None:
    """What people decided, or what keeps all of its batch."""
    if fields.get("paused") == "1":
        return "paused", f"It is paused; `farm job resume {job}` lets it go on."
    batch = fields.get("batch", "")
    if fields.get("held") == "1":
        return "held", f"It is held until its batch is released: `farm batch release {batch}`."
    with books.reaching():
        state = cast("str | None", books.client.hget(f"farm:batch:{batch}", "state"))
    if state in {None, "open"} or (state == "stopped" and fields["state"] == JobState.STITCHING):
        return None
    row = batch_row(books, batch)
    begun = _units(books, job, fields).rendering
    still = f", what was begun ({_counted(len(begun), 'chunk')}) is finished" if begun and state == "stopped" else ""
    return (
        "batch",
        f"Its batch {row.name!r} is {state} ({row.reason}){still}; `farm batch resume {batch}` lets it go on.",
    )


def _storage(books: Books) -> Found | None:
    with books.reaching():
        reason = cast("str | None", books.client.hget("farm:storage:paused", "reason"))
    return None if reason is None else ("storage", f"Nothing is begun while storage is paused: {reason}.")


def _on_cpu(books: Books, job: str, fields: dict[str, str], unit: str) -> Found:
    """Of a plan or a stitch."""
    done = "planned" if unit == PLAN else "stitched"
    batch, owner = fields.get("batch", ""), fields["owner"]
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        pipe.hgetall(f"farm:job:{job}:u:{unit}")
        pipe.zscore("farm:outbox", f"{unit}/{job}")
        pipe.zrank(f"farm:plans:{batch}/{owner}", job)
        pipe.zcount(f"farm:planning:{owner}", "-inf", fields["priority"])
        pipe.time()
        for queue in CPU_LISTS:
            pipe.llen(queue)
        row, due, rank, let_in, (seconds, _), *queued = pipe.execute()
    if row.get("state") == UnitState.RENDERING:
        return "working", f"It is being {done} by {row['slot']}, {float(row.get('percent', 0)):.0f} % done."
    if paused := _storage(books):
        return paused
    if "outages" in row and due is not None:
        return "outage", f"It waits {_left(due, seconds)} after an outage before it is {done}."
    if not views.cpu_workers(books):
        return "queue", f"It waits to be {done}, but no cpu worker is at work."
    if rank is not None:
        return "queue", f"It waits to be planned, with {_counted(rank + let_in, 'job')} of {owner} before it."
    if not any(queued):
        return "queue", f"It waits to be {done}: a cpu worker takes it in a moment."
    return "queue", f"It waits to be {done}, with {_counted(sum(queued), 'message')} on the cpu queue."


def _on_slots(books: Books, job: str, fields: dict[str, str]) -> Found:
    """Of a job with chunks."""
    units = _units(books, job, fields)
    waits = None
    if units.in_line:
        waits = _storage(books) or _in_line(books, job, fields)
    elif units.put_off:
        waits = _storage(books) or _put_off(books, job)
    if units.rendering:
        are = "is" if len(units.rendering) == 1 else "are"
        said = f"{len(units.rendering)} of its {units.total} chunks {are} being rendered on {_names(units.rendering)}."
        return "working", f"{said[:-1]}; for the others: {_inside(waits[1])}" if waits else said
    if units.sent:
        return "sent", f"A chunk of it is sent to {_names(units.sent)} and begins when that is free."
    return waits or ("turn", "It is about to go on.")


def _units(books: Books, job: str, fields: dict[str, str]) -> _Units:
    total = int(fields.get("chunks", 0))
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        for chunk in range(total):
            pipe.hmget(f"farm:job:{job}:u:{chunk}", "state", "slot")
        pipe.zcard(f"farm:job:{job}:waiting")
        *rows, in_line = pipe.execute()
    by_state = {state: tuple(str(slot) for at, slot in rows if at == state) for state in UnitState}
    waiting = sum(at in {None, UnitState.WAITING} for at, _ in rows)
    return _Units(by_state[UnitState.RENDERING], by_state[UnitState.SENT], in_line, waiting - in_line, total)


def _put_off(books: Books, job: str) -> Found:
    with books.reaching():
        due = [at for member, at in books.client.zscan_iter("farm:later", match=f"{job}/*")]
        seconds, _ = books.client.time()
    return "outage", f"It waits {_left(min(due, default=0), seconds)} after an outage before it is tried again."


def _in_line(books: Books, job: str, fields: dict[str, str]) -> Found:
    floor = turn.places(books)
    renderer, pixels = fields["renderer"], int(fields.get("pixels", 0))
    largest = largest_frames(floor)
    if missing := no_slot(renderer, pixels, largest):
        return "memory" if renderer in largest else "renderer", f"{missing[0].upper()}{missing[1:]}."
    fitting = [place for place in floor if renderer in place.renderers and place.takes(pixels)]
    return _none_free(books, job, fitting) or _limit(books, fields, floor) or _turn(books, fields, fitting)


def _none_free(books: Books, job: str, fitting: Sequence[Place]) -> Found | None:
    """Where no slot could take it, whoever else waits."""
    with books.reaching():
        off = cast("set[str]", books.client.smembers(f"farm:job:{job}:off"))
    free = [place for place in fitting if place.name not in off]
    if not free:
        names = _names([place.name for place in fitting])
        return "kept off", f"It is kept off {names}, where its chunks kept failing, and no other slot could render it."
    if all(place.state != "ready" for place in free):
        return "slots", f"No slot that could render it is ready: {'; '.join(map(_unwell, free[:NAMED]))}."
    return None


def _limit(books: Books, fields: dict[str, str], floor: Sequence[Place]) -> Found | None:
    owner, batch = fields["owner"], fields.get("batch")
    most, used = policy_of(books).limit(owner), turn.slots_used(floor, owner=owner)
    if most is not None and used >= most:
        return "owner limit", f"{owner} uses {_counted(used, 'slot')}, and owner_limits allows {most} at once."
    if not batch:
        return None
    row = batch_row(books, batch)
    used = turn.slots_used(floor, batch=batch)
    if row.limit is not None and used >= row.limit:
        return "batch limit", f"Its batch {row.name!r} uses {_counted(used, 'slot')} and may use {row.limit} at once."
    return None


def _turn(books: Books, fields: dict[str, str], fitting: Sequence[Place]) -> Found:
    """It could go anywhere, and others were before it."""
    ready = [place for place in fitting if place.state == "ready"]
    first = turn.before(books, fields, {name for place in ready for name in place.renderers})
    theirs = [
        words
        for number, words in (
            (first.jobs, f"{_counted(first.jobs, 'job')} of {fields['owner']}"),
            (first.owners, f"{_counted(first.owners, 'other owner')}"),
        )
        if number
    ]
    comes = "comes" if first.jobs + first.owners == 1 else "come"
    place = f"{' and '.join(theirs)} {comes} first" if theirs else "it is the next"
    free = sum(not one.full for one in ready)
    return (
        "turn",
        f"It waits its turn: of {_counted(len(ready), 'slot')} for it {free or 'none'} has room, and {place}.",
    )


def _inside(sentence: str) -> str:
    """Behind a colon; an owner's name stays as it is."""
    plain = sentence.startswith(("It ", "Its ", "No ", "Nothing "))
    return sentence[0].lower() + sentence[1:] if plain else sentence


def _unwell(place: Place) -> str:
    return f"{place.name} is {place.state}" + (f" ({place.why_out})" if place.why_out else "")


def _left(due_ms: float, now: float) -> str:
    return f"{max(0, math.ceil(due_ms / 1000 - now))} s more"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _names(slots: Sequence[str]) -> str:
    named = list(dict.fromkeys(slots))
    more = len(named) - NAMED
    return ", ".join(named[:NAMED]) + (f" and {more} more" if more > 0 else "")
