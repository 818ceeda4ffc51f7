"""How long storage and Redis take to answer, as this process sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Histogram

if TYPE_CHECKING:
    from farm.jobs.store import Books
    from farm.storage.s3 import Storage

REDIS_SECONDS = Histogram(
    "sonic_farm_redis_seconds",
    "Seconds that a call of the books took, by its script, pauses between tries included",
    ["operation"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 20),
    registry=None,
)
STORAGE_SECONDS = Histogram(
    "sonic_farm_storage_seconds",
    "Seconds that a request to storage took, pauses between tries included; a download's until it begins",
    ["operation"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    registry=None,
)


def time_books(books: Books) -> None:
    """Count every call of these books from now on."""
    books.on_call = lambda operation, seconds: REDIS_SECONDS.labels(operation).observe(seconds)


def time_storage(storage: Storage) -> None:
    """Count every request to this storage from now on."""
    storage.on_call = lambda operation, seconds: STORAGE_SECONDS.labels(operation).observe(seconds)
