"""The verbs. The command line and the public Python API call only this."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from engine.errors import PlanError
from engine.plan import Geometry, plan_chunks
from engine.renderer import BUILT_IN
from engine.spec import RenderSpec
from farm import decisions
from farm.errors import InputRefusedError, JobFailedError, NotAllowedError, NotFoundError
from farm.jobs import views
from farm.jobs.model import DEFAULT_PRIORITY, PLAN, PRIORITIES, Event, JobState, JobView, SlotView
from farm.jobs.request import JobRequest, content_token, own_token
from farm.jobs.store import Books, cpu_message
from farm.recover import Recovered, recover
from farm.settings import Settings, renderer_problems
from farm.storage import keys
from farm.storage.s3 import Storage

if TYPE_CHECKING:
    from types import TracebackType

    from farm.messages import Bell
    from farm.preflight import Checked

LOOK_SECONDS = 0.5
"""Pause between two looks at a job that is waited for."""
ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
LONGEST_NAME = 200

OnStep = Callable[[str, float], None]
"""Called with what is being done and the share of it done, 0 to 1."""


@dataclass(frozen=True)
class AttemptLog:
    """What one attempt logged. unit: "plan", "stitch" or the chunk's index."""

    unit: str
    attempt: int
    text: str


class Farm:
    """A farm, reached by its settings. Use as a context manager, or close it.

    Needs neither torch nor the task code. Raises FarmError and its kinds (farm.errors); engine.errors.MissingExtraError
    where an optional package is missing.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.books = Books.connect(settings)
        self.storage = Storage.from_settings(settings)
        self._bell: Bell | None = None

    @classmethod
    def from_settings(cls, settings: Settings | None = None, **flags: Any) -> Self:
        """A farm by settings: those given, else flags > environment > farm.toml > defaults."""
        return cls(settings if settings is not None else Settings.load(flags))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self.books.close()
        if self._bell is not None:
            self._bell.close()

    @property
    def bell(self) -> Bell:
        """The sender of messages, made when first needed: Celery takes a while to import."""
        if self._bell is None:
            from farm.messages import Bell

            self._bell = Bell(self.settings)
        return self._bell

    def submit(
        self,
        portrait: str | Path,
        speech: str | Path,
        *,
        name: str | None = None,
        owner: str | None = None,
        priority: int = DEFAULT_PRIORITY,
        duration: float | None = None,
        chunk_seconds: float | None = None,
        token: str | None = None,
        on_progress: OnStep | None = None,
        **parameters: Any,
    ) -> Job:
        """Check everything, store the inputs, enter the job into the books.

        portrait, speech: paths or s3:// URLs. name: defaults to the speech's file name. priority: 0 first, 9 last.
        duration: seconds that the speech should have, checked. chunk_seconds: video seconds a chunk keeps. token: a
        second submit with the same one returns the same job. parameters: fields of engine.spec.RenderSpec.

        Raises InputRefusedError with every problem at once; then nothing is left behind.
        """
        say = on_progress or (lambda _what, _share: None)
        name = name if name is not None else _text(Path(str(speech)).stem)
        owner = owner if owner is not None else self.settings.owner
        with TemporaryDirectory(prefix="sonic-farm-submit-") as folder:
            portrait_file = self._local(portrait, Path(folder) / "portrait")
            speech_file = self._local(speech, Path(folder) / "speech")
            say("checking", 0.0)
            labels = _label_problems(name, owner, priority, token)
            labels += renderer_problems(parameters.get("renderer", RenderSpec.renderer))
            checked = self._check(portrait_file, speech_file, parameters, duration, chunk_seconds, labels)
            say("storing", 0.0)
            portrait_sha = self.storage.put_asset(portrait_file)
            speech_sha = self.storage.put_asset(speech_file, on_progress=lambda share: say("storing", share))
        spec = checked.spec
        wanted = chunk_seconds if chunk_seconds is not None else self.settings.chunk_seconds
        request = JobRequest(
            id=_new_id(),
            name=name,
            owner=owner,
            priority=priority,
            spec=spec,
            portrait=portrait_sha,
            portrait_name=_text(Path(str(portrait)).name),
            speech=speech_sha,
            speech_name=_text(Path(str(speech)).name),
            chunk_seconds=wanted,
            max_attempts=self.settings.max_attempts,
            token=own_token(token)
            if token is not None
            else content_token(owner, spec, portrait=portrait_sha, speech=speech_sha, chunk_seconds=chunk_seconds),
            submitted=time.time(),
            pixels=_frame_pixels(checked),
            licence=BUILT_IN[spec.renderer].licence if spec.renderer in BUILT_IN else "",
            warnings=checked.warnings,
        )
        return self._enter(request)

    def _local(self, where: str | Path, target: Path) -> Path:
        if str(where).startswith("s3://"):
            self.storage.fetch_url(str(where), target)
            return target
        return Path(where)

    def _check(
        self,
        portrait: Path,
        speech: Path,
        parameters: dict[str, Any],
        duration: float | None,
        chunk_seconds: float | None,
        problems: list[str],
    ) -> Checked:
        from farm.preflight import preflight

        try:
            checked = preflight(
                portrait,
                speech,
                parameters,
                duration=duration,
                max_speech_seconds=self.settings.max_speech_seconds,
                chunk_seconds=chunk_seconds if chunk_seconds is not None else self.settings.chunk_seconds,
                declared={renderer for slot in self.slots() if slot.state != "lost" for renderer in slot.renderers},
            )
            if chunk_seconds is not None:
                built_in = BUILT_IN.get(checked.spec.renderer)
                geometry = built_in.geometry if built_in else Geometry()
                plan_chunks(checked.speech.frames25, chunk_seconds=chunk_seconds, geometry=geometry)
        except InputRefusedError as refusal:
            raise InputRefusedError(problems + refusal.problems) from None
        except PlanError as error:
            raise InputRefusedError([*problems, str(error)]) from None
        if problems:
            raise InputRefusedError(problems)
        return checked

    def _enter(self, request: JobRequest) -> Job:
        known = self._same_job(request.token)
        if known is None:
            self.storage.put_json(keys.job_json(request.id), request.to_dict())
            known, created = self.books.enter(request.id, request.token, request.book_fields())
            if created:
                self.bell.ring([cpu_message(request.id, PLAN, request.name, priority=request.priority)])
                return Job(self, request.id, warnings=request.warnings)
            if known != request.id:  # somebody else was quicker with the same token
                self.storage.delete(keys.job_json(request.id))
        return Job(self, known, created=False)

    def _same_job(self, token: str) -> str | None:
        known = self.books.token_owner(token)
        if known is None:
            return None
        state = views.job_fields(self.books, known)["state"]
        return known if state not in {JobState.FAILED, JobState.CANCELLED} else None

    def job(self, id: str) -> Job:
        """A job by its id; raises NotFoundError."""
        keys.job_folder(id)
        fields = views.job_fields(self.books, id)
        return Job(self, id, warnings=views.warnings_of(fields))

    def jobs(self, *, owner: str | None = None, state: str | None = None, limit: int = 50) -> list[JobView]:
        """Jobs, newest first."""
        ids = views.job_ids(self.books, owner=owner, state=state)
        return [views.job_view(self.books, id_) for id_ in islice(ids, limit)]

    def recover(self, *, on_step: Callable[[Recovered], None] | None = None) -> Recovered:
        """Bring back from storage every job that the books do not know; on_step is called after each job.

        For books that were emptied. May run at any time, beside workers too: what the books know is left alone.
        """
        return recover(self.books, self.storage, who=self.settings.owner, on_step=on_step or (lambda _: None))

    def slots(self) -> list[SlotView]:
        """Every slot that reported, by name."""
        return views.slot_views(self.books)

    def cpu_workers(self) -> list[str]:
        """Names of the cpu workers that showed themselves lately."""
        return views.cpu_workers(self.books)


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


def _label_problems(name: str, owner: str, priority: int, token: str | None) -> list[str]:
    problems = []
    for label, value in (("name", name), ("owner", owner), ("token", token)):
        if value is None:
            continue
        if not 1 <= len(value) <= LONGEST_NAME or not value.isprintable():
            problems.append(f"{label} is {value[:40]!r}, wanted 1 to {LONGEST_NAME} printable characters")
    if type(priority) is not int or priority not in PRIORITIES:
        problems.append(f"priority is {priority}, wanted 0 to 9")
    return problems


def _frame_pixels(checked: Checked) -> int:
    """Pixels of a rendered frame; a crop to the face is a square."""
    from engine.media.image import render_size

    size, spec = checked.portrait_size, checked.spec
    if spec.framing == "face":
        return spec.min_resolution**2
    width, height = render_size(size[1], size[0], spec.min_resolution)
    return width * height


def _text(name: str) -> str:
    """A file's name as text: on Linux it may hold bytes that are no Unicode."""
    return name.encode("utf-8", "replace").decode()


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{''.join(secrets.choice(ID_LETTERS) for _ in range(6))}"
