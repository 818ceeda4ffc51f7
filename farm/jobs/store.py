"""The books: every job, chunk, lease and slot in Redis, every move one atomic script.

Redis' own clock is the only one that leases know, so machines need not agree about the time.
Key layout and scripts are in lua/; one Redis (not a cluster) holds the books.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from farm.errors import BooksError, BooksUnreachableError, NotAllowedError, NotFoundError
from farm.jobs.lately import LATELY_SECONDS
from farm.jobs.model import JOB_MOVES, PLAN, STITCH, UNIT_MOVES
from farm.jobs.policy import HALF_LIFE_SECONDS
from farm.jobs.redo import redraw_from
from farm.messages import CPU_LISTS, CPU_QUEUE, PLAN_JOB, RENDER_CHUNK, STITCH_JOB, Message, TaskName
from farm.settings import TOML_NAME, Settings, masked_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.spec import Redraw
    from farm.jobs.redo import Redo
    from farm.jobs.standing import Standing

OnCall = Callable[[str, float], None]
"""Called with the name of an operation and the seconds that it took."""
RING_SECONDS = 5.0
"""How long a message may stay unanswered before the sweeper rings again."""
DOUBT_SECONDS = 300.0
"""How long a plan or stitch is left to a queue that is never empty, before the sweeper rings for it again."""
FORGET_SECONDS = 3600.0
"""How long a slot that gives no sign of life is still listed, as lost."""
SOCKET_SECONDS = 5.0
LONGEST_MESSAGE = 2000
PLANS_OF_AN_OWNER = 8
"""Plans of one owner that lie in the cpu queue at a time, and less urgent ones, so that others' plans get between."""
AT_ONCE = 16
"""Chunks that one script gives out: Redis serves nobody else while a script runs."""
PASSING = re.compile(r"(?:^|[\s-])(?:OOM|READONLY|MISCONF|BUSY|MASTERDOWN|LOADING|TRYAGAIN)\b")
"""Refusals of Redis that pass: full, failing over, loading; redis-py has classes of its own for some."""
PASSING_KINDS = (redis.exceptions.ReadOnlyError, redis.exceptions.BusyLoadingError, redis.exceptions.OutOfMemoryError)


@dataclass(frozen=True)
class Lease:
    """A worker's right to a unit ("plan", "stitch" or a chunk's number), under one numbered attempt.

    redraw: what of the chunk is drawn anew. alone: it is delivered before its slot comes to another.
    """

    job: str
    unit: str
    attempt: str
    slot: str
    redraw: Redraw | None = None
    alone: bool = False

    def __str__(self) -> str:
        return f"{self.job}/{self.unit} attempt {self.attempt}"


