"""Names from outside do no harm: to files beside them, to places of the farm, to what reads a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import SettingsError
from farm.folder import names
from farm.folder.inbox import Inbox, inboxes
from farm.folder.report import file_rows
from farm.folder.sizes import MOST_BYTES

if TYPE_CHECKING:
    from conftest import Drop

    from farm import Settings
    from farm.folder.claims import Role
    from farm.folder.watch import Watcher

REFUSED = {
    "dots": "../jobs/20260101-000000-000001/job.wav",
    "dot": "maths/./one.wav",
    "dots inside": "maths/../../one.wav",
    "empty part": "maths//one.wav",
    "control character": "one\x07.wav",
    "tab": "one\twav.wav",
    "escape sequence": "\x1b[31mone.wav",
    "written backwards": "one\u202evaw.wav",
    "line separator": "one\u2028.wav",
}


def test_keys_that_lead_elsewhere_or_hide_something_stay_where_they_are(any_key_drop: Drop) -> None:
    drop = any_key_drop
    stems = {name: path.rpartition(".")[0] for name, path in REFUSED.items()}
    for stem in (*stems.values(), "good"):
        drop.pair(stem)
    drop.take()
    assert [job.name for job in drop.jobs()] == ["good"]
    wanted = {f"inbox/{stem}.{ending}" for stem in stems.values() for ending in ("png", "wav")}
    assert set(drop.lies()) == wanted | {"processing/good.png", "processing/good.wav"}
    states = {row.path: row.state for row in file_rows(drop.farm, drop.inbox)}
    for name, stem in stems.items():
        assert states[f"{stem}.wav"] in {"refused", "left alone"}, name


def test_a_key_with_a_new_line_is_refused() -> None:
    assert names.refusal("one\n.wav")
    assert names.refusal("algebra 03, ü.wav") is None


def test_names_as_long_as_s3_allows_are_taken_or_said_to_be_too_long(any_key_drop: Drop) -> None:
    drop = any_key_drop
    room = names.LONGEST_KEY_BYTES - len(drop.base + "processing/") - len(names.ERROR_SUFFIX)
    fits = "ü" * ((room - len(".wav")) // 2)
    too_long = "x" * (names.LONGEST_KEY_BYTES - len(drop.inbox.prefix) - len(".wav"))
    drop.pair(fits)
    drop.pair(too_long)
    watcher = drop.watcher()
    drop.take(watcher)
    drop.finish(drop.jobs()[0].id)
    drop.work(watcher)
    assert f"done/{fits}.wav" in drop.lies()
    assert f"results/{fits}.mp4" in drop.lies()
    rows = {row.path: row for row in file_rows(drop.farm, drop.inbox)}
    assert rows[f"{too_long}.wav"].state == "refused"
    assert "bytes, wanted" in rows[f"{too_long}.wav"].words


def test_look_alikes_are_two_names_and_a_key_may_begin_another(any_key_drop: Drop) -> None:
    drop = any_key_drop
    drop.put("algebra.png", drop.portrait)
    drop.put("\u0430lgebra.wav", drop.speech)  # a Cyrillic a
    drop.put("maths", drop.speech)
    drop.pair("maths/one")
    drop.pair("maths/one.wav/two")
    drop.put("%2e%2e/three.wav", drop.speech)
    drop.pair("\uff0e\uff0e\uff0ffour")  # full-width dots and slash: letters like any other
    drop.take()
    assert sorted(job.name for job in drop.jobs()) == ["maths/one", "maths/one.wav/two", "\uff0e\uff0e\uff0ffour"]
    assert {"inbox/algebra.png", "inbox/\u0430lgebra.wav", "inbox/maths", "inbox/%2e%2e/three.wav"} <= set(drop.lies())


def fetched(drop: Drop, watcher: Watcher) -> int:
    """How many objects a watcher reads from storage to take what lies there."""
    calls: list[str] = []
    watcher._farm.storage.on_call = lambda operation, _seconds: calls.append(operation)
    drop.take(watcher)
    return calls.count("GetObject")


@pytest.mark.parametrize(("role", "ending"), [("portrait", "png"), ("speech", "wav"), ("subtitles", "srt")])
def test_a_pair_with_a_file_that_is_too_large_is_refused_before_anything_is_fetched(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, role: Role, ending: str
) -> None:
    drop.pair("one")
    drop.put("one.srt", b"1\n00:00:00,000 --> 00:00:00,500\nA line\n")
    monkeypatch.setitem(MOST_BYTES, role, 10)
    assert fetched(drop, drop.watcher()) == 0
    error = drop.read_json("failed/one.wav.error.json")
    assert (error["code"], len(error["problems"])) == ("input_refused", 1)
    assert error["reason"].startswith(f"{role} one.{ending} has ")
    assert error["reason"].endswith("bytes, wanted 10 at most")


def test_a_manifest_that_is_too_large_is_refused_before_it_is_fetched(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.put("course.csv", b"portrait,speech\n_anna.png,1.wav\n")
    monkeypatch.setitem(MOST_BYTES, "manifest", 10)
    assert fetched(drop, drop.watcher()) == 0
    assert drop.read_json("failed/course.csv.error.json")["reason"] == (
        "manifest course.csv has 32 bytes, wanted 10 at most"
    )


def test_a_row_that_names_a_file_that_is_too_large_is_refused_and_the_others_go(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.put("_anna.png", drop.portrait)
    drop.put("1.wav", drop.speech)
    drop.put("2.wav", drop.speech + b"\0\0")
    drop.put("course.csv", b"portrait,speech\n_anna.png,1.wav\n_anna.png,2.wav\n")
    monkeypatch.setitem(MOST_BYTES, "speech", len(drop.speech))
    drop.take()
    assert [job.name for job in drop.jobs()] == ["1"]
    size = len(drop.speech)
    assert drop.claim("course.csv").problems == (f"row 3: speech 2.wav has {size + 2} bytes, wanted {size} at most",)


def test_hours_of_the_best_sound_and_of_video_are_not_too_large() -> None:
    hour = 3600
    assert MOST_BYTES["speech"] > 4 * hour * 192_000 * 2 * 4
    assert MOST_BYTES["speech"] > hour * 60_000_000 / 8


def test_a_neighbour_whose_name_begins_like_the_inbox_is_not_looked_at(drop: Drop) -> None:
    drop.storage.put_bytes(f"{drop.base}inbox2/one.png", drop.portrait)
    drop.storage.put_bytes(f"{drop.base}inbox2/one.wav", drop.speech)
    drop.take()
    assert not drop.jobs()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://sonic-farm", "wanted s3://bucket/folder"),
        ("s3://sonic-farm/", "wanted s3://bucket/folder"),
        ("/home/inbox", "wanted s3://bucket/folder"),
        ("s3://sonic-farm/a/../b", "wanted s3://bucket/folder"),
        ("s3://sonic-farm/farm/jobs", "where the farm keeps its own"),
        ("s3://sonic-farm/farm", "where the farm keeps its own"),
        ("s3://sonic-farm/drop/done", "to which its files go"),
        ("s3://sonic-farm/results", "to which its files go"),
    ],
)
def test_an_inbox_that_would_eat_what_is_written_is_refused(settings: Settings, url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Inbox.at(url, settings.model_copy(update={"s3_prefix": "farm"}))


def test_two_inboxes_whose_videos_would_overwrite_each_other_are_refused(settings: Settings) -> None:
    shared = settings.model_copy(update={"inbox_results": "s3://lessons/out"})
    with pytest.raises(SettingsError, match="overwrite each other"):
        inboxes(["s3://lessons/a/inbox", "s3://lessons/b/inbox"], shared)
    assert len(inboxes(["s3://lessons/a/inbox"], shared)) == 1


def test_inboxes_in_one_folder_or_in_each_other_are_refused(settings: Settings) -> None:
    for other in ("s3://lessons/a/other", "s3://lessons/a/inbox/maths", "s3://lessons/a/done/inbox"):
        with pytest.raises(SettingsError, match="lie in one folder or in each other"):
            inboxes(["s3://lessons/a/inbox", other], settings)
    assert len(inboxes(["s3://lessons/a/inbox", "s3://lessons/b/inbox", "s3://lessons/a/inbox/"], settings)) == 2
