"""Manifests as trees: YAML and JSON Lines, taken apart without building what they may be made to explode into."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from farm.batch.columns import OF_A_ROW, PRESENTER, cells_of
from farm.errors import InputRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.batch.columns import Raw

DEEPEST = 6
"""Levels of a YAML file; a manifest has four."""
MOST_VALUES = 1_000_000
"""Names and values of a YAML file; each costs some hundred bytes of memory until it is read."""
SECTIONS = ("defaults", "presenters", "lessons")


@dataclass
class Tree:
    """What a YAML file holds. presenters: by name. lessons: line and cells of each row."""

    defaults: dict[str, Any] = field(default_factory=dict)
    presenters: dict[str, dict[str, Any]] = field(default_factory=dict)
    lessons: list[tuple[int, dict[str, Raw], list[str]]] = field(default_factory=list)


def read_yaml(text: str, where: str) -> Tree:
    """A manifest: a mapping of SECTIONS, or a list of lessons alone. Raises InputRefusedError with every problem."""
    try:
        _refuse_bombs(text, where)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputRefusedError([f"{where} is no YAML in line {line}: {error.problem}"]) from None
    except yaml.YAMLError as error:
        raise InputRefusedError([f"{where} is no YAML: {error}"]) from None
    tree, problems = Tree(), []
    if isinstance(node, yaml.SequenceNode):
        _take_lessons(node, tree)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            problems += _take_section(key, value, tree)
    else:
        problems.append(f"it is no mapping of {', '.join(SECTIONS)}")
    if problems:
        raise InputRefusedError([f"{where}: {problem}" for problem in problems])
    return tree


def read_json_lines(text: str) -> Iterator[tuple[int, dict[str, Raw], list[str]]]:
    """Rows of a JSON Lines file: line, cells, what is wrong with it."""
    for line, written in enumerate(text.split("\n"), start=1):
        if not written.strip():
            continue
        try:
            value = json.loads(written, object_pairs_hook=_pairs)
        except (ValueError, RecursionError) as error:
            yield line, {}, [f"it is no JSON: {error}"]
            continue
        if not isinstance(value, dict):
            yield line, {}, ["it is no JSON object, wanted {...}"]
            continue
        nested = [name for name, cell in value.items() if isinstance(cell, dict | list)]
        yield (
            line,
            {name: cell for name, cell in value.items() if name not in nested},
            [f"{name[:40]!r} holds more than one value, wanted one" for name in nested],
        )


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _refuse_bombs(text: str, where: str) -> None:
    """A few lines of aliases stand for more than memory holds, and deep nesting for more than a stack does."""
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        anchored = isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None
        line = event.start_mark.line + 1 if event.start_mark else 0
        if anchored:
            raise InputRefusedError([f"{where}: line {line} uses an anchor (& or *), wanted defaults or presenters"])
        values += isinstance(event, yaml.ScalarEvent)
        if values > MOST_VALUES:
            raise InputRefusedError([f"{where} has more than {MOST_VALUES} values, wanted JSON Lines for so many"])
        if depth > DEEPEST:
            raise InputRefusedError([f"{where}: line {line} is nested too deep, wanted {DEEPEST} levels at most"])


def _take_section(key: yaml.Node, value: yaml.Node, tree: Tree) -> list[str]:
    section = key.value if isinstance(key, yaml.ScalarNode) else None
    if section == "defaults":
        tree.defaults, problems = _fixed(value, section)
    elif section == "presenters":
        problems = _take_presenters(value, tree)
    elif section == "lessons":
        problems = _take_lessons(value, tree)
    else:
        problems = [f"there is no section {str(key.value)[:40]!r}, wanted one of {', '.join(SECTIONS)}"]
    return problems


def _take_presenters(node: yaml.Node, tree: Tree) -> list[str]:
    if not isinstance(node, yaml.MappingNode):
        return ["presenters is no mapping, wanted a name and its settings for each"]
    problems = []
    for key, value in node.value:
        name = str(key.value)
        if name in tree.presenters:
            problems.append(f"presenter {name[:40]!r} is there twice")
        tree.presenters[name], wrong = _fixed(value, f"presenter {name[:40]!r}")
        problems += wrong
        if PRESENTER in tree.presenters[name]:
            problems.append(f"presenter {name[:40]!r} names a presenter, wanted its settings")
    return problems


def _take_lessons(node: yaml.Node, tree: Tree) -> list[str]:
    if not isinstance(node, yaml.SequenceNode):
        return ["lessons is no list, wanted an item for each lesson"]
    tree.lessons = [(item.start_mark.line + 1, *_scalars(item)) for item in node.value]
    return []


def _fixed(node: yaml.Node, what: str) -> tuple[dict[str, Any], list[str]]:
    """Settings that hold for more than one row."""
    raw, problems = _scalars(node)
    cells, wrong = cells_of(raw)
    problems += wrong
    problems += [f"{name} belongs to a row" for name in cells if name in OF_A_ROW]
    return cells, [f"{what}: {problem}" for problem in problems]


def _scalars(node: yaml.Node) -> tuple[dict[str, Raw], list[str]]:
    """Text by name: kinds come from the columns, not from what YAML takes a word for (no, 1:30, 2026-11-23)."""
    if not isinstance(node, yaml.MappingNode):
        return {}, ["it is no mapping, wanted `column: value`"]
    found: dict[str, Raw] = {}
    problems = []
    for key, value in node.value:
        name = str(key.value)
        if not (isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)):
            problems.append(f"{name[:40]!r} holds more than one value, wanted one")
        elif name in found:
            problems.append(f"{name[:40]!r} is there twice")
        else:
            found[name] = None if value.tag.endswith(":null") else value.value
    return found, problems
