"""What the books cost: bytes of Redis for a chunk and for a job, milliseconds to choose the next chunk, and to count.

    python bench/books.py [--jobs N] [--chunks N] [--rounds N] [--json]

Bytes are those of jobs that ran through their whole life, with attempts, one in twenty of them lost, and history: jobs
of one chunk and jobs of many are compared, what a chunk more costs is a chunk's, the rest a job's. Then so many jobs of
so many chunks each wait, of 50 owners, three renderers and all priorities, in one batch; a slot of 64 becomes free, and
the next chunk is chosen for it, again and again. Times are a client's, the way to Redis and back is in them; beside
them stands Redis' own processor time, which does not grow on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from farm.batch.lines import jobs_of_rows
from farm.jobs.batches import batch_row, enter_batch
from farm.jobs.model import PLAN, STITCH
from farm.jobs.store import AttemptFailure, Books, Lease
from farm.local.servers import redis_server
from farm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNERS, RENDERERS, SLOTS = 50, ("preview", "sonic", "stripes"), 64
LIVES, MANY = 300, 41
"""Jobs of one chunk, and of many, whose bytes are compared."""
MOST_CHUNK_BYTES, MOST_JOB_BYTES, MOST_CHOOSE_MS, MOST_COUNT_MS = 1024, 4096, 5.0, 1000.0
FINDING = {"start": 50, "stop": 75, "timecode": "0:02.00", "sentence": "the mouth hardly moves while there is speech"}
LOST = AttemptFailure(code="lease_expired", message="no sign of life from studio-7-gpu-03, its lease ran out")


@contextmanager
def empty_books() -> Iterator[Books]:
    with TemporaryDirectory(prefix="sonic-farm-bench-") as folder, redis_server(Path(folder)) as server:
        books = Books.connect(Settings(redis_url=server.url))
        yield books
        books.close()


def job_id(number: int) -> str:
    return f"20260901-081500-{number:06d}"


def enter(books: Books, number: int, batch: str) -> str:
    """A job that has just been submitted, as a batch does it."""
    fields: dict[str, str | int | float] = {
        "name": f"Algebra {number:05d}, linear equations",
        "owner": f"department-{number % OWNERS:02d}",
        "priority": number // OWNERS % 10,
        "renderer": RENDERERS[number % len(RENDERERS)],
        "max_attempts": 3,
        "token": f"{number:064x}",
        "pixels": 512 * 512,
        "warnings": "[]",
        "batch": batch,
        "row": number,
    }
    return books.enter(job_id(number), f"{number:064x}", fields).job


def claim(books: Books, job: str, unit: str, slot: str) -> Lease:
    lease = books.claim(job, unit, slot=slot, suffix="9f31c0aa", lease_seconds=600)
    if not isinstance(lease, Lease):
        raise TypeError(f"{job}/{unit} at {slot}: {lease.reason}")
    return lease


def plan(books: Books, job: str, chunks: int) -> None:
    books.planned(claim(books, job, PLAN, "studio-7-cpu-1"), frames25=750 * chunks, chunks=chunks)


def live(books: Books, job: str, chunks: int) -> None:
    """A whole life: one in twenty attempts is lost, and people should look at the result."""
    plan(books, job, chunks)
    for chunk in range(chunks):
        lease = claim(books, job, str(chunk), "studio-7-gpu-03")
        books.renew(lease, percent=99.5, lease_seconds=600)
        if chunk % 20 == 19:
            books.fail(lease, LOST)
            lease = claim(books, job, str(chunk), "studio-7-gpu-04")
        books.record(lease)
    result = f"jobs/{job}/results/1/video.mp4"
    books.stitched(
        claim(books, job, STITCH, "studio-7-cpu-1"), version=1, result=result, digest="d" * 64, needs_review=[FINDING]
    )


def bytes_of_lives(chunks: int, lives: int) -> float:
    """Redis' bytes for a job of so many chunks that is done."""
    with empty_books() as books:
        batch = enter_batch(books, "20260901-081500-batch0", name="Algebra", owner="department-00")
        live(books, enter(books, 0, batch), chunks)  # scripts and keys that all jobs share are there now
        before = used_memory(books)
        for number in range(1, lives + 1):
            live(books, enter(books, number, batch), chunks)
        return (used_memory(books) - before) / lives


def used_memory(books: Books) -> int:
    return int(books.client.info("memory")["used_memory"])  # type: ignore[index]


