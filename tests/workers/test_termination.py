"""Flower's Terminate kills the process at work; the books hear of it at once and the work is done again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from farm.messages import PLAN_JOB, RENDER_CHUNK, celery_config
from tests.conftest import PORTRAIT, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.workers.conftest import House


@pytest.fixture(scope="module")
def celery_app(house: House) -> Iterator[Celery]:
    app = Celery("operator", set_as_current=False)
    app.conf.update(celery_config(house.farm.settings))
    yield app
    app.close()


def task_in_hand(app: Celery, name: str, job: str) -> str:
    """The id by which Flower's button terminates what a worker has in hand."""

    def active() -> list[dict[str, Any]]:
        answers = app.control.inspect(timeout=0.3).active() or {}
        return [
            task for tasks in answers.values() for task in tasks if (task["name"], task["kwargs"]["job"]) == (name, job)
        ]

    return str(wait_until(active, what=f"{name} in hand")[0]["id"])


def test_a_chunk_whose_task_is_terminated_is_lost_at_once_and_rendered_again(house: House, celery_app: Celery) -> None:
    house.gate.unlink()
    job = house.submit("gated", seconds=2)
    wait_until(lambda: any(slot.job == job.id for slot in house.farm.slots()), what="a slot at work")
    task = task_in_hand(celery_app, RENDER_CHUNK, job.id)
    celery_app.control.revoke(task, terminate=True)
    lost = wait_until(
        lambda: [attempt for attempt in job.view().attempts if attempt.outcome == "lost"], what="the end noticed"
    )
    assert lost[0].reason == f"its task was terminated by hand on {lost[0].slot}"
    house.gate.touch()
    view = job.wait(60)
    assert view.state == "done"
    assert house.farm.books.client.hget(f"farm:job:{job.id}:u:0", "burnt") is None, "no attempt of the job's is spent"
    assert "attempt lost" in {event.what for event in job.events()}


def test_a_plan_whose_task_is_terminated_is_made_again(house: House, celery_app: Celery) -> None:
    job = house.farm.submit(PORTRAIT, tone(house.folder / "long.wav", 500), renderer="stripes", chunk_seconds=100)
    celery_app.control.revoke(task_in_hand(celery_app, PLAN_JOB, job.id), terminate=True)
    lost = wait_until(
        lambda: [attempt for attempt in job.view().attempts if attempt.outcome == "lost"], what="the end noticed"
    )
    assert lost[0].unit == "plan"
    assert lost[0].reason == f"its task was terminated by hand on {lost[0].slot}"
    wait_until(lambda: job.view().state != "planning", what="planned after all")
    job.cancel()
