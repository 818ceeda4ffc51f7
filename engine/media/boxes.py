"""The outer structure of mp4 (ISO/IEC 14496-12, 4.2), wav and Ogg files (RFC 3533, 6), read without a media library."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER_BYTES = 8
LONG_HEADER_BYTES = 16
PAGE_HEADER_BYTES = 27
LARGEST_PAGE_BYTES = PAGE_HEADER_BYTES + 255 + 255 * 255


@dataclass(frozen=True)
class Box:
    """An outer box: its four-letter type, and the bytes of the file that it takes, header and all."""

    kind: str
    start: int
    stop: int


def top_level_boxes(path: Path) -> Iterator[str]:
    """The four-letter types of a file's outer boxes, in order; stops at what is no box."""
    return (box.kind for box in outer_boxes(path))


def outer_boxes(path: Path) -> Iterator[Box]:
    """A file's outer boxes, in order; stops at what is no box. The last may state more bytes than the file has."""
    length = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + HEADER_BYTES <= length:
            file.seek(at)
            size, kind = struct.unpack(">I4s", file.read(HEADER_BYTES))
            if size == 1:  # the size did not fit into 32 bits and follows
                if at + LONG_HEADER_BYTES > length:
                    return
                (size,) = struct.unpack(">Q", file.read(LONG_HEADER_BYTES - HEADER_BYTES))
            if size == 0:  # to the end of the file
                size = length - at
            yield Box(kind.decode("latin-1"), at, at + size)
            if size < HEADER_BYTES:
                return
            at += size


def data_share(path: Path) -> float | None:
    """How much of the sound that a wav's header states is in the file, 0 to 1; None where it states nothing.

    A wav written to a pipe states 0 or the largest number there is; RF64, for more than 4 GiB, states it elsewhere.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return None
        at = 12
        while at + HEADER_BYTES <= length:
            file.seek(at)
            kind, size = struct.unpack("<4sI", file.read(HEADER_BYTES))
            at += HEADER_BYTES
            if kind == b"data":
                return None if size in (0, 0xFFFFFFFF) else min(1.0, (length - at) / size)
            at += size + size % 2  # chunks lie on even bytes
    return None


def ends_within_page(path: Path) -> bool:
    """Whether an Ogg file ends before its last page does. It states no length; a page states its own."""
    length = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, length - LARGEST_PAGE_BYTES))
        end = file.read()
    page = end[max(0, end.rfind(b"OggS\0")) :]
    if len(page) < PAGE_HEADER_BYTES:
        return True
    lengths = page[PAGE_HEADER_BYTES : PAGE_HEADER_BYTES + page[26]]
    return len(page) < PAGE_HEADER_BYTES + page[26] + sum(lengths)
