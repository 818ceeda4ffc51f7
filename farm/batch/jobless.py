"""The rows of a batch that are no jobs of their own: its report names them all the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.storage.s3 import Storage


@dataclass(frozen=True)
class Jobless:
    """A row that became no job, by its line. problems: one sentence for each reason why its check refused it. same_as:
    the number of the row that is the same lesson, where that is why.
    """

    row: int
    name: str
    problems: tuple[str, ...] = ()
    same_as: int | None = None


def keep_jobless(storage: Storage, batch: str, rows: Iterable[Jobless]) -> None:
    """Write down those of a submit, instead of those before."""
    in_order = sorted(rows, key=lambda row: row.row)
    storage.put_json(keys.batch_jobless(batch), {"version": 1, "rows": [asdict(row) for row in in_order]})


def jobless_rows(storage: Storage, batch: str) -> tuple[Jobless, ...]:
    """Those of the last submit, in the manifest's order."""
    key = keys.batch_jobless(batch)
    if not storage.exists(key):
        return ()
    rows = storage.get_json(key)["rows"]
    return tuple(Jobless(one["row"], one["name"], tuple(one["problems"]), one["same_as"]) for one in rows)
