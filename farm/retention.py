"""What is kept for how long in storage, and what goes: `farm clean`.

Storage is listed as a stream, job by job. Of every job the books are asked first, and they are told before anything is
removed that could still be wanted; so a run that is interrupted leaves nothing half valid, and the next one goes on.
Jobs that the books do not know are left alone.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Literal, get_args

from farm.errors import CorruptObjectError, NotFoundError
from farm.folder.inbox import Inbox
from farm.folder.kept import archived_names, claimed_jobs
from farm.jobs.model import JobState
from farm.jobs.removal import (
    Standing,
    forget_job,
    is_being_edited,
    job_count,
    segments_removed,
    standings,
    version_removed,
)
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from farm.jobs.store import Books
    from farm.settings import Settings
    from farm.storage.s3 import ObjectInfo, Storage

Kind = Literal["jobs", "segments", "index", "logs", "results", "leftovers", "inputs", "inbox"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DAY = 24 * 3600.0
GRACE_SECONDS = 2 * DAY
"""What no job names stays so long: it may be of a job that is being submitted. Longer than storage.s3.FRESH_SECONDS."""
AT_ONCE = 100
"""Jobs that are asked after together."""
READ_AT_ONCE = 16


@dataclass(frozen=True)
class Gone:
    """What goes of one kind. oldest: when the oldest was written, Unix seconds."""

    objects: int = 0
    bytes: int = 0
    oldest: float | None = None

    def __add__(self, items: Sequence[ObjectInfo]) -> Gone:
        times = [item.modified for item in items] + ([] if self.oldest is None else [self.oldest])
        size = sum(item.size for item in items)
        return Gone(self.objects + len(items), self.bytes + size, min(times, default=None))


@dataclass(frozen=True)
class Cleaned:
    """What went, or would go. jobs: looked at, of so many in the books; unknown: not in them, so left alone.

    problems: job -> why it cannot be read; while there is one, inputs are left alone, they may be its.
    """

    jobs: int = 0
    of: int = 0
    unknown: int = 0
    gone: Mapping[Kind, Gone] = field(default_factory=lambda: dict.fromkeys(KINDS, Gone()))
    problems: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def clean(
    books: Books, storage: Storage, settings: Settings, *, dry_run: bool, on_step: Callable[[Cleaned], None]
) -> Cleaned:
    """Remove what the settings no longer keep. dry_run: only say what would go. on_step: called after each job.

    Raises UnreachableError when Redis or storage does not answer; what went by then is gone, run it again.
    """
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        cleaning = _Cleaning(books, storage, settings, pool, dry_run, on_step)
        return cleaning.run()


@dataclass
class _Cleaning:
    """One run of it. wanted: inputs that jobs name. claimed: jobs that inboxes have still to deliver."""

    books: Books
    storage: Storage
    settings: Settings
    pool: ThreadPoolExecutor
    dry_run: bool
    on_step: Callable[[Cleaned], None]
    now: float = field(default_factory=time.time)
    so_far: Cleaned = field(default_factory=Cleaned)
    wanted: set[str] = field(default_factory=set)
    claimed: Collection[str] = ()

    def run(self) -> Cleaned:
        if self.settings.keep_jobs_days is not None:
            self.claimed = claimed_jobs(self.books)
        self.so_far = replace(self.so_far, of=job_count(self.books))
        for page in _pages(_by_job(self.storage), AT_ONCE):
            self._look_at(page)
        if not self.so_far.problems:
            self._inputs()
        if self.settings.keep_inbox_days is not None:
            self._inboxes(self.settings.keep_inbox_days)
        return self.so_far

    def _look_at(self, page: dict[str, list[ObjectInfo]]) -> None:
        known = standings(self.books, list(page))
        asked = [job for job, items in page.items() if any(item.key == keys.job_json(job) for item in items)]
        staying = set(asked)
        for job, items in page.items():
            if job in known and self._forgotten(job, known[job], items):
                staying.discard(job)
            elif job in known:
                self._unmark(job, items)
                self._look_at_job(job, known[job], items)
            elif any(item.key == keys.forgotten(job) for item in items):
                staying.discard(job)
                self._erase(job, items)
            elif job not in asked and _all_older(items, self.now - GRACE_SECONDS):
                self._remove("leftovers", items)
            lost = job in staying and job not in known
            self.so_far = replace(self.so_far, jobs=self.so_far.jobs + 1, unknown=self.so_far.unknown + lost)
            self.on_step(self.so_far)
        for job, (wanted, problem) in zip(staying, self.pool.map(self._inputs_of, staying), strict=True):
            self.wanted |= wanted
            if problem:
                self.so_far = replace(self.so_far, problems={**self.so_far.problems, job: problem})

    def _forgotten(self, job: str, standing: Standing, items: list[ObjectInfo]) -> bool:
        """Remove all of a job that ended long ago; False when it stays."""
        days = self.settings.keep_jobs_days
        if days is None or not standing.state.ended or standing.ended > (old := self._before(days)):
            return False
        if job in self.claimed or is_being_edited(self.books, job):
            return False
        if not self.dry_run:
            # storage first: of books that have forgotten it nobody learns any more that it was to go
            self.storage.put_json(keys.forgotten(job), {"version": 1, "who": self.settings.owner, "at": self.now})
            if not forget_job(self.books, job, before=old):
                self._unmark(job, self.storage.list(keys.forgotten(job)))
                return False
        self._erase(job, items)
        return True

    def _unmark(self, job: str, items: Iterable[ObjectInfo]) -> None:
        """A job goes on whose removal was given up; one that another run has just forgotten does not."""
        mark = keys.forgotten(job)
        if not self.dry_run and any(item.key == mark for item in items) and self.books.knows(job):
            self.storage.delete(mark)

    def _erase(self, job: str, items: list[ObjectInfo]) -> None:
        """Remove all of a job; the mark last, so that another run goes on where this one is interrupted."""
        first, last = keys.job_json(job), keys.forgotten(job)
        self._remove("index", self._offered(items))
        # what was asked before the rest: nobody takes up a job without it
        self._remove("jobs", [item for item in items if item.key == first])
        self._remove("jobs", [item for item in items if item.key not in {first, last}])
        if not self.dry_run:
            self.storage.delete(last)

    def _inputs_of(self, job: str) -> tuple[set[str], str]:
        """The inputs that a job names, and why that cannot be told."""
        key = keys.job_json(job)
        try:
            request = self.storage.get_json(key)
            return {request["portrait"], request["speech"], request.get("subtitles", "")}, ""
        except NotFoundError:  # its submit was given up meanwhile
            return set(), ""
        except CorruptObjectError as error:
            return set(), str(error)
        except (AttributeError, KeyError, TypeError) as error:
            return set(), f"{self.storage.address(key)} is not what the farm writes there: {error!r}"

    def _look_at_job(self, job: str, standing: Standing, items: list[ObjectInfo]) -> None:
        if not standing.state.ended:
            return
        parts = [(found, item) for item in items if (found := keys.job_object(item.key)) is not None]
        self._segments(job, standing, [item for _, item in parts if item.key.startswith(keys.segments_folder(job))])
        old = self._before(self.settings.keep_logs_days)
        logs = [item for _, item in parts if item.key.startswith(keys.logs_folder(job))]
        self._remove("logs", [item for item in logs if item.modified <= old])
        if self.settings.keep_results_days is None:
            return
        old = self._before(self.settings.keep_results_days)
        for version in sorted({found.version for found, _ in parts if found.version is not None}):
            of_version = [item for found, item in parts if found.version == version]
            if version != standing.current and _all_older(of_version, old):
                self._version(job, version, of_version)

    def _segments(self, job: str, standing: Standing, items: list[ObjectInfo]) -> None:
        old = self._before(self.settings.keep_segments_days)
        if standing.state is not JobState.DONE or not (standing.cleaned or standing.ended <= old) or not items:
            return
        offered = self._offered(items)
        if not self.dry_run and not self._marked(job, standing):
            return
        self._remove("index", offered)
        self._remove("segments", items)

    def _marked(self, job: str, standing: Standing) -> bool:
        """Let nothing of a job be rendered again; False when somebody has it drawn anew just now."""
        who = self.settings.owner
        # storage first: books that are lost after it learn there that nothing is left to render into
        self.storage.put_json(keys.cleaned(job), {"version": 1, "who": who, "at": self.now})
        if standing.cleaned or segments_removed(self.books, job, before=standing.ended, who=who):
            return True
        self.storage.delete(keys.cleaned(job))
        return False

    def _offered(self, items: list[ObjectInfo]) -> list[ObjectInfo]:
        """Entries of the index by which other jobs would take one of these segments."""
        commits = [item.key for item in items if item.key.endswith("/segment.json")]
        return [entry for entry in self.pool.map(self._entry, commits) if entry is not None]

    def _entry(self, commit: str) -> ObjectInfo | None:
        named = keys.job_object(commit)
        try:
            recipe = self.storage.get_json(commit).get("recipe")
            if recipe is None or named is None:
                return None
            key = keys.rendered(recipe)
            found = self.storage.get_json(key)
        except (NotFoundError, CorruptObjectError):  # removed by now, or of no use to anybody
            return None
        source = found.get("job"), str(found.get("chunk")), found.get("attempt")
        return self.storage.head(key) if source == (named.job, named.unit, named.attempt) else None

    def _version(self, job: str, version: int, items: list[ObjectInfo]) -> None:
        if not self.dry_run and not version_removed(self.books, job, version, who=self.settings.owner):
            return
        # its report first: without it a recovery takes the rest for no version
        report = keys.result(job, version, "report.json")
        self._remove("results", [item for item in items if item.key == report])
        self._remove("results", [item for item in items if item.key != report])

    def _inputs(self) -> None:
        """Portraits, speeches and subtitles that no job names. One that is submitted again is written anew by then."""
        old = self.now - GRACE_SECONDS
        for item in self.storage.list(keys.ASSETS):
            sha256 = keys.asset_digest(item.key)
            if sha256 is None or sha256 in self.wanted or item.modified > old:
                continue
            if self.dry_run or ((now := self.storage.head(item.key)) is not None and now.modified <= old):
                self._remove("inputs", [item])

    def _inboxes(self, days: float) -> None:
        """What inboxes took and put away; in a done/ that others have too there may be more."""
        old = self._before(days)
        for inbox in {Inbox.at(url, self.settings) for url in self.settings.inboxes}:
            storage, ours = self.storage.beside(inbox.bucket), archived_names(self.books, inbox)
            for place in (inbox.done, inbox.failed):
                found = (item for item in storage.list(place) if item.key.removeprefix(place) in ours)
                for page in _chunks(found, 1000):
                    self._remove("inbox", [item for item in page if item.modified <= old], storage=storage)

    def _before(self, days: float) -> float:
        return self.now - days * DAY

    def _remove(self, kind: Kind, items: Sequence[ObjectInfo], *, storage: Storage | None = None) -> None:
        if not items:
            return
        if not self.dry_run:
            (storage or self.storage).delete(*(item.key for item in items))
        self.so_far = replace(self.so_far, gone={**self.so_far.gone, kind: self.so_far.gone[kind] + items})


def _by_job(storage: Storage) -> Iterator[tuple[str, list[ObjectInfo]]]:
    """Jobs with all that lies in their folders; keys are listed in order, so a job's stand together."""
    for folder, items in groupby(storage.list(keys.JOBS), key=lambda item: item.key.split("/")[1]):
        if keys.is_job(folder):
            yield folder, list(items)


def _all_older(items: Sequence[ObjectInfo], than: float) -> bool:
    return all(item.modified <= than for item in items)


def _pages(pairs: Iterator[tuple[str, list[ObjectInfo]]], size: int) -> Iterator[dict[str, list[ObjectInfo]]]:
    while page := dict(islice(pairs, size)):
        yield page


def _chunks(items: Iterator[ObjectInfo], size: int) -> Iterator[list[ObjectInfo]]:
    while page := list(islice(items, size)):
        yield page
