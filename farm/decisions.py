"""What people decided about a job, as small objects in storage: it holds even when the books are lost."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

from farm.jobs import views
from farm.jobs.model import JobState
from farm.storage import keys

if TYPE_CHECKING:
    from farm.jobs.store import Books
    from farm.storage.s3 import Storage

KINDS: tuple[keys.Decision, ...] = get_args(keys.Decision)
UNDOES: dict[str, keys.Decision] = {"retry": "cancel", "resume": "pause"}


@dataclass(frozen=True)
class Decision:
    """Who decided, when (Unix seconds), and the priority where it is one."""

    who: str
    at: float
    value: int | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Decision:
        return cls(data["who"], data["at"], data["value"])


def decide(books: Books, storage: Storage, job: str, what: str, *, who: str, value: int | None = None) -> None:
    """Decide about a job, in storage and in the books; raises NotFoundError, NotAllowedError.

    What stops a job is in storage before the books hear of it, what lets it go on leaves storage after: whoever dies in
    between, a recovery never renders what somebody stopped. An ended job's books refuse; nothing is kept.
    """
    if not JobState(views.job_fields(books, job)["state"]).ended:
        keep(storage, job, what, who=who, value=value)
    books.decide(job, what, who=who, value=value)
    lift(storage, job, what)


def keep(storage: Storage, job: str, what: str, *, who: str, value: int | None = None) -> None:
    """Store what was decided, if it is one of KINDS."""
    for kind in KINDS:
        if kind == what:
            storage.put_json(keys.decision(job, kind), {"version": 1, **asdict(Decision(who, time.time(), value))})


def lift(storage: Storage, job: str, what: str) -> None:
    """Remove the decision that `what` undoes, if it undoes one."""
    if what in UNDOES:
        storage.delete(keys.decision(job, UNDOES[what]))
    if what == "retry":
        storage.delete(keys.forgotten(job))  # of a `farm clean` that died before the books forgot the job
