"""Whether owners get slot time by their weights: 1, 1 and 2, under constant load, at once and over any while.

    python bench/fairness.py [--seconds N] [--slots N] [--json]

The real scripts on a real Redis, with Redis' clock; a thread for every slot, which claims what it is sent, waits as
long as the chunk takes, and records it. All is a thousandth of life: chunks take 30 to 120 ms, each owner his own kind,
for half a minute to two minutes, and slot time counts half after 1.8 s for half an hour. Every owner always has chunks
waiting. Measured is the slot time between claim and record, as the threads saw it, after the first two half-lives.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from farm.jobs.model import PLAN
from farm.jobs.policy import HALF_LIFE_SECONDS, Policy, write_policy
from farm.jobs.store import Books, Lease
from farm.local.servers import redis_server
from farm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.messages import Message

SPEED = 1000
"""How many times faster than life."""
CHUNK_SECONDS = {"ann": (30, 60), "bob": (60, 120), "cid": (40, 80)}
"""What a chunk takes in life, from and to: owners differ, and are to get the same slot time, not as many chunks."""
WEIGHTS = {"ann": 1.0, "bob": 1.0, "cid": 2.0}
JOBS, CHUNKS = 3, 100
"""Jobs that each owner has waiting at any time, and chunks of each."""
GOLDEN = (5**0.5 - 1) / 2
MOST_OFF = 0.05


def chunk_seconds(owner: str, chunk: int) -> float:
    """Spread evenly over what the owner's chunks take, one unlike the next."""
    least, most = CHUNK_SECONDS[owner]
    return least + (most - least) * (chunk * GOLDEN % 1)


class Floor:
    """Slots that work until they are told to stop, and what they spent for whom."""

    def __init__(self, books: Books, slots: int) -> None:
        self._books = books
        self._names = [f"gpu-{number:02d}" for number in range(slots)]
        self._wake = {name: threading.Event() for name in self._names}
        self._next: dict[str, Message] = {}
        self._jobs = 0
        self._owner_of: dict[str, str] = {}
        self._lock = threading.Lock()
        self.over = threading.Event()
        self.counting = threading.Event()
        self.spent: dict[str, float] = defaultdict(float)

    def open(self) -> None:
        """Report the slots and give every owner work."""
        for name in self._names:
            facts = {
                "state": "ready",
                "host": "bench",
                "pid": 1,
                "process": name,
                "launcher": name,
                "device": "bench",
                "visible_devices": "",
                "renderers": ["preview"],
                "ttl_ms": 3_600_000,
            }
            self._books.report_slot(name, facts)
        for _ in range(JOBS):
            for owner in WEIGHTS:
                self._enter(owner)
        self._ring()

    def work(self, name: str) -> None:
        """One slot's thread."""
        while not self.over.is_set():
            with self._lock:
                message = self._next.pop(name, None)
                self._wake[name].clear()
            if message is None:
                self._wake[name].wait(0.2)
                continue
            self._render(name, message)

    def _render(self, name: str, message: Message) -> None:
        lease = self._books.claim(message.job, str(message.chunk), slot=name, suffix="b", lease_seconds=600)
        if not isinstance(lease, Lease):
            return  # another slot took it
        began = time.monotonic()
        self._ring()
        owner = self._owner_of[message.job]
        takes = chunk_seconds(owner, message.chunk or 0) / SPEED
        time.sleep(max(0.0, takes - (time.monotonic() - began)))
        self._books.record(lease)
        if self.counting.is_set():
            with self._lock:
                self.spent[owner] += time.monotonic() - began
        if message.chunk == CHUNKS - 1:
            self._enter(owner)
        self._ring()

    def _ring(self) -> None:
        for message in self._books.dispatch():
            with self._lock:
                self._next[message.queue] = message
            self._wake[message.queue].set()

    def _enter(self, owner: str) -> None:
        with self._lock:
            self._jobs += 1
            token = f"{owner}-{self._jobs}"
            job = f"20260901-081500-{self._jobs:06d}"
            self._owner_of[job] = owner
        fields: dict[str, str | int | float] = {
            "name": token,
            "owner": owner,
            "priority": 5,
            "renderer": "preview",
            "max_attempts": 3,
            "token": token,
            "pixels": 0,
        }
        self._books.enter(job, token, fields)
        lease = self._books.claim(job, PLAN, slot="cpu", suffix="b", lease_seconds=60)
        if not isinstance(lease, Lease):
            raise TypeError(f"the plan of {job}: {lease.reason}")
        self._books.planned(lease, frames25=25 * CHUNKS, chunks=CHUNKS)


@contextmanager
def working(books: Books, slots: int) -> Iterator[Floor]:
    floor = Floor(books, slots)
    floor.open()
    threads = [threading.Thread(target=floor.work, args=(f"gpu-{number:02d}",)) for number in range(slots)]
    for thread in threads:
        thread.start()
    try:
        yield floor
    finally:
        floor.over.set()
        for thread in threads:
            thread.join()


def measure(seconds: float, slots: int) -> dict[str, Any]:
    """Shares of slot time, and how far the worst is from what its weight says."""
    half_life = HALF_LIFE_SECONDS / SPEED
    with TemporaryDirectory(prefix="sonic-farm-bench-") as folder, redis_server(Path(folder)) as server:
        books = Books.connect(Settings(redis_url=server.url))
        write_policy(books, Policy(weights=WEIGHTS, half_life_seconds=half_life))
        with working(books, slots) as floor:
            time.sleep(2 * half_life)
            floor.counting.set()
            time.sleep(seconds)
            floor.counting.clear()
            spent = dict(floor.spent)
        books.close()
    whole, weights = sum(spent.values()), sum(WEIGHTS.values())
    shares = {owner: spent[owner] / whole for owner in WEIGHTS}
    off = {owner: shares[owner] / (WEIGHTS[owner] / weights) - 1 for owner in WEIGHTS}
    return {
        "slots": slots,
        "seconds": seconds,
        "busy": round(whole / seconds / slots, 3),
        "shares": {owner: round(share, 4) for owner, share in shares.items()},
        "off": {owner: round(by, 4) for owner, by in off.items()},
        "worst": round(max(map(abs, off.values())), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="that are measured, a thousandth of life")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.seconds, args.slots)
    reached = found["worst"] < MOST_OFF
    if args.json:
        print(json.dumps({**found, "reached": reached}))
    else:
        for owner, share in found["shares"].items():
            print(f"{owner}, weight {WEIGHTS[owner]:g}: {share:.2%} of slot time, {found['off'][owner]:+.2%} off")
        print(f"{found['slots']} slots, busy {found['busy']:.0%} of the time")
        print(f"worst {found['worst']:.2%}, wanted within {MOST_OFF:.0%}: {'met' if reached else 'NOT MET'}")
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
