"""Pairs in an inbox become jobs, once, and their files go where people look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import StorageError
from farm.folder.find import Note, find
from farm.folder.look import list_inbox
from farm.folder.report import file_rows, redrive
from farm.folder.watch import MOST_PROBLEMS, in_words
from farm.jobs.inboxes import backlog, last_look
from farm.retention import clean
from tests.conftest import wait_until

if TYPE_CHECKING:
    from conftest import Drop


def notes(drop: Drop) -> dict[str, str]:
    """Why each file is not taken by the second look, by path."""
    watcher = drop.watcher()
    watcher.look()
    return {note.path: note.why for note in watcher.look().notes}


def test_a_pair_goes_from_the_inbox_to_its_video_and_to_done(drop: Drop) -> None:
    drop.pair("maths/algebra 03")
    watcher = drop.watcher()
    drop.take(watcher)
    (job,) = drop.jobs()
    assert (job.name, job.owner) == ("maths/algebra 03", "tests")
    assert drop.lies() == ["processing/maths/algebra 03.png", "processing/maths/algebra 03.wav"]
    drop.finish(job.id)
    drop.work(watcher)
    assert drop.lies() == ["done/maths/algebra 03.png", "done/maths/algebra 03.wav", "results/maths/algebra 03.mp4"]
    assert drop.claim("maths/algebra 03.wav").result.endswith("-drop/results/maths/algebra 03.mp4")
    assert drop.storage.get_bytes(f"{drop.base}results/maths/algebra 03.mp4") == b"lesson 1"


def test_halves_find_each_other_in_any_letter_case_and_type_but_only_in_one_folder(drop: Drop) -> None:
    drop.put("Lesson01.PNG", drop.portrait)
    drop.put("lesson01.WaV", drop.speech)
    drop.put("a/other.png", drop.portrait)
    drop.put("b/other.wav", drop.speech)
    drop.take()
    assert [job.name for job in drop.jobs()] == ["lesson01"]
    assert notes(drop) == {"a/other.png": "unpaired", "b/other.wav": "unpaired"}


def test_nothing_is_taken_at_the_first_look_nor_while_it_changes_nor_too_young(drop: Drop) -> None:
    drop.pair("one")
    watcher = drop.watcher()
    assert {note.why for note in watcher.look().notes} == {"settling"}
    drop.put("one.wav", drop.speech + b"\0\0")
    assert {note.why for note in watcher.look().notes} == {"settling"}
    assert not watcher.look().notes
    drop.settings = drop.settings.model_copy(update={"inbox_settle_seconds": 3600.0})
    drop.pair("young")
    assert set(notes(drop)) >= {"young.png", "young.wav"}


def test_a_refused_pair_lies_in_failed_with_every_reason_and_is_not_tried_again(drop: Drop) -> None:
    drop.put("broken.png", drop.portrait)
    drop.put("broken.wav", b"no speech at all")
    watcher = drop.watcher()
    drop.take(watcher)
    assert drop.lies() == ["failed/broken.png", "failed/broken.wav", "failed/broken.wav.error.json"]
    error = drop.read_json("failed/broken.wav.error.json")
    assert (error["stage"], error["code"]) == ("check", "input_refused")
    assert "broken.wav" in error["reason"]
    drop.put("broken.png", drop.portrait)
    drop.put("broken.wav", b"no speech at all")
    assert notes(drop) == {"broken.png": "taken before", "broken.wav": "taken before"}
    drop.put("broken.wav", drop.speech)
    drop.take()
    assert [job.name for job in drop.jobs()] == ["broken"]


def test_a_mended_half_that_comes_alone_is_told_how_it_gets_back_the_other_that_went_to_failed(drop: Drop) -> None:
    drop.put("maths/my bad.png", drop.portrait)
    drop.put("maths/my bad.wav", b"no speech at all")
    watcher = drop.watcher()
    drop.take(watcher)
    drop.put("maths/my bad.wav", drop.speech)
    (note,) = watcher.look().notes
    assert (note.path, note.why) == ("maths/my bad.wav", "unpaired")
    assert note.words == (
        "there is no portrait of this name, and no presenter in _defaults.yaml; maths/my bad.png went to failed/ "
        "with an earlier upload of it: upload that again too, or "
        f"`farm folder redrive {drop.inbox.url} 'maths/my bad.wav'`"
    )
    assert note.words in {row.words for row in file_rows(drop.farm, drop.inbox)}
    assert redrive(drop.farm, drop.inbox, ["maths/my bad.wav"]).again == ("maths/my bad.wav",)
    drop.take(watcher)
    assert [job.name for job in drop.jobs()] == ["maths/my bad"]
    drop.put("maths/my bad.wav", drop.speech + b"\0\0")
    (note,) = watcher.look().notes
    assert "failed/" not in note.words


def test_a_job_whose_video_was_not_delivered_yet_is_not_cleaned_away(drop: Drop) -> None:
    keeping_none = drop.settings.model_copy(update={"keep_jobs_days": 0.0})

    def cleaned() -> int:
        clean(drop.farm.books, drop.farm.storage, keeping_none, dry_run=False, on_step=lambda _: None)
        return len(drop.jobs())

    watcher = drop.watcher()
    drop.pair("one")
    drop.take(watcher)
    drop.put("m/.manifests", b"")
    drop.put("m/_p.png", drop.portrait)
    drop.put("m/two.wav", drop.speech)
    drop.put("m/c.csv", b"portrait,speech\n_p.png,two.wav\n")
    drop.take(watcher)
    for job in drop.jobs():
        drop.finish(job.id)
    assert cleaned() == 2
    drop.work(watcher)
    assert [key for key in drop.lies() if key.startswith("results/")] == ["results/m/two.mp4", "results/one.mp4"]
    assert cleaned() == 0


def test_what_an_inbox_put_away_goes_after_its_time_and_nothing_else_does(drop: Drop) -> None:
    def cleaned(**settings: object) -> int:
        ours = drop.settings.model_copy(update={"inboxes": (drop.inbox.url,), **settings})
        found = clean(drop.farm.books, drop.farm.storage, ours, dry_run=False, on_step=lambda _: None)
        return found.gone["inbox"].objects

    drop.pair("good")
    drop.put("deep/broken.png", drop.portrait)
    drop.put("deep/broken.wav", b"no speech at all")
    watcher = drop.watcher()
    drop.take(watcher)
    drop.finish(drop.jobs()[0].id)
    drop.work(watcher)
    drop.pair("waits")
    others = ["done/invoices/2026.pdf", "failed/deep/exam.csv", "processing/x.wav"]
    for name in others:
        drop.storage.put_bytes(drop.base + name, b"of somebody who had this folder before")
    assert cleaned() == 0, "for ever, unless a time is set"
    assert cleaned(keep_inbox_days=1.0) == 0
    assert cleaned(keep_inbox_days=0.0) == 5
    assert drop.lies() == sorted([*others, "inbox/waits.png", "inbox/waits.wav", "results/good.mp4"])


def test_a_failed_job_says_why_beside_its_inputs(drop: Drop) -> None:
    drop.pair("one")
    watcher = drop.watcher()
    drop.take(watcher)
    drop.fail(drop.jobs()[0].id, "the GPU melted")
    drop.work(watcher)
    assert drop.lies() == ["failed/one.png", "failed/one.wav", "failed/one.wav.error.json"]
    error = drop.read_json("failed/one.wav.error.json")
    assert (error["stage"], error["reason"], error["job"]) == ("render", "the GPU melted", drop.jobs()[0].id)


def test_an_upload_of_a_name_that_is_being_rendered_waits_for_its_end(drop: Drop) -> None:
    drop.pair("one")
    watcher = drop.watcher()
    drop.take(watcher)
    drop.put("one.png", drop.portrait)
    drop.put("one.wav", drop.speech + b"\0\0")
    drop.take(watcher)
    assert notes(drop) == {"one.png": "in hand", "one.wav": "in hand"}
    drop.finish(drop.jobs()[0].id)
    drop.work(watcher)
    drop.take(watcher)
    assert len(drop.jobs()) == 2


def test_defaults_of_folders_above_hold_and_the_nearest_has_the_last_word(drop: Drop) -> None:
    drop.put("_people/anna.png", drop.portrait)
    drop.put(
        "_defaults.yaml",
        b"defaults: {presenter: anna, owner: school, priority: 7}\n"
        b"presenters: {anna: {portrait: _people/anna.png, seed: 7}}",
    )
    drop.put("maths/_defaults.yaml", b"defaults: {owner: maths}")
    drop.put("maths/one.wav", drop.speech)
    drop.put("two.wav", drop.speech)
    drop.take()
    found = {job.name: (job.owner, job.priority) for job in drop.jobs()}
    assert found == {"maths/one": ("maths", 7), "two": ("school", 7)}
    assert "inbox/_people/anna.png" in drop.lies()
    job = next(job for job in drop.jobs() if job.name == "two")
    assert drop.farm.storage.get_json(f"jobs/{job.id}/job.json")["spec"]["seed"] == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"defaults: {presenter: nobody}", "nobody"),
        (b"defaults: {stepz: 3}", "steps"),
        (b"defaults: {portrait: ../../elsewhere.png}", "wanted a file in the inbox"),
        (b"a: &a [*a]", "anchor"),
        (b"\xff\xfe\xfd", "_defaults.yaml"),
    ],
    ids=["no such presenter", "unknown column", "outside", "bomb", "no text"],
)
def test_wrong_defaults_stop_their_folder_and_say_why(drop: Drop, text: bytes, words: str) -> None:
    drop.put("maths/_defaults.yaml", text)
    drop.pair("maths/one")
    drop.pair("two")
    watcher = drop.watcher()
    watcher.look()
    found = watcher.look()
    stopped = [note for note in found.notes if note.why == "stopped"]
    assert {note.path for note in stopped} == {"maths/one.png", "maths/one.wav"}
    assert words in stopped[0].words
    drop.work(watcher)
    assert [job.name for job in drop.jobs()] == ["two"]


def test_a_webhook_of_the_defaults_is_told_of_their_pairs_and_a_wrong_one_is_refused_without_its_path(
    drop: Drop,
) -> None:
    drop.put("_defaults.yaml", b"defaults: {webhook: 'https://example.com/hooks/s3cret'}")
    drop.put("maths/_defaults.yaml", b"defaults: {webhook: 'gopher://example.com/s3cret'}")
    drop.pair("one")
    drop.pair("maths/two")
    drop.take()
    (job,) = drop.jobs()
    assert job.name == "one"
    assert drop.farm.storage.get_json(f"jobs/{job.id}/job.json")["webhook"] == "https://example.com/hooks/s3cret"
    (problem,) = drop.read_json("failed/maths/two.wav.error.json")["problems"]
    assert problem == (
        "webhook 'gopher://example.com/...' is no URL, wanted http:// or https:// and a host, without spaces, in ASCII"
    )


@pytest.mark.parametrize("text", [b"defaults: {seed: 7}", b"#" * 65537], ids=["unreadable", "too long"])
def test_defaults_that_cannot_be_read_or_need_not_be_stop_their_folder_alone(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    drop.put("maths/_defaults.yaml", text)
    drop.pair("maths/one")
    drop.pair("two")
    watcher = drop.watcher()

    def denied(key: str) -> bytes:
        raise StorageError(f"storage refused {key}: AccessDenied")

    monkeypatch.setattr(watcher._storage, "get_bytes", denied)
    watcher.look()
    (words,) = {note.words for note in watcher.look().notes if note.why == "stopped"}
    assert ("AccessDenied" in words) is (len(text) < 100)
    drop.work(watcher)
    assert [job.name for job in drop.jobs()] == ["two"]


def test_hold_stops_a_folder_and_all_below_until_it_is_gone(drop: Drop) -> None:
    drop.put("maths/.hold", b"")
    drop.pair("maths/2026/one")
    assert set(notes(drop).values()) == {"held"}
    drop.storage.delete(f"{drop.inbox.prefix}maths/.hold")
    drop.take()
    assert len(drop.jobs()) == 1


def test_hidden_empty_and_unfinished_files_are_left_alone(drop: Drop) -> None:
    drop.put(".one.wav", drop.speech)
    drop.put("one.wav.part", drop.speech)
    drop.put("one.TMP", drop.speech)
    drop.put("one.wav", b"")
    drop.put(".git/one.png", drop.portrait)
    assert set(notes(drop).values()) == {"left alone"}
    assert len(notes(drop)) == 5


def test_more_than_one_file_of_a_kind_and_name_is_nobodys_pair(drop: Drop) -> None:
    drop.pair("one")
    drop.put("One.mp3", drop.speech)
    assert notes(drop) == dict.fromkeys(("one.png", "one.wav", "One.mp3"), "unpaired")


def test_what_stays_alone_for_long_is_a_problem_of_the_last_look_counted_and_logged_once(
    drop: Drop, caplog: pytest.LogCaptureFixture
) -> None:
    drop.settings = drop.settings.model_copy(update={"inbox_unpaired_seconds": 0.5})
    drop.put("alone.wav", drop.speech)
    watcher = drop.watcher()

    def told() -> tuple[str, ...]:
        watcher.look()
        look = last_look(drop.farm.books, drop.inbox.id)
        return look.problems if look else ()

    found = wait_until(told, what="the file is a problem")
    (sentence,) = found
    assert sentence == "alone.wav: there is no portrait of this name, and no presenter in _defaults.yaml"
    assert backlog(drop.farm.books)[drop.inbox.url].unpaired == 1
    watcher.look()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{drop.inbox.url}: {sentence}"
    ]


def test_problems_that_are_not_named_are_counted() -> None:
    *named, rest = in_words([Note(f"{number}.wav", "unpaired", "alone", 0.0) for number in range(MOST_PROBLEMS + 2)])
    assert len(named) == MOST_PROBLEMS
    assert rest == "and 2 more, `farm folder report` has every one"


def test_the_backlog_is_every_file_that_may_still_be_taken_or_whose_lesson_goes_on(drop: Drop) -> None:
    drop.pair("one")
    watcher = drop.watcher()
    drop.take(watcher)
    drop.finish(drop.jobs()[0].id)
    drop.work(watcher)
    drop.pair("one")  # taken before
    drop.put(".hidden.wav", drop.speech)
    drop.put("_anna.png", drop.portrait)
    drop.put("alone.wav", drop.speech)
    for number in range(4):
        drop.put(f"course/{number}.wav", drop.speech + bytes(2 * number))
    drop.put("course/.manifests")
    drop.put("course.csv", b"portrait,speech\n_anna.png,course/?.wav\n")

    def files() -> int:
        watcher.look()
        return backlog(drop.farm.books)[drop.inbox.url].files

    assert files() == 6, "alone.wav, the manifest and its speeches"
    drop.take(watcher)
    assert files() == 6, "as many while they are rendered"
    for job in drop.jobs():
        if job.state == "planning":
            drop.finish(job.id)
    drop.work(watcher)
    assert files() == 1


def test_a_listing_has_every_file_by_folder(drop: Drop) -> None:
    for path in ("one.wav", "a/two.wav", "a/b/three.wav", "c/four.wav"):
        drop.put(path)
    listing = list_inbox(drop.storage, drop.inbox)
    assert {folder: list(files) for folder, files in listing.folders.items()} == {
        "": ["one.wav"],
        "a/": ["two.wav"],
        "a/b/": ["three.wav"],
        "c/": ["four.wav"],
    }
    assert len(find(listing, drop.watcher().eyes()).notes) == 4
