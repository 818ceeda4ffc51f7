"""docs/courses.md, followed word for word on a small farm: its files, its commands, and what it says they print."""

from __future__ import annotations

import csv
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from engine.media.face import detect_faces
from farm.cli.main import run
from tests.conftest import PORTRAIT, environment_of
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from farm import Farm

PAGE = (Path(__file__).parents[3] / "docs" / "courses.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE = "20261122-181530-k3f9ab"
SUBMITTED = re.compile(r"Batch ([0-9]{8}-[0-9]{6}-[0-9a-z]{6}) submitted")
MADE_FOR_TESTS = "defaults: {renderer: stripes}\n"


def make_files(folder: Path) -> None:
    """What the page says is there: photos, a board without a face, short recordings."""
    photo = Image.open(PORTRAIT).convert("RGB")
    photo.save(folder / "anna.png")
    photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "ben.png")
    board = np.full((512, 512, 3), 60, np.uint8)
    assert not detect_faces(board)
    Image.fromarray(board).save(folder / "board.png")
    (folder / "lessons").mkdir()
    for number in range(1, 41):
        tone(folder / "lessons" / f"{number:02}.wav", 0.4 + number / 100)


class Reader:
    """Somebody who does what the page says, block by block, in the folder of the course."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        presenters = ["anna"] * 19 + ["ben"] * 20 + ["carla"]
        self.heading = ""
        self.lessons = {
            f"Algebra {number:02}": f"Algebra {number:02},{presenter},lessons/{number:02}.wav,"
            for number, presenter in enumerate(presenters, start=1)
        }
        self.batch, self.said = "", ""
        self.codes: list[int] = []

    def does(self, language: str, block: str) -> None:
        {"yaml": self.writes, "csv": self.edits, "": self.types, "text": self.compares}[language](block)

    def writes(self, block: str) -> None:
        (self.folder / "presenters.yaml").write_text(block + MADE_FOR_TESTS)

    def edits(self, block: str) -> None:
        """Rows of the manifest, each in its lesson's place."""
        lines = block.splitlines()
        if not self.heading:
            self.heading = lines.pop(0)
        for line in lines:
            name = line.split(",")[0]
            assert name in self.lessons
            self.lessons[name] = line
        (self.folder / "course.csv").write_text("\n".join([self.heading, *self.lessons.values()]) + "\n")

    def types(self, block: str) -> None:
        self.said = ""
        for command in block.splitlines():
            self.codes.append(run(shlex.split(command.replace(EXAMPLE, self.batch))[1:]))
            out, err = self.capsys.readouterr()
            self.said += out + err
            if found := SUBMITTED.search(out):
                assert self.batch in {"", found[1]}
                self.batch = found[1]

    def compares(self, block: str) -> None:
        said = " ".join(self.said.split())
        for line in block.splitlines():
            assert line in said, f"{line!r} was not said, but: {self.said}"


def test_a_course_is_taken_from_check_to_report_by_the_page(
    run_farm: Callable[..., Farm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    farm = run_farm(slots=2, renderers=("stripes=tests.renderers:Stripes",))
    for key, value in environment_of(farm.settings).items():
        monkeypatch.setenv(key, value)
    folder = tmp_path / "course"
    folder.mkdir()
    monkeypatch.chdir(folder)
    make_files(folder)
    reader = Reader(folder, capsys)
    for language, block in FENCE.findall(PAGE):
        reader.does(language, block)
    assert reader.codes[0] == 2  # the check found rows that are wrong
    assert set(reader.codes[1:]) == {0}
    with (folder / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(2, 42))
    assert Counter(row["state"] for row in rows) == {"done": 37, "cancelled": 1, "refused": 2}
    done = [row for row in rows if row["state"] == "done"]
    prefix = f"s3://{farm.settings.s3_bucket}/{farm.settings.s3_prefix}/"
    assert all(farm.storage.exists(row["url"].removeprefix(prefix)) for row in done)
    assert all(row["reason"] for row in rows if row["state"] != "done")
    assert (folder / "pilot" / "sheet.png").stat().st_size > 1000
    assert (folder / "pilot" / "pilot.html").read_text(encoding="utf-8").count("<video") == 2
