"""One batch of a farm: what may be asked of it and done with it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm import decisions
from farm.batch import decided, kept, lines, progress, report
from farm.batch.pilot import pilot_of
from farm.errors import InputRefusedError, NotAllowedError, NotFoundError
from farm.jobs.batches import batch_row, decide_batch, is_entering
from farm.jobs.model import JobState, priority_problems

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from farm.batch.collected import Collected
    from farm.batch.lines import RowView
    from farm.batch.pilot import Kept
    from farm.batch.progress import BatchView
    from farm.batch.report import ReportRow
    from farm.service import Farm
    from farm.storage import keys

LOOK_SECONDS = 1.0
"""Pause between two looks at a batch that is waited for."""
AT_ONCE = 16
"""Jobs that are decided about at the same time: each is a question to storage and one to the books."""
SHOWN = 10
"""Rows that failed or need review which a view names."""

OnShare = Callable[[float], None]
"""Called with the share done, 0 to 1."""


@dataclass(frozen=True)
class Moved:
    """What a decision about many rows did. jobs: those that it moved. refused: job -> why not."""

    jobs: tuple[str, ...]
    refused: dict[str, str]

    @property
    def changed(self) -> int:
        return len(self.jobs)


class Batch:
    """A batch of a farm. Rows are named by their numbers."""

    def __init__(self, farm: Farm, id: str) -> None:
        self._farm = farm
        self.id = id

    def __repr__(self) -> str:
        return f"Batch({self.id!r})"

    def view(self, *, most: int = SHOWN) -> BatchView:
        """Where the batch stands now; `rows` are the first that failed or need review, `most` of them."""
        return progress.batch_view(self._farm.books, self.id, most=most)

    def rows(self, first: int, last: int) -> tuple[RowView, ...]:
        """The rows from number `first` to `last`, both in."""
        return lines.row_views(self._farm.books, lines.jobs_of_rows(self._farm.books, self.id, first, last))

    def rows_of(self, jobs: Sequence[str]) -> tuple[RowView, ...]:
        """The rows that are these jobs."""
        return lines.row_views(self._farm.books, jobs)

    def changes(self) -> Iterator[BatchView]:
        """A view now and after every change, until all rows have ended."""
        last = None
        while True:
            view = self.view()
            if view != last:
                yield view
            last = view
            if view.ended:
                return
            time.sleep(LOOK_SECONDS)

    def pause(self) -> None:
        """Render nothing more of the batch until it is resumed; what is rendering is handed back."""
        self._stop("pause")

    def resume(self) -> None:
        """Go on with a batch that was paused, or stopped by its failures; those until now no longer count."""
        if batch_row(self._farm.books, self.id).state == "open":
            raise NotAllowedError(f"cannot resume batch {self.id}: it is not paused and not stopped")
        self._go_on()

    def set_limit(self, slots: int | None) -> None:
        """Let the batch have so many slots at once, None for any number."""
        if slots is not None and slots < 1:
            raise InputRefusedError([f"limit is {slots}, wanted 1 or more slots"])
        farm = self._farm
        kept.keep(farm.storage, replace(kept.asked_of(farm.storage, self.id), limit=slots))
        decide_batch(farm.books, self.id, "limit", who=farm.settings.owner, value=slots)
        farm.bell.ring(farm.books.dispatch())

    def cancel(self, *, on_progress: OnShare = lambda _: None) -> Moved:
        """Stop every row that has not ended for good. Nothing of it renders from now on.

        Raises NotAllowedError where all have ended: nothing would stop, and nothing could be added any more.
        """
        row = batch_row(self._farm.books, self.id)
        if row.state != "cancelled" and row.all_ended and not is_entering(self._farm.books, self.id):
            mended = "submit its manifest again for rows that are new or mended"
            failed = f"`farm batch retry {self.id}` takes up those that failed"
            raise NotAllowedError(f"cannot cancel batch {self.id}: it has ended; {mended}, {failed}")
        self._stop("cancel")
        return self._each(self._jobs_in(lambda state: not state.ended), "cancel", on_progress)

    def retry(
        self,
        *,
        cancelled: bool = False,
        only: Collection[str] | None = None,
        on_progress: OnShare = lambda _: None,
    ) -> Moved:
        """Try the rows that failed again, or those that were cancelled too; finished chunks are kept.

        only: the jobs that are meant, None for all of the batch.
        Raises NotAllowedError for a cancelled batch, unless its cancelled rows are meant: then it is open again.
        """
        row = batch_row(self._farm.books, self.id)
        if row.state == "cancelled" and not cancelled:
            raise NotAllowedError(f"cannot retry batch {self.id}: {row.reason}; its cancelled rows must be meant too")
        if row.state == "cancelled":
            self._go_on()
        wanted = {JobState.FAILED, JobState.CANCELLED} if cancelled else {JobState.FAILED}
        jobs = [job for job in self._jobs_in(lambda state: state in wanted) if only is None or job in only]
        moved = self._each(jobs, "retry", on_progress)
        if moved.jobs and row.pilot:  # a rejected row that is wanted after all must not come back held
            farm = self._farm
            decided.release(farm.books, farm.storage, self.id, moved.jobs, who=farm.settings.owner)
        return moved

    def set_priority(self, priority: int, *, on_progress: OnShare = lambda _: None) -> Moved:
        """0 is served first, 9 last; acts on the next chunk of every row that has not ended."""
        if problems := priority_problems(priority):
            raise InputRefusedError(problems)
        return self._each(self._jobs_in(lambda state: not state.ended), "priority", on_progress, value=priority)

    def release(self) -> int:
        """Let go all rows that wait for it; how many."""
        farm = self._farm
        held = [fact.job for fact in lines.facts(farm.books, self.id) if fact.held and not fact.state.ended]
        if not held:
            raise NotAllowedError(f"cannot release batch {self.id}: none of its rows is held")
        changed = decided.release(farm.books, farm.storage, self.id, held, who=farm.settings.owner)
        farm.bell.ring(farm.books.dispatch())
        return changed

    def reject(self, rows: Sequence[str]) -> Moved:
        """Cancel rows, "3" or "7-12", that are held: they will not be rendered.

        Raises InputRefusedError with every row that is none, or that is not held.
        """
        problems, jobs = [], list[str]()
        facts = list(lines.facts(self._farm.books, self.id))
        for written in rows:
            first, last = row_range(written)
            found = [fact for fact in facts if first <= fact.row <= last]
            if not found:
                problems.append(f"row {written} is not in batch {self.id}")
            problems += [
                f"row {fact.row} ({fact.job}) is not held, it is {fact.state}" for fact in found if not fact.held
            ]
            jobs += [fact.job for fact in found]
        if problems:
            raise InputRefusedError(problems)
        return self._each(list(dict.fromkeys(jobs)), "cancel", lambda _: None)

    def report(self, *, url_seconds: int | None = None) -> Iterator[ReportRow]:
        """A row for every lesson of the manifest, in its order; url_seconds: how long links to results are to work."""
        return report.report_rows(self._farm.books, self._farm.storage, self.id, url_seconds=url_seconds)

    def pilot(self) -> Batch:
        """The batch that has its clips; raises NotAllowedError where it was submitted without a pilot."""
        return Batch(self._farm, self._pilot().batch)

    def collect_pilot(self, out: Path, *, on_progress: OnShare = lambda _: None) -> Collected:
        """Write a contact sheet and a page with the clips to folder `out`, of those that are done."""
        from farm.batch.collected import collect

        return collect(self._farm.books, self._farm.storage, self.id, self._pilot(), out, on_progress=on_progress)

    def _pilot(self) -> Kept:
        found = pilot_of(self._farm.storage, self.id)
        if found is None:
            raise NotAllowedError(f"batch {self.id} has no pilot: it was submitted without one")
        return found

    def _stop(self, what: keys.BatchDecision) -> None:
        farm, who = self._farm, self._farm.settings.owner
        if what == "pause" and (state := batch_row(farm.books, self.id).state) != "open":
            raise NotAllowedError(f"cannot pause batch {self.id}: it is {state}")
        # as for a job: what stops is in storage before the books hear of it, what lets go on leaves storage after
        decided.keep(farm.storage, self.id, what, who=who)
        decide_batch(farm.books, self.id, what, who=who)

    def _go_on(self) -> None:
        farm = self._farm
        decide_batch(farm.books, self.id, "resume", who=farm.settings.owner)
        decided.lift(farm.storage, self.id)
        farm.bell.ring(farm.books.dispatch())

    def _jobs_in(self, wanted: Callable[[JobState], bool]) -> list[str]:
        return [fact.job for fact in lines.facts(self._farm.books, self.id) if wanted(fact.state)]

    def _each(self, jobs: Sequence[str], what: str, on_progress: OnShare, *, value: int | None = None) -> Moved:
        """Decide the same about many jobs; one that has moved on meanwhile is no error of the others."""
        farm, refused = self._farm, dict[str, str]()

        def decide(job: str) -> None:
            try:
                decisions.decide(farm.books, farm.storage, job, what, who=farm.settings.owner, value=value)
            except (NotAllowedError, NotFoundError) as error:
                refused[job] = str(error)

        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="decide")
        try:
            for number, _ in enumerate(pool.map(decide, jobs), start=1):
                on_progress(number / len(jobs))
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C nobody waits for the rest
        farm.bell.ring(farm.books.dispatch())
        return Moved(tuple(job for job in jobs if job not in refused), refused)


def row_range(written: str) -> tuple[int, int]:
    """The rows that people name, "7" or "7-12", as first and last."""
    found = re.fullmatch(r"([0-9]{1,7})(?:-([0-9]{1,7}))?", written.strip())
    if found is None or int(found[2] or found[1]) < int(found[1]):
        raise InputRefusedError([f"row is {written[:40]!r}, wanted a number such as 7, or from and to such as 7-12"])
    return int(found[1]), int(found[2] or found[1])
