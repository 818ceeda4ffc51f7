"""What came of looking at a manifest, for people: reasons with the rows that they hold for, and a table of all rows."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from farm.batch.spreadsheet import write_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.batch.check import CheckedRow

COLUMNS = ("row", "name", "ok", "problems", "warnings", "seconds", "portrait", "speech")


def reasons(rows: Iterable[CheckedRow], *, warnings: bool = False) -> list[tuple[str, list[CheckedRow]]]:
    """Each problem, or each warning, once, with the rows that have it, in their order."""
    found: dict[str, list[CheckedRow]] = {}
    for row in rows:
        for sentence in row.warnings if warnings else row.problems:
            found.setdefault(sentence, []).append(row)
    return list(found.items())


def ranges(rows: Iterable[int], between: str = ", ") -> str:
    """Row numbers as people write them: "3, 7-12"."""
    wanted = sorted(set(rows))
    runs = [[each for _, each in run] for _, run in groupby(enumerate(wanted), lambda pair: pair[1] - pair[0])]
    return between.join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def write_csv(rows: Iterable[CheckedRow], path: Path) -> None:
    """Every row as a line that spreadsheets open."""
    write_table(path, COLUMNS, map(_cells, rows))


def _cells(row: CheckedRow) -> dict[str, Any]:
    words = {"problems": "; ".join(row.problems), "warnings": "; ".join(row.warnings)}
    return {**row.to_dict(), "ok": "no" if row.problems else "yes", **words}
