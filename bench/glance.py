"""What a look of `farm top` costs, with books as full as a term's courses make them.

    python bench/glance.py [--jobs 10000] [--chunks 20] [--slots 64] [--json]

Every slot has a chunk in hand, all else waits. A look is what `farm top` does each second but drawing: the time until
it has everything, the time of a core for that, and the time that Redis spends on it, over all its short questions.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from scrape import fill, open_slots, redis_spent

from farm.jobs.glance import glance
from farm.jobs.store import Books
from farm.local.servers import redis_server
from farm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOKS, OWNERS = 50, 50
WANTED = {"core_ms": 50.0, "redis_ms": 5.0}
"""Of a core for a look here, and of Redis, at most."""


def take_up(books: Books) -> None:
    """Every slot takes the chunk that it is sent."""
    for message in books.dispatch():
        slot = message.queue.removeprefix("slot.")
        books.claim(str(message.job), str(message.chunk), slot=slot, suffix="bench", lease_seconds=3600)


def looks(books: Books) -> Iterator[float]:
    """Milliseconds of each look."""
    for _ in range(LOOKS):
        began = time.perf_counter()
        glance(books)
        yield 1000 * (time.perf_counter() - began)


def measure(books: Books) -> dict[str, Any]:
    glance(books)  # the first connects
    before, cpu = redis_spent(books), time.process_time()
    times = list(looks(books))
    cpu = time.process_time() - cpu
    calls, usec = (now - then for now, then in zip(redis_spent(books), before, strict=True))
    return {
        "look_ms": round(median(times), 1),
        "core_ms": round(1000 * cpu / LOOKS, 1),
        "redis_ms": round(usec / 1000 / LOOKS, 2),
        "questions": round(calls / LOOKS),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--chunks", type=int, default=20, help="of each job")
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with (
        TemporaryDirectory(prefix="sonic-farm-bench-") as folder,
        redis_server(Path(folder)) as server,
        closing(Books.connect(Settings(dir=Path(folder), redis_url=server.url))) as books,
    ):
        fill(books, jobs=asked.jobs, chunks=asked.chunks, owners=OWNERS)
        open_slots(books, asked.slots)
        take_up(books)
        found = measure(books)
    row = {"jobs": asked.jobs, "chunks": asked.jobs * asked.chunks, "slots": asked.slots, **found}
    reached = all(found[name] <= most for name, most in WANTED.items())
    if asked.json:
        print(json.dumps(row | {"wanted": WANTED}))
        return 0 if reached else 1
    for name, value in row.items():
        print(f"{name:10} {value}")
    wanted = f"a look under {WANTED['core_ms']:g} ms of a core and {WANTED['redis_ms']:g} ms of Redis"
    print(f"{wanted}: {'met' if reached else 'not met'}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
