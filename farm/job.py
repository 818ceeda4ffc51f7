"""One job of a farm: what may be asked of it and done with it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.plan import Plan
from engine.spec import FRAME_RATE
from farm import decisions, redo, versions
from farm.errors import InputRefusedError, JobFailedError, NotAllowedError, NotFoundError
from farm.jobs import views
from farm.jobs.model import PLAN, Event, JobState, JobView, VersionView, priority_problems
from farm.jobs.request import JobRequest
from farm.jobs.why import Why, why
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farm.jobs.redo import Redo
    from farm.service import Farm

LOOK_SECONDS = 0.5
"""Pause between two looks at a job that is waited for."""
COMPARE_SECONDS = 5.0
"""What is shown before and behind the place at which two versions are compared."""


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

    def fetch(
        self,
        path: Path | str,
        *,
        version: int | None = None,
        what: keys.ResultFile = "video.mp4",
        on_progress: Callable[[float], None] | None = None,
    ) -> Path:
        """Download a result to `path`: the current one, or that version; `what`: which of its files.

        Raises NotAllowedError while there is none.
        """
        target = Path(path)
        self._farm.storage.get_file(self._beside(what, version), target, on_progress=on_progress)
        return target

    def result_url(self, expires_s: int = 3600) -> str:
        """A link to the result that works for a while without credentials."""
        return self._farm.storage.url(self._result(), expires_s=expires_s)

    def report(self, version: int | None = None) -> dict[str, Any]:
        """report.json of the current result, or that version's: settings, accepted segments, frame hashes."""
        found: dict[str, Any] = self._farm.storage.get_json(self._beside("report.json", version))
        return found

    def _beside(self, what: keys.ResultFile, version: int | None) -> str:
        return f"{self._result(version).rpartition('/')[0]}/{what}"

    def _result(self, version: int | None = None) -> str:
        if version is not None:
            return versions.named(self._farm.books, self.id, version).result
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
        if problems := priority_problems(priority):
            raise InputRefusedError(problems)
        self._decide("priority", value=priority)

    def _decide(self, what: str, *, value: int | None = None) -> None:
        farm = self._farm
        decisions.decide(farm.books, farm.storage, self.id, what, who=farm.settings.owner, value=value)
        farm.bell.ring(farm.books.dispatch())

    def redo(
        self, *, at: Sequence[str | float] = (), chunks: Sequence[int] = (), seed: int | None = None
    ) -> list[Redo]:
        """Render chunks of a job that is done again, with other chance, to a new version; the old ones are kept.

        at: timecodes ("3:12") or seconds; beside a cut both its chunks are drawn anew. chunks: counted from 0. seed: of
        the new chance, not the one in use there; by default derived from the job's. Answers what will be rendered.
        Raises InputRefusedError, NotAllowedError unless the job is done.
        """
        farm, view = self._farm, self.view()
        if view.state is not JobState.DONE:
            raise NotAllowedError(_not_now(view))
        plan = Plan.from_dict(farm.storage.get_json(keys.plan_json(self.id)))
        request = JobRequest.from_dict(farm.storage.get_json(keys.job_json(self.id)))
        wanted = redo.wanted_by(plan, at=at, chunks=chunks, seed=seed)
        redos = redo.redo(
            farm.books, farm.storage, self.id, wanted, plan, seed=request.spec.seed, who=farm.settings.owner
        )
        farm.bell.ring(farm.books.dispatch())
        return redos

    def versions(self) -> list[VersionView]:
        """The job's results, oldest first, with what was drawn anew for each."""
        return versions.versions(self._farm.books, self._farm.storage, self.id)

    def rollback(self, version: int) -> None:
        """Make an older version the current one again; a redo then builds on it. A redo that failed or was cancelled
        is given up. Raises NotFoundError, NotAllowedError while the job goes on.
        """
        versions.rollback(self._farm.books, self._farm.storage, self.id, version, who=self._farm.settings.owner)

    def compare(
        self,
        path: Path | str,
        one: int | None = None,
        other: int | None = None,
        *,
        at: str | float | None = None,
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> Path:
        """Write two versions side by side as one video: by default the current one and the one before it.

        at: only the seconds around this timecode.
        """
        pair = versions.pair(self._farm.books, self.id, one, other)
        frames25 = self.view().frames25 or 0
        frames = range(frames25)
        if at is not None:
            frame25, around = redo.frame_of(at, frames25), round(COMPARE_SECONDS * FRAME_RATE)
            frames = range(max(0, frame25 - around), min(frames25, frame25 + around))
        versions.compare(self._farm.storage, self.id, pair, Path(path), frames=frames, on_progress=on_progress)
        return Path(path)

    def why(self) -> Why:
        """What the job waits for, and which limit binds; or what it does."""
        return why(self._farm.books, self.id)

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


def _not_now(view: JobView) -> str:
    """Why a job that is not done cannot be rendered again, and what can be done."""
    said = f"cannot redo job {view.id}: job is {view.state}"
    if not view.state.ended:
        return f"{said}, a redo waits until it is done"
    if view.current is None:
        return f"{said} and has no result yet; `farm job retry {view.id}` takes it up again"
    return (
        f"{said}; `farm job retry {view.id}` goes on with what was asked for, "
        f"`farm job rollback {view.id} {view.current}` gives it up"
    )
