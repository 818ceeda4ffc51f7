"""Seams that are kept in storage beside the later of their two segments: made while the rest of the job is drawn.

They are there to be taken, not to be relied on. A stitch makes every seam that it does not find whole.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.media.seam import Seam, SeamNumbers
from farm.errors import CorruptObjectError, NotFoundError
from farm.storage import keys
from farm.storage.s3 import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from farm.storage.s3 import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeamName:
    """Which seam of which job: `attempt` made the segment of `chunk`, `before` that of the one before."""

    job: str
    chunk: int
    attempt: str
    before: str

    def key(self, file: keys.SeamFile) -> str:
        return keys.seam(self.job, self.chunk, self.attempt, self.before, file)


def keep_seam(storage: Storage, name: SeamName, seam: Seam) -> None:
    """Put a seam into storage; its facts last, for they are the commit."""
    sha256 = storage.put_file(name.key("mp4"), seam.path, content_type="video/mp4")
    facts = {"version": 1, "sha256": sha256, "frame_hashes": seam.hashes, "numbers": seam.numbers.to_dict()}
    storage.put_json(name.key("json"), facts)


def kept_seam(storage: Storage, name: SeamName, path: Path) -> Seam | None:
    """A kept seam, its file at `path`; None where there is none that is whole."""
    try:
        facts: dict[str, Any] = storage.get_json(name.key("json"))
        storage.get_file(name.key("mp4"), path)
        if sha256_of(path) == facts["sha256"]:
            return Seam(path, tuple(facts["frame_hashes"]), SeamNumbers.from_dict(facts["numbers"]))
        problem = "it is not the one that was made"
    except NotFoundError:
        return None
    except (CorruptObjectError, KeyError, TypeError) as error:
        problem = repr(error)
    log.warning("the kept seam before chunk %d is no use, it is made anew: %s", name.chunk + 1, problem)
    return None
