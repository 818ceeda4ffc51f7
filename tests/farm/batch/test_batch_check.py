"""A whole manifest looked at: each file once, every reason in plain words, nothing left behind."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from farm.batch import check as checking
from farm.batch.checksheet import ranges, reasons, write_csv
from farm.batch.intake import Order
from farm.errors import InputRefusedError, NotFoundError
from farm.storage import keys
from tests.conftest import PORTRAIT
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from pathlib import Path

    from tests.farm.hands import Hand

HEADER = "speech,portrait,name,seed,duration,subtitles"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A folder with two recordings and a portrait."""
    folder = tmp_path / "course"
    folder.mkdir()
    tone(folder / "one.wav", 1.0)
    tone(folder / "two.wav", 2.0)
    shutil.copy(PORTRAIT, folder / "ada.png")
    return folder


def manifest(folder: Path, *rows: str, header: str = HEADER, name: str = "term.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_every_row_is_judged_by_its_own_settings_and_every_reason_is_told(hand: Hand, course: Path) -> None:
    (course / "notes.wav").write_text("dear all")
    (course / "late.srt").write_text("1\n00:10:00,000 --> 00:10:01,000\nToo late.\n")
    found = hand.farm.check_batch(
        manifest(
            course,
            "one.wav,ada.png,right,,1,",
            "one.wav,ada.png,too long,,2,",
            "none.wav,ada.png,missing,,,",
            "notes.wav,ada.png,no sound,-1,,",
            "two.wav,one.wav,no photo,,,late.srt",
        )
    )
    assert [row.row.name for row in found.right] == ["right"]
    told = {row.row.number: "; ".join(row.problems) for row in found.wrong}
    assert told[3] == "duration is 2 s but speech one.wav lasts 1.000 s, wanted the same within a frame (0.04 s)"
    assert told[4] == f"speech: file {course}/none.wav cannot be read: No such file or directory"
    assert "seed is -1, wanted 0 to" in told[5]
    assert "notes.wav" in told[5]
    assert "one.wav" in told[6]
    assert "the speech ends at" in told[6]


def test_a_file_that_many_rows_name_is_looked_at_once(
    hand: Hand, course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: Counter[str] = Counter()

    def counting(path: Path, **more: float) -> object:
        looked[path.name] += 1
        return look(path, **more)

    look = checking.look_at_speech
    monkeypatch.setattr(checking, "look_at_speech", counting)
    steps: list[tuple[str, int, int]] = []
    rows = [f"{('one', 'two')[row % 2]}.wav,ada.png,row {row},{row},," for row in range(50)]
    found = hand.farm.check_batch(manifest(course, *rows), on_step=lambda *step: steps.append(step))
    assert len(found.right) == 50
    assert looked == {"one.wav": 1, "two.wav": 1}
    assert steps == [("checking", done, 3) for done in range(4)]


def test_files_in_storage_are_looked_at_where_they_lie(hand: Hand, course: Path) -> None:
    hand.storage.put_file("inbox/one.wav", course / "one.wav")
    hand.storage.put_file("inbox/ada.png", course / "ada.png")
    bucket, prefix = hand.farm.settings.s3_bucket, hand.farm.settings.s3_prefix
    path = manifest(
        course,
        f"s3://{bucket}/{prefix}/inbox/*.wav,s3://{bucket}/{prefix}/inbox/ada.png,,,,",
        f"s3://{bucket}/{prefix}/inbox/none.wav,ada.png,,,,",
        f"s3://{bucket}/../x.wav,ada.png,,,,",
    )
    right, missing, hostile = hand.farm.check_batch(path).rows
    assert (right.row.name, right.problems) == ("one", ())
    assert "none.wav" in missing.problems[0]
    assert "has a part '.' or '..'" in hostile.problems[0]
    # the manifest itself may lie there too, and names what lies beside it
    hand.storage.put_bytes("inbox/term.csv", b"speech,portrait\none.wav,ada.png\n*.wav,/etc/passwd\n")
    there, outside = hand.farm.check_batch(f"s3://{bucket}/{prefix}/inbox/term.csv").rows
    assert (there.row.name, there.problems) == ("one", ())
    assert "is no path below" in outside.problems[0]
    with pytest.raises(NotFoundError):
        hand.farm.check_batch(f"s3://{bucket}/{prefix}/inbox/none.csv")


def test_one_reason_is_said_once_with_the_rows_that_have_it(hand: Hand, course: Path) -> None:
    rows = [
        "one.wav,none.png,=cmd(),1,,",
        *["one.wav,none.png,x,,,"] * 3,
        "one.wav,ada.png,x,,,",
        "two.wav,none.png,y,,,",
    ]
    found = hand.farm.check_batch(manifest(course, *rows))
    ((sentence, wrong),) = reasons(found.wrong)
    assert "none.png" in sentence
    assert ranges(row.row.number for row in wrong) == "2-5, 7"
    write_csv(found.rows, course / "checked.csv")
    with (course / "checked.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert [(line["row"], line["ok"]) for line in table] == [
        (str(row), "yes" if row == 6 else "no") for row in range(2, 8)
    ]
    assert table[0]["name"] == "'=cmd()"  # no spreadsheet takes it for a formula
    assert table[0]["problems"] == sentence


def test_checking_and_refusing_leave_nothing_behind(hand: Hand, course: Path) -> None:
    path = manifest(course, "one.wav,ada.png,right,,,", "none.wav,ada.png,wrong,,,")
    hand.farm.check_batch(path)
    with pytest.raises(InputRefusedError, match=r"row 3: .*none\.wav"):
        hand.farm.submit_batch(path, Order(all_or_nothing=True))
    only_wrong = manifest(course, "none.wav,ada.png,wrong,,,")
    for wrong in ({"max_failures": "many"}, {"limit": 0}, {"name": "\n"}):
        with pytest.raises(InputRefusedError, match=f"{next(iter(wrong))} is"):
            Order(**wrong)  # type: ignore[arg-type]
    for order in (Order(), Order(webhook="gopher://x")):
        with pytest.raises(InputRefusedError):
            hand.farm.submit_batch(only_wrong if order == Order() else path, order)
    assert not list(hand.storage.list(keys.BATCHES))
    assert not list(hand.storage.list(keys.ASSETS))
    assert hand.farm.batches() == []
    assert hand.farm.jobs() == []
