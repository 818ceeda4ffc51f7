"""A manifest in an inbox becomes a batch: it may name files of its own inbox alone, wherever those have got to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from farm.batch.batch import Batch
from farm.batch.check import problems_of
from farm.batch.columns import FILES
from farm.batch.intake import check_for
from farm.batch.lines import all_rows
from farm.batch.manifest import read_manifest
from farm.batch.rows import Given, outside, rows_of
from farm.batch.submit import Terms, jobs_of, submit_rows
from farm.errors import InputRefusedError, NotFoundError, ReplacedError
from farm.folder import names
from farm.folder.claims import File
from farm.folder.kept import held_by_others, tries_before
from farm.folder.sizes import too_large
from farm.jobs.batches import batch_row
from farm.storage.failures import Address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.batch.check import CheckedRow
    from farm.batch.manifest import Manifest
    from farm.batch.rows import Row
    from farm.folder.claims import Claim, Role
    from farm.folder.inbox import Inbox
    from farm.service import Farm
    from farm.storage.s3 import ObjectInfo, Storage

LOOKS_AT_ONCE = 16
ROLES: dict[str, Role] = {"portrait": "portrait", "speech": "speech", "subtitles": "subtitles"}


@dataclass(frozen=True)
class _Place:
    """Where a file that a row names lies now. file: as it is, where that is in the inbox."""

    url: str
    file: File | None


class Courses:
    """Makes batches of manifests. storage: of the inbox's bucket."""

    def __init__(self, farm: Farm, storage: Storage, inbox: Inbox) -> None:
        self._farm = farm
        self._storage = storage
        self._inbox = inbox
        self._url = f"s3://{inbox.bucket}/"
        self._places = (inbox.prefix, inbox.processing, inbox.done, inbox.failed)

    def enter(self, claim: Claim) -> Claim:
        """The claim with its batch, the files that its rows name and what is wrong with rows; right ones are submitted.

        It stays where it is, with a word in `trouble`, while it names a new upload of what is not finished yet, or a
        file of a folder that is held.
        Raises InputRefusedError where no row is right, NotFoundError and ReplacedError for the manifest itself.
        """
        manifest = self._read(claim)
        owner = manifest.defaults.get("owner") or self._farm.settings.owner
        rows = rows_of(manifest, Given(), storage=self._farm.storage, inbox=self._inbox.url)
        if trouble := self._stopped(rows) or self._held(claim, rows):
            return replace(claim, trouble=trouble)
        batch = None
        while batch is None:
            checked, files = self._checked(rows, owner)
            try:
                batch = self._submitted(claim, owner, checked)
            except NotFoundError:
                if not self._have_moved(rows, checked):
                    raise
        speeches, problems = self._speeches(batch, checked), problems_of(checked)
        tries = claim.tries or tries_before(self._farm.books, self._inbox, claim)
        if tries:
            Batch(self._farm, batch).retry(only=speeches)
        return replace(
            claim,
            stage="entered",
            batch=batch,
            files=(claim.main, *files),
            values={"speeches": speeches, "problems": problems},
            wrong=self._wrong(checked),
            problems=tuple(problems),
            tries=tries,
            trouble="",
        )

    def _checked(self, rows: Sequence[Row], owner: str) -> tuple[list[CheckedRow], list[File]]:
        """What the rows are found to be, and their files that lie in the inbox.

        Another manifest may move a file of both meanwhile, which is no fault of a row: then all are looked at again.
        """
        while True:
            located, files = self._located(rows)
            checked = check_for(self._farm, located, owner, lambda _what, _done, _of: None)
            if all(row.right for row in checked) or not self._have_moved(rows, checked):
                return checked, files

    def _have_moved(self, rows: Sequence[Row], checked: Sequence[CheckedRow]) -> bool:
        """Whether files of rows lie elsewhere than they were looked at."""
        return self._located(rows)[0] != [row.row for row in checked]

    def _submitted(self, claim: Claim, owner: str, checked: Sequence[CheckedRow]) -> str:
        """The batch that the right rows became."""
        if all(row.right is None for row in checked):
            raise InputRefusedError(problems_of(checked))
        url = self._url + self._inbox.prefix + claim.main.path
        terms = Terms(name=names.batch_name(url), owner=owner, manifest=url)
        return submit_rows(self._farm, checked, terms, lambda _what, _done, _of: None).id

    def has_ended(self, claim: Claim) -> bool:
        """Whether every row of its batch has."""
        row = batch_row(self._farm.books, claim.batch)
        return row.ended >= row.total

    def over(self, claim: Claim) -> Claim:
        """The claim of a batch that has ended, with its videos where people look for them, and what failed."""
        speeches, results, wrong = claim.values["speeches"], dict(claim.results), dict(claim.wrong)
        problems, taken, failed = list(claim.values["problems"]), set[Address](), list[str]()
        before = claim.failed_jobs if claim.followed else None  # the others' videos were delivered then
        for row in all_rows(self._farm.books, claim.batch):
            of_row = speeches.get(row.job, ())  # none: of an earlier manifest of this name, or under earlier defaults
            if of_row and row.result is None:
                problems.append(f"{', '.join(of_row)}: {row.reason or row.state}")
                failed.append(row.job)
            for speech in of_row:
                suffix = ""
                while self._inbox.result(speech, suffix) in taken:  # one speech of several presenters; 1.wav and 1.mp4
                    suffix += f" row {row.row}"
                taken.add(self._inbox.result(speech, suffix))  # also without a video: a later try finds the same names
                if row.result is None:
                    wrong[speech] = row.reason or str(row.state)
                elif before is None or row.job in before:
                    results[speech] = self.deliver(claim, row.result, speech, suffix)
        outcome = claim.failed("render", "rows_failed", problems) if problems else claim
        done = {path: why for path, why in wrong.items() if path not in results}
        values = {**claim.values, "failed": failed}
        return replace(outcome, stage="ending", values=values, results=results, wrong=done)

    def deliver(self, claim: Claim, result: str, speech: str, suffix: str = "") -> str:
        """Copy a job's video to where people look for it; its URL.

        Of a claim that is followed once more what was put there since it was taken stays: it is of a later upload.
        """
        target, storage = self._inbox.result(speech, suffix), self._farm.storage
        beside = storage.beside(target.bucket)
        there = beside.head(target.key) if claim.followed else None
        if there is None or there.modified <= claim.taken:
            beside.copy_from(storage.address(result), target.key, size=storage.size(result))
        return str(target)

    def _read(self, claim: Claim) -> Manifest:
        if words := too_large(claim.main):
            raise InputRefusedError([words])
        key = self._inbox.prefix + claim.main.path
        found = self._storage.head(key)
        if found is not None and found.etag != claim.main.etag:
            raise ReplacedError(f"{claim.main.path} was replaced while it was taken")
        manifest = read_manifest(self._url + key, storage=self._farm.storage)
        shared = self._with_urls(claim.values["defaults"])
        presenters = {name: self._with_urls(cells) for name, cells in claim.values["presenters"].items()}
        return replace(
            manifest,
            defaults={**shared, **manifest.defaults},
            presenters={**presenters, **manifest.presenters},
        )

    def _with_urls(self, cells: dict[str, Any]) -> dict[str, Any]:
        base = self._url + self._inbox.prefix
        return {name: base + value if name in FILES else value for name, value in cells.items()}

    def _stopped(self, rows: Sequence[Row]) -> str | None:
        """A file of theirs that would be taken out of a folder which people stopped, and what stops it."""
        taken = [
            path
            for path in self._in_inbox(rows)
            if not (names.refusal(path) or names.belongs_to_folder(path) or self._inbox.too_long(path))
        ]
        holds = self._there({folder + names.HOLD for path in taken for folder in names.folders_above(path)})
        held = {path: place for path in taken for place in names.folders_above(path) if place + names.HOLD in holds}
        # one by one: the first is enough, and it is asked for again and again while people hold the folder
        there = (path for path in held if self._storage.head(self._inbox.prefix + path) is not None)
        return next((f"{path}: {names.held_by(held[path])}" for path in there), None)

    def _held(self, claim: Claim, rows: Sequence[Row]) -> str | None:
        """A file of theirs whose name another open claim has for another content, and that this is so."""
        held = held_by_others(self._farm.books, self._inbox, claim.token, self._in_inbox(rows))
        changed = (path for path, item in self._there(held).items() if item.etag != held[path].etag)
        return next((f"{path}: an earlier upload of this name is not finished yet" for path in changed), None)

    def _in_inbox(self, rows: Sequence[Row]) -> list[str]:
        """Paths of the files that rows name there."""
        base = self._url + self._inbox.prefix
        return [url.removeprefix(base) for url in _named(rows) if url.startswith(base)]

    def _there(self, paths: Iterable[str]) -> dict[str, ObjectInfo]:
        """Those that lie in the inbox now."""
        wanted = list(paths)
        with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
            found = pool.map(self._storage.head, (self._inbox.prefix + path for path in wanted))
            return {path: item for path, item in zip(wanted, found, strict=True) if item is not None}

    def _located(self, rows: Sequence[Row]) -> tuple[list[Row], list[File]]:
        """The rows with their files where those lie now, and all files of theirs that lie in the inbox."""
        roles = _named(rows)
        with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
            found = dict(zip(roles, pool.map(self._place, roles, roles.values()), strict=True))
        files = [place.file for place in found.values() if isinstance(place, _Place) and place.file]
        return [self._moved(row, found) for row in rows], files

    def _place(self, url: str, role: str) -> _Place | str:
        """Where a file lies, or why it may not be taken."""
        base = self._url + self._inbox.prefix
        if not url.startswith(base):
            return outside(role, url, self._inbox.url)
        path = url.removeprefix(base)
        if words := names.refusal(path) or self._inbox.too_long(path):
            return f"{role} {path[:200]!r}: {words}"
        for place in self._places:  # where it is not in the inbox, an earlier manifest named it
            if item := self._storage.head(place + path):
                file = File(path, item.size, item.etag, ROLES[role], stays=names.belongs_to_folder(path))
                if words := too_large(file):
                    return words
                if place != self._inbox.prefix:
                    return _Place(self._url + place + path, None)
                if words := names.left_alone(path, item.size):
                    return f"{role} {path}: {words}, so it is left alone"
                return _Place(self._url + place + path, file)
        return f"{role} {path} is not in the inbox"

    def _moved(self, row: Row, found: dict[str, _Place | str]) -> Row:
        if row.lesson is None:
            return row
        places = {role: found[str(url)] for role in ROLES if (url := getattr(row.lesson, role)) is not None}
        if problems := tuple(place for place in places.values() if isinstance(place, str)):
            return replace(row, lesson=None, problems=problems)
        urls: dict[str, Any] = {role: place.url for role, place in places.items() if isinstance(place, _Place)}
        return replace(row, lesson=replace(row.lesson, **urls))

    def _speeches(self, batch: str, rows: Iterable[CheckedRow]) -> dict[str, list[str]]:
        """Paths of the speeches in the inbox by the jobs that the rows became, and no others of the batch.

        Rows whose speeches differ in their names alone are one job: each name wants the video.
        """
        jobs = jobs_of(self._farm, batch, [row.right for row in rows if row.right])
        return {
            job: list(dict.fromkeys(self._path(str(right.lesson.speech)) for right in rights))
            for job, rights in jobs.items()
        }

    def _wrong(self, rows: Iterable[CheckedRow]) -> dict[str, str]:
        lessons = ((row.row.lesson, row.problems) for row in rows if row.right is None)
        return {self._path(str(lesson.speech)): "; ".join(problems) for lesson, problems in lessons if lesson}

    def _path(self, url: str) -> str:
        key = url.removeprefix(self._url)
        for place in self._places:
            if key.startswith(place):
                return key.removeprefix(place)
        return key


def _named(rows: Iterable[Row]) -> dict[str, str]:
    """URLs of the files that rows name, each with what it is for."""
    roles = {str(getattr(row.lesson, role)): role for row in rows if row.lesson for role in ROLES}
    roles.pop("None", None)
    return roles
