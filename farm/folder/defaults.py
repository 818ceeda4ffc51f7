"""`_defaults.yaml`: what holds for all that lies in a folder and below it, the nearest file having the last word."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Any

from farm.batch.columns import PARAMETERS, PRESENTER
from farm.batch.tables import decoded
from farm.batch.trees import read_yaml
from farm.errors import InputRefusedError

LONGEST_BYTES = 64 << 10


@dataclass(frozen=True)
class Defaults:
    """Values by column of a manifest, and presenters by name; portraits are paths in the inbox."""

    values: dict[str, Any] = field(default_factory=dict)
    presenters: dict[str, dict[str, Any]] = field(default_factory=dict)

    def below(self, lower: Defaults) -> Defaults:
        """What holds in a folder whose own defaults are `lower`."""
        return Defaults({**self.values, **lower.values}, {**self.presenters, **lower.presenters})

    def lesson(self) -> dict[str, Any]:
        """Values of a lesson that says nothing itself. Raises InputRefusedError for a presenter that is not there."""
        name = self.values.get(PRESENTER)
        if name is not None and name not in self.presenters:
            known = ", ".join(sorted(self.presenters)) or "none is described"
            raise InputRefusedError([f"presenter is {name!r}, wanted one of those described: {known}"])
        of_presenter = self.presenters.get(name, {}) if name is not None else {}
        return {column: value for column, value in {**self.values, **of_presenter}.items() if column != PRESENTER}


def refuse_long(size: int) -> None:
    """Raise InputRefusedError for a file of so many bytes that it is not worth fetching."""
    if size > LONGEST_BYTES:
        raise InputRefusedError([f"it has {size} bytes, wanted {LONGEST_BYTES} at most"])


def read_defaults(data: bytes, path: str) -> Defaults:
    """A file's content. path: in the inbox. Raises InputRefusedError with every problem."""
    tree = read_yaml(decoded(data, path), path)
    if tree.lessons:
        raise InputRefusedError([f"{path} has lessons, wanted defaults and presenters: lessons go into a manifest"])
    folder = posixpath.dirname(path)
    return Defaults(
        _at_home(tree.defaults, folder, path),
        {name: _at_home(values, folder, path) for name, values in tree.presenters.items()},
    )


def parameters_of(values: dict[str, Any]) -> dict[str, Any]:
    """Of a lesson's values those that are fields of RenderSpec and OutputSpec."""
    return {column: value for column, value in values.items() if column in PARAMETERS}


def _at_home(values: dict[str, Any], folder: str, path: str) -> dict[str, Any]:
    if "portrait" not in values:
        return values
    written = str(values["portrait"])
    found = posixpath.normpath(posixpath.join("/", folder, written)).lstrip("/")
    climbs = posixpath.normpath(posixpath.join(folder, written)).startswith("..") and not written.startswith("/")
    if climbs or "://" in written:
        raise InputRefusedError([f"{path}: portrait is {written!r}, wanted a file in the inbox, named from here"])
    return {**values, "portrait": found}
