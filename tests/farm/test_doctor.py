"""The doctor against real servers: what it finds well, what it finds wrong, and what it never says."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from farm.doctor import Check, checks
from farm.jobs.store import Books
from farm.storage.s3 import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.settings import Settings


@pytest.fixture
def books(settings: Settings) -> Iterator[Books]:
    books = Books.connect(settings)
    yield books
    books.client.config_set("appendonly", "yes")
    books.client.config_set("maxmemory-policy", "noeviction")
    books.close()


def by_name(settings: Settings) -> dict[str, Check]:
    found = list(checks(settings))
    assert all(check.mend for check in found if not check.ok), "whatever is wrong says how to mend it"
    return {check.name: check for check in found}


def slot_report(books: Books, name: str, *, ttl_ms: int) -> None:
    books.report_slot(
        name,
        {
            "host": "here",
            "device": "cpu",
            "visible_devices": "",
            "renderers": ["preview"],
            "state": "ready",
            "pid": 1,
            "process": "p1",
            "launcher": "l1",
            "ttl_ms": ttl_ms,
            "load_seconds": 0.1,
        },
    )


def test_a_farm_with_all_its_servers_and_workers_is_well(settings: Settings, books: Books) -> None:
    books.report_cpu_worker("cpu0@here")
    slot_report(books, "slot0", ttl_ms=60_000)
    found = by_name(settings)
    assert [name for name, check in found.items() if not check.ok] == []
    assert {"Redis version", "Redis append-only file", "Redis eviction policy", "clock against Redis"} <= set(found)
    assert {
        "storage write",
        "storage read",
        "storage presigned link",
        "storage delete",
        "clock against storage",
    } <= set(found)
    assert found["slots"].found == "slot0 (idle)"
    assert found["cpu workers"].found == "cpu0@here"


def test_nothing_of_the_check_stays_in_storage(settings: Settings, books: Books) -> None:
    by_name(settings)
    with closing(Storage.from_settings(settings)) as storage:
        assert list(storage.list()) == []


def test_a_redis_that_would_lose_or_evict_the_books_is_wrong(settings: Settings, books: Books) -> None:
    books.client.config_set("appendonly", "no")
    books.client.config_set("maxmemory-policy", "allkeys-lru")
    found = by_name(settings)
    assert not found["Redis append-only file"].ok
    assert "appendonly yes" in found["Redis append-only file"].mend
    assert not found["Redis eviction policy"].ok
    assert found["Redis eviction policy"].found == "allkeys-lru"


def test_a_farm_without_workers_says_what_is_not_done(settings: Settings, books: Books) -> None:
    found = by_name(settings)
    assert not found["cpu workers"].ok
    assert not found["slots"].ok
    assert "farm up" in found["slots"].mend


def test_a_slot_that_fell_silent_is_named(settings: Settings, books: Books) -> None:
    slot_report(books, "slot0", ttl_ms=60_000)
    slot_report(books, "slot1", ttl_ms=1)
    deadline = time.monotonic() + 5
    while (found := by_name(settings)).get("lost slots") is None and time.monotonic() < deadline:
        pass
    assert found["lost slots"].found == "slot1"
    assert found["slots"].found == "slot0 (idle)"


def test_a_redis_that_does_not_answer_leaves_the_rest_to_be_checked(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://:hush@127.0.0.1:1/0"})
    found = by_name(away)
    assert not found["Redis"].ok
    assert found["storage read"].ok
    assert "hush" not in str(found)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        pytest.param({"s3_bucket": "no-such-bucket"}, "no-such-bucket", id="bucket"),
        pytest.param({"s3_secret_key": "wrong-hush"}, "refused", id="secret"),
        pytest.param({"s3_endpoint": "http://127.0.0.1:1"}, "does not answer", id="endpoint"),
    ],
)
def test_storage_that_cannot_be_used_is_wrong_and_says_why(
    settings: Settings, books: Books, change: dict[str, str], word: str
) -> None:
    found = by_name(settings.model_copy(update=change))
    assert not found["storage write"].ok
    assert word in found["storage write"].found
    assert "storage read" not in found
    assert "hush" not in str(found)


def test_no_check_shows_a_password_or_key(settings: Settings, books: Books) -> None:
    password = settings.redis_url.split(":")[2].split("@")[0]
    said = str(list(checks(settings)))
    for secret in (password, settings.s3_access_key, settings.s3_secret_key):
        assert secret
        assert secret not in said
