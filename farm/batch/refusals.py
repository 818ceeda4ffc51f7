"""The rows of a batch that its check refused: they are no jobs, and its report names them all the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.storage import keys

if TYPE_CHECKING:
    from farm.storage.s3 import Storage


@dataclass(frozen=True)
class Refusal:
    """A row that became no job. problems: one sentence for each reason."""

    row: int
    name: str
    problems: tuple[str, ...]


def refused_rows(storage: Storage, batch: str) -> tuple[Refusal, ...]:
    """Those of the last submit, in the manifest's order."""
    key = keys.batch_refused(batch)
    if not storage.exists(key):
        return ()
    return tuple(Refusal(one["row"], one["name"], tuple(one["problems"])) for one in storage.get_json(key))
