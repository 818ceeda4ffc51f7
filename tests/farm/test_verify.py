"""`farm verify`, from file to exit code; no farm runs here."""

from __future__ import annotations

import hashlib
import json
import random
from typing import TYPE_CHECKING

import pytest
from sealed import boxes_behind, copied, sealed_video, write_video

from engine.errors import ProvenanceError
from engine.media.provenance import tags
from farm.cli.main import run
from farm.errors import NotAllowedError, NotFoundError
from farm.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    from engine.media.provenance import Provenance


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    path = tmp_path / "teacher.jpg"
    path.write_bytes(b"a photo, as far as hashes go")
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return tmp_path / "lesson.mp4"


@pytest.fixture
def made(video: Path, portrait: Path) -> Provenance:
    return sealed_video(video, portrait=hashlib.sha256(portrait.read_bytes()).hexdigest())


def wrong(video: Path, **inputs: Path) -> list[str]:
    return [check.what for check in verify(video, **inputs).checks if check.problem]


def test_a_video_as_it_left_the_farm_is_right(video: Path, made: Provenance, portrait: Path) -> None:
    verdict = verify(video, portrait=portrait)
    assert verdict.right
    assert verdict.provenance == made
    assert [check.what for check in verdict.checks] == [
        "file, byte by byte",
        "video packets",
        "audio packets",
        "times of frames and sounds",
        "AI label",
        "portrait teacher.jpg",
    ]


def test_another_input_is_not_the_one(video: Path, made: Provenance, portrait: Path) -> None:
    assert wrong(video, portrait=portrait, speech=portrait) == ["speech teacher.jpg"]
    portrait.write_bytes(b"another photo")
    assert wrong(video, portrait=portrait) == ["portrait teacher.jpg"]


def test_the_subtitles_that_were_given_are_told_from_others_and_from_none(video: Path, tmp_path: Path) -> None:
    (srt := tmp_path / "lesson.srt").write_text("1\n00:00:00,500 --> 00:00:01,000\nGood morning.\n")
    sealed_video(video)
    assert verify(video, subtitles=srt).checks[-1].problem.endswith("the record says none")
    assert wrong(video, subtitles=srt) == ["subtitles lesson.srt"]
    sealed_video(video, subtitles=hashlib.sha256(srt.read_bytes()).hexdigest())
    assert run(["verify", str(video), "--subtitles", str(srt)]) == 0
    srt.write_text("1\n00:00:00,500 --> 00:00:01,000\nGood evening.\n")
    assert run(["verify", str(video), "--subtitles", str(srt)]) == 1


def test_a_record_moved_to_other_pictures_is_found_out(video: Path, made: Provenance, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mp4", metadata=tags(made), frames=31)
    other.write_bytes(other.read_bytes() + boxes_behind(video))
    assert wrong(other) == ["file, byte by byte", "video packets", "audio packets", "times of frames and sounds"]


def test_a_changed_byte_of_a_picture_and_a_changed_label_are_found(
    video: Path, made: Provenance, tmp_path: Path
) -> None:
    data = bytearray(video.read_bytes())
    data[data.index(b"mdat") + 1500] ^= 1
    changed = tmp_path / "changed.mp4"
    changed.write_bytes(data)
    assert wrong(changed)[1:] in (["video packets"], ["audio packets"])
    relabelled = copied(video, tmp_path / "relabelled.mp4", metadata={**tags(made), "title": "A real lesson"})
    relabelled.write_bytes(relabelled.read_bytes() + boxes_behind(video))
    assert wrong(relabelled) == ["file, byte by byte", "AI label"]


@pytest.mark.parametrize("where", [b"mvhd", b"avcC", b"tkhd", b"mp4a"])
def test_what_tells_a_player_how_to_show_it_counts_as_well(
    where: bytes, video: Path, made: Provenance, tmp_path: Path
) -> None:
    data = bytearray(video.read_bytes())
    data[data.index(where) + 16] ^= 4
    changed = tmp_path / "changed.mp4"
    changed.write_bytes(data)
    assert "file, byte by byte" in wrong(changed)


def test_nothing_can_be_put_behind_the_seal(video: Path, made: Provenance, tmp_path: Path) -> None:
    longer = tmp_path / "longer.mp4"
    longer.write_bytes(video.read_bytes() + b"\x00\x00\x00\x0cfreemore")
    assert wrong(longer) == ["file, byte by byte"]


@pytest.mark.parametrize(("said", "changed"), [(b"form 12/2026", b"form 99/2026"), (b'"seed": 7', b'"seed": 8')])
def test_the_record_cannot_be_edited_alone(
    said: bytes, changed: bytes, video: Path, made: Provenance, tmp_path: Path
) -> None:
    edited = tmp_path / "edited.mp4"
    head, record = video.read_bytes().split(b'{"beside"')
    edited.write_bytes(head + (b'{"beside"' + record).replace(said, changed))
    assert wrong(edited) == ["AI label"]


def test_what_is_no_file_and_what_carries_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no file .*gone\.mp4"):
        verify(tmp_path / "gone.mp4")
    with pytest.raises(NotAllowedError, match="is no file"):
        verify(tmp_path)
    with pytest.raises(ProvenanceError, match=r"bare\.mp4 carries no provenance"):
        verify(write_video(tmp_path / "bare.mp4", metadata={}))


def test_the_command_prints_where_a_video_comes_from(
    video: Path, made: Provenance, portrait: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(video), "--portrait", str(portrait)]) == 0
    said = capsys.readouterr()
    for fact in ("right", made.job, "form 12/2026", made.portrait, "CC BY-NC-SA", "ok     video packets"):
        assert fact in said.out
    assert "WRONG" not in said.out
    assert said.err == ""


def test_the_command_exits_with_1_when_something_is_not_right(
    video: Path, made: Provenance, portrait: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(video), "--speech", str(portrait), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["right"] is False
    assert [check["what"] for check in answer["checks"] if not check["right"]] == ["speech teacher.jpg"]
    assert answer["provenance"] == made.to_dict()
    assert run(["verify", str(video), "--speech", str(portrait)]) == 1
    assert "NOT RIGHT" in capsys.readouterr().out


def test_a_file_without_provenance_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_video(tmp_path / "bare.mp4", metadata={})
    assert run(["verify", str(path), "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "no_provenance"


def test_a_name_cannot_drive_the_terminal(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sealed_video(video, name="\x1b[2Jgone", consent="\x1b]0;title\x07")
    assert run(["verify", str(video)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_no_changed_byte_anywhere_passes_and_none_is_a_crash(video: Path, made: Provenance, tmp_path: Path) -> None:
    data, changed = video.read_bytes(), tmp_path / "changed.mp4"
    chance = random.Random(11)
    for _ in range(80):
        place = chance.choice([chance.randrange(len(data)), chance.randrange(data.index(b"mdat"))])
        changed.write_bytes(data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :])
        try:
            assert wrong(changed), place
        except ProvenanceError:
            continue
