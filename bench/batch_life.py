"""What a large batch costs to look at and to steer: shown, reported, re-prioritised and cancelled, all rows of it.

    python bench/batch_life.py [--rows N] [--failed N] [--look] [--json]

So many rows are in the books, planned and waiting, the failed ones last, where they are found latest. The command line
runs in processes of its own against a real Redis and a real S3 server on this machine; nothing renders. --look leaves
out what decides about every row. Exit code 1 where `farm batch show` takes a second or more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from farm import Farm, Settings
from farm.batch import kept
from farm.batch.kept import Asked
from farm.jobs.model import PLAN
from farm.jobs.store import AttemptFailure, Lease
from farm.local.servers import redis_server, s3_server

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = "20260901-081500-batch0"
MOST_SHOW_SECONDS = 1.0
WRONG = AttemptFailure(code="still_mouth", message="the mouth never moves, from 0:02.00 on", permanent=True)


def fill(farm: Farm, rows: int, failed: int) -> None:
    """A batch whose rows are planned and wait, the last ones failed."""
    asked = Asked(id=BATCH, name="Term", owner="maths", submitted=time.time(), manifest="term.csv", rows=rows)
    kept.keep(farm.storage, asked)
    asked.enter(farm.books)
    for row in range(2, rows + 2):
        job, token = f"20260901-081500-{row:06d}", f"{row:064x}"
        fields: dict[str, str | int | float] = {
            "name": f"Algebra {row:05d}",
            "owner": "maths",
            "priority": 5,
            "renderer": "preview",
            "max_attempts": 3,
            "token": token,
            "pixels": 512 * 512,
            "warnings": "[]",
            "batch": BATCH,
            "row": row,
        }
        farm.books.enter(job, token, fields)
        lease = farm.books.claim(job, PLAN, slot="cpu", suffix="9f31c0aa", lease_seconds=600)
        if not isinstance(lease, Lease):
            raise TypeError(lease.reason)
        if row >= rows + 2 - failed:
            farm.books.fail(lease, WRONG)
        else:
            farm.books.planned(lease, frames25=15_000, chunks=21)


LOOK = {
    "show_s": ("show", BATCH),
    "page_s": ("show", BATCH, "--rows", "100-150"),
    "report_s": ("report", BATCH, "--csv", os.devnull),
}
STEER = {"priority_s": ("priority", BATCH, "2"), "cancel_s": ("cancel", BATCH)}


def measure(farm: Farm, environment: dict[str, str], steps: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    batch = farm.batch(BATCH)
    looks = sorted(timed(batch.view) for _ in range(20))
    found: dict[str, Any] = {"view_ms": round(1000 * looks[len(looks) // 2], 1), "worst_ms": round(1000 * looks[-1], 1)}
    command(environment, "list")  # the first process reads the program from disk
    for name, words in steps.items():
        found[name] = round(timed(lambda words=words: command(environment, *words)), 2)
    return found


def command(environment: dict[str, str], *words: str) -> None:
    line = [sys.executable, "-c", "from farm.cli.main import main; main()", "batch", *words]
    subprocess.run(line, env=environment, check=True, capture_output=True)


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=10_000)
    words.add_argument("--failed", type=int, default=25)
    words.add_argument("--look", action="store_true")
    words.add_argument("--json", action="store_true")
    wanted = words.parse_args()
    steps = LOOK if wanted.look else LOOK | STEER
    with TemporaryDirectory(prefix="sonic-farm-bench-") as name:
        folder = Path(name)
        with redis_server(folder / "redis") as redis, s3_server(folder / "s3") as s3:
            settings = Settings(
                dir=folder,
                redis_url=redis.url,
                s3_endpoint=s3.endpoint,
                s3_access_key=s3.access_key,
                s3_secret_key=s3.secret_key,
            )
            environment = {key: value for key, value in os.environ.items() if not key.startswith("FARM_")}
            environment |= {f"FARM_{key.upper()}": str(getattr(settings, key)) for key in settings.model_fields_set}
            with Farm(settings) as farm:
                farm.storage.ensure_bucket()
                fill(farm, wanted.rows, wanted.failed)
                found = {"rows": wanted.rows, "failed": wanted.failed, **measure(farm, environment, steps)}
                farm.storage.close()
    met = found["show_s"] < MOST_SHOW_SECONDS
    if wanted.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{key:12} {value}" for key, value in found.items()))
        print(f"farm batch show under {MOST_SHOW_SECONDS:g} s: {'met' if met else 'not met'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
