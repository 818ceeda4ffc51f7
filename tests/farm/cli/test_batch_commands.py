"""`farm batch ...` after the submit: what it prints, as words and as JSON, and its exit codes."""

from __future__ import annotations

import csv
import json
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from farm import Farm
from farm.batch import kept
from farm.batch.kept import Asked
from farm.cli.options import complete_batch
from farm.jobs.model import PLAN
from farm.jobs.store import AttemptFailure, Lease
from farm.storage import s3
from farm.storage.s3 import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Answer

    from farm.settings import Settings

    Cli = Callable[..., Answer]

BATCH = "20260101-000000-batch0"
WRONG = AttemptFailure(code="still_mouth", message="the mouth never moves", permanent=True)


@pytest.fixture
def farm(settings: Settings) -> Iterator[Farm]:
    """A farm whose batch has three held lessons, in lines 2 to 4."""
    with Farm(settings) as farm:
        farm.storage.ensure_bucket()
        asked = Asked(id=BATCH, name="algebra", owner="ada", submitted=1.0, manifest="algebra.csv", rows=3)
        kept.keep(farm.storage, asked)
        asked.enter(farm.books)
        for row in range(2, 5):
            fields: dict[str, str | int | float] = {
                "name": f"Algebra {row:02}",
                "owner": "ada",
                "priority": 5,
                "renderer": "preview",
                "max_attempts": 1,
                "token": f"row {row}",
                "warnings": "[]",
                "batch": BATCH,
                "row": row,
                "held": 1,
            }
            farm.books.enter(f"20260101-000000-{row:06}", f"row {row}", fields)
        yield farm
        farm.storage.close()


def fail(farm: Farm, row: int) -> None:
    lease = farm.books.claim(f"20260101-000000-{row:06}", PLAN, slot="cpu", suffix="abcdef", lease_seconds=60)
    assert isinstance(lease, Lease)
    farm.books.fail(lease, WRONG)


