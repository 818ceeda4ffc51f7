"""What of a listing may be taken now, and why the rest may not: pairs, manifests, and a word for every other file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from farm.errors import InputRefusedError, NotFoundError, StorageError
from farm.folder import names
from farm.folder.claims import File
from farm.folder.defaults import Defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from farm.folder.inbox import Inbox
    from farm.folder.look import Listing
    from farm.folder.names import Kind
    from farm.storage.s3 import ObjectInfo

Why = Literal["settling", "unpaired", "held", "stopped", "left alone", "refused", "taken before", "in hand"]
FOLDERS_OWN = frozenset({names.HOLD, names.MANIFESTS_ONLY, names.DEFAULTS})
Seen = dict[str, tuple[int, str]]
"""Size and ETag by path, of a look before."""


@dataclass(frozen=True)
class Note:
    """A file that is not taken now. since: when it was uploaded, Unix seconds."""

    path: str
    why: Why
    words: str
    since: float


@dataclass(frozen=True)
class Wanted:
    """Files that may be taken together. values: what the folder's defaults say."""

    files: tuple[File, ...]
    values: dict[str, Any]


@dataclass
class Found:
    """All of a listing."""

    wanted: list[Wanted] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True)
class Eyes:
    """How a listing is looked at. seen: the look before; settle_seconds: the least age of what is taken.

    defaults: reads a `_defaults.yaml`, by its path; raises InputRefusedError, NotFoundError and StorageError.
    """

    inbox: Inbox
    seen: Mapping[str, tuple[int, str]]
    settle_seconds: float
    defaults: Callable[[str, ObjectInfo], Defaults]

    def settled(self, listing: Listing, path: str, item: ObjectInfo) -> bool:
        """Whether it looked the same before, and is old enough by the server's own clock, which tells whole seconds."""
        age = listing.at - math.floor(item.modified)
        return self.seen.get(path) == (item.size, item.etag) and age >= self.settle_seconds


@dataclass(frozen=True)
class _Rules:
    """What holds in a folder. stopped: why nothing may be taken there now."""

    defaults: Defaults
    manifests_only: bool = False
    stopped: tuple[Why, str] | None = None


def seen_in(listing: Listing) -> Seen:
    return {
        folder + name: (item.size, item.etag)
        for folder, files in listing.folders.items()
        for name, item in files.items()
    }


def find(listing: Listing, eyes: Eyes) -> Found:
    """Judge every file of a listing."""
    found, rules = Found(), {}
    for folder in sorted(listing.folders):
        rules[folder] = _rules(listing, folder, eyes)
    portraits = _portraits(rules.values())
    for folder, files in listing.folders.items():
        _judge_folder(listing, folder, files, eyes, rules[folder], portraits, found)
    return found


def _portraits(rules: Any) -> set[str]:
    every = (values for rule in rules for values in (rule.defaults.values, *rule.defaults.presenters.values()))
    return {values["portrait"] for values in every if "portrait" in values}


def _rules(listing: Listing, folder: str, eyes: Eyes) -> _Rules:
    defaults, manifests_only = Defaults(), False
    for place in names.folders_above(folder):
        files = listing.folders.get(place, {})
        if names.HOLD in files:
            return _Rules(defaults, manifests_only, ("held", names.held_by(place)))
        manifests_only = manifests_only or names.MANIFESTS_ONLY in files
        if (item := files.get(names.DEFAULTS)) is None:
            continue
        path = place + names.DEFAULTS
        if not eyes.settled(listing, path, item):
            return _Rules(defaults, manifests_only, ("settling", f"{path} was changed a moment ago"))
        try:
            defaults = defaults.below(eyes.defaults(path, item))
            defaults.lesson()
        except InputRefusedError as error:
            return _Rules(defaults, manifests_only, ("stopped", f"{path}: {'; '.join(error.problems)}"))
        except (NotFoundError, StorageError) as error:  # of this file alone: others can be read
            return _Rules(defaults, manifests_only, ("stopped", str(error)))
    return _Rules(defaults, manifests_only)


