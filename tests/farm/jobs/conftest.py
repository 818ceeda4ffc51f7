from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from farm.jobs.batches import enter_batch
from farm.jobs.model import PLAN
from farm.jobs.store import Books, Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm import Settings
    from farm.messages import Message


@dataclass
class Desk:
    """Books with a few words to set a scene."""

    books: Books
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def job(
        self,
        *,
        owner: str = "ann",
        priority: int = 5,
        renderer: str = "preview",
        attempts: int = 3,
        pixels: int = 0,
        batch: str = "",
        held: bool = False,
    ) -> str:
        """A job that has just been submitted; of a batch, its row is its number."""
        number = next(self.numbers)
        fields = {
            "name": f"Lesson {number}",
            "owner": owner,
            "priority": priority,
            "renderer": renderer,
            "max_attempts": attempts,
            "pixels": pixels,
            "token": f"token{number}",
            **({"batch": batch, "row": number} if batch else {}),
            **({"held": 1} if held else {}),
        }
        id_, created, _ = self.books.enter(f"20260101-000000-{number:06d}", f"token{number}", fields)
        assert created
        return id_

    def planned(self, chunks: int = 3, **settings: object) -> str:
        """A job with its chunks waiting."""
        id_ = self.job(**settings)  # type: ignore[arg-type]
        assert self.books.planned(self.claim(id_, PLAN), frames25=25 * chunks, chunks=chunks)
        return id_

    def batch(self, *, owner: str = "ann", name: str = "Algebra", **more: Any) -> str:
        """A batch without jobs."""
        return enter_batch(self.books, f"20260101-000000-b{next(self.numbers):05d}", name=name, owner=owner, **more)

    def claim(self, job: str, unit: object, *, slot: str = "desk", seconds: float = 60) -> Lease:
        lease = self.books.claim(job, str(unit), slot=slot, suffix="abcd", lease_seconds=seconds)
        assert isinstance(lease, Lease), lease
        return lease

    def slot(
        self, name: str, *, renderers: tuple[str, ...] = ("preview",), pid: int = 1, ttl: float = 60, **more: object
    ) -> str:
        facts = {
            "state": "ready",
            "host": "here",
            "pid": pid,
            "process": f"p{pid}",
            "launcher": f"l{pid}",
            "device": "cpu",
            "visible_devices": "",
            "renderers": renderers,
            "ttl_ms": round(ttl * 1000),
            **more,
        }
        self.books.report_slot(name, facts, loaded=True)
        return name

    def sent(self) -> dict[str, tuple[str, int | None]]:
        """What a dispatch sends now: slot -> (job, chunk)."""
        messages: list[Message] = self.books.dispatch()
        assert len({message.queue for message in messages}) == len(messages)
        return {message.queue: (message.job, message.chunk) for message in messages}


@pytest.fixture
def desk(settings: Settings) -> Iterator[Desk]:
    books = Books.connect(settings)
    yield Desk(books)
    books.close()
