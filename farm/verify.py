"""Is a video the one that a farm made, and made of these inputs? Asked of the file alone; no farm is needed."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from engine.media.content import STREAMS
from engine.media.provenance import Provenance, content_in, labels_problems, read_provenance
from farm.errors import NotAllowedError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WORDS = {"file": "file, byte by byte", "times": "times of frames and sounds"}


@dataclass(frozen=True)
class Verified:
    """One thing compared with what the file's record says. problem: empty where it is right."""

    what: str
    problem: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a file says of itself, and how much of it is right."""

    provenance: Provenance
    checks: tuple[Verified, ...]

    @property
    def right(self) -> bool:
        return not any(check.problem for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        return {
            "right": self.right,
            "checks": [{"right": not check.problem, **asdict(check)} for check in self.checks],
            "provenance": self.provenance.to_dict(),
        }


def verify(
    video: Path, *, portrait: Path | None = None, speech: Path | None = None, subtitles: Path | None = None
) -> Verdict:
    """Compare a video with its own record, and the inputs given with those that the record names.

    Raises NotFoundError and NotAllowedError for a file that is none, ProvenanceError for a video without a record.
    """
    given = {"portrait": portrait, "speech": speech, "subtitles": subtitles}
    inputs = {name: path for name, path in given.items() if path is not None}
    for path in (video, *inputs.values()):
        _be_a_file(path)
    provenance = read_provenance(video)
    labels = "; ".join(labels_problems(video, provenance))
    made_of = (
        _compared(f"{name} {path.name}", _sha256(path), getattr(provenance, name) or "none")
        for name, path in inputs.items()
    )
    return Verdict(provenance, (*_content_checks(video, provenance), Verified("AI label", labels), *made_of))


def _content_checks(video: Path, provenance: Provenance) -> Iterator[Verified]:
    found, wanted = content_in(video), provenance.content
    for name in ("file", *STREAMS, "times"):
        is_there, was_there = getattr(found, name), getattr(wanted, name)
        if is_there or was_there:
            yield _compared(_WORDS.get(name, f"{name} packets"), is_there or "none", was_there or "none")


def _compared(what: str, found: str, wanted: str) -> Verified:
    return Verified(what, "" if found == wanted else f"{found} found, the record says {wanted}")


def _be_a_file(path: Path) -> None:
    if not path.exists():
        raise NotFoundError(f"there is no file {path}")
    if not path.is_file():
        raise NotAllowedError(f"{path} is no file")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
