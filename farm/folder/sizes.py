"""How large a file of an inbox may be: what is larger is refused before it is fetched, for it could fill a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.media import subtitles
from farm.batch import manifest

if TYPE_CHECKING:
    from farm.folder.claims import File, Role

MOST_BYTES: dict[Role, int] = {
    "manifest": manifest.MOST_BYTES,
    "portrait": 512 << 20,  # 50 megapixels of 8 bytes each are 400 MB
    "speech": 32 << 30,  # 4 hours of stereo at 192 kHz in 32 bits are 22 GB, an hour of video at 60 Mbit/s is 27
    "subtitles": subtitles.MOST_BYTES,
}


def too_large(file: File) -> str | None:
    """Why a file is not fetched, None where it may be."""
    most = MOST_BYTES[file.role]
    return f"{file.role} {file.path} has {file.size} bytes, wanted {most} at most" if file.size > most else None