def memory(lives: int) -> dict[str, Any]:
    one, many = bytes_of_lives(1, lives), bytes_of_lives(MANY, lives)
    chunk = (many - one) / (MANY - 1)
    return {"chunk_bytes": round(chunk), "job_bytes": round(one - chunk)}


def report_slots(books: Books) -> None:
    """Slots of one, two and three renderers."""
    for number in range(SLOTS):
        facts = {
            "state": "ready",
            "host": f"studio-{number // 8}",
            "pid": number,
            "process": f"p{number}",
            "launcher": f"l{number}",
            "device": "bench",
            "visible_devices": "",
            "renderers": RENDERERS[: 1 + number % 3],
            "ttl_ms": 3_600_000,
        }
        books.report_slot(f"gpu-{number:02d}", facts)


def choosing(jobs: int, chunks: int, rounds: int) -> dict[str, Any]:
    with empty_books() as books:
        batch = enter_batch(books, "20260901-081500-batch0", name="Algebra", owner="department-00")
        began = time.perf_counter()
        for number in range(jobs):
            plan(books, enter(books, number, batch), chunks)
        found: dict[str, Any] = {"jobs": jobs, "chunks": jobs * chunks, "fill_s": round(time.perf_counter() - began, 1)}
        report_slots(books)
        turns = times_to_choose(books, rounds)
        began = time.perf_counter()
        row = batch_row(books, batch)
        page = jobs_of_rows(books, batch, 0, 99)
        found["count_ms"] = round(1000 * (time.perf_counter() - began), 2)
        if (row.total, sum(row.counts.values()), len(page)) != (jobs, jobs, min(100, jobs)):
            raise ValueError(f"{row.total} jobs, {row.counts}, {len(page)} on the page")
        found["choose_ms"] = spread([turn[0] for turn in turns])
        found["choose_processor_ms"] = spread([turn[1] for turn in turns])
        return found


def spread(times: list[float]) -> dict[str, float]:
    times = sorted(times)
    shares = (("median", 0.5), ("p99", 0.99), ("most", 1.0))
    return {name: round(times[min(len(times) - 1, int(share * len(times)))], 3) for name, share in shares}


def processor_ms(books: Books) -> float:
    """Redis' processor time until now; asking takes a little of it."""
    cpu: Any = books.client.info("cpu")
    return 1000 * float(cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"])


def times_to_choose(books: Books, rounds: int) -> list[tuple[float, float]]:
    """Milliseconds for one free slot at a time, a client's and of Redis' processor. What the slot had is recorded, what
    it gets is claimed.
    """
    given = list(books.dispatch())
    leases = [claim(books, message.job, str(message.chunk), message.queue) for message in given]
    given += books.dispatch()  # behind what they render, slots have their next one
    times = []
    for turn in range(rounds):
        lease = leases[turn % len(leases)]
        books.record(lease)
        waiting = next(message for message in given[len(leases) :] if message.queue == lease.slot)
        leases[turn % len(leases)] = claim(books, waiting.job, str(waiting.chunk), lease.slot)
        used, began = processor_ms(books), time.perf_counter()
        chosen = books.dispatch()
        took = 1000 * (time.perf_counter() - began)
        times.append((took, processor_ms(books) - used))
        if [message.queue for message in chosen] != [lease.slot]:
            raise ValueError(f"{lease.slot} is free, and what was chosen is {chosen}")
        given[given.index(waiting)] = chosen[0]
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--chunks", type=int, default=20, help="of each job")
    parser.add_argument("--rounds", type=int, default=5_000, help="chunks that are chosen")
    parser.add_argument("--lives", type=int, default=LIVES, help="jobs whose bytes are counted")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = {**memory(args.lives), **choosing(args.jobs, args.chunks, args.rounds)}
    lines = [
        ("bytes of a chunk", found["chunk_bytes"], MOST_CHUNK_BYTES),
        ("bytes of a job", found["job_bytes"], MOST_JOB_BYTES),
        ("ms to choose the next chunk, 99th percentile", found["choose_ms"]["p99"], MOST_CHOOSE_MS),
        ("ms to count a batch and read a page", found["count_ms"], MOST_COUNT_MS),
    ]
    reached = all(value < most for _, value, most in lines)
    if args.json:
        print(json.dumps({**found, "reached": reached}))
    else:
        for what, value, most in lines:
            print(f"{what:46} {value:>10}  under {most:g}: {'met' if value < most else 'NOT MET'}")
        print(f"\n{found['jobs']} jobs, {found['chunks']} chunks, entered and planned in {found['fill_s']} s")
        print(f"choosing: {found['choose_ms']} ms, of Redis' processor {found['choose_processor_ms']} ms")
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
