"""What a video says of itself: readable by strangers, exact for us, and no way in for hostile files."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import av
import pytest
from sealed import boxes_behind, copied, provenance, sealed_video, write_video

from engine.errors import ProvenanceError, RenderError
from engine.media.boxes import top_level_boxes
from engine.media.contract import check_contract
from engine.media.provenance import (
    COMPOSITE,
    MOST_BYTES,
    RECORD_UUID,
    TRAINED,
    Provenance,
    content_in,
    labels_problems,
    read_provenance,
    seal,
    tags,
    xmp_of,
)
from engine.media.video import read_rgb

if TYPE_CHECKING:
    from pathlib import Path

    from lessons import Lesson

IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sealed; not to be changed by a test."""
    path = tmp_path_factory.mktemp("sealed") / "lesson.mp4"
    sealed_video(path)
    return path


def test_a_sealed_video_gives_back_what_was_said_of_it(tmp_path: Path) -> None:
    path = tmp_path / "lesson.mp4"
    sealed = sealed_video(path)
    assert read_provenance(path) == sealed
    assert replace(sealed, content=None) == provenance()
    assert sealed.content == content_in(path)
    assert labels_problems(path, sealed) == []
    assert Provenance.from_dict(json.loads(json.dumps(sealed.to_dict()))) == sealed


def test_a_result_of_the_farm_meets_its_contract_with_the_seal_on(lesson: Lesson, tmp_path: Path) -> None:
    path = copied(lesson.out, tmp_path / "video.mp4", metadata=tags(provenance()))
    seal(path, provenance())
    assert list(top_level_boxes(path))[-3:] == ["mdat", "uuid", "uuid"]
    check_contract(path, frames25=lesson.plan.frames25, size=(256, 256), speech=lesson.info, seams=lesson.seams)
    assert all((one == other).all() for one, other in zip(read_rgb(path), read_rgb(lesson.out), strict=True))


