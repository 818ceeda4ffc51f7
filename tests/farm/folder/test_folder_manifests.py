"""A manifest uploaded last commits what it names."""

from __future__ import annotations

import json
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from farm.folder import courses
from farm.folder.kept import entry_of
from farm.folder.names import batch_name
from farm.folder.report import file_rows, inbox_view, redrive
from farm.jobs import inboxes
from farm.storage import s3
from farm.storage.s3 import Patience
from tests.conftest import wait_until
from tests.farm.storage.s3_gate import gate_before

if TYPE_CHECKING:
    from conftest import Drop

    from farm.folder.watch import Watcher


def upload(drop: Drop, manifest: str, *, name: str = "maths/course.csv") -> None:
    drop.put("maths/.manifests", b"")
    drop.put("maths/_people/anna.png", drop.portrait)
    for number in (1, 2):
        drop.put(f"maths/{number}.wav", drop.speech + bytes(2 * number))
    drop.put("maths/bad.wav", b"no speech")
    drop.put(name, manifest.encode())


def in_parts(drop: Drop, path: str, data: bytes) -> None:
    """Uploaded as large files are: what is copied from it gets another ETag."""
    client, where = drop.storage._client, {"Bucket": drop.inbox.bucket, "Key": drop.inbox.prefix + path}
    upload = client.create_multipart_upload(**where)["UploadId"]
    part = client.upload_part(**where, UploadId=upload, PartNumber=1, Body=data)
    parts = [{"ETag": part["ETag"], "PartNumber": 1}]
    client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})


COURSE = "portrait,speech,name\n_people/anna.png,1.wav,One\n_people/anna.png,2.wav,Two\n"


def states(drop: Drop) -> dict[str, str]:
    return {row.path: row.state for row in file_rows(drop.farm, drop.inbox)}


def test_a_manifest_takes_what_it_names_and_each_file_goes_its_own_way(drop: Drop) -> None:
    upload(drop, COURSE + "_people/anna.png,bad.wav,Bad\n_people/anna.png,gone.wav,Gone\n")
    watcher = drop.watcher()
    drop.take(watcher)
    (batch,) = drop.farm.batches()
    assert (batch.name, batch.total) == (f"{drop.inbox.url}/maths/course.csv", 2)
    assert {"processing/maths/course.csv", "processing/maths/1.wav", "inbox/maths/_people/anna.png"} <= set(drop.lies())
    for job in drop.jobs():
        drop.finish(job.id)
    drop.work(watcher)
    lies = set(drop.lies())
    assert {"done/maths/1.wav", "done/maths/2.wav", "results/maths/1.mp4", "results/maths/2.mp4"} <= lies
    assert {"failed/maths/course.csv", "failed/maths/bad.wav", "failed/maths/bad.wav.error.json"} <= lies
    problems = drop.read_json("failed/maths/course.csv.error.json")["problems"]
    assert [problem.split(":")[0] for problem in problems] == ["row 4", "row 5"]
    assert states(drop) == {
        "maths/1.wav": "done",
        "maths/2.wav": "done",
        "maths/bad.wav": "failed",
        "maths/course.csv": "failed",
    }


def test_where_manifests_commit_nothing_is_taken_as_a_pair(drop: Drop) -> None:
    drop.put("maths/.manifests", b"")
    drop.pair("maths/one")
    drop.take()
    assert not drop.jobs()
    assert states(drop) == {"maths/one.png": "unpaired", "maths/one.wav": "unpaired"}


def test_a_manifest_can_name_nothing_outside_its_inbox(drop: Drop) -> None:
    drop.storage.put_bytes(f"{drop.base}secret.wav", drop.speech)
    secret = f"s3://{drop.inbox.bucket}/{drop.base}secret.wav"
    rows = "".join(f"_people/anna.png,{path},X\n" for path in (secret, "/etc/passwd", "../../secret.wav", "s3://a/b"))
    upload(drop, "portrait,speech,name\n" + rows)
    drop.take()
    assert not drop.jobs()
    error = drop.read_json("failed/maths/course.csv.error.json")
    assert (error["stage"], len(error["problems"])) == ("check", 4)


