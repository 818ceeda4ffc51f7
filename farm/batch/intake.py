"""From a manifest to a batch: what `farm batch check`, `plan` and `submit` begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.batch.check import CheckedRow, check_rows
from farm.batch.manifest import read_manifest
from farm.batch.rows import Given, rows_of
from farm.errors import InputRefusedError

if TYPE_CHECKING:
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
        return [f"row {row.row.number}: {problem}" for row in self.wrong for problem in row.problems]

    def to_dict(self) -> dict[str, Any]:
        return {
            "manifest": self.manifest,
            "right": len(self.right),
            "wrong": len(self.wrong),
            "rows": [row.to_dict() for row in self.rows],
        }


@dataclass(frozen=True, kw_only=True)
class Order:
    """How a checked manifest is to be submitted. name: None for the manifest's. See farm.batch.submit.Terms."""

    name: str | None = None
    max_failures: str | None = None
    limit: int | None = None
    webhook: str = ""
    all_or_nothing: bool = False


def check_batch(farm: Farm, manifest: str, *, defaults: str | None, given: Given, on_step: OnStep) -> BatchCheck:
    """Look at everything that a manifest names; nothing is stored or queued. `given` beats the manifest's defaults.

    Raises InputRefusedError for a manifest that cannot be read as one; a row that is wrong is told with the rows.
    """
    found = read_manifest(manifest, storage=farm.storage, defaults=defaults)
    owner = given.owner or found.defaults.get("owner") or farm.settings.owner
    rows = check_rows(
        rows_of(found, given, storage=farm.storage),
        storage=farm.storage,
        settings=farm.settings.model_copy(update={"owner": owner}),
        declared=farm.declared(),
        on_file=lambda done, of: on_step("checking", done, of),
    )
    return BatchCheck(manifest=manifest, stem=found.stem, owner=owner, rows=tuple(rows))


def submit_check(farm: Farm, check: BatchCheck, order: Order, on_step: OnStep) -> Submitted:
    """Make a batch of the rows that are right. Raises InputRefusedError where there is none, or all must be right."""
    from farm.batch.submit import Terms, submit_rows

    if check.wrong and (order.all_or_nothing or not check.right):
        raise InputRefusedError(check.problems)
    terms = Terms(
        name=order.name if order.name is not None else check.stem,
        owner=check.owner,
        manifest=check.manifest,
        max_failures=order.max_failures,
        limit=order.limit,
        webhook=order.webhook,
    )
    return submit_rows(farm, check.rows, terms, on_step)
