"""The outer boxes of an mp4 file (ISO/IEC 14496-12, 4.2), read without a media library."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADER_BYTES = 8
LONG_HEADER_BYTES = 16


def top_level_boxes(path: Path) -> Iterator[str]:
    """The four-letter types of a file's outer boxes, in order; stops at what is no box."""
    length = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + HEADER_BYTES <= length:
            file.seek(at)
            size, kind = struct.unpack(">I4s", file.read(HEADER_BYTES))
            if size == 1:  # the size did not fit into 32 bits and follows
                (size,) = struct.unpack(">Q", file.read(LONG_HEADER_BYTES - HEADER_BYTES))
            if size == 0:  # to the end of the file
                size = length - at
            yield kind.decode("latin-1")
            if size < HEADER_BYTES:
                return
            at += size