def test_the_hashes_are_those_of_another_tool(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "hashes"
    with (
        av.open(str(video)) as given,
        av.open(str(out), "w", format="streamhash", options={"hash": "sha256"}) as hashed,
    ):
        streams = {stream.index: hashed.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                hashed.mux(packet)
    content = content_in(video)
    assert out.read_text().splitlines() == [f"0,v,SHA256={content.video}", f"1,a,SHA256={content.audio}"]


def test_strangers_read_that_it_is_ai_generated(video: Path) -> None:
    with av.open(str(video)) as file:
        said = file.metadata
    assert said["comment"] == f"AI-generated video. Digital source type: {TRAINED}"
    assert said["title"] == 'Algebra <3> & "more"'
    assert said["description"].startswith("AI-generated video: one photo made to speak a recording")
    assert said["encoder"] == "sonic-farm 0.1.0"
    (description,) = ElementTree.fromstring(xmp_of(provenance()))[0]  # noqa: S314
    assert description.findtext(f"{IPTC}DigitalSourceType") == TRAINED
    assert description.findtext(f"{IPTC}AISystemUsed") == "sonic"
    assert "form 12/2026" in "".join(description.itertext())
    assert xmp_of(read_provenance(video)) in video.read_bytes()


def test_a_name_cannot_break_out_of_its_field(tmp_path: Path) -> None:
    name = '</rdf:li>]]><!ENTITY x "y">&x;\x00\x1b[31m\ud800\nend'
    sealed = sealed_video(tmp_path / "lesson.mp4", name=name)
    (description,) = ElementTree.fromstring(xmp_of(sealed))[0]  # noqa: S314
    title = description.findtext("{http://purl.org/dc/elements/1.1/}title//*{*}li")
    assert title == '</rdf:li>]]><!ENTITY x "y">&x;\ufffd\ufffd[31m\ufffd\nend'
    assert read_provenance(tmp_path / "lesson.mp4").name == name


def test_a_preview_is_not_called_the_work_of_a_trained_model() -> None:
    assert provenance(renderer="preview", weights="", licence="").source_type == COMPOSITE
    assert provenance(renderer="preview").source_type == TRAINED
    assert provenance(renderer="mine", weights="").source_type == TRAINED
    assert b"AISystemUsed" not in xmp_of(provenance(renderer="preview", weights=""))


def test_a_copy_without_the_record_says_so(video: Path, tmp_path: Path) -> None:
    copy = copied(video, tmp_path / "copy.mp4", metadata=tags(provenance()))
    with pytest.raises(ProvenanceError, match=r"copy\.mp4 carries no provenance"):
        read_provenance(copy)


def test_changed_tags_are_seen_though_every_packet_is_the_same(video: Path, tmp_path: Path) -> None:
    copy = copied(video, tmp_path / "copy.mp4", metadata={**tags(provenance()), "comment": "filmed in our studio"})
    copy.write_bytes(copy.read_bytes() + boxes_behind(video))
    said = read_provenance(copy)
    found = content_in(copy)
    assert replace(found, file=said.content.file) == said.content
    assert found.file != said.content.file
    (problem,) = labels_problems(copy, said)
    assert "'filmed in our studio'" in problem


def test_a_changed_xmp_is_seen(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "lesson.mp4"
    path.write_bytes(
        video.read_bytes().replace(b"<Iptc4xmpExt:DigitalSourceType>h", b"<Iptc4xmpExt:DigitalSourceType>H")
    )
    assert labels_problems(path, read_provenance(path)) == ["the XMP is not the one that belongs to the record"]


def test_another_encoding_a_cut_and_a_delay_are_seen(video: Path, tmp_path: Path) -> None:
    wanted = content_in(video)
    again = content_in(write_video(tmp_path / "again.mp4", metadata={}, frames=29))
    assert again.video != wanted.video
    assert again.audio != wanted.audio
    cut = content_in(copied(video, tmp_path / "cut.mp4", metadata={}, packets=30))
    assert (cut.video != wanted.video) or (cut.audio != wanted.audio)
    late = content_in(copied(video, tmp_path / "late.mp4", metadata={}, late=800))
    assert (late.video, late.audio) == (wanted.video, wanted.audio)
    assert late.times != wanted.times


def test_the_seal_is_not_set_twice_nor_on_a_file_without_tags(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "lesson.mp4"
    path.write_bytes(video.read_bytes())
    with pytest.raises(RenderError, match="more than one provenance"):
        seal(path, provenance())
    with pytest.raises(RenderError, match="the tag title is ''"):
        seal(write_video(tmp_path / "bare.mp4", metadata={}), provenance())


def test_a_file_whose_last_box_runs_to_its_end_is_not_sealed(video: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / "open.mp4", metadata=tags(provenance()))
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") - 4
    data[at : at + 4] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(RenderError, match="carries no provenance"):
        seal(path, provenance())


def record(**changes: Any) -> bytes:
    content = {"file": "0" * 64, "video": "1" * 64, "audio": "2" * 64, "subtitle": "", "times": "3" * 64}
    return json.dumps({**provenance().to_dict(), "content": content, **changes}).encode()


def box(payload: bytes, *, size: int | None = None) -> bytes:
    return struct.pack(">I4s", 24 + len(payload) if size is None else size, b"uuid") + RECORD_UUID + payload


FTYP = struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 512)


def test_the_record_of_these_tests_is_read(tmp_path: Path) -> None:
    path = tmp_path / "made.mp4"
    path.write_bytes(FTYP + box(record()))
    assert read_provenance(path).seed == 7


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"", "carries no provenance", id="empty"),
        pytest.param(b"\x00\x00", "carries no provenance", id="two bytes"),
        pytest.param(b"RIFF no mp4 at all, but text", "carries no provenance", id="no mp4"),
        pytest.param(FTYP, "carries no provenance", id="no record"),
        pytest.param(FTYP + struct.pack(">I4s", 1, b"uuid"), "carries no provenance", id="half a long header"),
        pytest.param(FTYP + struct.pack(">I4sQ", 1, b"uuid", 2**63), "carries no provenance", id="a box of 8 EiB"),
        pytest.param(FTYP + box(record(), size=2**31), "is cut off", id="more stated than there is"),
        pytest.param(FTYP + box(record(), size=12), "is cut off", id="less stated than a type"),
        pytest.param(FTYP + box(b" " * (MOST_BYTES + 1)), "has 65537 bytes, wanted 65536 at most", id="too large"),
        pytest.param(FTYP + box(record()) * 2, "more than one provenance", id="two"),
        pytest.param(FTYP + struct.pack(">I4s", 8, b"free") * 2000, "more than 1000 outer boxes", id="many boxes"),
        pytest.param(FTYP + box(b"{"), "is no JSON", id="half"),
        pytest.param(FTYP + box(b"\xff\xfe\xfd"), "is no JSON", id="no text"),
        pytest.param(FTYP + box(b"[" * 60_000), "is no JSON", id="nested without end"),
        pytest.param(FTYP + box(b'{"seed":' + b"9" * 60_000 + b"}"), "is no JSON", id="a number without end"),
        pytest.param(FTYP + box(b"[]"), "is no JSON object", id="a list"),
        pytest.param(FTYP + box(b"{}"), "lacks or has too much: beside, consent", id="nothing inside"),
        pytest.param(FTYP + box(record(more=1)), "lacks or has too much: more", id="a field more"),
        pytest.param(FTYP + box(record(version=2)), "version 2, this program reads 1", id="of a later version"),
        pytest.param(FTYP + box(record(version=True, seed=True)), "version is bool|seed is bool", id="a truth for 1"),
        pytest.param(FTYP + box(record(seed="7")), "seed is str, wanted int", id="a text for a number"),
        pytest.param(FTYP + box(record(name=["x"])), "name is list, wanted str", id="a list for a text"),
        pytest.param(FTYP + box(record(name="x" * 4001)), "name has 4001 characters, wanted 4000 at most", id="long"),
        pytest.param(
            FTYP + box(record(portrait="../../etc")), "portrait is '../../etc', wanted a SHA-256", id="no hash"
        ),
        pytest.param(FTYP + box(record(content=None)), "has no hashes", id="no content"),
        pytest.param(FTYP + box(record(content=3)), "content is no JSON object", id="a number for content"),
        pytest.param(
            FTYP + box(record(content={"file": "0" * 64, "video": "1", "audio": "2", "subtitle": [], "times": None})),
            "content.video is '1'",
            id="no hashes of content",
        ),
    ],
)
def test_hostile_and_broken_files_are_refused_in_plain_words(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "strange.mp4"
    path.write_bytes(data)
    with pytest.raises(ProvenanceError, match=said):
        read_provenance(path)


def test_a_record_on_what_is_no_video_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "strange.mp4"
    path.write_bytes(FTYP + box(record()))
    with pytest.raises(ProvenanceError, match=r"strange\.mp4 cannot be read as a video"):
        content_in(path)
    with pytest.raises(ProvenanceError, match=r"strange\.mp4 cannot be read as a video"):
        labels_problems(path, read_provenance(path))
