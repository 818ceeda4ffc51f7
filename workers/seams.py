"""Seams that are kept in storage beside the later of their two segments: made while the rest of the job is drawn.

They are there to be taken, not to be relied on. A stitch makes every seam that it does not find whole.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.media.seam import SEAM_VERSION, Seam, SeamNumbers
from farm.errors import CorruptObjectError, NotFoundError
from farm.storage import keys
from farm.storage.s3 import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from engine.spec import ChunkSpec
    from farm.storage.s3 import Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeamName:
    """Which seam of which job: `attempt` made the segment of `chunk`, `before` that of the one before."""

    job: str
    chunk: ChunkSpec
    attempt: str
    before: str

    def key(self, file: keys.SeamFile) -> str:
        return keys.seam(self.job, self.chunk.index, self.attempt, self.before, file)


def keep_seam(storage: Storage, name: SeamName, seam: Seam) -> None:
    """Put a seam into storage; its facts last, for they are the commit."""
    sha256 = storage.put_file(name.key("mp4"), seam.path, content_type="video/mp4")
    facts = {"version": SEAM_VERSION, "sha256": sha256, "frame_hashes": seam.hashes, "numbers": seam.numbers.to_dict()}
    storage.put_json(name.key("json"), facts)


def kept_seam(storage: Storage, name: SeamName, path: Path) -> Seam | None:
    """A kept seam, its file at `path`; None where there is none that is whole."""
    try:
        facts: dict[str, Any] = storage.get_json(name.key("json"))
        seam = Seam(path, tuple(facts["frame_hashes"]), SeamNumbers.from_dict(facts["numbers"]))
        if not (problem := _problem(facts, seam, name.chunk)):
            storage.get_file(name.key("mp4"), path)
            if (found := sha256_of(path)) == facts["sha256"]:
                return seam
            problem = f"its file's SHA-256 is {found}, wanted {facts['sha256']}"
    except NotFoundError:
        return None
    except (CorruptObjectError, KeyError, TypeError) as error:
        problem = repr(error)
    log.warning("the kept seam before chunk %d is no use, it is made anew: %s", name.chunk.index + 1, problem)
    return None


def _problem(facts: dict[str, Any], seam: Seam, chunk: ChunkSpec) -> str:
    """What its facts alone say against a seam; nothing is fetched in vain."""
    start = chunk.out[0]
    wanted = {
        "version": (facts["version"], SEAM_VERSION),
        "frames": (seam.numbers.frames25, (start, start + chunk.head)),
        "number of hashes": (len(seam.hashes), chunk.head),
    }
    return "; ".join(
        f"its {what} is {found}, wanted {right}" for what, (found, right) in wanted.items() if found != right
    )