def test_wildcards_of_a_manifest_look_at_nothing_outside_its_inbox(drop: Drop) -> None:
    base, bucket = drop.base, drop.inbox.bucket
    for place in ("elsewhere/1.wav", "inbox2/1.wav", "processing/1.wav"):
        drop.storage.put_bytes(base + place, drop.speech)
    wild = (f"{base}elsewhere/**", f"{base}inbox*/1.wav", f"{base}inbox/../elsewhere/*", f"{base}**", "*", "**")
    urls = [*(f"s3://{bucket}/{key}" for key in wild), "s3://else-where/**", "s3://else*"]
    inside = f"s3://{bucket}/{drop.inbox.prefix}maths/?.wav"
    presenters = f"{{anna: {{portrait: _people/anna.png}}, ben: {{portrait: 's3://{bucket}/{base}elsewhere/*'}}}}"
    lessons = [*(f"{{speech: '{url}', presenter: anna}}" for url in (*urls, inside)), "{speech: 1.wav, presenter: ben}"]
    upload(drop, f"presenters: {presenters}\nlessons: [{', '.join(lessons)}]", name="maths/course.yaml")
    with gate_before(drop.settings.s3_endpoint or "") as gate:
        drop.settings = drop.settings.model_copy(update={"s3_endpoint": gate.url})
        drop.take()
    assert len(drop.jobs()) == 2
    problems = drop.claim("maths/course.yaml").problems
    assert len(problems) == len(urls) + 1
    assert sum("lies outside the inbox, wanted a file of" in problem for problem in problems) == len(urls)
    assert "has a part '.' or '..'" in problems[2]
    listed = {
        parse_qs(urlsplit(line.split()[1]).query).get("prefix", [""])[0] for line in gate.seen if "list-type" in line
    }
    assert f"{drop.inbox.prefix}maths/" in listed
    assert not [line for line in gate.seen if "else" in line]
    assert not listed & {"", base, f"{base}inbox"}


