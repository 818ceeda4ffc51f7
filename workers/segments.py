"""A job's accepted segments, read from storage a few at a time."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from engine.media.measures import Measures
from engine.media.seam import shared
from engine.media.stitch import Segment
from engine.media.video import SegmentFiles
from farm.logs import for_same_hand
from farm.storage import keys
from workers.seams import SeamName, kept_seam

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from engine.media.seam import Seam
    from engine.spec import ChunkSpec
    from farm.storage.s3 import Storage

    Files = Callable[[int], list[keys.SegmentFile]]
    """Which files are wanted of the chunk in this place."""

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
        self._seams: dict[int, Seam | None] = {}
        """With the segment before, by place, as far as it was asked for; None for one that is still to be made."""
        self._facts = lru_cache(maxsize=3)(self._read_facts)
        """segment.json, by place; the last three are held, for neighbours ask for them too."""

    def pixels(self) -> int:
        """Of a frame, the same in all of them."""
        facts = self._facts(0)
        return int(facts["width"] * facts["height"])

    def ends(self) -> Iterator[Accepted]:
        """Each with what its seams are to be made of, or with the one before it where that was made already.

        Of a seam whose sides are the same, frame by frame, one is enough. They are gone when the third behind is asked
        for; seams stay.
        """
        return self._each(self._ends_wanted, folder="ends", kept=3)

    def bodies(self) -> Iterator[Segment]:
        """Each with its body, which is gone when the next is asked for."""
        return (accepted.segment for accepted in self._each(lambda _: ["body.mp4"], folder="bodies", kept=1))

    def _ends_wanted(self, place: int) -> list[keys.SegmentFile]:
        files: list[keys.SegmentFile] = []
        if place and not self._agree(place) and self._seam(place) is None:
            files.append("head.mkv")
        behind = place + 1
        if behind < len(self._chosen) and (self._agree(behind) or self._seam(behind) is None):
            files.append("tail.mkv")
        return files

    def _agree(self, place: int) -> bool:
        """Whether a segment begins, frame by frame, as the one before it ends."""
        before, after = (self._facts(one)["frame_hashes"] for one in (place - 1, place))
        leaving, coming = shared(before, after, self._chosen[place][0].head)
        return leaving == coming

    def _seam(self, place: int) -> Seam | None:
        """The one with the segment before, where it was kept."""
        if place not in self._seams:
            (_, before), (chunk, attempt) = self._chosen[place - 1 : place + 1]
            name = SeamName(self._job, chunk, attempt, before)
            self._seams[place] = kept_seam(self._storage, name, self._folder / f"seam-{chunk.index}.mp4")
        return self._seams[place]

    def _each(self, files: Files, *, folder: str, kept: int) -> Iterator[Accepted]:
        """The next is fetched while this one is worked on."""
        on_disk: list[Path] = []
        with ThreadPoolExecutor(1, "segments") as aside:

            def fetch(place: int) -> Future[Accepted]:
                return aside.submit(for_same_hand(self._fetch), place, self._folder / folder, files)

            coming = fetch(0)
            for place, (chunk, _) in enumerate(self._chosen):
                accepted = coming.result()
                if place + 1 < len(self._chosen):
                    coming = fetch(place + 1)
                if len(on_disk) == kept:
                    shutil.rmtree(on_disk.pop(0))
                on_disk.append(self._folder / folder / str(chunk.index))
                yield accepted

    def _fetch(self, place: int, home: Path, files: Files) -> Accepted:
        chunk, attempt = self._chosen[place]
        folder = home / str(chunk.index)
        folder.mkdir(parents=True)
        facts = self._facts(place)
        for name in files(place):
            self._storage.get_file(keys.segment(self._job, chunk.index, attempt, name), folder / name)
        segment = SegmentFiles(
            folder / "body.mp4",
            folder / "head.mkv" if chunk.head else None,
            folder / "tail.mkv" if chunk.tail else None,
            width=facts["width"],
            height=facts["height"],
            hashes=tuple(facts["frame_hashes"]),
            steps=tuple(facts["steps"]),
        )
        measures = Measures.from_dict(facts["measures"])
        return Accepted(Segment(chunk, segment, self._seams.get(place)), facts, measures)

    def _read_facts(self, place: int) -> dict[str, Any]:
        """Kept on disk, for it is wanted with the ends and again with the body."""
        chunk, attempt = self._chosen[place]
        path = self._folder / f"segment-{chunk.index}.json"
        if not path.exists():
            found = self._storage.get_json(keys.segment(self._job, chunk.index, attempt, "segment.json"))
            path.write_text(json.dumps(found))
        return cast("dict[str, Any]", json.loads(path.read_text()))
