"""From a manifest to a batch: what `farm batch check`, `plan` and `submit` begin with."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from farm.batch.check import CheckedRow, check_rows, local_file, problems_of
from farm.batch.manifest import read_manifest
from farm.batch.rows import Given, Row, rows_of
from farm.errors import InputRefusedError
from farm.hooks.receiver import url_problems
from farm.jobs.batches import batch_named, batch_row, note_batch
from farm.submission import LONGEST_NAME, label_problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.batch.pilot import Pilot
    from farm.batch.plan import BatchPlan
    from farm.batch.submit import OnStep, Submitted
    from farm.service import Farm


@dataclass(frozen=True, kw_only=True)
class BatchCheck:
    """A manifest whose rows were all looked at. stem: its name without its ending. owner: whose batch it would be."""

    manifest: str
    stem: str
    owner: str
    rows: tuple[CheckedRow, ...]

    @property
    def right(self) -> tuple[CheckedRow, ...]:
        return tuple(row for row in self.rows if row.right is not None)

    @property
    def wrong(self) -> tuple[CheckedRow, ...]:
        return tuple(row for row in self.rows if row.right is None)

    @property
    def problems(self) -> list[str]:
        """One sentence for each reason, with the row's number before it."""
        return problems_of(self.rows)

    def to_dict(self) -> dict[str, Any]:
        return {
            "manifest": self.manifest,
            "right": len(self.right),
            "wrong": len(self.wrong),
            "rows": [row.to_dict() for row in self.rows],
        }


@dataclass(frozen=True, kw_only=True)
class Order:
    """How a checked manifest is to be submitted; see farm.batch.submit.Terms. name: None for the manifest's. pilot:
    what is rendered first while all rows are held.
    """

    name: str | None = None
    max_failures: str | None = None
    limit: int | None = None
    webhook: str = ""
    pilot: Pilot | None = None
    all_or_nothing: bool = False

    def __post_init__(self) -> None:
        problems, most = label_problems(name=self.name), self.max_failures
        if most and not re.fullmatch(r"[0-9]{1,9}|([0-9]{1,2}(\.[0-9]{1,3})?|100)%", most):
            problems.append(f"max_failures is {most[:40]!r}, wanted a number of jobs, or a share of them such as 5%")
        if self.limit is not None and self.limit < 1:
            problems.append(f"limit is {self.limit}, wanted 1 or more slots")
        if problems:
            raise InputRefusedError(problems)


def check_batch(farm: Farm, manifest: str, *, defaults: str | None, given: Given, on_step: OnStep) -> BatchCheck:
    """Look at everything that a manifest names; nothing is stored or queued. `given` beats the manifest's defaults.

    Raises InputRefusedError for a manifest that cannot be read as one; a row that is wrong is told with the rows.
    """
    found = read_manifest(manifest, storage=farm.storage, defaults=defaults)
    owner = given.owner or found.defaults.get("owner") or farm.settings.owner
    rows = check_for(farm, rows_of(found, given, storage=farm.storage), owner, on_step)
    return BatchCheck(manifest=manifest, stem=found.stem, owner=owner, rows=tuple(rows))


def submit_check(farm: Farm, check: BatchCheck, order: Order, on_step: OnStep) -> Submitted:
    """Make a batch of the rows that are right. Raises InputRefusedError where there is none, or all must be right."""
    from farm.batch.submit import Terms, submit_rows

    _refuse_webhook(farm, order)
    if check.wrong and (order.all_or_nothing or not check.right):
        raise InputRefusedError(check.problems)
    terms = Terms(
        name=order.name if order.name is not None else check.stem,
        owner=check.owner,
        manifest=check.manifest,
        max_failures=order.max_failures,
        limit=order.limit,
        webhook=order.webhook,
        held=order.pilot is not None,
    )
    submitted = submit_rows(farm, check.rows, terms, on_step)
    if order.pilot is None:
        return submitted
    return replace(submitted, pilot=_submit_pilot(farm, check, order.pilot, submitted, on_step))


def plan_check(farm: Farm, check: BatchCheck, order: Order) -> BatchPlan:
    """Foretell what a submit would add; rows that are jobs of the batch already count for nothing."""
    from farm.batch.plan import plan_rights
    from farm.batch.submit import new_rights

    _refuse_webhook(farm, order)
    rights = [row.right for row in check.rows if row.right is not None]
    name = order.name if order.name is not None else check.stem
    new = new_rights(farm, rights, owner=check.owner, name=name)
    batch = batch_named(farm.books, check.owner, name)
    limit = order.limit or (batch_row(farm.books, batch).limit if batch else None)
    return plan_rights(farm, new, there=len(rights) - len(new), batch=batch, limit=limit)


def _refuse_webhook(farm: Farm, order: Order) -> None:
    if problems := url_problems(order.webhook, private=farm.settings.webhook_private) if order.webhook else []:
        raise InputRefusedError(problems)


def _submit_pilot(farm: Farm, check: BatchCheck, pilot: Pilot, whole: Submitted, on_step: OnStep) -> str:
    """The clips as a batch of their own; its id. Those of an earlier submit are known by their content."""
    from farm.batch.lines import facts
    from farm.batch.pilot import MARK, Candidate, keep_samples, pilot_of, pilot_samples
    from farm.batch.submit import Terms, job_of_each, submit_rows

    rights = [(row.row.presenter, row.right) for row in check.rows if row.right is not None]
    jobs = job_of_each(farm, whole.id, [right for _, right in rights])
    numbers = {fact.job: fact.row for fact in facts(farm.books, whole.id)}
    candidates: dict[int, Candidate] = {}
    for number, (presenter, found) in zip(map(numbers.__getitem__, jobs), rights, strict=True):
        candidates.setdefault(number, Candidate(number, presenter, found.lesson))  # of twins the first gives the name
    terms = Terms(name=whole.name[: LONGEST_NAME - len(MARK)] + MARK, owner=check.owner, manifest=check.manifest)
    with TemporaryDirectory(prefix="sonic-farm-pilot-") as folder:
        local = partial(local_file, storage=farm.storage)
        before = pilot_of(farm.storage, whole.id)
        samples = pilot_samples(candidates.values(), pilot, folder=Path(folder), local=local, before=before)
        rows = [Row(one.row, one.lesson.name or "", one.who, one.lesson) for one in samples]
        checked = check_for(farm, rows, check.owner, on_step)
        clips = submit_rows(farm, checked, terms, on_step)
    right = [(one, row.right) for one, row in zip(samples, checked, strict=True) if row.right is not None]
    of_clips = job_of_each(farm, clips.id, [clip for _, clip in right])
    shown = [(job, one) for job, (one, _) in zip(of_clips, right, strict=True)]
    keep_samples(farm.storage, whole.id, clips.id, shown)
    note_batch(farm.books, whole.id, pilot=clips.id)
    return clips.id


def check_for(farm: Farm, rows: Sequence[Row], owner: str, on_step: OnStep) -> list[CheckedRow]:
    """Hold rows against their files and the farm as it is now, as jobs of `owner`."""
    return check_rows(
        rows,
        storage=farm.storage,
        settings=farm.settings.model_copy(update={"owner": owner}),
        declared=farm.declared(),
        on_file=lambda done, of: on_step("checking", done, of),
    )
