"""A pair becomes a job: fetched as it was claimed, checked, stored, entered, once whatever crashes in between."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from farm import submission
from farm.errors import InputRefusedError
from farm.folder.defaults import parameters_of
from farm.folder.names import title_of
from farm.folder.sizes import too_large
from farm.jobs.request import own_token
from farm.preflight import Looks, look_at_portrait, look_at_speech, look_at_subtitles
from farm.storage.s3 import sha256_of
from farm.submission import Lesson

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.folder.claims import Claim, File
    from farm.folder.inbox import Inbox
    from farm.service import Farm
    from farm.storage.s3 import Storage

T = TypeVar("T")

REMEMBERED = 1000
"""Looks at files that are kept: one portrait may be that of thousands of lessons."""
UNNAMED = "@file"
"""What a file is called while it is looked at: one content may lie under thousands of names."""
OF_A_LESSON = ("owner", "priority", "chunk_seconds", "consent", "webhook")


class Desk:
    """Makes jobs of pairs. Safe to share between threads. storage: of the inbox's bucket."""

    def __init__(self, farm: Farm, storage: Storage, inbox: Inbox) -> None:
        self._farm = farm
        self._storage = storage
        self._inbox = inbox
        self._looks: dict[tuple[str, str], Any] = {}

    def enter(self, claim: Claim) -> Claim:
        """The claim with its job.

        Raises InputRefusedError with every problem, NotFoundError and ReplacedError for files that are not there as
        they were claimed.
        """
        token = f"folder {claim.token} {claim.tries}"
        job = self._farm.books.token_owner(own_token(token))
        if job is None:  # nobody got as far before
            job = self._submit(claim, token)
        return replace(claim, stage="entered", job=job, trouble="")

    def _submit(self, claim: Claim, token: str) -> str:
        farm, settings = self._farm, self._farm.settings
        if problems := [words for file in claim.files if (words := too_large(file))]:
            raise InputRefusedError(problems)
        with TemporaryDirectory(prefix="sonic-farm-folder-") as folder:
            files = {file.role: self._fetched(file, Path(folder) / file.role) for file in claim.files}
            given = submission.Files(files["portrait"], files["speech"], files.get("subtitles"))
            lesson = self._lesson(claim, token).named(settings)
            looks = self._looks_at(claim, given)
            checked = submission.check(lesson, looks, settings, declared=farm.declared())
            stored = submission.store(given, farm.storage, on_progress=lambda _share: None)
        request = submission.request_for(lesson, checked, stored, settings, id=submission.new_id())
        return submission.enter(farm, request)[0]

    def _lesson(self, claim: Claim, token: str) -> Lesson:
        urls = {file.role: f"s3://{self._inbox.bucket}/{self._inbox.prefix}{file.path}" for file in claim.files}
        return Lesson(
            portrait=urls["portrait"],
            speech=urls["speech"],
            subtitles=urls.get("subtitles"),
            name=title_of(claim.main.path),
            token=token,
            parameters=parameters_of(claim.values),
            **{name: claim.values[name] for name in OF_A_LESSON if name in claim.values},
        )

    def _fetched(self, file: File, folder: Path) -> Path:
        folder.mkdir()
        self._storage.fetch(file.info(self._inbox.prefix + file.path), folder / UNNAMED)
        return folder / UNNAMED

    def _looks_at(self, claim: Claim, files: submission.Files) -> Looks:
        names = {file.role: file.path.rpartition("/")[2] for file in claim.files}
        speech = partial(look_at_speech, max_speech_seconds=self._farm.settings.max_speech_seconds)
        return Looks(
            _named(self._look("portrait", look_at_portrait, files.portrait), names["portrait"]),
            _named(self._look("speech", speech, files.speech), names["speech"]),
            _named(self._look("subtitles", look_at_subtitles, files.subtitles), names["subtitles"])
            if files.subtitles is not None
            else None,
        )

    def _look(self, kind: str, look: Callable[[Path], T], path: Path) -> T:
        """A look at a file, or what the same content showed before."""
        known = kind, sha256_of(path)
        if known not in self._looks:
            if len(self._looks) >= REMEMBERED:
                self._looks.clear()
            self._looks[known] = look(path)
        found: T = self._looks[known]
        return found


def _named(look: T, name: str) -> T:
    """A look whose sentences call the file by its name."""
    found: Any = look
    texts = {
        each: tuple(sentence.replace(UNNAMED, name) for sentence in getattr(found, each))
        for each in ("problems", "warnings")
        if hasattr(found, each)
    }
    named: T = replace(found, name=name, **texts)
    return named
