"""Manifests as tables: CSV with commas, semicolons or tabs, as spreadsheets write it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from typing import TYPE_CHECKING

from farm.batch.columns import COLUMNS, column_named, unknown_column
from farm.errors import InputRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.batch.columns import Raw

SEPARATORS = ",;\t"


def decoded(data: bytes, where: str) -> str:
    """Text as UTF-8 or, where it says so itself, UTF-16. Raises InputRefusedError naming the line that is neither."""
    excels_unicode = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if excels_unicode else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputRefusedError(
            [f"{where} is no UTF-8 in line {line}: save it as CSV UTF-8 or export it as UTF-8"]
        ) from None
    if "\0" in text:
        raise InputRefusedError([f"{where} is no text: it holds bytes of zero"])
    return text


def read_table(text: str, where: str) -> Iterator[tuple[int, dict[str, Raw], list[str]]]:
    """Rows of a table: the line where each begins, its cells, what is wrong with its shape.

    Lines that hold nothing are left out. Raises InputRefusedError for a header that names what is no column.
    """
    lines = io.StringIO(text, newline="")
    separator, skipped = _separator(text)
    for _ in range(skipped):
        lines.readline()
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        header = next((cells for cells in reader if any(map(str.strip, cells))), [])
        columns = _columns(header, where)
        begins = reader.line_num + skipped + 1
        for cells in reader:
            if any(map(str.strip, cells)):
                beyond = [cell for cell in cells[len(columns) :] if cell.strip()]
                problems = [f"it has more cells than the header, from {beyond[0][:40]!r} on"] if beyond else []
                yield begins, {name: cell for name, cell in zip(columns, cells, strict=False) if name}, problems
            begins = reader.line_num + skipped + 1
    except csv.Error as error:
        raise InputRefusedError([f"{where} cannot be read in line {reader.line_num + skipped}: {error}"]) from None


def _separator(text: str) -> tuple[str, int]:
    """What stands between cells, and how many lines come before the header: Excel likes to say sep=; there."""
    said = re.match(r"sep=([,;\t])\r?\n", text)
    if said:
        return said[1], 1
    header = next((line for line in text.splitlines() if line.strip(SEPARATORS + " ")), "")

    def columns(separator: str) -> int:
        return sum(column_named(cell.strip('"')) in COLUMNS for cell in header.split(separator))

    return max(SEPARATORS, key=columns), 0


def _columns(header: list[str], where: str) -> list[str]:
    """The header's columns, nothing for one without a name. Raises InputRefusedError with every wrong one."""
    names = [column_named(cell) for cell in header]
    problems = [unknown_column(cell) for cell, name in zip(header, names, strict=True) if name and name not in COLUMNS]
    problems += [f"column {name!r} is there twice" for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if not any(names):
        problems.append("it is empty, wanted a line with the names of its columns first")
    if problems:
        raise InputRefusedError([f"{where}: {problem}" for problem in problems])
    return names
