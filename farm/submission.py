"""From what somebody asks for to a job in the books, a step each: look, check, store, request, enter."""

from __future__ import annotations

import re
import secrets
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import PlanError
from engine.plan import plan_chunks
from engine.renderer import BUILT_IN, known_geometry
from engine.spec import RenderSpec
from farm.errors import InputRefusedError
from farm.hooks.receiver import url_problems
from farm.jobs import views
from farm.jobs.model import DEFAULT_PRIORITY, PLAN, JobState, priority_problems
from farm.jobs.request import InBatch, JobRequest, content_token, own_token
from farm.jobs.store import cpu_message
from farm.settings import renderer_problems
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from engine.spec import OutputSpec
    from farm.jobs.store import Books
    from farm.messages import Bell
    from farm.preflight import Checked, Looks
    from farm.settings import Settings
    from farm.storage.s3 import Storage

ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What somebody asks for. portrait, speech, subtitles: paths or s3:// URLs.

    name, owner: None for what speech and settings say. duration: seconds that the speech should have. chunk_seconds:
    None for what suits the farm. token: what one lesson is known by, None for its content. webhook: the URL that
    is told how it ends. edit_of: the job whose cuts it keeps. parameters: fields of engine.spec.RenderSpec and
    OutputSpec.
    """

    portrait: str | Path
    speech: str | Path
    name: str | None = None
    owner: str | None = None
    priority: int = DEFAULT_PRIORITY
    duration: float | None = None
    chunk_seconds: float | None = None
    token: str | None = None
    consent: str = ""
    webhook: str = ""
    edit_of: str = ""
    subtitles: str | Path | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def named(self, settings: Settings) -> Lesson:
        """With a name and an owner."""
        return replace(
            self,
            name=self.name if self.name is not None else _text(Path(str(self.speech)).stem),
            owner=self.owner if self.owner is not None else settings.owner,
        )


@dataclass(frozen=True)
class Files:
    """A lesson's inputs as local files."""

    portrait: Path
    speech: Path
    subtitles: Path | None


@dataclass(frozen=True)
class Stored:
    """A lesson's inputs in storage, by their SHA-256."""

    portrait: str
    speech: str
    subtitles: str = ""


@contextmanager
def at_hand(lesson: Lesson, storage: Storage) -> Iterator[Files]:
    """A lesson's inputs as local files, for a while. Raises InputRefusedError for addresses that are not s3:// URLs."""
    if problems := _address_problems(
        {"portrait": lesson.portrait, "speech": lesson.speech, "subtitles": lesson.subtitles}
    ):
        raise InputRefusedError(problems)

    def local(where: str | Path, target: Path) -> Path:
        if str(where).startswith("s3://"):
            storage.fetch_url(str(where), target)
            return target
        return Path(where)

    with TemporaryDirectory(prefix="sonic-farm-submit-") as folder:
        yield Files(
            portrait=local(lesson.portrait, Path(folder) / "portrait"),
            speech=local(lesson.speech, Path(folder) / "speech"),
            subtitles=local(lesson.subtitles, Path(folder) / "subtitles") if lesson.subtitles is not None else None,
        )


def _address_problems(sources: Mapping[str, str | Path | None]) -> list[str]:
    """A sentence for each that a Path would take for a file's name."""
    return [
        f"{kind} {where} is an address, wanted a file or s3://bucket/key"
        for kind, where in sources.items()
        if re.match(r"(?!s3:)[a-z][a-z0-9+.-]*://", str(where), re.IGNORECASE)
    ]


def look(files: Files, settings: Settings) -> Looks:
    """Look at each file once."""
    from farm.preflight import Looks, look_at_portrait, look_at_speech, look_at_subtitles

    return Looks(
        look_at_portrait(files.portrait),
        look_at_speech(files.speech, max_speech_seconds=settings.max_speech_seconds),
        look_at_subtitles(files.subtitles) if files.subtitles is not None else None,
    )


def check(
    lesson: Lesson,
    looks: Looks,
    settings: Settings,
    *,
    declared: Mapping[str, float] | None,
    found: Collection[str] = (),
) -> Checked:
    """Hold what a lesson asks for against what its files are. declared: renderers that slots offer, each with the
    most pixels of a frame, None: not known. found: what was seen to be wrong before.

    Raises InputRefusedError with every problem at once.
    """
    from farm.preflight import judge

    labels = {"name": lesson.name, "owner": lesson.owner, "token": lesson.token, "consent": lesson.consent or None}
    problems = [*found, *label_problems(**labels)]
    problems += priority_problems(lesson.priority)
    problems += renderer_problems(lesson.parameters.get("renderer", RenderSpec.renderer))
    problems += url_problems(lesson.webhook, private=settings.webhook_private) if lesson.webhook else []
    try:
        checked = judge(
            looks,
            {"check": settings.check, **lesson.parameters},
            duration=lesson.duration,
            chunk_seconds=lesson.chunk_seconds,
            declared=declared,
        )
        if lesson.chunk_seconds is not None:
            from farm.estimate import geometry_for  # brings OpenCV in

            geometry = geometry_for(known_geometry(checked.spec.renderer, settings.reaches), settled(checked, settings))
            plan_chunks(checked.speech.frames25, chunk_seconds=lesson.chunk_seconds, geometry=geometry)
    except InputRefusedError as refusal:
        raise InputRefusedError(problems + refusal.problems) from None
    except PlanError as error:
        raise InputRefusedError([*problems, str(error)]) from None
    if problems:
        raise InputRefusedError(problems)
    return checked


