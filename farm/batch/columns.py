"""The columns of a manifest: named like the flags of `farm submit`, each with the kind of its values."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from engine.spec import OutputSpec, RenderSpec
from farm.jobs.model import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

Raw = str | int | float | bool | None
"""A value as a manifest has it: text where the format knows nothing else."""

PARAMETERS: dict[str, type] = {
    each.name: float if each.default is None else type(each.default)
    for each in (*fields(RenderSpec), *fields(OutputSpec))
}
LESSON: dict[str, type] = {
    "portrait": str,
    "speech": str,
    "subtitles": str,
    "name": str,
    "owner": str,
    "priority": int,
    "duration": float,
    "chunk_seconds": float,
    "consent": str,
    "token": str,
    "webhook": str,
    "edit_of": str,
}
PRESENTER = "presenter"
WEBHOOK = "webhook"
"""Its path and query may be a secret: sentences do not repeat it."""
COLUMNS: dict[str, type] = {PRESENTER: str, **LESSON, **PARAMETERS}
FILES = ("portrait", "speech", "subtitles")
"""Columns that name files."""
OF_A_ROW = frozenset({"speech", "subtitles", "name", "duration", "token", "edit_of"})
"""Columns that say what one lesson is: no default and no presenter can."""
LONGEST_CELL = 4096
TRUE, FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_INT = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(r"[+-]?[0-9]{1,19}([.,][0-9]{1,19})?")


def column_named(written: str) -> str:
    """A column's name as people write it, made one of ours where it is: 'Min-Resolution' is min_resolution."""
    return re.sub(r"[\s-]+", "_", written.strip().lstrip("-").lower())


def unknown_column(written: str) -> str:
    """What is wrong with a column that does not exist, and what may have been meant."""
    near = get_close_matches(column_named(written), COLUMNS, n=1)
    wanted = f"did you mean {near[0]!r}?" if near else f"wanted one of {', '.join(COLUMNS)}"
    return f"there is no column {written[:60]!r}, {wanted}"


def cells_of(raw: Mapping[str, Raw]) -> tuple[dict[str, Any], list[str]]:
    """A row's values by column, empty ones left out, and a sentence for each that cannot be one."""
    cells: dict[str, Any] = {}
    problems = []
    for written, value in raw.items():
        column = column_named(written)
        if column not in COLUMNS:
            problems.append(unknown_column(written))
            continue
        if isinstance(value, str):
            value = value.strip()
        if value is None or value == "":
            continue
        if column in cells:
            problems.append(f"{column} is there twice, wanted it once")
        try:
            cells[column] = _value(column, value)
        except ValueError as error:
            problems.append(str(error))
    return cells, problems


def _value(column: str, raw: str | float | bool) -> Any:
    kind = COLUMNS[column]
    if kind is str:
        return _text(column, raw)
    if kind is bool:
        return _switch(column, raw)
    found = _whole(raw) if kind is int else _number(raw)
    if found is None:
        wanted = "a whole number" if kind is int else "a number"
        if column == "priority":
            wanted = f"{PRIORITIES.start} to {PRIORITIES.stop - 1}"
        raise ValueError(f"{column} is {str(raw)[:60]!r}, wanted {wanted}")
    return found


def _text(column: str, raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"{column} is {raw!r}, wanted text")  # noqa: TRY004  # one kind of error for all cells
    if len(raw) > LONGEST_CELL:
        raise ValueError(f"{column} has {len(raw)} characters, wanted {LONGEST_CELL} at most")
    if strange := next((letter for letter in raw if unicodedata.category(letter) in ("Cc", "Cs")), None):
        # no file can be named so, and half a pair of UTF-16 cannot even be written down
        said = "no URL" if column == WEBHOOK else repr(raw[:60])
        raise ValueError(f"{column} is {said}, wanted text without control characters: it has {strange!r}")
    return raw


def _switch(column: str, raw: object) -> bool:
    word = str(raw).lower()
    if word not in TRUE | FALSE:
        raise ValueError(f"{column} is {str(raw)[:60]!r}, wanted true or false")
    return word in TRUE


def _whole(raw: object) -> int | None:
    if isinstance(raw, str) and _INT.fullmatch(raw):
        return int(raw)
    return raw if isinstance(raw, int) and not isinstance(raw, bool) else None


def _number(raw: object) -> float | None:
    if isinstance(raw, str) and _FLOAT.fullmatch(raw):
        return float(raw.replace(",", "."))  # Excel writes 0,5 in half of Europe
    if isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw):
        return float(raw)
    return None
