"""The verbs. The command line and the public Python API call only this."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from engine.errors import PlanError
from engine.plan import plan_chunks
from engine.renderer import BUILT_IN, known_geometry
from engine.spec import OutputSpec, RenderSpec
from farm.errors import BooksUnreachableError, InputRefusedError
from farm.job import Job
from farm.jobs import views
from farm.jobs.model import DEFAULT_PRIORITY, PLAN, PRIORITIES, JobState, JobView, SlotView
from farm.jobs.request import JobRequest, content_token, own_token
from farm.jobs.store import Books, cpu_message
from farm.recover import Recovered, recover
from farm.settings import Settings, renderer_problems
from farm.storage import keys
from farm.storage.s3 import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from farm.dryrun import DryRun
    from farm.messages import Bell
    from farm.preflight import Checked

ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
LONGEST_NAME = 200

OnStep = Callable[[str, float], None]
"""Called with what is being done and the share of it done, 0 to 1."""


@dataclass(frozen=True)
class _Files:
    """A job's inputs as local files."""

    portrait: Path
    speech: Path
    subtitles: Path | None


@dataclass(frozen=True)
class _Stored:
    """A job's inputs in storage, by their SHA-256."""

    portrait: str
    speech: str
    subtitles: str


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
        consent: str = "",
        subtitles: str | Path | None = None,
        on_progress: OnStep | None = None,
        **parameters: Any,
    ) -> Job:
        """Check everything, store the inputs, enter the job into the books.

        portrait, speech: paths or s3:// URLs. name: defaults to the speech's file name. priority: 0 first, 9 last.
        duration: seconds that the speech should have, checked. chunk_seconds: video seconds a chunk keeps, by default
        what suits the farm when the job is planned. token: a second submit with the same one returns the same job.
        consent: where the agreement of the person shown is kept. subtitles: an SRT file. parameters: fields of
        engine.spec.RenderSpec and OutputSpec.

        Raises InputRefusedError with every problem at once; then nothing is left behind.
        """
        say = on_progress or (lambda _what, _share: None)
        name = name if name is not None else _text(Path(str(speech)).stem)
        owner = owner if owner is not None else self.settings.owner
        labels = _label_problems(name=name, owner=owner, token=token, consent=consent or None)
        labels += _priority_problems(priority)
        with self._at_hand(portrait, speech, subtitles) as files:
            say("checking", 0.0)
            checked = self._check(files, parameters, duration, chunk_seconds, labels, declared=self._declared())
            say("storing", 0.0)
            stored = self._store(files, on_progress=lambda share: say("storing", share))
        spec, output = checked.spec, self._settled(checked)
        content = content_token(owner, spec, output, chunk_seconds=chunk_seconds, consent=consent, **asdict(stored))
        request = JobRequest(
            id=_new_id(),
            name=name,
            owner=owner,
            priority=priority,
            spec=spec,
            output=output,
            portrait=stored.portrait,
            portrait_name=_text(Path(str(portrait)).name),
            speech=stored.speech,
            speech_name=_text(Path(str(speech)).name),
            subtitles=stored.subtitles,
            chunk_seconds=chunk_seconds,
            max_attempts=self.settings.max_attempts,
            token=own_token(token) if token is not None else content,
            submitted=time.time(),
            pixels=_frame_pixels(checked),
            licence=BUILT_IN[spec.renderer].licence if spec.renderer in BUILT_IN else "",
            consent=consent,
            warnings=checked.warnings,
        )
        return self._enter(request)

    def dry_run(
        self,
        portrait: str | Path,
        speech: str | Path,
        *,
        priority: int = DEFAULT_PRIORITY,
        duration: float | None = None,
        chunk_seconds: float | None = None,
        subtitles: str | Path | None = None,
        on_progress: OnStep | None = None,
        **parameters: Any,
    ) -> DryRun:
        """Check a job as `submit` does and plan it for the farm as it is now; nothing is queued, nothing stored."""
        from farm.dryrun import Wanted, dry_run

        say = on_progress or (lambda _what, _share: None)
        with self._at_hand(portrait, speech, subtitles) as files:
            say("checking", 0.0)
            try:
                declared = self._declared()
            except BooksUnreachableError:  # the plan itself says that it was made without the farm
                declared = None
            problems = _priority_problems(priority)
            checked = self._check(files, parameters, duration, chunk_seconds, problems, declared=declared)
            wanted = Wanted(
                spec=checked.spec,
                output=self._settled(checked),
                pixels=_frame_pixels(checked),
                priority=priority,
                chunk_seconds=chunk_seconds,
            )
            found = dry_run(
                files.speech,
                wanted,
                books=self.books,
                settings=self.settings,
                on_progress=lambda share: say("planning", share),
            )
        return replace(found, warnings=(*checked.warnings, *found.warnings))

    @contextmanager
    def _at_hand(self, portrait: str | Path, speech: str | Path, subtitles: str | Path | None) -> Iterator[_Files]:
        """The inputs as local files, for a while."""
        with TemporaryDirectory(prefix="sonic-farm-submit-") as folder:
            yield _Files(
                portrait=self._local(portrait, Path(folder) / "portrait"),
                speech=self._local(speech, Path(folder) / "speech"),
                subtitles=self._local(subtitles, Path(folder) / "subtitles") if subtitles is not None else None,
            )

    def _settled(self, checked: Checked) -> OutputSpec:
        """The output as it was asked for, with what renderer and farm say where nobody did."""
        output, built_in = checked.output, BUILT_IN.get(checked.spec.renderer)
        smoothing = output.smoothing
        if smoothing is None:
            smoothing = built_in.smoothing if built_in else 0.0
        return replace(output, smoothing=smoothing, mark=output.mark or self.settings.mark)

    def _store(self, files: _Files, *, on_progress: Callable[[float], None]) -> _Stored:
        return _Stored(
            portrait=self.storage.put_asset(files.portrait),
            subtitles=self.storage.put_asset(files.subtitles) if files.subtitles is not None else "",
            speech=self.storage.put_asset(files.speech, on_progress=on_progress),
        )

    def _local(self, where: str | Path, target: Path) -> Path:
        if str(where).startswith("s3://"):
            self.storage.fetch_url(str(where), target)
            return target
        return Path(where)

    def _check(
        self,
        files: _Files,
        parameters: dict[str, Any],
        duration: float | None,
        chunk_seconds: float | None,
        problems: list[str],
        *,
        declared: set[str] | None,
    ) -> Checked:
        from farm.preflight import preflight

        problems = problems + renderer_problems(parameters.get("renderer", RenderSpec.renderer))
        try:
            checked = preflight(
                files.portrait,
                files.speech,
                {"check": self.settings.check, **parameters},
                duration=duration,
                max_speech_seconds=self.settings.max_speech_seconds,
                chunk_seconds=chunk_seconds,
                declared=declared,
                subtitles=files.subtitles,
            )
            if chunk_seconds is not None:
                geometry = known_geometry(checked.spec.renderer)
                plan_chunks(checked.speech.frames25, chunk_seconds=chunk_seconds, geometry=geometry)
        except InputRefusedError as refusal:
            raise InputRefusedError(problems + refusal.problems) from None
        except PlanError as error:
            raise InputRefusedError([*problems, str(error)]) from None
        if problems:
            raise InputRefusedError(problems)
        return checked

    def _declared(self) -> set[str]:
        """Renderers that the farm's slots offer now."""
        return {renderer for slot in self.slots() if slot.state != "lost" for renderer in slot.renderers}

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


def _label_problems(**labels: str | None) -> list[str]:
    return [
        f"{label} is {value[:40]!r}, wanted 1 to {LONGEST_NAME} printable characters"
        for label, value in labels.items()
        if value is not None and not (1 <= len(value) <= LONGEST_NAME and value.isprintable())
    ]


def _priority_problems(priority: int) -> list[str]:
    if type(priority) is int and priority in PRIORITIES:
        return []
    return [f"priority is {priority}, wanted 0 to 9"]


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
