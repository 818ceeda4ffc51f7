"""`farm clean`: a table of what would go, and what went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm import retention
from farm.cli.clean import size
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.farm.cli.conftest import Answer, Hand


def test_the_table_names_what_would_go_and_json_what_went(
    cli: Callable[..., Answer], hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_KEEP_SEGMENTS_DAYS", "0")
    assert "Nothing to remove: 0 jobs looked at." in cli("clean", "--dry-run").err
    job = hand.done()
    segment = keys.segment(job, 0, "1-abcdef", "body.mp4")
    hand.storage.put_bytes(segment, b"x" * 2500)
    hand.storage.put_json(keys.job_json(job), {"portrait": "a" * 64, "speech": "b" * 64})
    answer = cli("clean", "--dry-run")
    assert answer.code == 0
    row = next(line for line in answer.out.splitlines() if line.startswith("segments"))
    assert "rendered chunks of jobs that are done" in row
    assert "2.5 kB" in row
    assert hand.storage.exists(segment)
    told = cli("clean", "--json").json
    assert (told["dry_run"], told["jobs"], told["gone"]["segments"]["bytes"]) == (False, 1, 2500)
    assert not hand.storage.exists(segment)
    assert "Nothing to remove: 1 jobs looked at." in cli("clean").err


def test_jobs_that_are_not_in_the_books_are_named(cli: Callable[..., Answer], hand: Hand) -> None:
    hand.storage.put_json(keys.job_json("20260101-000000-abcdef"), {"portrait": "a" * 64, "speech": "b" * 64})
    assert "1 jobs in storage are not in the books and were left alone (`farm recover`)." in cli("clean").err


def test_a_job_that_cannot_be_read_keeps_inputs_and_nothing_else(
    cli: Callable[..., Answer], hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_KEEP_SEGMENTS_DAYS", "0")
    monkeypatch.setattr(retention, "GRACE_SECONDS", -5.0)
    broken, job = hand.done(), hand.done()
    segment, asset = keys.segment(job, 0, "1-abcdef", "body.mp4"), keys.asset("c" * 64)
    hand.storage.put_bytes(keys.job_json(broken), b"[]")
    hand.storage.put_json(keys.job_json(job), {"portrait": "a" * 64, "speech": "b" * 64})
    hand.storage.put_bytes(segment, b"x")
    hand.storage.put_bytes(asset, b"an input")
    answer = cli("clean")
    assert answer.code == 4
    assert "is not what the farm writes there" in answer.err
    assert hand.storage.exists(asset)
    assert not hand.storage.exists(segment)


def test_sizes_are_those_that_people_say() -> None:
    assert [size(count) for count in (0, 999, 1000, 3_250_000_000, 10**16)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "3.2 GB",
        "10000.0 TB",
    ]
