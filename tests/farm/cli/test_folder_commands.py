"""`farm folder ...`: status, report, redrive and look, for people and for programs."""

from __future__ import annotations

import csv
import signal
from typing import TYPE_CHECKING

import pytest

from farm import Farm
from farm.folder.inbox import Inbox
from farm.folder.watch import Watcher
from tests.conftest import PORTRAIT, wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Answer

    from farm import Settings

    Cli = Callable[..., Answer]


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Inbox]:
    """One with a pair whose speech is none, a speech whose name would be a formula, and a name that hides something."""
    inbox = Inbox.at(f"s3://sonic-farm/{settings.s3_prefix}-drop/inbox", settings)
    quick = settings.model_copy(update={"inbox_settle_seconds": 0.0})
    with Farm(quick) as farm:
        storage = farm.storage.beside(inbox.bucket)
        for path, data in {
            "bad.png": PORTRAIT.read_bytes(),
            "bad.wav": b"no speech",
            "=1+1.wav": b"speech",
            "\u202e.wav": b"speech",
        }.items():
            storage.put_bytes(inbox.prefix + path, data)
        watcher = Watcher(farm, inbox)
        watcher.look()
        watcher.look()
        watcher.work()
        yield inbox


def test_status_says_what_ended_and_what_a_person_should_look_at(cli: Cli, inbox: Inbox) -> None:
    answer = cli("folder", "status")
    assert answer.code == 0
    assert inbox.url in answer.out
    assert "cannot be seen" in answer.out
    (view,) = cli("folder", "status", inbox.url, "--json").json
    assert view["claims"] == {"failed": 1}
    assert view["look"]["waiting"] == {"refused": 1, "unpaired": 1}


def test_the_report_has_a_row_for_every_file_and_harms_neither_terminal_nor_spreadsheet(
    cli: Cli, inbox: Inbox, tmp_path: Path
) -> None:
    rows = {row["path"]: row for row in cli("folder", "report", inbox.url, "--json").json}
    assert {path: row["state"] for path, row in rows.items()} == {
        "bad.png": "failed",
        "bad.wav": "failed",
        "=1+1.wav": "unpaired",
        "\u202e.wav": "refused",
    }
    assert "bad.wav" in rows["bad.wav"]["words"]
    assert "\u202e" not in cli("folder", "report", inbox.url).out
    assert cli("folder", "report", inbox.url, "--csv", tmp_path / "files.csv").code == 0
    with (tmp_path / "files.csv").open(encoding="utf-8-sig", newline="") as file:
        assert sorted(row["path"] for row in csv.DictReader(file)) == ["'=1+1.wav", "\\u202e.wav", "bad.png", "bad.wav"]


def test_what_failed_goes_back_into_the_inbox_by_name_or_all_at_once(cli: Cli, inbox: Inbox) -> None:
    assert cli("folder", "redrive", inbox.url).code == 2
    wrong = cli("folder", "redrive", inbox.url, "good.wav")
    assert (wrong.code, "good.wav" in wrong.err) == (2, True)
    assert cli("folder", "redrive", inbox.url, "bad.wav", "--json").json == {"again": ["bad.wav"], "refused": {}}
    states = {row["state"] for row in cli("folder", "report", inbox.url, "--json").json if "bad" in row["path"]}
    assert states in ({"released", "settling"}, {"released", "waiting"})  # by how long ago it was put back


@pytest.mark.parametrize("verb", [("redrive", "--all"), ("look",), ("report",)], ids=lambda verb: verb[0])
def test_an_inbox_that_nobody_watches_is_told_from_one_without_files(
    cli: Cli, inbox: Inbox, verb: tuple[str, ...]
) -> None:
    answer = cli("folder", verb[0], "s3://sonic-farm/elsewhere/inbox", *verb[1:])
    assert answer.code == 2
    assert f"nobody watches s3://sonic-farm/elsewhere/inbox, wanted one of: {inbox.url}" in answer.err


def test_an_inbox_that_cannot_be_one_is_refused_in_plain_words(cli: Cli) -> None:
    answer = cli("folder", "look", "s3://sonic-farm/results")
    assert answer.code == 2
    assert "to which its files go" in answer.err
    assert cli("folder", "status").err.startswith("No inbox")


def test_a_watcher_in_the_foreground_takes_a_drop_and_ends_at_ctrl_c(
    environ: dict[str, str], farm_process: Callable[..., subprocess.Popen[str]], inbox: Inbox, settings: Settings
) -> None:
    quick = {"FARM_INBOX_SECONDS": "0.2", "FARM_INBOX_SETTLE_SECONDS": "0"}
    process = farm_process("folder", "watch", inbox.url, **quick)
    with Farm(settings) as farm:
        storage = farm.storage.beside(inbox.bucket)
        for ending in ("png", "wav"):
            storage.put_bytes(f"{inbox.prefix}late.{ending}", b"neither picture nor speech")
        error = f"{inbox.failed}late.wav.error.json"
        wait_until(lambda: storage.head(error), seconds=60, what="the late pair lies in failed")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
