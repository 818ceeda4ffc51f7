"""A task as the parent of the process at work sees it: what Celery says there of its end names the job."""

from __future__ import annotations

from typing import Any

from farm.logs import InHand, take_in_hand
from workers.termination import UNITS, SeenRequest


class NamedRequest(SeenRequest):
    """A task in hand. Celery tells of its end in the parent, where no task runs that would name its job."""

    def on_failure(self, *arguments: Any, **more: Any) -> None:
        """Called when the task raised or its process died."""
        unit = UNITS.get(self.task.name, str(self.kwargs.get("chunk", "")))
        take_in_hand(InHand(str(self.kwargs.get("job", "")), unit))
        try:
            super().on_failure(*arguments, **more)
        finally:
            take_in_hand(InHand())