@pytest.mark.parametrize("verb", ["check", "submit"])
def test_a_manifest_whose_wildcards_storage_does_not_answer_for_is_not_called_wrong(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    manifest = tmp_path / "term.csv"
    manifest.write_text("speech,portrait\ns3://lessons/term/*.wav,ada.png\n")
    monkeypatch.setattr(s3, "Patience", partial(Patience, attempts=1))
    monkeypatch.setenv("FARM_S3_ENDPOINT", "http://127.0.0.1:9")
    answer = cli("batch", verb, str(manifest))
    assert (answer.code, answer.out) == (4, "")
    assert "storage does not answer for s3://lessons/term/" in answer.err


@pytest.mark.usefixtures("farm")
def test_batches_are_listed_with_their_counts(cli: Cli) -> None:
    assert "3: 3 planning" in cli("batch", "list").out
    assert [batch["id"] for batch in cli("batch", "list", "--json").json] == [BATCH]
    assert cli("batch", "list", "--owner", "nobody", "--json").json == []
    assert "No batches." in cli("batch", "list", "--owner", "nobody").err


def test_a_batch_is_shown_with_what_it_waits_for_and_what_is_wrong(cli: Cli, farm: Farm) -> None:
    assert f"3 rows are held until `farm batch release {BATCH}`" in cli("batch", "show", BATCH).out
    cli("batch", "release", BATCH)
    fail(farm, 3)
    out = cli("batch", "show", BATCH).out
    assert "3: 1 failed, 2 planning" in out
    assert "the mouth never moves" in out
    assert "Algebra 02" not in out  # nothing is wrong with it


@pytest.mark.usefixtures("farm")
def test_rows_are_shown_by_number_or_all(cli: Cli) -> None:
    assert [row["row"] for row in cli("batch", "show", BATCH, "--rows", "3-4", "--json").json["rows"]] == [3, 4]
    assert len(cli("batch", "show", BATCH, "--rows", "all", "--json").json["rows"]) == 3
    answer = cli("batch", "show", BATCH, "--rows", "three")
    assert (answer.code, "row is 'three', wanted a number" in answer.err) == (2, True)


def test_following_a_batch_ends_when_its_rows_have(cli: Cli, farm: Farm) -> None:
    cli("batch", "release", BATCH)
    for row in (2, 3, 4):
        fail(farm, row)
    answer = cli("batch", "show", BATCH, "--follow", "--json")
    assert (answer.code, answer.json["percent"]) == (0, 100.0)
    assert "rows: 3 failed" in cli("batch", "show", BATCH, "--follow").out


def test_every_way_to_steer_a_batch_says_how_it_then_stands(cli: Cli, farm: Farm) -> None:
    paused, resumed = cli("batch", "pause", BATCH).out, cli("batch", "resume", BATCH).out
    assert "Paused." in paused
    assert "paused" in paused
    assert "Goes on." in resumed
    assert "open" in resumed
    assert "At most 5 slots at once" in cli("batch", "limit", BATCH, "5").out
    assert cli("batch", "limit", BATCH, "4", "--json").json["limit"] == 4
    assert cli("batch", "limit", BATCH, "none", "--json").json["limit"] is None
    assert "3 rows at priority 2." in cli("batch", "priority", BATCH, "2").out
    rejected = cli("batch", "reject", BATCH, "2").out
    assert "Algebra 02" in rejected
    assert "1 row rejected." in rejected
    assert cli("batch", "release", BATCH, "--json").json["held"] == 0
    fail(farm, 3)
    assert "1 row taken up again." in cli("batch", "retry", BATCH).out
    answer = cli("batch", "cancel", BATCH, "--json").json
    assert (answer["state"], answer["changed"], answer["not_changed"]) == ("cancelled", 2, {})


def test_a_batch_that_has_ended_is_not_said_to_be_cancelled(cli: Cli, farm: Farm) -> None:
    cli("batch", "release", BATCH)
    for row in (2, 3, 4):
        fail(farm, row)
    answer = cli("batch", "cancel", BATCH)
    assert (answer.code, answer.out) == (2, "")
    assert f"cannot cancel batch {BATCH}: it has ended" in answer.err
    assert cli("batch", "show", BATCH, "--json").json["state"] == "open"


@pytest.mark.usefixtures("farm")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(("resume", BATCH), "it is not paused and not stopped", id="resume an open one"),
        pytest.param(("limit", BATCH, "many"), "SLOTS is 'many', wanted a number", id="no number of slots"),
        pytest.param(("submit", "no.csv", "--max-failures", "lots"), "max_failures is 'lots', wanted", id="no share"),
        pytest.param(("limit", BATCH, "0"), "limit is 0, wanted 1 or more slots", id="no slots"),
        pytest.param(("priority", BATCH, "12"), "priority is 12, wanted 0 to 9", id="no priority"),
        pytest.param(("reject", BATCH, "9"), f"row 9 is not in batch {BATCH}", id="no such row"),
        pytest.param(("pilot", BATCH, "--out", "x"), f"batch {BATCH} has no pilot", id="no pilot"),
        pytest.param(("show", "20260101-000000-nobody"), "is not in the books", id="no such batch"),
        pytest.param(("show", "../secrets"), "there is no batch '../secrets'", id="no id"),
        pytest.param(("report", BATCH, "--urls", "0"), "urls is 0 hours", id="no time"),
    ],
)
def test_what_cannot_be_is_refused_in_plain_words(cli: Cli, words: tuple[str, ...], reason: str) -> None:
    answer = cli("batch", *words)
    assert answer.code == 2
    assert reason in answer.err


def test_the_report_is_a_table_a_csv_and_json(cli: Cli, farm: Farm, tmp_path: Path) -> None:
    cli("batch", "release", BATCH)
    fail(farm, 4)
    assert "the mouth never moves" in cli("batch", "report", BATCH).out
    assert [row["state"] for row in cli("batch", "report", BATCH, "--json").json] == ["planning", "planning", "failed"]
    path = tmp_path / "report.csv"
    assert f"{path} written, 3 rows" in cli("batch", "report", BATCH, "--csv", str(path)).out
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert [row["reason"] for row in csv.DictReader(file)] == [
            "not done yet",
            "not done yet",
            "the mouth never moves",
        ]


@pytest.mark.usefixtures("farm", "environ")
def test_tab_completes_the_ids_of_batches() -> None:
    root = SimpleNamespace(params={})
    context: Any = SimpleNamespace(params={}, find_root=lambda: root)
    assert complete_batch(context, "2026") == [(BATCH, "algebra, open")]
    assert complete_batch(context, "2027") == []


@pytest.mark.usefixtures("farm")
def test_what_was_decided_twice_is_said_as_json_too(cli: Cli) -> None:
    answer = cli("batch", "resume", BATCH, "--json")
    assert (answer.code, json.loads(answer.err)["error"]["code"]) == (2, "not_allowed")
