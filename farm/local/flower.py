"""Flower's Celery application and what it shows of a task. Without the task code: Flower can watch, not start, tasks.

The settings that use this are in deploy/flowerconfig.py.
"""

from __future__ import annotations

import ast
import logging
from typing import TYPE_CHECKING, Any

import redis
from celery import Celery

from farm.jobs.store import unit_of
from farm.logs import unit_words
from farm.messages import celery_config
from farm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
"""Flower's page waits meanwhile."""

app = Celery("sonic-farm", set_as_current=False)
app.add_defaults(lambda: celery_config(Settings.load()))


def task_formatter(settings: Settings) -> Callable[[Any], Any]:
    """What Flower calls for every task that it shows; it hands in a copy."""
    books = redis.Redis.from_url(
        settings.redis_url,
        decode_responses=True,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
    )

    def format_task(task: Any) -> Any:
        message = parsed(task.kwargs)
        if "job" in message:
            unit = unit_of(task.name, message)
            task.kwargs = ", ".join(
                [f"job {message['job']}", unit_words(unit), *progress(books, task, message["job"], unit)]
            )
            task.name = message.get("title") or task.name
        return task

    return format_task


def parsed(kwargs: str | None) -> dict[str, Any]:
    """The message out of its printed form; empty when that was cut short or is none of ours."""
    try:
        value = ast.literal_eval(kwargs or "{}")
    except (ValueError, SyntaxError):
        return {}
    return value if isinstance(value, dict) else {}


def progress(books: redis.Redis, task: Any, job: str, unit: str) -> list[str]:
    """How far a running task is, from the books; nothing for others, or when the books do not answer."""
    if task.state != "STARTED":
        return []
    try:
        percent = books.hget(f"farm:job:{job}:u:{unit}", "percent")
    except redis.RedisError as error:
        log.warning("no percentages: %s", error)
        return []
    return [f"{float(str(percent)):.0f} %"] if percent is not None else []
