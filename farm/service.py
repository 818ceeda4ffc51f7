"""The verbs. The command line and the public Python API call only this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from farm import submission
from farm.errors import BooksUnreachableError
from farm.job import Job
from farm.jobs import health, hooks, views
from farm.jobs.batches import batch_ids, batch_row
from farm.jobs.model import DEFAULT_PRIORITY, JobView, SlotView, largest_frames
from farm.jobs.store import Books
from farm.recover import Recovered, recover
from farm.settings import Settings
from farm.storage import keys
from farm.storage.s3 import Storage, sha256_of
from farm.submission import Lesson

if TYPE_CHECKING:
    from pathlib import Path

    from farm.batch.batch import Batch
    from farm.batch.intake import BatchCheck, Order
    from farm.batch.plan import BatchPlan
    from farm.batch.submit import Submitted
    from farm.dryrun import DryRun
    from farm.jobs.batches import BatchRow
    from farm.jobs.glance import Glance
    from farm.jobs.health import StoragePause
    from farm.jobs.hooks import Delivery
    from farm.messages import Bell
    from farm.retention import Cleaned

OnStep = Callable[[str, float], None]
"""Called with what is being done and the share of it done, 0 to 1."""
OnCount = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


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

    def __exit__(self, *_: object) -> None:
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
        webhook: str = "",
        edit_of: str = "",
        subtitles: str | Path | None = None,
        on_progress: OnStep | None = None,
        **parameters: Any,
    ) -> Job:
        """Check everything, store the inputs, enter the job into the books.

        portrait, speech: paths or s3:// URLs. name: defaults to the speech's file name. priority: 0 first, 9 last.
        duration: seconds that the speech should have, checked. chunk_seconds: video seconds a chunk keeps, by default
        what suits the farm when the job is planned. token: a second submit with the same one returns the same job.
        consent: where the agreement of the person shown is kept. webhook: a URL that is told how the job ends.
        edit_of: a planned job whose cuts are kept where the speech is the same. subtitles: an SRT file. parameters:
        fields of engine.spec.RenderSpec and OutputSpec.

        Raises InputRefusedError with every problem at once; then nothing is left behind.
        """
        from farm.edit import edit_problems

        say = on_progress or (lambda _what, _share: None)
        lesson = Lesson(
            portrait=portrait,
            speech=speech,
            name=name,
            owner=owner,
            priority=priority,
            duration=duration,
            chunk_seconds=chunk_seconds,
            token=token,
            consent=consent,
            webhook=webhook,
            edit_of=edit_of,
            subtitles=subtitles,
            parameters=parameters,
        ).named(self.settings)
        with submission.at_hand(lesson, self.storage) as files:
            say("checking", 0.0)
            declared, looks = self.declared(), submission.look(files, self.settings)
            wrong = edit_problems(self.storage, edit_of)
            checked = submission.check(lesson, looks, self.settings, declared=declared, found=wrong)
            say("storing", 0.0)
            stored = submission.store(files, self.storage, on_progress=lambda share: say("storing", share))
        id_ = submission.new_id()
        request = submission.request_for(lesson, checked, stored, self.settings, id=id_)
        known, created = submission.enter(self, request)
        return Job(self, known, warnings=request.warnings if created else (), created=created)

    def dry_run(
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
        webhook: str = "",
        edit_of: str = "",
        subtitles: str | Path | None = None,
        on_progress: OnStep | None = None,
        **parameters: Any,
    ) -> DryRun:
        """Check a job as `submit` does and plan it for the farm as it is now; nothing is queued, nothing stored."""
        from farm.dryrun import Wanted, dry_run
        from farm.edit import edit_problems

        say = on_progress or (lambda _what, _share: None)
        lesson = Lesson(
            portrait=portrait,
            speech=speech,
            name=name,
            owner=owner,
            priority=priority,
            duration=duration,
            chunk_seconds=chunk_seconds,
            token=token,
            consent=consent,
            webhook=webhook,
            edit_of=edit_of,
            subtitles=subtitles,
            parameters=parameters,
        ).named(self.settings)
        with submission.at_hand(lesson, self.storage) as files:
            say("checking", 0.0)
            try:
                declared = self.declared()
            except BooksUnreachableError:  # the plan itself says that it was made without the farm
                declared = None
            looks = submission.look(files, self.settings)
            wrong = edit_problems(self.storage, edit_of)
            checked = submission.check(lesson, looks, self.settings, declared=declared, found=wrong)
            wanted = Wanted(
                spec=checked.spec,
                output=submission.settled(checked, self.settings),
                pixels=checked.pixels,
                owner=lesson.owner or "",
                priority=priority,
                chunk_seconds=chunk_seconds,
                portrait=sha256_of(files.portrait),
                edit_of=edit_of,
            )
            found = dry_run(
                files.speech,
                wanted,
                books=self.books,
                storage=self.storage,
                settings=self.settings,
                on_progress=lambda share: say("planning", share),
            )
        return replace(found, warnings=(*checked.warnings, *found.warnings))

    def declared(self) -> dict[str, float]:
        """Renderers that the farm's slots offer now, each with the most pixels of a frame that one of them takes."""
        return largest_frames(slot for slot in self.slots() if slot.state != "lost")

    def job(self, id: str) -> Job:
        """A job by its id; raises NotFoundError."""
        keys.job_folder(id)
        fields = views.job_fields(self.books, id)
        return Job(self, id, warnings=views.warnings_of(fields))

    def jobs(self, *, owner: str | None = None, state: str | None = None, limit: int = 50) -> list[JobView]:
        """Jobs, newest first."""
        ids = views.job_ids(self.books, owner=owner, state=state)
        return [views.job_view(self.books, id_) for id_ in islice(ids, limit)]

    def check_batch(
        self,
        manifest: str | Path,
        *,
        defaults: str | Path | None = None,
        owner: str | None = None,
        priority: int | None = None,
        on_step: OnCount | None = None,
    ) -> BatchCheck:
        """Look at everything that a manifest names, each file once; nothing is stored or queued.

        manifest: CSV, JSON Lines or YAML, a path or an s3:// URL. defaults: a YAML file of defaults and presenters.
        owner, priority: of rows that do not say it. Raises InputRefusedError for a manifest that cannot be read.
        """
        from farm.batch.intake import check_batch
        from farm.batch.rows import Given

        shared = str(defaults) if defaults is not None else None
        return check_batch(
            self, str(manifest), defaults=shared, given=Given(owner, priority), on_step=on_step or (lambda *_: None)
        )

    def submit_batch(
        self, manifest: str | Path | BatchCheck, order: Order | None = None, *, on_step: OnCount | None = None
    ) -> Submitted:
        """Make a batch of a manifest's rows that are right, checked before or now; `batch` takes its id.

        The same manifest again adds only what is new or changed. Raises InputRefusedError where no row is right, or
        the order wants all to be; NotAllowedError for a batch that was cancelled.
        """
        from farm.batch.intake import BatchCheck, Order, submit_check

        check = manifest if isinstance(manifest, BatchCheck) else self.check_batch(manifest, on_step=on_step)
        return submit_check(self, check, order or Order(), on_step or (lambda *_: None))

    def plan_batch(
        self, manifest: str | Path | BatchCheck, order: Order | None = None, *, on_step: OnCount | None = None
    ) -> BatchPlan:
        """Foretell what submitting a manifest would add: video, chunks, hours, money, when it is done."""
        from farm.batch.intake import BatchCheck, Order, plan_check

        check = manifest if isinstance(manifest, BatchCheck) else self.check_batch(manifest, on_step=on_step)
        return plan_check(self, check, order or Order())

    def batch(self, id: str) -> Batch:
        """A batch by its id; raises NotFoundError."""
        from farm.batch.batch import Batch

        keys.batch_folder(id)
        batch_row(self.books, id)
        return Batch(self, id)

    def batches(self, *, owner: str | None = None, limit: int = 50) -> list[BatchRow]:
        """Batches, newest first."""
        return [batch_row(self.books, id_) for id_ in batch_ids(self.books, owner=owner)[:limit]]

    def recover(self, *, on_step: Callable[[Recovered], None] | None = None) -> Recovered:
        """Bring back from storage every job that the books do not know; on_step is called after each job.

        For books that were emptied. May run at any time, beside workers too: what the books know is left alone.
        """
        return recover(self.books, self.storage, who=self.settings.owner, on_step=on_step or (lambda _: None))

    def clean(self, *, dry_run: bool = False, on_step: Callable[[Cleaned], None] | None = None) -> Cleaned:
        """Remove from storage what the settings keep_* no longer keep; on_step is called after each job.

        dry_run: only say what would go. May run at any time, and again where it was interrupted.
        """
        from farm.retention import clean

        return clean(self.books, self.storage, self.settings, dry_run=dry_run, on_step=on_step or (lambda _: None))

    def webhooks(self, *, failed: bool = False, limit: int = 50) -> list[Delivery]:
        """Webhooks that wait, and those of the last week, newest first. failed: only those that were given up."""
        return hooks.deliveries(self.books, failed=failed, limit=limit)

    def send_webhook(self, id: str) -> None:
        """Send a webhook again, now; the sweeper's process does. Raises NotFoundError."""
        hooks.send_again(self.books, id)

    def try_webhook(self, url: str | None = None) -> str:
        """Send an event of type "test" from here; its id. url: None for the one of the settings.

        Raises InputRefusedError, and DeliveryError when it was not taken.
        """
        from farm.hooks.trial import try_out

        return try_out(url, self.settings)

    def slots(self) -> list[SlotView]:
        """Every slot that reported, by name."""
        return views.slot_views(self.books)

    def storage_pause(self) -> StoragePause | None:
        """Why nothing is begun just now, None while storage works."""
        return health.storage_pause(self.books)

    def glance(self) -> Glance:
        """Slots, what waits and runs, rates and the last failures: cheap, whatever the number of jobs."""
        from farm.jobs.glance import glance

        return glance(self.books)

    def cpu_workers(self) -> list[str]:
        """Names of the cpu workers that showed themselves lately."""
        return views.cpu_workers(self.books)
