"""The facts of the books as Prometheus metrics: asked for when they are scraped, none of them about a single job."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from farm.errors import FarmError
from farm.jobs import hooks, inboxes
from farm.jobs.tallies import tallies
from farm.watch.latency import REDIS_SECONDS, STORAGE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from farm.jobs.store import Books
    from farm.jobs.tallies import Line, Tallies

log = logging.getLogger(__name__)

Samples = dict[tuple[str, ...], float]
"""Values of a metric by its labels."""
OWNERS_SHOWN = 20
"""Owners with a label of their own, those with most waiting: a name is free text, and Prometheus keeps every one it saw
for weeks. The others are summed up."""
OTHERS = "(others)"
SLOT_STATES = ("loading", "idle", "busy", "draining", "lost", "sick", "probing", "out")
OUTCOMES = ("done", "failed", "lost", "outage", "refused")
ENDS = ("done", "failed", "cancelled")
LOSSES = ("lease_expired", "worker_died")
"""What stands at 0 before it first happens: otherwise nothing would seem to have risen when it does."""


def registry_of(books: Books) -> CollectorRegistry:
    """What the sweeper answers with: the facts of the books, and how long Redis and storage took this process."""
    registry = CollectorRegistry()
    registry.register(BooksFacts(books))
    registry.register(REDIS_SECONDS)
    registry.register(STORAGE_SECONDS)
    return registry


class BooksFacts(Collector):
    """Asks the books at each scrape; without Redis it says just that."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def collect(self) -> Iterator[Metric]:
        try:
            found, webhooks, watched = tallies(self._books), hooks.backlog(self._books), inboxes.backlog(self._books)
        except FarmError as error:
            log.warning("no facts for a scrape: %s", error)
            yield _gauge("books_up", "Whether the books answer", {(): 0})
            return
        yield _gauge("books_up", "Whether the books answer", {(): 1})
        yield from _waiting(found)
        yield from _happened(found.happened)
        yield from _state(found)
        yield from _backlog(webhooks, watched, found.at)


def _waiting(found: Tallies) -> Iterator[Metric]:
    yield _gauge(
        "queue_chunks",
        f"Chunks that wait in line for a slot, of the {OWNERS_SHOWN} owners with most of them and of all others",
        by_owner(found.lines),
        "owner",
        "priority",
    )
    ages: Samples = {}
    for line in found.lines:
        priority = (str(line.priority),)
        ages[priority] = max(line.age, ages.get(priority, 0.0))
    yield _gauge(
        "queue_oldest_seconds", "Seconds since the oldest job with waiting chunks was submitted", ages, "priority"
    )
    yield _gauge(
        "units",
        "Plans and stitches that are due, plans that wait for their owner's turn, chunks sent to a slot, units in "
        "hand, chunks that wait an outage out",
        _plain(found.units),
        "state",
    )
    yield _gauge("cpu_messages", "Messages that no cpu worker has taken yet", {(): found.cpu_messages})


def by_owner(lines: Iterable[Line]) -> Samples:
    """Waiting chunks by (owner, priority): the owners with most of them by name, all others as one."""
    chunks: Counter[str] = Counter()
    for line in lines:
        chunks[line.owner] += line.chunks
    shown = {owner for owner, _ in chunks.most_common(OWNERS_SHOWN)}
    depth: Counter[tuple[str, ...]] = Counter()
    for line in lines:
        depth[line.owner if line.owner in shown else OTHERS, str(line.priority)] += line.chunks
    return dict(depth)


def _happened(happened: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    attempts: Samples = {(unit, outcome): 0 for unit in ("plan", "chunk", "stitch") for outcome in OUTCOMES}
    attempts |= {tuple(what.split("/", 1)): count for what, count in happened.get("attempt", {}).items()}
    yield _counter("attempts", "Attempts that ended, by kind of unit and outcome", attempts, "unit", "outcome")
    failures = happened.get("failure", {})
    yield _counter("attempt_failures", "Attempts that failed or were lost, by reason", _plain(failures), "code")
    lost: Samples = {(code,): failures.get(code, 0) for code in LOSSES}
    yield _counter("leases_lost", "Leases whose worker died or gave no sign of life", lost, "code")
    yield _counter("jobs", "Jobs that came to a state", _plain(happened.get("job", {}), ENDS), "state")
    yield _counter("job_failures", "Jobs that failed, by reason", _plain(happened.get("job failure", {})), "code")


def _state(found: Tallies) -> Iterator[Metric]:
    yield _gauge("slots", "Slots by what they do", _plain(found.slots, SLOT_STATES), "state")
    if found.sweeper_age is not None:
        yield _gauge("sweeper_age_seconds", "Seconds since a sweeper last looked", {(): found.sweeper_age})
    yield _gauge(
        "storage_paused", "Whether nothing is given out because storage fails", {(): float(found.storage_paused)}
    )


def _backlog(webhooks: hooks.Backlog, watched: Mapping[str, inboxes.Backlog], at: float) -> Iterator[Metric]:
    told = {"pending": webhooks.pending, "failed": webhooks.failed}
    yield _gauge(
        "webhooks", "Webhooks that wait to be delivered, and those given up in the last week", _plain(told), "state"
    )
    yield _gauge("webhook_oldest_seconds", "Age of the oldest webhook that waits", {(): webhooks.oldest_seconds})
    files: Samples = {(url,): inbox.files for url, inbox in watched.items()}
    yield _gauge(
        "inbox_files", "Files of an inbox that may still be taken, or whose lesson has not ended", files, "inbox"
    )
    unpaired: Samples = {(url,): inbox.unpaired for url, inbox in watched.items()}
    yield _gauge(
        "inbox_unpaired_files", "Files in an inbox that have lacked their other half for too long", unpaired, "inbox"
    )
    ages: Samples = {(url,): at - inbox.looked for url, inbox in watched.items() if inbox.looked is not None}
    yield _gauge("inbox_look_age_seconds", "Seconds since a watcher last looked at an inbox", ages, "inbox")


def _plain(counts: Mapping[str, int], always: Iterable[str] = ()) -> Samples:
    return {(what,): count for what, count in {**dict.fromkeys(always, 0), **counts}.items()}


def _gauge(name: str, text: str, values: Samples, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"sonic_farm_{name}", text, labels=labels), values)


def _counter(name: str, text: str, values: Samples, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"sonic_farm_{name}", text, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Samples) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
