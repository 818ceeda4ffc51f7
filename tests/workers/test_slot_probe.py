"""A slot's probe against what storage keeps of it, which may be anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.jobs.health import slots_to_probe
from farm.jobs.store import Books
from farm.jobs.views import slot_views
from farm.messages import Bell
from farm.storage.s3 import Storage
from tests.renderers import Stripes
from workers import probe as probes
from workers.process import SlotWorker

if TYPE_CHECKING:
    from farm import Settings


def slot_worker(settings: Settings, books: Books) -> SlotWorker:
    return SlotWorker(settings, "a", books, Storage.from_settings(settings), Bell(settings))


def out(settings: Settings, books: Books, cause: str) -> SlotWorker:
    """A slot that is out and called to its probe."""
    worker = slot_worker(settings, books)
    worker.renderers["stripes"] = Stripes()
    facts = {"state": "ready", "process": "p", "host": "here", "pid": 1, "launcher": "", "device": "cpu"}
    books.report_slot("a", facts | {"visible_devices": "", "renderers": ["stripes"], "ttl_ms": 60000}, loaded=True)
    health = {"cause": cause, "since": 0, "why": "x", "probes": 0, "probe_at": 0}
    books.client.hset("farm:slot:a:health", mapping=health)
    books.client.hset("farm:slot:a", "state", "sick" if cause == "failures" else "out")
    assert [called.name for called in slots_to_probe(books)] == ["a"]
    return worker


def test_a_slot_that_was_cut_off_from_storage_gets_work_again_once_it_reaches_it(settings: Settings) -> None:
    books = Books.connect(settings)
    Storage.from_settings(settings).ensure_bucket()
    locked_out = settings.model_copy(update={"s3_secret_key": "wrong"})
    probes.probe(out(locked_out, books, "storage"))
    (view,) = slot_views(books)
    assert view.state == "out"
    assert "storage still fails from here: " in str(view.why_out)
    books.client.hset("farm:slot:a:health", "probe_at", 0)
    assert [called.name for called in slots_to_probe(books)] == ["a"]
    probes.probe(slot_worker(settings, books))
    assert [view.state for view in slot_views(books)] == ["idle"]
    books.close()


@pytest.mark.parametrize(
    "kept",
    [{}, [], {"look": {"size": [64], "cells": "abc"}, "slot": "x"}, {"look": {"size": [64, 64], "cells": "AAAA"}}],
)
def test_kept_frames_that_cannot_be_read_leave_no_slot_in_its_probe(settings: Settings, kept: object) -> None:
    books, storage = Books.connect(settings), Storage.from_settings(settings)
    storage.ensure_bucket()
    storage.put_json(probes._key(Stripes()), kept)
    worker = out(settings, books, "failures")
    probes.probe(worker)
    assert [view.state for view in slot_views(books)] == ["idle"], "two renders alike are enough"
    books.close()
