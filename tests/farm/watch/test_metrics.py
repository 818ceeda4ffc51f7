"""What the sweeper tells Prometheus of the books."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from farm.errors import SettingsError
from farm.jobs import inboxes
from farm.jobs.batches import decide_batch, enter_batch
from farm.jobs.model import PLAN, STITCH
from farm.jobs.store import AttemptFailure, Books, cpu_message
from farm.jobs.tallies import Line
from farm.watch.latency import time_books, time_storage
from farm.watch.metrics import OTHERS, OWNERS_SHOWN, by_owner, registry_of
from farm.watch.serving import SLOTS, SWEEPER, serving

if TYPE_CHECKING:
    from farm import Settings
    from tests.farm.hands import Hand

Labels = dict[str, str]


class Scrape:
    """What a registry answers, asked by name and labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def value(self, name: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(f"sonic_farm_{name}", labels)

    def labels(self, name: str) -> list[Labels]:
        samples = [sample for family in self._registry.collect() for sample in family.samples]
        return [sample.labels for sample in samples if sample.name == f"sonic_farm_{name}"]


@pytest.fixture
def scrape(hand: Hand) -> Scrape:
    return Scrape(registry_of(hand.books))


def failed(hand: Hand, job: object, unit: object, **failure: object) -> None:
    lease = hand.claim(job, unit)  # type: ignore[arg-type]
    assert hand.books.fail(lease, AttemptFailure(**{"code": "crash", "message": "it fell"} | failure))  # type: ignore[arg-type]


def test_chunks_that_wait_are_counted_by_owner_and_priority(hand: Hand, scrape: Scrape) -> None:
    hand.planned(3, owner="ada")
    hand.planned(4, owner="ada")
    hand.planned(2, owner="ada:maths", priority=1)
    assert scrape.value("queue_chunks", owner="ada", priority="5") == 7
    assert scrape.value("queue_chunks", owner="ada:maths", priority="1") == 2


def test_what_is_taken_paused_or_ended_no_longer_waits(hand: Hand, scrape: Scrape) -> None:
    hand.claim(hand.planned(3, owner="ada"), 0)
    hand.planned(3, owner="bob").pause()
    hand.planned(3, owner="cyd").cancel()
    assert scrape.labels("queue_chunks") == [{"owner": "ada", "priority": "5"}]
    assert scrape.value("queue_chunks", owner="ada", priority="5") == 2


def test_a_paused_batch_does_not_wait_for_slots(hand: Hand, scrape: Scrape) -> None:
    batch = "20260101-000000-batch1"
    enter_batch(hand.books, batch, name="Term 1", owner="ada")
    hand.planned(3, owner="ada", batch=batch, row=1)
    hand.planned(1, owner="ada")
    assert scrape.value("queue_chunks", owner="ada", priority="5") == 4
    decide_batch(hand.books, batch, "pause", who="ada")
    assert scrape.value("queue_chunks", owner="ada", priority="5") == 1
    decide_batch(hand.books, batch, "resume", who="ada")
    assert scrape.value("queue_chunks", owner="ada", priority="5") == 4


def test_of_many_owners_those_with_most_are_named_and_nothing_is_lost() -> None:
    lines = [Line(5, f"owner{number:03}", 1000 - number, 0.0) for number in range(200)]
    lines.append(Line(0, "owner000", 7, 0.0))
    depth = by_owner(lines)
    assert len(depth) == OWNERS_SHOWN + 2
    assert depth["owner000", "0"] == 7
    assert (OTHERS, "5") in depth
    assert sum(depth.values()) == sum(line.chunks for line in lines)


def test_the_age_of_the_oldest_waiting_job_is_told_by_priority(hand: Hand, scrape: Scrape) -> None:
    hand.planned(2, priority=3)
    age = scrape.value("queue_oldest_seconds", priority="3")
    assert age is not None
    assert 0 <= age < 60
    assert scrape.value("queue_oldest_seconds", priority="5") is None


def test_a_plan_that_is_due_and_a_chunk_in_hand_are_seen(hand: Hand, scrape: Scrape) -> None:
    hand.job()
    hand.claim(hand.planned(3), 1)
    assert scrape.value("units", state="due") == 1
    assert scrape.value("units", state="in_hand") == 1


def test_messages_that_no_cpu_worker_takes_are_counted(hand: Hand, scrape: Scrape) -> None:
    assert scrape.value("cpu_messages") == 0
    hand.farm.bell.ring([cpu_message("j1", PLAN, "x", priority=3), cpu_message("j1", STITCH, "x", priority=3)])
    assert scrape.value("cpu_messages") == 2


def test_attempts_and_jobs_are_counted_by_how_they_ended(hand: Hand, scrape: Scrape) -> None:
    hand.done(2)
    broken = hand.planned(1, max_attempts=2)
    failed(hand, broken, 0)
    failed(hand, broken, 0)
    assert scrape.value("attempts_total", unit="chunk", outcome="done") == 2
    assert scrape.value("attempts_total", unit="chunk", outcome="failed") == 2
    assert scrape.value("attempts_total", unit="stitch", outcome="done") == 1
    assert scrape.value("attempts_total", unit="stitch", outcome="failed") == 0, "there before it first happens"
    assert scrape.value("jobs_total", state="done") == 1
    assert scrape.value("jobs_total", state="failed") == 1
    assert scrape.value("attempt_failures_total", code="crash") == 2
    assert scrape.value("job_failures_total", code="crash") == 1


def test_an_attempt_that_was_stopped_is_no_failure(hand: Hand, scrape: Scrape) -> None:
    job = hand.planned(2)
    failed(hand, job, 0, code="paused", outcome="paused", burn=False)
    failed(hand, job, 1, code="unreachable", outcome="outage", burn=False)
    assert scrape.labels("attempt_failures_total") == [{"code": "unreachable"}]
    assert scrape.value("attempts_total", unit="chunk", outcome="paused") == 1


def test_a_slot_whose_process_died_is_a_lease_lost(hand: Hand, scrape: Scrape) -> None:
    facts = {
        "state": "ready", "host": "here", "pid": 1, "process": "first", "launcher": "l", "device": "cpu",
        "visible_devices": "", "renderers": ["preview"], "ttl_ms": 60_000,
    }  # fmt: skip
    hand.books.report_slot("slot0", facts)
    hand.claim(hand.planned(1), 0)
    assert scrape.value("slots", state="busy") == 1
    assert scrape.value("leases_lost_total", code="worker_died") == 0
    hand.books.report_slot("slot0", facts | {"process": "second"})
    assert scrape.value("leases_lost_total", code="worker_died") == 1
    assert scrape.value("slots", state="busy") == 0
    assert scrape.value("slots", state="idle") == 1
    assert scrape.value("slots", state="sick") == 0
    hand.books.client.hset("farm:slot:slot0", "state", "sick")
    assert scrape.value("slots", state="sick") == 1


def test_how_long_ago_a_sweeper_looked_is_told_once_one_did(hand: Hand, scrape: Scrape) -> None:
    assert scrape.value("sweeper_age_seconds") is None
    hand.books.sweep()
    age = scrape.value("sweeper_age_seconds")
    assert age is not None
    assert 0 <= age < 60


def test_paused_storage_is_seen(hand: Hand, scrape: Scrape) -> None:
    assert scrape.value("storage_paused") == 0
    hand.books.client.hset("farm:storage:paused", mapping={"reason": "down", "since": 0, "until": 0})
    assert scrape.value("storage_paused") == 1


def test_the_backlog_of_inboxes_and_webhooks_is_told(hand: Hand, scrape: Scrape) -> None:
    inboxes.note_inbox(hand.books, "i1", "s3://lessons/inbox")
    inboxes.note_look(hand.books, "i1", inboxes.LookNote(at=1.0, files=9, backlog=7, unpaired=3))
    assert scrape.value("inbox_files", inbox="s3://lessons/inbox") == 7
    assert scrape.value("inbox_unpaired_files", inbox="s3://lessons/inbox") == 3
    age = scrape.value("inbox_look_age_seconds", inbox="s3://lessons/inbox")
    assert age is not None
    assert age > 1e9
    assert scrape.value("webhooks", state="pending") == 0
    hand.job(webhook="http://203.0.113.1/hook").cancel()
    assert scrape.value("webhooks", state="pending") == 1
    oldest = scrape.value("webhook_oldest_seconds")
    assert oldest is not None
    assert 0 <= oldest < 60


def test_a_scrape_asks_redis_as_often_for_a_hundred_jobs_as_for_one(hand: Hand) -> None:
    registry = registry_of(hand.books)

    def commands_of_a_scrape() -> int:
        before = hand.books.client.info("stats")["total_commands_processed"]
        list(registry.collect())
        return int(hand.books.client.info("stats")["total_commands_processed"]) - int(before)

    hand.planned(3)
    commands_of_a_scrape()  # the first connects
    one = commands_of_a_scrape()
    for _ in range(99):
        hand.planned(3)
    assert commands_of_a_scrape() == one < 40


def test_without_redis_a_scrape_says_so_and_nothing_else_of_the_books(settings: Settings) -> None:
    gone = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    books = Books.connect(gone)
    scrape = Scrape(registry_of(books))
    assert scrape.value("books_up") == 0
    assert scrape.labels("slots") == []
    books.close()


def test_calls_of_the_books_and_requests_to_storage_are_timed_by_what_they_do(hand: Hand) -> None:
    scrape = Scrape(registry_of(hand.books))
    before = scrape.value("redis_seconds_count", operation="claim") or 0
    time_books(hand.books)
    time_storage(hand.storage)
    job = hand.planned(1)
    hand.claim(job, 0)
    assert hand.storage.exists("not there") is False
    assert scrape.value("redis_seconds_count", operation="claim") == before + 2
    for operation in ("PutObject", "HeadObject"):
        assert scrape.value("storage_seconds_count", operation=operation)
        assert scrape.value("storage_seconds_bucket", operation=operation, le="+Inf")


def test_metrics_are_answered_as_prometheus_reads_them(hand: Hand, settings: Settings, free_row: int) -> None:
    chosen = settings.model_copy(update={"metrics_port": free_row})
    url = f"http://127.0.0.1:{free_row}/metrics"
    with serving(registry_of(hand.books), chosen, SWEEPER), urlopen(url, timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    assert "sonic_farm_slots" in {family.name for family in families}
    assert all(family.documentation for family in families)


def test_a_taken_port_is_named_with_what_is_set(settings: Settings, free_row: int) -> None:
    chosen = settings.model_copy(update={"metrics_port": free_row})
    with (
        socket.create_server(("127.0.0.1", free_row + SLOTS)),
        pytest.raises(
            SettingsError, match=rf"metrics_port is {free_row}.*127.0.0.1:{free_row + SLOTS}: Address already"
        ),
        serving(CollectorRegistry(), chosen, SLOTS),
    ):
        pass


def test_port_0_answers_nobody(settings: Settings) -> None:
    with serving(CollectorRegistry(), settings, SWEEPER):
        assert settings.metrics_port == 0