@dataclass(frozen=True)
class Refused:
    """Why there is nothing to do for a message: someone else has it, or it is done, or nobody wants it."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class AttemptFailure:
    """How an attempt ended without success.

    burn: counts against max_attempts. permanent: no other attempt can succeed. delay_seconds: wait before the next.
    cause: what failed around it, "storage" or "disk"; empty where the attempt itself did.
    """

    code: str
    message: str
    outcome: str = "failed"
    burn: bool = True
    permanent: bool = False
    delay_seconds: float = 0.0
    cause: str = ""

    def __post_init__(self) -> None:
        # a file name in a message may hold what is no Unicode, and a message may be a whole dump
        plain = self.message.encode("utf-8", "replace").decode()[:LONGEST_MESSAGE]
        object.__setattr__(self, "message", plain)


class Recorded(StrEnum):
    """What the books made of a finished chunk."""

    STALE = "not recorded, another attempt is the current one"
    DONE = "recorded"
    LAST = "recorded, the last one: the stitch is due"


class Entered(NamedTuple):
    """job: the new one, or the one that was there. ring: its plan is let into the queue, whoever entered it rings."""

    job: str
    created: bool
    ring: bool


@dataclass(frozen=True)
class Swept:
    """What a look of the sweeper put back, and whom it must ring."""

    expired: int
    unsent: int
    broken: int
    due: tuple[Message, ...]


@cache
def _source(name: str) -> str:
    folder = files("farm.jobs") / "lua"
    tables = _lua_table("JOB_MOVES", JOB_MOVES) + _lua_table("UNIT_MOVES", UNIT_MOVES)
    parts = [(folder / f"{part}.lua").read_text() for part in ("prelude", "blame", "lately", "webhooks", name)]
    half_lives = f"local HALF_LIFE_MS, LATELY_MS = {_ms(HALF_LIFE_SECONDS)}, {_ms(LATELY_SECONDS)}"
    return "\n".join([tables, half_lives, *parts])


def _lua_table(name: str, moves: Mapping[Any, frozenset[Any]]) -> str:
    """A literal, for every call of a script builds it."""
    rows = (f"{state} = {{{', '.join(f'{to} = true' for to in sorted(allowed))}}}" for state, allowed in moves.items())
    return f"local {name} = {{{', '.join(rows)}}}\n"


def connect(settings: Settings) -> redis.Redis:
    """A client that rides out short outages; nothing is sent yet."""
    return redis.Redis.from_url(
        settings.redis_url,
        decode_responses=True,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 3),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
    )


class Books:
    """The moves. Safe to share between threads; every call raises BooksUnreachableError when Redis does not answer.

    on_call: told of every call, with the name of its script.
    """

    def __init__(self, client: redis.Redis, where: str = "Redis") -> None:
        self.client = client
        self._where = where
        self._scripts: dict[str, Any] = {}
        self.on_call: OnCall = lambda _operation, _seconds: None

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        where = masked_url(settings.redis_url)
        if settings.source("redis_url") == "default":
            where += f" (the default: there is no {settings.dir / TOML_NAME}, and nothing else says where the farm is)"
        return cls(connect(settings), where)

    def close(self) -> None:
        self.client.close()

    @contextmanager
    def reaching(self, operation: str = "command") -> Iterator[None]:
        """Turn what redis-py raises when nobody answers into our own error."""
        began = time.perf_counter()
        try:
            yield
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise BooksUnreachableError(f"Redis at {self._where} does not answer: {error}") from error
        except redis.RedisError as error:
            passes = PASSING.search(str(error)) or isinstance(error, PASSING_KINDS)
            kind = BooksUnreachableError if passes else BooksError
            raise kind(f"Redis at {self._where} refused: {error}") from error
        finally:
            self.on_call(operation, time.perf_counter() - began)

    def run(self, script: str, **arguments: Any) -> Any:
        """What a script of lua/ answers; for the modules beside this one, which have the verbs."""
        if script not in self._scripts:
            self._scripts[script] = self.client.register_script(_source(script))
        with self.reaching(script):
            return json.loads(self._scripts[script](keys=[], args=[json.dumps(arguments)]))

    # -- the life of a job

    def enter(self, job: str, token: str, fields: Mapping[str, str | int | float]) -> Entered:
        """A new job, or the one that the token already names. Raises NotAllowedError for one of a cancelled batch."""
        found = self.run(
            "enter", job=job, token=token, fields=dict(fields), ring_ms=_ms(RING_SECONDS), plans=PLANS_OF_AN_OWNER
        )
        if "refused" in found:
            raise NotAllowedError(f"job {job} cannot be submitted: {found['refused']}")
        return Entered(found["job"], found["created"], found.get("ring", False))

    def restore(self, standing: Standing, *, who: str) -> bool:
        """Enter a job as storage tells it; False, and nothing changed, when the books know it."""
        return bool(self.run("restore", who=who, **standing.to_dict())["restored"])

    def knows(self, job: str) -> bool:
        """Whether the books have this job."""
        with self.reaching():
            return bool(self.client.exists(f"farm:job:{job}"))

    def token_owners(self, tokens: Sequence[str]) -> list[str | None]:
        """The job of each token, None where there is none."""
        with self.reaching():
            found = self.client.mget([f"farm:token:{token}" for token in tokens]) if tokens else []
        return cast("list[str | None]", found)

    def token_owner(self, token: str) -> str | None:
        """The job that a token names, ended or not."""
        with self.reaching():
            return self.client.get(f"farm:token:{token}")  # type: ignore[return-value]

    def planned(self, lease: Lease, *, frames25: int, chunks: int, rendered: int = 0, remark: str = "") -> bool:
        """The plan is written; False when this attempt is no longer the current one.

        rendered: how many of the chunks were rendered already, for others. remark: for the history.
        """
        return self._recorded("planned", lease, frames25=frames25, chunks=chunks, rendered=rendered, remark=remark)

    def record(self, lease: Lease, *, taken: str = "") -> Recorded:
        """A chunk's segment is published; the last one makes the stitch due, exactly once.

        taken: the job whose segment was taken instead of rendering one.
        """
        found = self.run(
            "record",
            job=lease.job,
            unit=lease.unit,
            attempt=lease.attempt,
            who=lease.slot,
            taken=taken,
            ring_ms=_ms(RING_SECONDS),
        )
        if not found["recorded"]:
            return Recorded.STALE
        return Recorded.LAST if found.get("stitch_due") else Recorded.DONE

    def stitched(
        self,
        lease: Lease,
        *,
        version: int,
        result: str,
        digest: str,
        needs_review: Sequence[Mapping[str, Any]] = (),
    ) -> bool:
        """The result is published and the job done; False for a stale attempt.

        needs_review: what a person should look at, each with start and stop (frames25), timecode and sentence.
        """
        review = json.dumps(list(needs_review))
        return self._recorded("stitched", lease, version=version, result=result, digest=digest, review=review)

    def refuse(self, lease: Lease, redos: Sequence[Redo], *, why: str) -> bool:
        """The stitch in hand ends, because chunks must be rendered again; False for a stale attempt."""
        return self._recorded("redo", lease, redos=[redo.for_books() for redo in redos], why=why)

    def redo(self, job: str, redos: Sequence[Redo], *, who: str, why: str) -> None:
        """Render chunks of a finished job again. Raises NotFoundError, and NotAllowedError unless it is done."""
        self._decided("redo", job, "redo", redos=[redo.for_books() for redo in redos], who=who, why=why)

    def rollback(self, job: str, version: int, *, number: int, who: str) -> None:
        """Make an older version the current one; what was drawn for a newer one is given up.

        number: becomes that of the job's last stitch attempt, so that the next version gets a higher one. Raises
        NotFoundError, and NotAllowedError while the job goes on.
        """
        self._decided("rollback", job, "roll back", version=version, number=number, who=who)

    def _recorded(self, script: str, lease: Lease, **arguments: Any) -> bool:
        found = self.run(script, job=lease.job, unit=lease.unit, attempt=lease.attempt, who=lease.slot, **arguments)
        return bool(found["recorded"])

    def decide(self, job: str, what: str, *, who: str, value: int | None = None) -> None:
        """Cancel, pause, resume, retry or re-prioritise a job.

        Raises NotFoundError for an unknown job, NotAllowedError where its state does not allow it.
        """
        arguments: dict[str, Any] = {"value": value} if value is not None else {}
        self._decided("decide", job, what, what=what, who=who, call=secrets.token_hex(8), **arguments)

    def _decided(self, script: str, job: str, verb: str, **arguments: Any) -> None:
        found = self.run(script, job=job, **arguments)
        if found.get("refused") == "no such job":
            raise NotFoundError(f"job {job!r} is not in the books")
        if "refused" in found:
            raise NotAllowedError(f"cannot {verb} job {job}: {found['refused']}")

    # -- leases

    def claim(self, job: str, unit: str, *, slot: str, suffix: str, lease_seconds: float) -> Lease | Refused:
        """Ask for a unit's lease with a new attempt."""
        found = self.run("claim", job=job, unit=unit, slot=slot, suffix=suffix, lease_ms=_ms(lease_seconds))
        if "refused" in found:
            return Refused(found["refused"])
        redraw = redraw_from(found.get("redraw"))
        return Lease(job, unit, f"{found['attempt']}-{suffix}", slot, redraw, alone=found["alone"])

    def renew(self, lease: Lease, *, percent: float, lease_seconds: float, cut_off: bool = False) -> str:
        """Keep the lease and say how far the attempt is. cut_off: it could not be kept lately: Redis did not answer.

        Answers "go on", or why to stop: "lost", "paused", "draining", "cancelled", "failed" or "done".
        """
        found = self.run(
            "renew",
            job=lease.job,
            unit=lease.unit,
            attempt=lease.attempt,
            percent=round(percent, 1),
            lease_ms=_ms(lease_seconds),
            cut_off=cut_off,
        )
        return str(found["verdict"])

    def fail(self, lease: Lease, failure: AttemptFailure) -> bool:
        """End an attempt without success; False for a stale attempt."""
        arguments = asdict(failure)
        arguments["delay_ms"] = _ms(arguments.pop("delay_seconds"))
        found = self.run("fail", job=lease.job, unit=lease.unit, attempt=lease.attempt, failure=arguments)
        return bool(found["recorded"])

    # -- slots, dispatch, sweeping

    def report_slot(self, slot: str, fields: Mapping[str, Any], *, loaded: bool = False, pulse: bool = False) -> None:
        """A slot shows that it lives; `loaded` counts one more load of its renderers.

        pulse: nothing has changed; `fields`, all of them, are for books that have forgotten the slot.
        """
        values = {key: json.dumps(value) if isinstance(value, list | tuple) else value for key, value in fields.items()}
        self.run("slot", slot=slot, fields=values, loaded=loaded, pulse=pulse)

    def retire_slot(self, slot: str, *, launcher: str, gone: bool) -> None:
        """A slot is being stopped on purpose by its launcher: it drains; once `gone`, it is no longer listed."""
        self.run("retire", slot=slot, launcher=launcher, gone=gone)

    def report_cpu_worker(self, worker: str) -> None:
        """A cpu worker shows that it lives."""
        self.run("cpu", worker=worker)

    def dispatch(self) -> list[Message]:
        """Give waiting chunks to slots; the messages that must now be sent."""
        messages: list[Message] = []
        while True:
            found = self.run("dispatch", at_once=AT_ONCE)
            messages += [Message(RENDER_CHUNK, row["slot"], row["job"], row["chunk"], row["title"]) for row in found]
            if len(found) < AT_ONCE:
                return messages

    def has_next(self, slot: str) -> bool:
        """Whether a chunk waits at this slot."""
        with self.reaching():
            return bool(self.client.hexists(f"farm:slot:{slot}", "next"))

    def hold(self, lock: str, holder: str, for_ms: int) -> bool:
        """Take or keep a short lock; False when another holds it."""
        with self.reaching():
            if self.client.set(lock, holder, nx=True, px=for_ms):
                return True
            return self.client.get(lock) == holder and bool(self.client.pexpire(lock, for_ms))

    def sweep(self, *, lease_seconds: float = 60) -> Swept:
        """Put back what fell by the way; the plan and stitch messages that must be sent again.

        lease_seconds: what leases get once more when no sweep was possible for half as long.
        """
        found = self.run(
            "sweep",
            lease_ms=_ms(lease_seconds),
            silence_ms=_ms(lease_seconds / 2),
            ring_ms=_ms(RING_SECONDS),
            doubt_ms=_ms(DOUBT_SECONDS),
            forget_ms=_ms(FORGET_SECONDS),
            queue_lists=CPU_LISTS,
            plans=PLANS_OF_AN_OWNER,
        )
        due = tuple(
            cpu_message(entry["job"], entry["unit"], entry["name"], priority=int(entry["priority"]))
            for entry in found["due"] or ()
        )
        return Swept(found["expired"], found["unsent"], found["broken"], due)


def cpu_message(job: str, unit: str, name: str, *, priority: int) -> Message:
    """The message that asks for a job's plan, by the job's priority, or for its stitch, which goes before all plans."""
    task: TaskName = PLAN_JOB if unit == PLAN else STITCH_JOB
    return Message(task, CPU_QUEUE, job, None, f"{name}, {unit}", priority if unit == PLAN else 0)


def unit_of(task: str, payload: Mapping[str, Any]) -> str:
    """The unit that a message about a job is for."""
    return {PLAN_JOB: PLAN, STITCH_JOB: STITCH}.get(task) or str(payload.get("chunk", ""))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
