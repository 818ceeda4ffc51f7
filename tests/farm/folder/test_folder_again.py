"""A name that is uploaded again: while its earlier upload is in hand, after that failed, in another manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import CorruptObjectError
from farm.folder.claims import File
from farm.folder.kept import entry_of
from farm.folder.moves import Moves
from farm.folder.report import file_rows, inbox_view, redrive
from farm.jobs import inboxes

if TYPE_CHECKING:
    from conftest import Drop

    from farm.folder.watch import Watcher

MANIFEST = b"portrait,speech,name\n_anna.png,a/x.wav,Of the manifest\n"


def read(drop: Drop, key: str) -> bytes:
    return drop.storage.get_bytes(drop.base + key)


def finish(drop: Drop, name: str, watcher: Watcher) -> None:
    drop.finish(next(job.id for job in drop.jobs() if job.name == name and job.state == "planning"))
    drop.work(watcher)


def fail(drop: Drop, watcher: Watcher) -> None:
    drop.fail(next(job.id for job in drop.jobs() if job.state == "planning"), "the GPU melted")
    drop.work(watcher)


def uploaded_again_after_it_failed(drop: Drop, second: bytes) -> Watcher:
    """The watcher of a pair called one: it failed, and lies there again with another speech."""
    drop.pair("one")
    watcher = drop.watcher()
    drop.take(watcher)
    fail(drop, watcher)
    drop.put("one.png", drop.portrait)
    drop.put("one.wav", second)
    return watcher


def test_a_manifest_waits_while_it_names_a_new_upload_of_what_is_still_rendered(drop: Drop) -> None:
    drop.pair("a/x")
    watcher = drop.watcher()
    drop.take(watcher)
    second = drop.speech + b"\0\0"
    drop.put("_anna.png", drop.portrait)
    drop.put("a/x.wav", second)
    drop.put("m.csv", MANIFEST)
    drop.take(watcher)
    assert (drop.claim("m.csv").stage, len(drop.jobs())) == ("claimed", 1)
    assert inbox_view(drop.farm, drop.inbox).troubles == (
        "m.csv: a/x.wav: an earlier upload of this name is not finished yet",
    )
    assert (read(drop, "processing/a/x.wav"), read(drop, "inbox/a/x.wav")) == (drop.speech, second)
    finish(drop, "a/x", watcher)
    assert read(drop, "done/a/x.wav") == drop.speech
    drop.work(watcher)
    assert read(drop, "processing/a/x.wav") == second
    finish(drop, "Of the manifest", watcher)
    assert drop.claim("m.csv").stage == "done"
    assert read(drop, "done/a/x.wav") == second


def test_a_manifest_goes_on_where_it_names_the_very_content_that_is_rendered(drop: Drop) -> None:
    drop.pair("a/x")
    watcher = drop.watcher()
    drop.take(watcher)
    drop.put("_anna.png", drop.portrait)
    drop.put("a/x.wav", drop.speech)
    drop.put("m.csv", MANIFEST)
    drop.take(watcher)
    assert drop.claim("m.csv").stage == "running"
    finish(drop, "Of the manifest", watcher)
    finish(drop, "a/x", watcher)
    assert {claim.stage for claim in drop.claims()} == {"done"}
    assert read(drop, "done/a/x.wav") == drop.speech


def test_a_manifest_leaves_alone_what_a_pair_put_in_the_place_of_its_file(drop: Drop) -> None:
    drop.put("_anna.png", drop.portrait)
    drop.put("a/x.wav", drop.speech)
    drop.put("m.csv", MANIFEST)
    watcher = drop.watcher()
    watcher.look()
    watcher.look()
    manifest = watcher._steps.step(drop.claim("m.csv"))
    second = drop.speech[:-2] + b"\1\1"
    drop.put("a/x.png", drop.portrait)
    drop.put("a/x.wav", second)
    watcher.look()
    watcher.look()  # the pair is claimed before the books hear which files the manifest has
    inboxes.keep(drop.farm.books, drop.inbox.id, entry_of(manifest))
    drop.work(watcher)
    finish(drop, "Of the manifest", watcher)
    assert drop.claim("m.csv").stage == "done"
    assert read(drop, "processing/a/x.wav") == second
    finish(drop, "a/x", watcher)
    assert read(drop, "done/a/x.wav") == second


def test_a_file_of_another_size_is_not_copied_over_what_is_there(drop: Drop) -> None:
    drop.storage.put_bytes(f"{drop.base}processing/one.wav", b"of somebody else")
    drop.storage.put_bytes(f"{drop.base}done/one.wav", b"as it was")
    moves, file = Moves(drop.storage, drop.inbox), File("one.wav", 3, "0", "speech")
    with pytest.raises(CorruptObjectError, match="has 16 bytes, wanted the 3 that were taken"):
        moves.on(file, drop.inbox.processing, drop.inbox.done)
    assert read(drop, "done/one.wav") == b"as it was"


def test_what_failed_is_not_tried_again_once_a_later_upload_of_its_name_is_done(drop: Drop) -> None:
    watcher = uploaded_again_after_it_failed(drop, drop.speech + b"\0\0")
    drop.take(watcher)
    finish(drop, "one", watcher)
    before = drop.lies()
    found = redrive(drop.farm, drop.inbox, [], everything=True)
    assert found.again == ()
    assert found.refused == {"one.wav": "it failed, but its name was uploaded again since, and that is done"}
    assert drop.lies() == before


def test_what_failed_may_be_tried_again_after_a_later_upload_of_its_name_was_withdrawn(drop: Drop) -> None:
    watcher = uploaded_again_after_it_failed(drop, drop.speech + b"\0\0")
    watcher.look()
    watcher.look()
    drop.put("one.wav", drop.speech)  # back to what failed, before the other was taken
    drop.work(watcher)
    assert sorted(claim.stage for claim in drop.claims()) == ["failed", "released"]
    found = redrive(drop.farm, drop.inbox, ["one.wav"])
    assert (found.again, found.refused) == (("one.wav",), {})
    drop.take(watcher)
    assert [job.state for job in drop.jobs()] == ["planning", "failed"]


def test_of_two_failures_of_one_name_the_later_is_tried_again(drop: Drop) -> None:
    second = drop.speech + b"\0\0"
    watcher = uploaded_again_after_it_failed(drop, second)
    drop.take(watcher)
    fail(drop, watcher)
    found = redrive(drop.farm, drop.inbox, ["one.wav"])
    assert (found.again, found.refused) == (("one.wav",), {})
    drop.take(watcher)
    assert read(drop, "processing/one.wav") == second
    assert [job.state for job in drop.jobs()] == ["planning", "failed", "failed"]


def retried_after_it_failed(drop: Drop) -> Watcher:
    """The watcher of a pair called one, whose job failed and goes on."""
    drop.pair("one")
    watcher = drop.watcher()
    drop.take(watcher)
    fail(drop, watcher)
    drop.farm.job(drop.jobs()[0].id).retry()
    return watcher


def test_a_job_that_people_retried_is_delivered_and_its_files_lie_as_if_it_had_never_failed(drop: Drop) -> None:
    watcher = retried_after_it_failed(drop)
    drop.take(watcher)
    assert drop.lies() == ["processing/one.png", "processing/one.wav"]
    finish(drop, "one", watcher)
    assert drop.lies() == ["done/one.png", "done/one.wav", "results/one.mp4"]
    assert [(row.state, row.words) for row in file_rows(drop.farm, drop.inbox)] == [("done", "")] * 2


def test_a_job_that_fails_again_says_its_new_reason_and_may_be_retried_again(drop: Drop) -> None:
    watcher = retried_after_it_failed(drop)
    drop.take(watcher)
    drop.fail(drop.jobs()[0].id, "the GPU froze")
    drop.work(watcher)
    assert drop.read_json("failed/one.wav.error.json")["reason"] == "the GPU froze"
    drop.farm.job(drop.jobs()[0].id).retry()
    drop.finish(drop.jobs()[0].id)
    drop.take(watcher)
    drop.work(watcher)
    assert drop.lies() == ["done/one.png", "done/one.wav", "results/one.mp4"]


def test_a_retried_job_is_delivered_by_another_watcher_after_redis_was_emptied(drop: Drop) -> None:
    watcher = retried_after_it_failed(drop)
    watcher.look()
    watcher._steps.step(drop.claim("one.wav"))  # and dies before the books hear of it
    drop.farm.books.client.flushall()
    drop.take()
    drop.finish(drop.jobs()[0].id)
    drop.work(watcher)
    assert drop.lies() == ["done/one.png", "done/one.wav", "results/one.mp4"]


def test_a_retried_job_writes_over_no_video_of_a_later_upload(drop: Drop) -> None:
    watcher = uploaded_again_after_it_failed(drop, drop.speech + b"\0\0")
    drop.take(watcher)
    finish(drop, "one", watcher)
    before, video = drop.lies(), read(drop, "results/one.mp4")
    old = next(job.id for job in drop.jobs() if job.state == "failed")
    drop.farm.job(old).retry()
    drop.finish(old)
    drop.take(watcher)
    drop.work(watcher)
    assert (drop.lies(), read(drop, "results/one.mp4")) == (before, video)


def test_a_retried_job_is_delivered_beside_what_was_put_in_the_place_of_its_input(drop: Drop) -> None:
    watcher = retried_after_it_failed(drop)
    drop.storage.put_bytes(f"{drop.base}failed/one.wav", b"something else")
    drop.finish(drop.jobs()[0].id)
    drop.take(watcher)
    drop.work(watcher)
    assert drop.lies() == ["done/one.png", "failed/one.wav", "results/one.mp4"]


def test_a_failure_that_cannot_be_put_back_does_not_keep_others_from_it(drop: Drop) -> None:
    drop.pair("one")
    drop.pair("two")
    watcher = drop.watcher()
    drop.take(watcher)
    fail(drop, watcher)
    fail(drop, watcher)
    drop.storage.put_bytes(f"{drop.base}failed/one.wav", b"something else")
    found = redrive(drop.farm, drop.inbox, [], everything=True)
    assert found.again == ("two.wav",)
    assert "failed/one.wav has 14 bytes, wanted" in found.refused["one.wav"]
