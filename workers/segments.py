"""A job's accepted segments, read from storage a few at a time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.media.measures import Measures
from engine.media.stitch import Segment
from engine.media.video import SegmentFiles
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from engine.spec import ChunkSpec
    from farm.storage.s3 import Storage

SHOWN = ("attempt", "slot", "digest", "renderer", "renderer_version", "renderer_facts", "redraw")
"""What a report says of a segment."""


@dataclass(frozen=True)
class Accepted:
    """A segment on disk, what its segment.json says, and what was measured of its frames."""

    segment: Segment
    facts: dict[str, Any]
    measures: Measures

    @property
    def size(self) -> tuple[int, int]:
        return self.facts["width"], self.facts["height"]

    def shown(self) -> dict[str, Any]:
        return {"chunk": self.segment.chunk.index} | {name: self.facts[name] for name in SHOWN}


class Segments:
    """The segments that the books accepted, in the order of their chunks. attempts: the accepted one of each."""

    def __init__(
        self, storage: Storage, job: str, chunks: Sequence[ChunkSpec], attempts: Sequence[str], folder: Path
    ) -> None:
        self._storage = storage
        self._job = job
        self._chosen = tuple(zip(chunks, attempts, strict=True))
        self._folder = folder

    def ends(self) -> Iterator[Accepted]:
        """Each with its head and tail; they are gone when the one after the next is asked for."""
        return self._each(("head.mkv", "tail.mkv"), folder="ends", kept=2)

    def bodies(self) -> Iterator[Segment]:
        """Each with its body, which is gone when the next is asked for."""
        return (accepted.segment for accepted in self._each(("body.mp4",), folder="bodies", kept=1))

    def _each(self, names: Sequence[keys.SegmentFile], *, folder: str, kept: int) -> Iterator[Accepted]:
        on_disk: list[Path] = []
        for chunk, attempt in self._chosen:
            if len(on_disk) == kept:
                shutil.rmtree(on_disk.pop(0))
            place = self._folder / folder / str(chunk.index)
            place.mkdir(parents=True)
            on_disk.append(place)
            yield self._fetch(chunk, attempt, place, names)

    def _fetch(self, chunk: ChunkSpec, attempt: str, folder: Path, names: Sequence[keys.SegmentFile]) -> Accepted:
        facts = self._storage.get_json(keys.segment(self._job, chunk.index, attempt, "segment.json"))
        there = {"head.mkv": bool(chunk.head), "tail.mkv": bool(chunk.tail), "body.mp4": True}
        for name in names:
            if there[name]:
                self._storage.get_file(keys.segment(self._job, chunk.index, attempt, name), folder / name)
        files = SegmentFiles(
            folder / "body.mp4",
            folder / "head.mkv" if chunk.head else None,
            folder / "tail.mkv" if chunk.tail else None,
            width=facts["width"],
            height=facts["height"],
            hashes=tuple(facts["frame_hashes"]),
        )
        measures = Measures.from_dict(facts["measures"])
        return Accepted(Segment(chunk, files, measures.step), facts, measures)
