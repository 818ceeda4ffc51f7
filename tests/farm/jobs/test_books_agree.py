"""Whatever happens in whatever order: the counters and indexes of the books say what its jobs, chunks and slots say."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from farm.errors import NotAllowedError
from farm.jobs import views
from farm.jobs.batches import batch_ids, batch_jobs, batch_row, decide_batch, hold_jobs
from farm.jobs.load import all_lines
from farm.jobs.model import PLAN, STITCH, JobState
from farm.jobs.policy import Policy, write_policy
from farm.jobs.store import AttemptFailure, Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.farm.jobs.conftest import Desk

STEPS = 600
FAILURES = (
    AttemptFailure(code="crash", message="it crashed"),
    AttemptFailure(code="away", message="storage is away", burn=False, outcome="outage", delay_seconds=0.01),
    AttemptFailure(code="wrong", message="no face", permanent=True),
)


class Day:
    """A random day at the farm."""

    def __init__(self, desk: Desk, random: Random) -> None:
        self.desk, self.random = desk, random
        self.jobs: list[str] = []
        self.leases: list[Lease] = []
        self.batches = [desk.batch(name="A", max_failures="3"), desk.batch(name="B", owner="bob", limit=2)]
        for name in "abcd":
            desk.slot(name, renderers=random.choice([("preview",), ("preview", "sonic")]))
        write_policy(desk.books, Policy(weights={"bob": 2}, limits={"cid": 1}))

    def enter(self) -> None:
        self.jobs.append(
            self.desk.job(
                owner=self.random.choice(["ann", "bob", "cid"]),
                priority=self.random.randrange(3),
                renderer=self.random.choice(["preview", "preview", "sonic"]),
                attempts=2,
                batch=self.random.choice(["", *self.batches]),
                held=self.random.random() < 0.1,
            )
        )

    def begin(self) -> None:
        """A cpu worker or a slot asks for something: what there is to do, what it was sent, or what nobody sent it."""
        job, slot = self.random.choice(self.jobs), "cpu"
        state = views.job_fields(self.desk.books, job)["state"]
        unit = {"planning": PLAN, "stitching": STITCH}.get(state, self.random.choice([PLAN, STITCH, "0", "1", "2"]))
        sent = self.desk.books.client.zrange("farm:sent", 0, -1)
        if sent and self.random.random() < 0.5:
            job, _, unit = self.random.choice(sent).partition("/")
            slot = str(self.desk.books.client.hget(f"farm:job:{job}:u:{unit}", "slot"))
        lease = self.desk.books.claim(job, unit, slot=slot, suffix="abcd", lease_seconds=60)
        if isinstance(lease, Lease):
            self.leases.append(lease)

    def end(self) -> None:
        if not self.leases:
            return
        lease = self.leases.pop(self.random.randrange(len(self.leases)))
        if self.random.random() < 0.1:
            self.desk.books.fail(lease, self.random.choice(FAILURES))
        elif lease.unit == PLAN:
            self.desk.books.planned(lease, frames25=75, chunks=3)
        elif lease.unit == STITCH:
            finding = {"start": 0, "stop": 5, "timecode": "0", "sentence": "look"}
            version = int(lease.attempt.partition("-")[0])
            review = [finding] * self.random.randrange(2)
            self.desk.books.stitched(lease, version=version, result="key", digest="d", needs_review=review)
        else:
            self.desk.books.record(lease)

    def decide(self) -> None:
        what = self.random.choice(["pause", "resume", "resume", "cancel", "retry", "retry", "retry", "priority"])
        value = self.random.randrange(3) if what == "priority" else None
        try:
            self.desk.books.decide(self.random.choice(self.jobs), what, who="ann", value=value)
        except NotAllowedError:
            return

    def decide_batch(self) -> None:
        what = self.random.choice(["pause", "resume", "resume"])
        decide_batch(self.desk.books, self.random.choice(self.batches), what, who="ann")  # type: ignore[arg-type]

    def hold(self) -> None:
        jobs = self.random.sample(self.jobs, min(3, len(self.jobs)))
        hold_jobs(self.desk.books, jobs, held=self.random.random() < 0.3, who="ann")

    def restart(self) -> None:
        name = self.random.choice("abcd")
        self.desk.slot(name, pid=self.random.randrange(1000))

    def sweep(self) -> None:
        self.desk.books.sweep()

    def dispatch(self) -> None:
        self.desk.books.dispatch()


@pytest.mark.parametrize("seed", range(3))
def test_counters_and_indexes_say_what_the_rows_say(desk: Desk, seed: int) -> None:
    random = Random(seed)
    day = Day(desk, random)
    day.enter()
    steps: list[tuple[Callable[[], None], int]] = [
        (day.enter, 2),
        (day.begin, 12),
        (day.end, 10),
        (day.dispatch, 5),
        (day.decide, 1),
        (day.decide_batch, 1),
        (day.hold, 1),
        (day.restart, 1),
        (day.sweep, 2),
    ]
    for number in range(STEPS):
        random.choices([step for step, _ in steps], [often for _, often in steps])[0]()
        if number % 50 == 49:
            _agree(desk, day.jobs)
    states = Counter(views.job_fields(desk.books, job)["state"] for job in day.jobs)
    assert states["done"], "the day was good for something"


def _agree(desk: Desk, jobs: list[str]) -> None:
    rows = {job: views.job_fields(desk.books, job) for job in jobs}
    _batches_agree(desk, rows)
    _plans_agree(desk, rows)
    _lines_agree(desk, rows)
    _owners_and_slots_agree(desk, rows)


def _batches_agree(desk: Desk, rows: dict[str, dict[str, str]]) -> None:
    for batch in batch_ids(desk.books):
        row = batch_row(desk.books, batch)
        mine = [fields for fields in rows.values() if fields.get("batch") == batch]
        assert set(batch_jobs(desk.books, batch)) == {job for job, f in rows.items() if f.get("batch") == batch}
        counted = Counter(fields["state"] for fields in mine)
        assert row.counts == {state: counted[state] for state in JobState}
        assert row.held == sum(fields.get("held") == "1" for fields in mine)
        assert row.needs_review == sum(fields.get("needs_review") == "1" for fields in mine)


def _plans_agree(desk: Desk, rows: dict[str, dict[str, str]]) -> None:
    client = desk.books.client
    lines = {key.removeprefix("farm:plans:"): client.zrange(key, 0, -1) for key in client.scan_iter("farm:plans:*")}
    assert client.smembers("farm:planning") == set(lines)
    in_line = {job for jobs in lines.values() for job in jobs}
    rung = {member.removeprefix("plan/") for member in client.zrange("farm:outbox", 0, -1) if member[:5] == "plan/"}
    begun = {job for job in rows if client.hget(f"farm:job:{job}:u:plan", "state") == "rendering"}
    assert not in_line & begun
    for key in client.scan_iter("farm:planning:*"):
        assert set(client.zrange(key, 0, -1)) <= rung - begun
    assert in_line | rung | begun >= {
        job
        for job, fields in rows.items()
        if fields["state"] == "planning" and "1" not in {fields.get("paused"), fields.get("held")}
    }
    assert all(rows[job]["state"] == "planning" for job in in_line | rung)
    for line, jobs in lines.items():
        assert all(f"{rows[job].get('batch', '')}/{rows[job]['owner']}" == line for job in jobs)


def _lines_agree(desk: Desk, rows: dict[str, dict[str, str]]) -> None:
    client = desk.books.client
    waiting: Counter[tuple[str, ...]] = Counter()
    for job, fields in rows.items():
        if fields["state"] in {"queued", "rendering"} and "1" not in {fields.get("paused"), fields.get("held")}:
            line = (fields["renderer"], fields["priority"], fields.get("batch", ""), fields["owner"])
            waiting[line] += client.zcard(f"farm:job:{job}:waiting")
    lines = all_lines(desk.books)
    stood = {(line.renderer, str(line.priority), line.batch, line.owner): line.chunks for line in lines}
    assert stood == {line: chunks for line, chunks in waiting.items() if chunks}
    keys = set(client.scan_iter("farm:line:*"))
    assert keys == {line.key for line in lines}
    for line in lines:
        assert line.owner in client.smembers(f"farm:owners:{line.renderer}:{line.priority}")
        alike = f"{line.pixels}:{line.batch}"
        assert alike in client.smembers(f"farm:lines:{line.renderer}:{line.priority}:{line.owner}")


def _owners_and_slots_agree(desk: Desk, rows: dict[str, dict[str, str]]) -> None:
    client = desk.books.client
    in_hand: Counter[str] = Counter()
    rendering: Counter[str] = Counter()
    began: Counter[str] = Counter()
    sent = set()
    for job, fields in rows.items():
        for chunk in range(int(fields.get("chunks", 0))):
            state, started = client.hmget(f"farm:job:{job}:u:{chunk}", "state", "started")
            in_hand[fields["owner"]] += state in {"sent", "rendering"}
            rendering[fields["owner"]] += state == "rendering"
            began[fields["owner"]] += int(started) if state == "rendering" else 0
            if state == "sent":
                sent.add(f"{job}/{chunk}")
    assert set(client.zrange("farm:sent", 0, -1)) == sent
    for owner in {fields["owner"] for fields in rows.values()}:
        found = [int(value or 0) for value in client.hmget(f"farm:owner:{owner}", "in_hand", "rendering", "began")]
        assert found == [in_hand[owner], rendering[owner], began[owner]], owner
    waits_at = {name: client.hget(f"farm:slot:{name}", "next") for name in "abcd"}
    assert client.smembers("farm:free") == {name for name, waits in waits_at.items() if waits is None}
    assert {waits for waits in waits_at.values() if waits} == sent, json.dumps(waits_at)