def store(files: Files, storage: Storage, *, on_progress: Callable[[float], None]) -> Stored:
    """Put a lesson's inputs into storage, those that are not there yet."""
    return Stored(
        portrait=storage.put_asset(files.portrait),
        subtitles=storage.put_asset(files.subtitles) if files.subtitles is not None else "",
        speech=storage.put_asset(files.speech, on_progress=on_progress),
    )


def settled(checked: Checked, settings: Settings) -> OutputSpec:
    """The output as it was asked for, with what renderer and farm say where nobody did."""
    output, built_in = checked.output, BUILT_IN.get(checked.spec.renderer)
    smoothing = output.smoothing
    if smoothing is None:
        smoothing = built_in.smoothing if built_in else 0.0
    return replace(output, smoothing=smoothing, mark=output.mark or settings.mark)


def request_for(
    lesson: Lesson, checked: Checked, stored: Stored, settings: Settings, *, id: str, batch: InBatch | None = None
) -> JobRequest:
    """What job.json says of a lesson that was found right; `lesson` has a name and an owner."""
    spec, output = checked.spec, settled(checked, settings)
    name, owner = lesson.name or "", lesson.owner or ""
    content = content_token(
        owner, spec, output, chunk_seconds=lesson.chunk_seconds, consent=lesson.consent, **asdict(stored)
    )
    place = batch or InBatch("", 0)
    return JobRequest(
        id=id,
        name=name,
        owner=owner,
        priority=lesson.priority,
        spec=spec,
        output=output,
        portrait=stored.portrait,
        portrait_name=_text(Path(str(lesson.portrait)).name),
        speech=stored.speech,
        speech_name=_text(Path(str(lesson.speech)).name),
        subtitles=stored.subtitles,
        chunk_seconds=lesson.chunk_seconds,
        max_attempts=settings.max_attempts,
        token=own_token(lesson.token) if lesson.token is not None else content,
        submitted=time.time(),
        pixels=checked.pixels,
        licence=BUILT_IN[spec.renderer].licence if spec.renderer in BUILT_IN else "",
        consent=lesson.consent,
        edit_of=lesson.edit_of,
        webhook=lesson.webhook,
        batch=place.id,
        row=place.row,
        held=place.held,
        warnings=checked.warnings,
    )


class Reached(Protocol):
    """A farm that can be reached; farm.service.Farm is one, and stands above this module."""

    books: Books
    storage: Storage

    @property
    def bell(self) -> Bell:
        """The sender of messages."""


def enter(farm: Reached, request: JobRequest) -> tuple[str, bool]:
    """Write job.json, then the books, then ring. Answers (job, whether it is new): another may be the same."""
    known = same_job(farm.books, request.token)
    if known is not None:
        return known, False
    farm.storage.put_json(keys.job_json(request.id), request.to_dict())
    entered = farm.books.enter(request.id, request.token, request.book_fields())
    if entered.ring:
        farm.bell.ring([cpu_message(request.id, PLAN, request.name, priority=request.priority)])
    if entered.job != request.id:  # somebody else was quicker with the same token
        farm.storage.delete(keys.job_json(request.id))
    return entered.job, entered.created


def same_job(books: Books, token: str) -> str | None:
    """The job that a token names, unless it failed or was cancelled."""
    known = books.token_owner(token)
    if known is None:
        return None
    state = views.job_fields(books, known)["state"]
    return known if state not in {JobState.FAILED, JobState.CANCELLED} else None


def new_id(*, like: str | None = None) -> str:
    """An id for a job or a batch, which begins with the time, or with that of another."""
    began = f"{datetime.now(UTC):%Y%m%d-%H%M%S}" if like is None else like.rpartition("-")[0]
    return f"{began}-{''.join(secrets.choice(ID_LETTERS) for _ in range(6))}"


def label_problems(**labels: str | None) -> list[str]:
    """What is wrong with names that people see."""
    return [
        f"{label} is {value[:40]!r}, wanted 1 to {LONGEST_NAME} printable characters"
        for label, value in labels.items()
        if value is not None and not (1 <= len(value) <= LONGEST_NAME and value.isprintable())
    ]


def _text(name: str) -> str:
    """A file's name as text: on Linux it may hold bytes that are no Unicode."""
    return name.encode("utf-8", "replace").decode()
