"""The books of batches: which jobs belong together, how many stand where, and what was decided about all of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from farm.errors import NotAllowedError, NotFoundError
from farm.jobs.model import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.jobs.store import Books

BatchState = Literal["open", "paused", "stopped", "cancelled"]
BatchDecision = Literal["pause", "resume", "cancel", "limit"]

MOST_AT_ONCE = 500
"""Jobs that one script holds or lets go: Redis serves nobody else while a script runs."""


@dataclass(frozen=True, kw_only=True)
class BatchRow:
    """A batch as the books have it. submitted: Unix seconds. counts: its jobs by state, held and needs_review of them.
    taken: chunks whose segments were there before.

    state: "open"; "paused" and "cancelled" by somebody; "stopped" because too many jobs failed; reason says it in
    words. max_failures: jobs that may fail, "3" or "5%", empty for any number. limit: most slots at once. refused:
    rows that its last check refused. pilot: the batch of its clips, if it has any.
    """

    id: str
    name: str
    owner: str
    submitted: float
    state: BatchState
    reason: str
    total: int
    counts: dict[JobState, int]
    held: int
    needs_review: int
    taken: int
    max_failures: str
    limit: int | None
    refused: int = 0
    pilot: str = ""

    @property
    def ended(self) -> int:
        """Jobs that are done, failed or cancelled."""
        return sum(number for state, number in self.counts.items() if state.ended)

    @property
    def all_ended(self) -> bool:
        """Whether it has jobs, and none is left to do."""
        return self.ended == self.total > 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def enter_batch(
    books: Books,
    id: str,
    *,
    name: str,
    owner: str,
    max_failures: str = "",
    limit: int | None = None,
    rows: int = 0,
    submitted: float | None = None,
) -> str:
    """A new batch; or the one of this owner and name goes on, with what is asked for now. Answers its id.

    max_failures: jobs that may fail, as a number or "5%"; the batch stops when more have. rows: jobs that it will
    have, which percents are of. submitted: Unix seconds, if not now.
    """
    found = books.run(
        "batch",
        batch=id,
        name=name,
        owner=owner,
        name_key=_name_key(owner, name),
        max_failures=max_failures,
        rows=rows,
        **({} if limit is None else {"limit": limit}),
        **({} if submitted is None else {"submitted": round(submitted * 1000)}),
    )
    return str(found["batch"])


def batch_named(books: Books, owner: str, name: str) -> str | None:
    """The id of the owner's batch of that name."""
    with books.reaching():
        return cast("str | None", books.client.get(_name_key(owner, name)))


def batch_row(books: Books, id: str) -> BatchRow:
    """A batch; raises NotFoundError."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        pipe.hgetall(f"farm:batch:{id}")
        pipe.hgetall(f"farm:batch:{id}:states")
        pipe.zcard(f"farm:batch:{id}:jobs")
        fields, states, total = pipe.execute()
    if not fields:
        raise NotFoundError(f"batch {id!r} is not in the books")
    return BatchRow(
        id=id,
        name=fields["name"],
        owner=fields["owner"],
        submitted=float(fields["submitted"]) / 1000,
        state=fields["state"],
        reason=fields.get("reason", ""),
        total=total,
        counts={state: int(states.get(state, 0)) for state in JobState},
        held=int(states.get("held", 0)),
        needs_review=int(states.get("needs_review", 0)),
        taken=int(states.get("taken", 0)),
        max_failures=fields["max_failures"],
        limit=int(fields["limit"]) if "limit" in fields else None,
        refused=int(fields.get("refused", 0)),
        pilot=fields.get("pilot", ""),
    )


def note_batch(books: Books, id: str, *, refused: int | None = None, pilot: str | None = None) -> None:
    """Say what is shown of a batch and decides nothing: storage has it too, and is slower to ask."""
    with books.reaching():
        for name, value in (("refused", refused), ("pilot", pilot)):
            if value is not None:
                books.client.hset(f"farm:batch:{id}", name, str(value))


def is_entering(books: Books, id: str) -> bool:
    """Whether a submit enters jobs into the batch, or died over it."""
    with books.reaching():
        return bool(books.client.hexists(f"farm:batch:{id}", "entering"))


def batch_ids(books: Books, *, owner: str | None = None) -> list[str]:
    """Ids of all batches, or of one owner's, newest first."""
    with books.reaching(), books.client.pipeline(transaction=False) as pipe:
        ids = cast("list[str]", books.client.zrevrange("farm:batches", 0, -1))
        for batch in ids:
            pipe.hget(f"farm:batch:{batch}", "owner")
        owners = pipe.execute()
    return [batch for batch, of_batch in zip(ids, owners, strict=True) if owner in {None, of_batch}]


def batch_jobs(books: Books, id: str) -> list[str]:
    """Jobs of a batch in the order of its rows."""
    with books.reaching():
        return cast("list[str]", books.client.zrange(f"farm:batch:{id}:jobs", 0, -1))


def batch_numbers(books: Books, id: str) -> dict[str, int]:
    """The number of the row that each job of a batch is."""
    with books.reaching():
        found = cast("list[tuple[str, float]]", books.client.zrange(f"farm:batch:{id}:jobs", 0, -1, withscores=True))
    return {job: int(row) for job, row in found}


def decide_batch(books: Books, id: str, what: BatchDecision, *, who: str, value: int | None = None) -> None:
    """Pause, resume or cancel a batch, or limit it to `value` slots at once (None: no limit).

    Of a batch that is paused or cancelled nothing begins and what renders is handed back; its jobs keep their states.
    Raises NotFoundError.
    """
    arguments = {} if value is None else {"value": value}
    found = books.run("batch_decide", batch=id, what=what, who=who, **arguments)
    if "refused" in found:
        raise NotFoundError(f"batch {id!r} is not in the books")


def hold_jobs(books: Books, jobs: Sequence[str], *, held: bool, who: str) -> int:
    """Hold jobs, at most MOST_AT_ONCE: nothing of them begins; or let them go. Answers how many that changed."""
    if len(jobs) > MOST_AT_ONCE:
        raise NotAllowedError(f"{len(jobs)} jobs cannot be held or released at once, at most {MOST_AT_ONCE} can")
    if not jobs:
        return 0
    return int(books.run("hold", jobs=list(jobs), held=held, who=who)["changed"])


def _name_key(owner: str, name: str) -> str:
    return f"farm:batchname:{json.dumps([owner, name])}"
