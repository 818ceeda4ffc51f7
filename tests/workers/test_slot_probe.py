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
from workers.slots import Slot

if TYPE_CHECKING:
    from farm import Settings


@pytest.mark.parametrize(
    "kept",
    [{}, [], {"look": {"size": [64], "cells": "abc"}, "slot": "x"}, {"look": {"size": [64, 64], "cells": "AAAA"}}],
)
def test_kept_frames_that_cannot_be_read_leave_no_slot_in_its_probe(settings: Settings, kept: object) -> None:
    books, storage = Books.connect(settings), Storage.from_settings(settings)
    storage.ensure_bucket()
    renderer = Stripes()
    storage.put_json(probes._key(renderer), kept)
    worker = SlotWorker(settings, "a", books, storage, Bell(settings), slot=Slot("a", "cpu", ""))
    worker.renderers["stripes"] = renderer
    facts = {"state": "ready", "process": "p", "host": "here", "pid": 1, "launcher": "", "device": "cpu"}
    books.report_slot("a", facts | {"visible_devices": "", "renderers": ["stripes"], "ttl_ms": 60000}, loaded=True)
    health = {"cause": "failures", "since": 0, "why": "x", "probes": 0, "probe_at": 0}
    books.client.hset("farm:slot:a:health", mapping=health)
    books.client.hset("farm:slot:a", "state", "sick")
    assert [called.name for called in slots_to_probe(books)] == ["a"]
    probes.probe(worker)
    assert [view.state for view in slot_views(books)] == ["idle"], "two renders alike are enough"
    books.close()
