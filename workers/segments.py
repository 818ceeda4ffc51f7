"""A job's accepted segments, read from storage a few at a time."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from engine.media.measures import Measures
from engine.media.stitch import Segment
from engine.media.video import SegmentFiles
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from engine.spec import ChunkSpec
    from farm.storage.s3 import Storage

    Files = Callable[[ChunkSpec, list[str]], list[keys.SegmentFile]]
    """Which files of a chunk are wanted, by its frame hashes; asked in order of chunks."""

SHOWN = ("attempt", "slot", "digest", "renderer", "renderer_version", "renderer_facts", "redraw", "taken_from")
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
        """Each with its tail, and with its head unless that is, frame by frame, what the one before ends with.

        They are gone when the third behind is asked for.
        """
        left: list[str] = []

        def unlike(chunk: ChunkSpec, hashes: list[str]) -> list[keys.SegmentFile]:
            nonlocal left
            files: list[keys.SegmentFile] = []
            if hashes[: chunk.head] != left:
                files.append("head.mkv")
            if chunk.tail:
                files.append("tail.mkv")
            left = hashes[len(hashes) - chunk.tail :]
            return files

        return self._each(unlike, folder="ends", kept=3)

    def bodies(self) -> Iterator[Segment]:
        """Each with its body, which is gone when the next is asked for."""
        each = self._each(lambda _chunk, _hashes: ["body.mp4"], folder="bodies", kept=1)
        return (accepted.segment for accepted in each)

    def _each(self, files: Files, *, folder: str, kept: int) -> Iterator[Accepted]:
        """The next is fetched while this one is worked on."""
        on_disk: list[Path] = []
        with ThreadPoolExecutor(1, "segments") as aside:

            def fetch(chunk: ChunkSpec, attempt: str) -> Future[Accepted]:
                return aside.submit(self._fetch, chunk, attempt, self._folder / folder / str(chunk.index), files)

            coming = fetch(*self._chosen[0])
            for position, (chunk, _) in enumerate(self._chosen):
                accepted = coming.result()
                if position + 1 < len(self._chosen):
                    coming = fetch(*self._chosen[position + 1])
                if len(on_disk) == kept:
                    shutil.rmtree(on_disk.pop(0))
                on_disk.append(self._folder / folder / str(chunk.index))
                yield accepted

    def _fetch(self, chunk: ChunkSpec, attempt: str, folder: Path, files: Files) -> Accepted:
        folder.mkdir(parents=True)
        facts = self._facts(chunk, attempt)
        for name in files(chunk, facts["frame_hashes"]):
            self._storage.get_file(keys.segment(self._job, chunk.index, attempt, name), folder / name)
        segment = SegmentFiles(
            folder / "body.mp4",
            folder / "head.mkv" if chunk.head else None,
            folder / "tail.mkv" if chunk.tail else None,
            width=facts["width"],
            height=facts["height"],
            hashes=tuple(facts["frame_hashes"]),
        )
        measures = Measures.from_dict(facts["measures"])
        return Accepted(Segment(chunk, segment, measures.step), facts, measures)

    def _facts(self, chunk: ChunkSpec, attempt: str) -> dict[str, Any]:
        """segment.json; kept on disk, for it is wanted with the ends and again with the body."""
        path = self._folder / f"segment-{chunk.index}.json"
        if not path.exists():
            found = self._storage.get_json(keys.segment(self._job, chunk.index, attempt, "segment.json"))
            path.write_text(json.dumps(found))
        return cast("dict[str, Any]", json.loads(path.read_text()))
