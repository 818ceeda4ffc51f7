"""Who made a video of what: written into the file for everybody, and read back by the farm.

A finished mp4 carries it three times. Tags that every player shows say that it is AI-generated; they are written with
the file. Behind its last box come two that players pass over: XMP with the IPTC's fields for other programs, and the
record itself as JSON, with hashes of what the file holds. Nothing is signed: who can write the file can write them too.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

import av
import av.error

from engine.errors import ProvenanceError, RenderError
from engine.media.boxes import HEADER_BYTES, Box, outer_boxes
from engine.media.content import Content, content_of
from engine.media.xmp import XMP_UUID, Texts, printable, xmp_packet

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "sonic-farm"
PROVENANCE_VERSION = 1
RECORD_UUID = bytes.fromhex("8ca5675c58cd4c1094170d08fea88729")
"""The type of the uuid box that holds the record."""
MOST_BYTES = 64 * 1024
"""Of a record or an XMP packet that is read."""
MOST_BOXES = 1000
"""Outer boxes of a file that are looked at; the farm writes six."""
LONGEST_TEXT = 4000
AI_GENERATED = "AI-generated video"
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED = _SOURCE_TYPES + "trainedAlgorithmicMedia"
COMPOSITE = _SOURCE_TYPES + "compositeSynthetic"
_TYPE_BYTES = 16
_BEFORE_PAYLOAD = HEADER_BYTES + _TYPE_BYTES
_WHOLE = frozenset({"result", "beside", "seed", "version"})
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a video comes from.

    result: the version of the job's result. made: UTC, ISO 8601. program: name and version. weights: their identity,
    licence: theirs; both empty for a renderer that has none. redrawn: what another seed drew, in words. portrait,
    speech, subtitles: SHA-256 of the inputs, in hex; no subtitles: empty. consent: where the agreement of the person
    shown is kept, as given at submit. beside: in a comparison, the version that stands beside `result`, else 0.
    content: None until the file is finished.

    Raises ProvenanceError for a value of another type, a text that is too long and a hash that is none.
    """

    job: str
    result: int
    name: str
    made: str
    program: str
    renderer: str
    renderer_version: str
    weights: str
    licence: str
    portrait: str
    speech: str
    subtitles: str
    seed: int
    consent: str
    redrawn: str = ""
    beside: int = 0
    content: Content | None = None
    version: int = PROVENANCE_VERSION

    def __post_init__(self) -> None:
        if self.version != PROVENANCE_VERSION:
            raise ProvenanceError(
                f"the provenance has version {self.version!r}, this program reads {PROVENANCE_VERSION}"
            )
        for field in fields(self):
            if field.name != "content":
                _check(field.name, getattr(self, field.name), whole=field.name in _WHOLE)
        for name in ("portrait", "speech", "subtitles"):
            if (name, getattr(self, name)) != ("subtitles", ""):
                _check_hash(name, getattr(self, name))
        for name, value in asdict(self.content).items() if self.content else ():
            if (name, value) != ("subtitle", ""):
                _check_hash(f"content.{name}", value)

    @property
    def source_type(self) -> str:
        """The IPTC's word for how it was made: the preview bends a photo by rule, all else counts as trained."""
        return COMPOSITE if self.renderer == "preview" and not self.weights else TRAINED

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Provenance:
        """Strict: no field more, none less. Raises ProvenanceError."""
        values = _exactly(cls, data, "provenance")
        if values["content"] is not None:
            values["content"] = Content(**_exactly(Content, values["content"], "content"))
        return cls(**values)


