"""One job of a farm: what may be asked of it and done with it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm import decisions
from farm.errors import InputRefusedError, JobFailedError, NotAllowedError, NotFoundError
from farm.jobs import views
from farm.jobs.model import PLAN, PRIORITIES, Event, JobState, JobView
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.service import Farm

LOOK_SECONDS = 0.5
"""Pause between two looks at a job that is waited for."""


@dataclass(frozen=True)
class AttemptLog:
    """What one attempt logged. unit: "plan", "stitch" or the chunk's index."""

    unit: str
    attempt: int
    text: str


class Job:
    """A job of a farm. created: False when submit returned a job that existed already."""

    def __init__(self, farm: Farm, id: str, *, warnings: tuple[str, ...] = (), created: bool = True) -> None:
        self._farm = farm
        self.id = id
        self.warnings = warnings
        self.created = created

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def view(self) -> JobView:
        """Where the job stands now."""
        return views.job_view(self._farm.books, self.id)

    def wait(self, timeout: float | None = None, *, on_change: Callable[[JobView], None] | None = None) -> JobView:
        """Wait until the job is done.

        Raises JobFailedError when it failed or was cancelled, TimeoutError after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        last = None
        while True:
            view = self.view()
            if view != last and on_change is not None:
                on_change(view)
            last = view
            if view.state is JobState.DONE:
                return view
            if view.state.ended:
                reason = f": {view.error.message}" if view.error else ""
                raise JobFailedError(f"job {self.id} {view.state}{reason}")
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"job {self.id} is still {view.state} after {timeout:g} s")
            time.sleep(LOOK_SECONDS)

    def fetch(self, path: Path | str, *, on_progress: Callable[[float], None] | None = None) -> Path:
        """Download the result to `path`; raises NotAllowedError while there is none."""
        target = Path(path)
        self._farm.storage.get_file(self._result(), target, on_progress=on_progress)
        return target

    def result_url(self, expires_s: int = 3600) -> str:
        """A link to the result that works for a while without credentials."""
        return self._farm.storage.url(self._result(), expires_s=expires_s)

    def report(self) -> dict[str, Any]:
        """report.json of the current result: settings, accepted segments, frame hashes."""
        found: dict[str, Any] = self._farm.storage.get_json(self._result().rpartition("/")[0] + "/report.json")
        return found

    def _result(self) -> str:
        view = self.view()
        if view.result is None:
            raise NotAllowedError(f"job {self.id} has no result yet: it is {view.state}")
        return view.result

    def cancel(self) -> None:
        """Stop the job for good; what is rendering stops within a second."""
        self._decide("cancel")

    def retry(self) -> None:
        """Try a failed or cancelled job again; finished chunks are kept."""
        self._decide("retry")

    def pause(self) -> None:
        """Render nothing more of the job until it is resumed; what is rendering is handed back."""
        self._decide("pause")

    def resume(self) -> None:
        """Go on with a paused job."""
        self._decide("resume")

    def set_priority(self, priority: int) -> None:
        """0 is served first, 9 last; acts on the next chunk."""
        if type(priority) is not int or priority not in PRIORITIES:
            raise InputRefusedError([f"priority is {priority}, wanted 0 to 9"])
        self._decide("priority", value=priority)

    def _decide(self, what: str, *, value: int | None = None) -> None:
        farm = self._farm
        # What stops a job is in storage before the books hear of it, what lets it go on leaves storage after: whoever
        # dies in between, a recovery never renders what somebody stopped. An ended job's books refuse; nothing is kept.
        if not JobState(views.job_fields(farm.books, self.id)["state"]).ended:
            decisions.keep(farm.storage, self.id, what, who=farm.settings.owner, value=value)
        farm.books.decide(self.id, what, who=farm.settings.owner, value=value)
        decisions.lift(farm.storage, self.id, what)
        farm.bell.ring(farm.books.dispatch())

    def events(self) -> list[Event]:
        """The job's history, oldest first."""
        return views.events(self._farm.books, self.id)

    def logs(self, chunk: int | None = None) -> list[AttemptLog]:
        """What the job's attempts logged, or one chunk's; chunk: its index, from 0. Raises NotFoundError."""
        storage, chunks = self._farm.storage, len(self.view().chunks)
        if chunk is not None and not 0 <= chunk < chunks:
            raise NotFoundError(f"job {self.id} has no chunk {chunk + 1}, it has {chunks}")
        found = []
        for item in storage.list(keys.logs_folder(self.id, chunk)):
            unit, name = item.key.split("/")[-2:]
            found.append(
                AttemptLog(unit, int(name.split("-")[0]), storage.get_bytes(item.key).decode(errors="replace"))
            )
        return sorted(found, key=lambda entry: (entry.unit != PLAN, entry.unit.zfill(9), entry.attempt))
