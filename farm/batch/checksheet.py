"""What came of looking at a manifest, for people: reasons with the rows that they hold for, and a table of all rows."""

from __future__ import annotations

import csv
from itertools import groupby
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.batch.check import CheckedRow

COLUMNS = ("row", "name", "ok", "problems", "warnings", "seconds", "portrait", "speech")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of a formula."""


def reasons(rows: Iterable[CheckedRow], *, warnings: bool = False) -> list[tuple[str, list[CheckedRow]]]:
    """Each problem, or each warning, once, with the rows that have it, in their order."""
    found: dict[str, list[CheckedRow]] = {}
    for row in rows:
        for sentence in row.warnings if warnings else row.problems:
            found.setdefault(sentence, []).append(row)
    return list(found.items())


def numbers(rows: Sequence[CheckedRow]) -> str:
    """Row numbers as people write them: "3, 7-12"."""
    wanted = sorted({row.row.number for row in rows})
    runs = [[each for _, each in run] for _, run in groupby(enumerate(wanted), lambda pair: pair[1] - pair[0])]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def write_csv(rows: Iterable[CheckedRow], file: TextIO) -> None:
    """Every row as a line that spreadsheets open; no name in it is taken for a formula."""
    out = csv.writer(file)
    out.writerow(COLUMNS)
    for row in rows:
        told = row.to_dict()
        cells = {**told, "problems": "; ".join(row.problems), "warnings": "; ".join(row.warnings)}
        cells["ok"] = "yes" if told["ok"] else "no"
        out.writerow([_cell(cells[column]) for column in COLUMNS])


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