def made_now() -> str:
    """What `made` is of a video that is made now."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def this_program() -> str:
    """What `program` is of a video that is made here."""
    return f"{PROGRAM} {version_of(PROGRAM)}"


def side_by_side_of(left: Provenance, right: Provenance) -> Provenance:
    """Of a video that shows two versions of one job, without subtitles; what they do not share is named of both."""
    words: dict[str, Any] = {}
    for name in ("renderer_version", "weights", "redrawn"):
        of_both = ", ".join(filter(None, (getattr(left, name), getattr(right, name))))
        words[name] = ", ".join(dict.fromkeys(of_both.split(", ")))
    shown = replace(left, subtitles="", beside=right.result, content=None)
    return replace(shown, **words, made=made_now(), program=this_program())


def _check(name: str, value: Any, *, whole: bool) -> None:
    wanted = int if whole else str
    if type(value) is not wanted:
        raise ProvenanceError(f"{name} is {type(value).__name__}, wanted {wanted.__name__}")
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise ProvenanceError(f"{name} has {len(value)} characters, wanted {LONGEST_TEXT} at most")


def _check_hash(name: str, value: Any) -> None:
    if not (isinstance(value, str) and _HASH.fullmatch(value)):
        raise ProvenanceError(f"{name} is {str(value)[:80]!r}, wanted a SHA-256 in hex")


def _exactly(kind: type[Provenance | Content], data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ProvenanceError(f"{what} is no JSON object")
    known = {field.name for field in fields(kind)}
    if wrong := sorted(known ^ data.keys()):
        raise ProvenanceError(f"{what} lacks or has too much: {', '.join(word[:80] for word in wrong[:5])}")
    return dict(data)


def tags(provenance: Provenance) -> dict[str, str]:
    """The file's own tags, by libavformat's names; to be given to whoever writes it, before `seal`."""
    return {
        "title": printable(provenance.name),
        "comment": f"{AI_GENERATED}. Digital source type: {provenance.source_type}",
        "description": _description(provenance),
        "encoding_tool": printable(provenance.program),
    }


def xmp_of(provenance: Provenance) -> bytes:
    """The same for programs that read XMP, by the fields of IPTC, PLUS and Dublin Core."""
    trained = provenance.source_type == TRAINED
    return xmp_packet(
        {
            "Iptc4xmpExt:DigitalSourceType": provenance.source_type,
            "Iptc4xmpExt:AISystemUsed": provenance.renderer if trained else "",
            "Iptc4xmpExt:AISystemVersionUsed": provenance.renderer_version if trained else "",
            "dc:title": Texts("Alt", (provenance.name,)),
            "dc:description": Texts("Alt", (_description(provenance),)),
            # with the record's own hash, so that one cannot be changed without the other
            "xmp:Identifier": Texts("Bag", (*_results(provenance), f"sha256:{_digest(provenance)}")),
            "plus:ModelReleaseID": Texts("Bag", (provenance.consent,)),
            "xmp:CreateDate": provenance.made,
            "xmp:CreatorTool": provenance.program,
        }
    )


def _description(provenance: Provenance) -> str:
    made_by = f"{provenance.program}, renderer {provenance.renderer} {provenance.renderer_version}"
    licence = f" {provenance.licence}." if provenance.licence else ""
    shown = "two versions side by side of one photo" if provenance.beside else "one photo"
    return printable(f"{AI_GENERATED}: {shown} made to speak a recording, by {made_by}.{licence}")


def _results(provenance: Provenance) -> list[str]:
    """Job and version of all that is shown."""
    return [f"{provenance.job}/{version}" for version in (provenance.result, provenance.beside) if version]


def seal(video: Path, provenance: Provenance) -> Provenance:
    """Append XMP and record to a finished mp4 of ours; gives the record with the hashes of what the file holds.

    Raises RenderError for a file that has a record, ends in the middle of a box, or was written without `tags`.
    """
    sealed = replace(provenance, content=content_of(video, seal=()))
    with video.open("ab") as file:
        file.write(_uuid_box(XMP_UUID, xmp_of(sealed)) + _uuid_box(RECORD_UUID, _json(sealed)))
    try:
        problems = labels_problems(video, read_provenance(video))
    except ProvenanceError as error:
        problems = [str(error)]
    if problems:
        raise RenderError(f"{video.name} does not hold its provenance: {'; '.join(problems)}")
    return sealed


def read_provenance(video: Path) -> Provenance:
    """What a file says of itself, which is not compared with anything here; at most MOST_BYTES of it are read.

    Raises ProvenanceError for a file without a record and for one that is damaged, too large or not of this version.
    """
    payload = _only_payload(video, RECORD_UUID)
    if payload is None:
        raise ProvenanceError(
            f"{video.name} carries no provenance: the farm did not make it, or it was copied, cut or encoded since"
        )
    try:
        provenance = Provenance.from_dict(json.loads(payload))
    except ProvenanceError as error:
        raise ProvenanceError(f"{video.name}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ProvenanceError(f"{video.name}: its provenance is no JSON") from error
    if provenance.content is None:
        raise ProvenanceError(f"{video.name}: its provenance has no hashes of what it holds")
    return provenance


def labels_problems(video: Path, provenance: Provenance) -> list[str]:
    """What of the labels is not what the record stands for: tags and XMP, a sentence each.

    Raises ProvenanceError for a file that cannot be read as a video.
    """
    wanted = tags(provenance)
    wanted["encoder"] = wanted.pop("encoding_tool")  # how libavformat calls it when reading
    try:
        with av.open(str(video), "r", metadata_errors="replace") as file:
            found = file.metadata
    except (av.error.FFmpegError, OSError) as error:
        raise ProvenanceError(f"{video.name} cannot be read as a video: {error.strerror}") from error
    problems = [
        f"the tag {name} is {found.get(name, '')[:LONGEST_TEXT]!r}, wanted {value!r}"
        for name, value in wanted.items()
        if found.get(name, "") != value
    ]
    if _only_payload(video, XMP_UUID) != xmp_of(provenance):
        problems.append("the XMP is not the one that belongs to the record")
    return problems


def _json(provenance: Provenance) -> bytes:
    return json.dumps(provenance.to_dict(), sort_keys=True).encode()


def _digest(provenance: Provenance) -> str:
    return hashlib.sha256(_json(provenance)).hexdigest()


def _uuid_box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", _BEFORE_PAYLOAD + len(payload), b"uuid") + kind + payload


def content_in(video: Path) -> Content:
    """The hashes of what a sealed file holds now, to be compared with those of its record.

    Raises ProvenanceError for a file without a seal and for one that is no such video.
    """
    boxes = [box for kind in (XMP_UUID, RECORD_UUID) if (box := _only_box(video, kind)) is not None]
    return content_of(video, seal=sorted(boxes, key=lambda box: box.start))


def _only_payload(video: Path, kind: bytes) -> bytes | None:
    """What the one uuid box of a type holds; None without one."""
    if (box := _only_box(video, kind)) is None:
        return None
    with video.open("rb") as file:
        file.seek(box.start + _BEFORE_PAYLOAD)
        return file.read(box.stop - file.tell())


def _only_box(video: Path, kind: bytes) -> Box | None:
    found = [box for box in _few_boxes(video) if box.kind == "uuid" and _type_of(video, box) == kind]
    if len(found) > 1:
        raise ProvenanceError(f"{video.name} carries more than one provenance")
    for box in found:
        size = box.stop - box.start - _BEFORE_PAYLOAD
        if size < 0 or box.stop > video.stat().st_size:
            raise ProvenanceError(f"{video.name}: its provenance is cut off")
        if size > MOST_BYTES:
            raise ProvenanceError(f"{video.name}: its provenance has {size} bytes, wanted {MOST_BYTES} at most")
    return found[0] if found else None


def _type_of(video: Path, box: Box) -> bytes:
    with video.open("rb") as file:
        file.seek(box.start + HEADER_BYTES)
        return file.read(_TYPE_BYTES)


def _few_boxes(video: Path) -> list[Box]:
    boxes = []
    for box in outer_boxes(video):
        boxes.append(box)
        if len(boxes) > MOST_BOXES:
            raise ProvenanceError(f"{video.name} has more than {MOST_BOXES} outer boxes: it is no video of the farm")
    return boxes
