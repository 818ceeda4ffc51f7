"""`farm batch check`, `plan` and `submit` as people and scripts see them."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from farm import Farm
from farm.jobs.batches import batch_row
from tests.conftest import PORTRAIT
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm import Settings
    from tests.farm.cli.conftest import Answer

WRONG = "row 4: speech: file"


@pytest.fixture
def farm(settings: Settings) -> Iterator[Farm]:
    with Farm(settings) as farm, closing(farm.storage):
        farm.storage.ensure_bucket()
        yield farm


@pytest.fixture
def term(tmp_path: Path, farm: Farm) -> Path:
    """A manifest of two lessons that are right and one that is wrong."""
    tone(tmp_path / "one.wav", 1.0)
    shutil.copy(PORTRAIT, tmp_path / "ada.png")
    path = tmp_path / "Algebra, term 1.csv"
    path.write_text(
        "speech,portrait,name,seed\none.wav,ada.png,One,1\none.wav,ada.png,Two,2\nnone.wav,ada.png,[red]x,3\n"
    )
    return path


def test_check_prints_a_line_for_each_reason_and_exits_with_2(cli: Callable[..., Answer], term: Path) -> None:
    table = term.parent / "rows.csv"
    said = cli("batch", "check", term, "--csv", table)
    assert said.code == 2
    assert "none.wav cannot be read" in said.out
    assert "[red]x" in said.out  # printed as it is written, not as a style
    assert "3 rows: 2 right, 1 wrong." in said.out
    assert table.read_bytes().startswith(b"\xef\xbb\xbf")
    assert len(table.read_text(encoding="utf-8-sig").splitlines()) == 4
    term.write_text("speech,portrait\none.wav,ada.png\n")
    said = cli("batch", "check", term, "--json")
    assert (said.code, said.json["right"], said.json["wrong"]) == (0, 1, 0)
    assert said.json["rows"][0]["seconds"] == 1.0


def test_submit_says_what_is_new_what_was_there_and_what_waits_for_mending(
    cli: Callable[..., Answer], farm: Farm, term: Path
) -> None:
    said = cli("batch", "submit", term, "--max-failures", "10%")
    assert said.code == 0
    assert "submitted: 2 new, 1 are wrong and wait for mending." in said.out
    (row,) = farm.batches()
    assert (row.name, row.total, row.max_failures) == ("Algebra, term 1", 2, "10%")
    again = cli("batch", "submit", term, "--json")
    assert (again.json["id"], again.json["created"], again.json["known"]) == (row.id, 0, 2)
    assert [one["row"] for one in again.json["refused"]] == [4]
    term.write_text(term.read_text().replace("none.wav", "one.wav") + "one.wav,ada.png,Four,1\n")
    mended = cli("batch", "submit", term)
    assert "1 new, 2 were there already, 1 are the same as another row." in mended.out
    assert "Row 5 is the same lesson as row 2: one job." in mended.err
    assert batch_row(farm.books, row.id).total == 3


def test_all_or_nothing_and_a_dry_run_submit_nothing(cli: Callable[..., Answer], farm: Farm, term: Path) -> None:
    said = cli("batch", "submit", term, "--all-or-nothing")
    assert (said.code, said.err) == (2, "Nothing was submitted.\n")
    said = cli("batch", "submit", term, "--all-or-nothing", "--json")
    assert said.code == 2
    assert [problem.startswith(WRONG) for problem in said.error["problems"]] == [True]
    said = cli("batch", "submit", term, "--dry-run")
    assert said.code == 2
    assert "Nothing was submitted. This is the plan:" in said.out
    planned = cli("batch", "plan", term, "--json")
    assert (planned.code, planned.json["lessons"], planned.json["seconds"]) == (2, 2, 2.0)
    assert planned.json["problems"][0].startswith(WRONG)
    assert "no slot offers renderer 'preview' now" in cli("batch", "plan", term).out
    assert farm.batches() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["--max-failures", "some"], "max_failures is 'some'", id="max failures"),
        pytest.param(["--name", "x" * 300], "name is 'xxx", id="a long name"),
        pytest.param(["--pilot", "soon"], "pilot is 'soon'", id="pilot"),
        pytest.param(["--webhook", "file:///etc/passwd"], "webhook", id="webhook"),
        pytest.param(["--defaults", "none.yaml"], "none.yaml cannot be read", id="defaults"),
        pytest.param(["--limit", "0"], "limit", id="limit"),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_queued(
    cli: Callable[..., Answer], farm: Farm, term: Path, arguments: list[str], words: str
) -> None:
    said = cli("batch", "submit", term, *arguments)
    assert said.code == 2
    assert words in said.err
    assert farm.batches() == []