def test_a_manifest_waits_for_storage_that_does_not_answer_for_its_wildcards(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(drop, "portrait,speech\n_people/anna.png,?.wav\n")
    monkeypatch.setattr(s3, "Patience", partial(Patience, attempts=1))
    with gate_before(drop.settings.s3_endpoint or "") as gate:
        drop.settings = drop.settings.model_copy(update={"s3_endpoint": gate.url})
        watcher = drop.watcher()
        watcher.look()
        watcher.look()
        gate.what, gate.faults = "list-type", deque(["503"])
        drop.work(watcher)
        assert not gate.faults
        claim = drop.claim("maths/course.csv")
        assert (claim.stage, claim.problems, claim.trouble) == ("claimed", (), "")
        drop.work(watcher)
    assert drop.claim("maths/course.csv").stage == "running"
    assert len(drop.jobs()) == 2


def test_a_manifest_waits_while_a_folder_of_a_file_that_it_names_is_held(drop: Drop) -> None:
    drop.put("_anna.png", drop.portrait)
    drop.put("maths/2026/1.wav", drop.speech)
    drop.put("maths/.hold", b"")
    drop.put("course.csv", b"portrait,speech\n_anna.png,maths/2026/1.wav\n")
    watcher = drop.watcher()
    drop.take(watcher)
    assert not drop.jobs()
    assert inbox_view(drop.farm, drop.inbox).troubles == (
        "course.csv: maths/2026/1.wav: maths/.hold stops this folder",
    )
    assert {"inbox/course.csv", "inbox/maths/2026/1.wav"} <= set(drop.lies())
    drop.storage.delete(f"{drop.inbox.prefix}maths/.hold")
    drop.work(watcher)
    assert (len(drop.jobs()), drop.claim("course.csv").trouble) == (1, "")


def test_a_manifest_takes_nothing_that_is_left_alone_and_says_which_rows_name_it(drop: Drop) -> None:
    drop.put("_anna.png", drop.portrait)
    left = {"1.wav.part": drop.speech, "a/.2.wav": drop.speech, "3.wav": b""}
    for path, data in left.items():
        drop.put(path, data)
    drop.put("4.wav", drop.speech)
    drop.put("course.csv", "\n".join(["portrait,speech", *(f"_anna.png,{path}" for path in (*left, "4.wav"))]).encode())
    watcher = drop.watcher()
    drop.take(watcher)
    assert drop.claim("course.csv").problems == (
        "row 2: speech 1.wav.part: it is hidden, or not finished by its name, so it is left alone",
        "row 3: speech a/.2.wav: it is hidden, or not finished by its name, so it is left alone",
        "row 4: speech 3.wav: it is empty, so it is left alone",
    )
    drop.finish(drop.jobs()[0].id)
    drop.work(watcher)
    assert {*(f"inbox/{path}" for path in left), "done/4.wav", "failed/course.csv"} <= set(drop.lies())


def test_defaults_of_its_folder_hold_for_a_manifest(drop: Drop) -> None:
    drop.put(
        "_defaults.yaml", b"defaults: {owner: school}\npresenters: {anna: {portrait: maths/_people/anna.png, seed: 7}}"
    )
    upload(drop, "presenter,speech\nanna,1.wav\n")
    drop.take()
    (job,) = drop.jobs()
    assert job.owner == "school"
    assert drop.farm.storage.get_json(f"jobs/{job.id}/job.json")["spec"]["seed"] == 7


def test_a_mended_manifest_adds_what_was_wrong_and_finds_the_rest_where_it_went(drop: Drop) -> None:
    upload(drop, COURSE + "_people/anna.png,bad.wav,Bad\n")
    watcher = drop.watcher()
    drop.take(watcher)
    for job in drop.jobs():
        drop.finish(job.id)
    drop.work(watcher)
    drop.put("maths/bad.wav", drop.speech)
    drop.put("maths/course.csv", (COURSE + "_people/anna.png,bad.wav,Better\n").encode())
    drop.take(watcher)
    (batch,) = drop.farm.batches()
    assert batch.total == 3
    assert sorted(job.state for job in drop.jobs()) == ["done", "done", "planning"]
    drop.finish(next(job.id for job in drop.jobs() if job.state == "planning"))
    drop.work(watcher)
    assert states(drop)["maths/course.csv"] == "done"
    assert "results/maths/bad.mp4" in drop.lies()


def test_a_redriven_manifest_retries_the_rows_that_failed(drop: Drop) -> None:
    upload(drop, COURSE)
    watcher = drop.watcher()
    drop.take(watcher)
    first, second = drop.jobs()
    drop.finish(first.id)
    drop.fail(second.id, "the GPU melted")
    drop.work(watcher)
    assert "the GPU melted" in drop.claim("maths/course.csv").reason
    assert redrive(drop.farm, drop.inbox, ["maths/course.csv"]).again == ("maths/course.csv",)
    drop.take(watcher)
    assert {job.id: job.state for job in drop.jobs()} == {first.id: "done", second.id: "planning"}
    drop.finish(second.id)
    drop.work(watcher)
    assert drop.claim("maths/course.csv").stage == "done"


def with_its_second_row_failed(drop: Drop) -> tuple[Watcher, str]:
    """A manifest that was uploaded has ended so; its watcher, and the job that failed."""
    watcher = drop.watcher()
    drop.take(watcher)
    first, second = (job.id for job in sorted(drop.jobs(), key=lambda job: job.name))
    drop.finish(first)
    drop.fail(second, "the GPU melted")
    drop.work(watcher)
    return watcher, second


@pytest.mark.parametrize("all_of_it", [True, False], ids=["the batch", "one job"])
def test_rows_that_people_retried_are_delivered_and_what_was_wrong_with_others_stays_said(
    drop: Drop, all_of_it: bool
) -> None:
    upload(drop, COURSE + "_people/anna.png,bad.wav,Bad\n")
    watcher, second = with_its_second_row_failed(drop)
    assert "failed/maths/2.wav.error.json" in drop.lies()
    drop.farm.batch(drop.farm.batches()[0].id).retry() if all_of_it else drop.farm.job(second).retry()
    drop.take(watcher)
    assert {"processing/maths/2.wav", "done/maths/1.wav"} <= set(drop.lies())
    drop.finish(second)
    drop.work(watcher)
    assert "failed/maths/2.wav.error.json" not in drop.lies()
    assert {"done/maths/2.wav", "results/maths/2.mp4", "failed/maths/bad.wav.error.json"} <= set(drop.lies())
    (problem,) = drop.read_json("failed/maths/course.csv.error.json")["problems"]
    assert problem.startswith("row 4: ")


def test_a_retried_row_leaves_alone_what_later_uploads_of_its_manifests_names_became(drop: Drop) -> None:
    upload(drop, COURSE)
    watcher, second = with_its_second_row_failed(drop)
    taken = drop.claim("maths/course.csv").taken
    wait_until(lambda: time.time() > taken + 1, what="a time of storage, in whole seconds, that is later")
    later = {
        "results/maths/1.mp4": b"a later video",
        "results/maths/2.mp4": b"another",
        "failed/maths/2.wav": drop.speech + bytes([1, 2, 3, 4]),
        "failed/maths/2.wav.error.json": json.dumps({"job": "another", "batch": None, "reason": "no voice"}).encode(),
    }
    for key, content in later.items():
        drop.storage.put_bytes(drop.base + key, content)
    drop.farm.job(second).retry()
    drop.take(watcher)
    drop.finish(second)
    drop.work(watcher)
    assert drop.claim("maths/course.csv").stage == "done"
    assert {key: drop.storage.get_bytes(drop.base + key) for key in later} == later


def test_what_people_retried_is_not_put_back_into_the_inbox_as_well(drop: Drop) -> None:
    upload(drop, COURSE)
    watcher = drop.watcher()
    drop.take(watcher)
    for job in drop.jobs():
        drop.fail(job.id, "the GPU melted")
    drop.work(watcher)
    drop.farm.job(drop.jobs()[0].id).retry()
    before = drop.lies()
    refused = redrive(drop.farm, drop.inbox, [], everything=True).refused
    assert "was retried, and its video will be delivered when that is done" in refused["maths/course.csv"]
    assert drop.lies() == before


def test_a_redriven_manifest_whose_copy_has_another_etag_retries_its_rows_too(any_key_drop: Drop) -> None:
    drop = any_key_drop
    upload(drop, COURSE)
    in_parts(drop, "maths/course.csv", COURSE.encode())
    watcher = drop.watcher()
    drop.take(watcher)
    first, second = drop.jobs()
    drop.finish(first.id)
    drop.fail(second.id, "the GPU melted")
    drop.work(watcher)
    redrive(drop.farm, drop.inbox, ["maths/course.csv"])
    drop.take(watcher)
    assert sorted(claim.stage for claim in drop.claims()) == ["released", "running"]
    assert {job.id: job.state for job in drop.jobs()} == {first.id: "done", second.id: "planning"}
    drop.finish(second.id)
    drop.work(watcher)
    assert "done/maths/course.csv" in drop.lies()


def test_a_new_upload_of_a_manifest_that_failed_retries_nothing(drop: Drop) -> None:
    upload(drop, COURSE)
    watcher = drop.watcher()
    drop.take(watcher)
    failing = [job.id for job in drop.jobs()]
    for job in failing:
        drop.fail(job, "the GPU melted")
    drop.work(watcher)
    drop.put("maths/course.csv", (COURSE + "# replaced before it is read\n").encode())
    watcher.look()
    watcher.look()
    drop.put("maths/3.wav", drop.speech + bytes(6))
    drop.put("maths/course.csv", (COURSE + "_people/anna.png,3.wav,Three\n").encode())
    drop.work(watcher)
    drop.take(watcher)
    assert sorted(claim.stage for claim in drop.claims() if claim.is_manifest) == ["failed", "released", "running"]
    assert {job.id for job in drop.jobs() if job.state == "failed"} == set(failing)
    assert len(drop.jobs()) == 3


def test_a_manifest_redriven_under_mended_defaults_is_judged_by_its_new_rows_alone(drop: Drop) -> None:
    drop.put("_defaults.yaml", b"defaults: {seed: 1}")
    upload(drop, COURSE)
    watcher = drop.watcher()
    drop.take(watcher)
    before = {job.id for job in drop.jobs()}
    for job in before:
        drop.fail(job, "a bad seed")
    drop.work(watcher)
    drop.put("_defaults.yaml", b"defaults: {seed: 2}")
    redrive(drop.farm, drop.inbox, ["maths/course.csv"])
    drop.take(watcher)
    assert {job.id for job in drop.jobs() if job.state == "failed"} == before
    for job in {job.id for job in drop.jobs()} - before:
        drop.finish(job)
    drop.work(watcher)
    assert drop.claim("maths/course.csv").stage == "done"
    assert {"done/maths/course.csv", "results/maths/1.mp4", "results/maths/2.mp4"} <= set(drop.lies())


def test_speeches_of_one_content_are_one_job_and_each_has_its_video(drop: Drop) -> None:
    upload(drop, COURSE + "_people/anna.png,twin.wav,Twin\n")
    drop.put("maths/twin.wav", drop.speech + bytes(2))
    watcher = drop.watcher()
    drop.take(watcher)
    assert len(drop.jobs()) == 2
    for job in drop.jobs():
        drop.finish(job.id)
    drop.work(watcher)
    results = {f"results/maths/{stem}.mp4" for stem in ("1", "2", "twin")}
    assert {"done/maths/twin.wav", "done/maths/1.wav", *results} <= set(drop.lies())
    rows = {row.path: row.result for row in file_rows(drop.farm, drop.inbox)}
    assert rows["maths/twin.wav"].endswith("results/maths/twin.mp4")


def test_speeches_of_one_content_fail_together(drop: Drop) -> None:
    upload(drop, COURSE + "_people/anna.png,twin.wav,Twin\n")
    drop.put("maths/twin.wav", drop.speech + bytes(2))
    watcher = drop.watcher()
    drop.take(watcher)
    jobs = {job.name: job.id for job in drop.jobs()}
    drop.fail(jobs["One"], "the GPU melted")
    drop.finish(jobs["Two"])
    drop.work(watcher)
    failed = {"failed/maths/1.wav", "failed/maths/twin.wav", "failed/maths/twin.wav.error.json"}
    assert {*failed, "done/maths/2.wav"} <= set(drop.lies())
    assert drop.read_json("failed/maths/course.csv.error.json")["problems"] == [
        "maths/1.wav, maths/twin.wav: the GPU melted"
    ]


@pytest.mark.parametrize("video", [True, False], ids=["a row has a video", "no row has one"])
def test_the_report_has_a_portrait_where_it_went(drop: Drop, video: bool) -> None:
    upload(drop, "portrait,speech\nben.png,1.wav\nben.png,2.wav\n")
    drop.put("maths/ben.png", drop.portrait)
    watcher = drop.watcher()
    drop.take(watcher)
    first, second = (job.id for job in drop.jobs())
    drop.fail(first, "the GPU melted")
    drop.finish(second) if video else drop.fail(second, "the GPU melted")
    drop.work(watcher)
    assert states(drop)["maths/ben.png"] == ("done" if video else "failed")
    assert f"{'done' if video else 'failed'}/maths/ben.png" in drop.lies()


def test_videos_of_speeches_that_differ_in_their_ending_alone_lie_side_by_side(drop: Drop) -> None:
    drop.put("1.mp4", drop.speech + bytes(6))
    drop.put("1.wav", drop.speech)
    drop.put("_anna.png", drop.portrait)
    drop.put("course.csv", b"portrait,speech\n_anna.png,1.wav\n_anna.png,1.mp4\n")
    drop.put(".manifests")
    watcher = drop.watcher()
    drop.take(watcher)
    for job in drop.jobs():
        drop.finish(job.id)
    drop.work(watcher)
    assert {"results/1.mp4", "results/1 row 3.mp4"} <= set(drop.lies())


@pytest.mark.parametrize("moment", ["check_for", "submit_rows"])
def test_a_file_that_another_manifest_moves_meanwhile_is_found_where_it_went(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    drop.put(".manifests")
    drop.put("anna.png", drop.portrait)
    drop.put("ben.png", drop.portrait + b" ")
    drop.put("bad.wav", b"no speech")
    for number, presenter in ((1, "anna"), (2, "ben")):  # nobody has stored anna when 2.csv takes her away
        drop.put(f"{number}.wav", drop.speech + bytes(2 * number))
        rows = f"{presenter}.png,{number}.wav\nanna.png,bad.wav\n"
        drop.put(f"{number}.csv", f"portrait,speech\n{rows}".encode())
    watcher = drop.watcher()
    watcher.look()
    watcher.look()
    going_on = getattr(courses, moment)

    def overtaken(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(courses, moment, going_on)
        watcher._steps.step(watcher._steps.step(drop.claim("2.csv")))
        return going_on(*args, **options)

    monkeypatch.setattr(courses, moment, overtaken)
    claim = watcher._steps.step(drop.claim("1.csv"))
    assert (claim.stage, len(claim.problems), len(drop.jobs())) == ("entered", 1, 2)
    assert "bad.wav" in claim.problems[0]


def test_manifests_that_differ_in_their_ending_alone_are_batches_of_their_own(drop: Drop) -> None:
    upload(drop, "portrait,speech\n_people/anna.png,1.wav\n")
    drop.put("maths/course.tsv", b"portrait\tspeech\n_people/anna.png\t2.wav\n")
    drop.take()
    assert {batch.name for batch in drop.farm.batches()} == {
        f"{drop.inbox.url}/maths/course.csv",
        f"{drop.inbox.url}/maths/course.tsv",
    }


def test_long_manifest_names_that_end_alike_are_told_apart() -> None:
    one, other = (batch_name(f"s3://lessons/{place}/inbox/{'x' * 300}\t.csv") for place in "ab")
    assert one != other
    assert max(len(one), len(other)) == 200
    assert one.isprintable()


def test_an_emptied_redis_makes_no_second_batch(drop: Drop) -> None:
    upload(drop, COURSE)
    watcher = drop.watcher()
    drop.take(watcher)
    jobs = sorted(job.id for job in drop.jobs())
    drop.farm.books.client.flushall()
    drop.take(watcher)
    assert sorted(job.id for job in drop.jobs()) == jobs
    for job in jobs:
        drop.finish(job)
    drop.work(watcher)
    assert {"done/maths/course.csv", "done/maths/1.wav", "results/maths/2.mp4"} <= set(drop.lies())


def test_an_emptied_redis_learns_of_every_manifest_where_two_share_a_portrait(drop: Drop) -> None:
    drop.put(".manifests")
    drop.put("anna.png", drop.portrait)
    for number in (1, 2):
        drop.put(f"{number}.wav", drop.speech + bytes(2 * number))
        drop.put(f"{number}.csv", f"portrait,speech\nanna.png,{number}.wav\n".encode())
    watcher = drop.watcher()
    watcher.look()
    watcher.look()
    for claim in [watcher._steps.step(claim) for claim in drop.claims()]:
        inboxes.keep(drop.farm.books, drop.inbox.id, entry_of(claim))
    drop.work(watcher)
    drop.farm.books.client.flushall()
    drop.take()
    assert {claim.main.path: claim.stage for claim in drop.claims()} == {"1.csv": "running", "2.csv": "running"}


def test_a_manifest_named_like_a_cancelled_batch_fails_with_the_reason(drop: Drop) -> None:
    upload(drop, COURSE)
    watcher = drop.watcher()
    drop.take(watcher)
    drop.farm.batch(drop.farm.batches()[0].id).cancel()
    drop.work(watcher)
    upload(drop, COURSE + "_people/anna.png,1.wav,Three\n")
    drop.take(watcher)
    assert [claim.stage for claim in drop.claims()] == ["failed", "failed"]
    assert "was cancelled" in drop.read_json("failed/maths/course.csv.error.json")["reason"]
