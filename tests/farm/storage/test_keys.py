from __future__ import annotations

import pytest

from farm.errors import NotFoundError
from farm.storage import keys

JOB = "20261122-181530-k3f9ab"
SHA = "0123456789abcdef" * 4


def test_keys_are_where_the_documents_say() -> None:
    assert keys.asset(SHA) == f"assets/{SHA}"
    assert keys.job_json(JOB) == f"jobs/{JOB}/job.json"
    assert keys.plan_json(JOB) == f"jobs/{JOB}/plan.json"
    assert keys.speech_pcm(JOB) == f"jobs/{JOB}/speech.pcm"
    assert keys.speech_m4a(JOB) == f"jobs/{JOB}/speech.m4a"
    assert keys.decision(JOB, "cancel") == f"jobs/{JOB}/cancel.json"
    assert keys.redo(JOB, 4, "2-x9k2p1") == f"jobs/{JOB}/redo/4/2-x9k2p1.json"
    assert keys.rollback(JOB, "3-5uff1x") == f"jobs/{JOB}/current/3-5uff1x.json"
    assert keys.segment(JOB, 4, "2-x9k2p1", "segment.json") == f"jobs/{JOB}/segments/4/2-x9k2p1/segment.json"
    assert keys.result(JOB, 1, "video.mp4") == f"jobs/{JOB}/results/1/video.mp4"
    assert keys.log(JOB, "plan", "1-x9k2p1") == f"jobs/{JOB}/logs/plan/1-x9k2p1.log"


def test_a_key_read_backwards_says_what_it_names() -> None:
    found = keys.job_object(keys.redo(JOB, 4, "2-x9k2p1"))
    assert found == keys.JobObject(JOB, "2-x9k2p1.json", redone=4), "no attempt at a chunk"
    assert keys.job_object(keys.rollback(JOB, "3-5uff1x")) == keys.JobObject(JOB, "3-5uff1x.json", rollback=3)
    assert keys.job_object(keys.decision(JOB, "cancel")) == keys.JobObject(JOB, "cancel.json")
    assert keys.job_object(f"jobs/{JOB}/redo/4/notes.txt") is None


def test_folders_are_prefixes_of_what_lies_in_them() -> None:
    assert keys.segment(JOB, 4, "2-x9k2p1", "body.mp4").startswith(keys.segments_folder(JOB, 4))
    assert keys.segments_folder(JOB, 4).startswith(keys.segments_folder(JOB))
    assert not keys.segment(JOB, 41, "2-x9k2p1", "body.mp4").startswith(keys.segments_folder(JOB, 4))
    assert keys.log(JOB, 4, "2-x9k2p1").startswith(keys.logs_folder(JOB, 4))
    assert keys.logs_folder(JOB, 4).startswith(keys.logs_folder(JOB))
    assert keys.result(JOB, 1, "report.json").startswith(keys.results_folder(JOB))
    assert keys.results_folder(JOB).startswith(keys.job_folder(JOB))


@pytest.mark.parametrize(
    "job",
    [
        "",
        "..",
        "../../etc/passwd",
        "20261122-181530-k3f9a",
        "20261122-181530-K3F9AB",
        f"{JOB}/x",
        f"{JOB}\n",
        f" {JOB}",
        JOB.replace("2", "٢"),
        f"{JOB}\x00",
    ],
)
def test_no_hostile_job_id_gets_into_a_key(job: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        keys.job_json(job)
    assert repr(job) in str(refused.value)


@pytest.mark.parametrize("sha256", ["", SHA[:-1], SHA.upper(), "../" + SHA[3:]])
def test_no_hostile_digest_gets_into_a_key(sha256: str) -> None:
    with pytest.raises(NotFoundError):
        keys.asset(sha256)


@pytest.mark.parametrize("attempt", ["", "1", "..", "1-../x", "1-a/b", "-1-x9k2p1"])
def test_no_hostile_attempt_gets_into_a_key(attempt: str) -> None:
    with pytest.raises(NotFoundError):
        keys.segment(JOB, 0, attempt, "body.mp4")
    with pytest.raises(NotFoundError):
        keys.log(JOB, 0, attempt)


@pytest.mark.parametrize("unit", ["../job.json", "render", -1, ""])
def test_no_hostile_unit_gets_into_a_key(unit: str | int) -> None:
    with pytest.raises(NotFoundError):
        keys.log(JOB, unit, "1-x9k2p1")


def test_only_the_key_of_an_asset_promises_a_digest() -> None:
    assert keys.asset_digest(keys.asset(SHA)) == SHA
    assert keys.asset_digest(keys.job_json(JOB)) is None
    assert keys.asset_digest(f"other/assets/{SHA}") is None
