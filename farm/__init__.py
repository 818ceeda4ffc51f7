"""sonic-farm: submit a portrait and a recorded lesson, get a talking-head video.

from farm import Farm

with Farm.from_settings() as farm:
    job = farm.submit("portrait.jpg", "lesson.wav", name="Algebra 03")
    job.wait()
    job.fetch("algebra-03.mp4")
"""

from __future__ import annotations

from farm.errors import FarmError, InputRefusedError, JobFailedError, NotAllowedError, NotFoundError, UnreachableError
from farm.service import Farm, Job
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
