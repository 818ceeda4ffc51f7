"""A lesson through a real farm: somebody is told, its segments go, and the same lesson still comes out the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.storage import keys
from tests.conftest import PORTRAIT, wait_until
from tests.farm.watch.receivers import start_receiver
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm import Farm, Job

SECRET = "a secret of 16 or more"


def test_a_lesson_is_told_of_then_cleaned_and_comes_out_the_same_again(
    run_farm: Callable[..., Farm], tmp_path: Path
) -> None:
    farm = run_farm(webhook_secret=SECRET, webhook_private=True, reuse=True, keep_segments_days=0.0)
    speech, receiver = tone(tmp_path / "lesson.wav", 2), start_receiver()

    def rendered(token: str, *, webhook: str = "") -> Job:
        job = farm.submit(PORTRAIT, speech, token=token, webhook=webhook, chunk_seconds=1)
        job.wait(60)
        return job

    def segments(job: Job) -> list[str]:
        return [item.key for item in farm.storage.list(keys.segments_folder(job.id))]

    def taken(job: Job) -> list[bool]:
        commits = [key for key in segments(job) if key.endswith("/segment.json")]
        return [bool(farm.storage.get_json(key).get("taken_from")) for key in commits]

    first = rendered("first", webhook=receiver.url())
    wait_until(lambda: receiver.got, what="told")
    (got,) = receiver.got
    assert (got.told["type"], got.told["job"]["id"]) == ("job.done", first.id)
    farm.storage.fetch_url(got.told["job"]["result"], tmp_path / "told.mp4")
    assert (tmp_path / "told.mp4").read_bytes() == first.fetch(tmp_path / "fetched.mp4").read_bytes()

    second = rendered("second")
    assert taken(second) == [True, True]
    farm.clean()
    assert segments(first) == segments(second) == []
    assert [item.key for item in farm.storage.list(keys.RENDERED)] == []

    third = rendered("third")
    assert taken(third) == [False, False]
    assert third.report()["digest"] == first.report()["digest"]
    receiver.server.shutdown()
    receiver.server.server_close()
