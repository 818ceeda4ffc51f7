"""sonic-farm: submit a portrait and a recorded lesson, get a talking-head video.

from farm import Farm

with Farm.from_settings() as farm:
    job = farm.submit("portrait.jpg", "lesson.wav", name="Algebra 03")
    job.wait()
    job.fetch("algebra-03.mp4")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farm.errors import (
        FarmError,
        InputRefusedError,
        JobFailedError,
        NotAllowedError,
        NotFoundError,
        UnreachableError,
    )
    from farm.job import Job
    from farm.service import Farm
    from farm.settings import Settings

__all__ = [
    "Farm",
    "FarmError",
    "InputRefusedError",
    "Job",
    "JobFailedError",
    "NotAllowedError",
    "NotFoundError",
    "Settings",
    "UnreachableError",
]


def __getattr__(name: str) -> Any:
    """Import on first use: `farm --help` and Tab must not wait for Celery, Redis and boto3."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = {"Farm": "service", "Job": "job", "Settings": "settings"}.get(name, "errors")
    return getattr(import_module(f"farm.{home}"), name)
