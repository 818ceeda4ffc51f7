"""Tables for people's spreadsheets: CSV that they open as it is meant."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula at the start of a cell."""


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows with these columns to `path`; no name in them is taken for a formula."""
    # a byte order mark: without it spreadsheets take names for the letters of their own country
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.DictWriter(file, columns)
        out.writeheader()
        out.writerows({column: _cell(value) for column, value in row.items()} for row in rows)


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