def _judge_folder(
    listing: Listing,
    folder: str,
    files: Mapping[str, ObjectInfo],
    eyes: Eyes,
    rules: _Rules,
    portraits: set[str],
    found: Found,
) -> None:
    groups: dict[str, dict[Kind, list[str]]] = {}
    for name, item in files.items():
        path = folder + name
        if name in FOLDERS_OWN or path in portraits or (names.belongs_to_folder(path) and not names.refusal(path)):
            continue
        if note := _note_on(path, item, eyes, rules):
            found.notes.append(note)
        elif (kind := names.kind_of(name)) == "manifest":
            shared = {"defaults": rules.defaults.values, "presenters": rules.defaults.presenters}
            _take((path,), {"manifest": path}, listing, eyes, shared, found)
        elif kind == "other":
            found.notes.append(Note(path, "unpaired", "its ending is none that the farm knows", item.modified))
        elif rules.manifests_only:
            found.notes.append(Note(path, "unpaired", "it waits for a manifest that names it", item.modified))
        else:
            groups.setdefault(names.stem_of(name), {}).setdefault(kind, []).append(path)
    for group in groups.values():
        _judge_group(group, listing, eyes, rules, found)


def _note_on(path: str, item: ObjectInfo, eyes: Eyes, rules: _Rules) -> Note | None:
    """A word on a file that is not looked at any further."""
    why: tuple[Why, str] | None = None
    if words := names.left_alone(path, item.size):
        why = "left alone", words
    elif words := names.refusal(path) or eyes.inbox.too_long(path):
        why = "refused", words
    elif rules.stopped:
        why = rules.stopped
    return Note(path, *why, item.modified) if why else None


def _judge_group(group: dict[Kind, list[str]], listing: Listing, eyes: Eyes, rules: _Rules, found: Found) -> None:
    """Files of one stem."""
    paths = [path for several in group.values() for path in several]
    twice = next((kind for kind, several in group.items() if len(several) > 1), None)
    values = rules.defaults.lesson()
    portrait = group.get("portrait", [values.get("portrait")])[0]
    if twice:
        words = f"there is more than one {twice} of this name: {', '.join(sorted(group[twice]))}"
    elif "speech" not in group:
        words = "there is no speech of this name"
    elif portrait is None:
        words = "there is no portrait of this name, and no presenter in _defaults.yaml"
    elif listing.file(portrait) is None:
        words = f"the portrait that _defaults.yaml names is not there: {portrait}"
    else:
        roles = {kind: several[0] for kind, several in group.items()} | {"portrait": portrait}
        _take(tuple(paths), roles, listing, eyes, values, found)
        return
    found.notes += [Note(path, "unpaired", words, _modified(listing, path)) for path in paths]


def _take(
    moving: tuple[str, ...],
    roles: Mapping[Any, str],
    listing: Listing,
    eyes: Eyes,
    values: Mapping[str, Any],
    found: Found,
) -> None:
    """Files that belong together, once all of them are settled."""
    items = {path: listing.file(path) for path in roles.values()}
    waiting = [path for path, item in items.items() if item is None or not eyes.settled(listing, path, item)]
    if waiting:
        words = f"{waiting[0]} was changed a moment ago" if waiting[0] not in moving else "it was changed a moment ago"
        found.notes += [Note(path, "settling", words, _modified(listing, path)) for path in moving]
        return
    files = tuple(
        File(path, item.size, item.etag, role, stays=path not in moving)
        for role, path in roles.items()
        if (item := items[path]) is not None
    )
    found.wanted.append(Wanted(files, {name: value for name, value in values.items() if name != "portrait"}))


def _modified(listing: Listing, path: str) -> float:
    item = listing.file(path)
    return item.modified if item else listing.at
