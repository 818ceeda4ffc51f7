"""Storage against two real servers: rclone, which the embedded stack starts, and moto as a second opinion."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farm.errors import NotFoundError, StorageError
from farm.storage import keys
from farm.storage.upload import PART_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s3_gate import Gate

    from farm.storage.s3 import Storage

LARGE = PART_BYTES + 5_000_001


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that goes up in two parts."""
    path = tmp_path_factory.mktemp("files") / "large"
    path.write_bytes(os.urandom(LARGE))
    return path


def test_what_is_put_comes_back(storage: Storage) -> None:
    storage.put_bytes("a/b c/é+%.txt", b"hello")
    assert storage.get_bytes("a/b c/é+%.txt") == b"hello"
    assert storage.size("a/b c/é+%.txt") == 5
    storage.put_bytes("empty", b"")
    assert storage.get_bytes("empty") == b""
    assert storage.exists("empty")


def test_json_comes_back_as_it_was(storage: Storage) -> None:
    value = {"name": "Álgebra 03", "cuts": [1, 2.5, None], "paused": False}
    storage.put_json("job.json", value)
    assert storage.get_json("job.json") == value


def test_large_files_go_up_in_parts_and_come_back_whole(
    gated: Storage, gate: Gate, large: Path, tmp_path: Path
) -> None:
    shares: list[float] = []
    gated.put_file("results/1/video.mp4", large, content_type="video/mp4", on_progress=shares.append)
    assert gate.count("POST") == 2, "a multipart upload is begun and completed"
    assert gate.count("PUT") == 2, "in two parts"
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    shares.clear()
    gated.get_file("results/1/video.mp4", tmp_path / "back", on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["back"], "nothing is left beside it"


def test_a_prefix_keeps_farms_in_one_bucket_apart(
    server: dict[str, str], bucket: str, make: Callable[..., Storage], storage: Storage
) -> None:
    ours = make(server, s3_bucket=bucket, s3_prefix="/team a/farm/")
    whole = storage
    ours.put_bytes("jobs/x", b"1")
    whole.put_bytes("jobs/y", b"2")
    assert [found.key for found in ours.list("jobs/")] == ["jobs/x"]
    assert [found.key for found in whole.list()] == ["jobs/y", "team a/farm/jobs/x"]
    assert not ours.exists("jobs/y")
    ours.delete("jobs/x")
    assert [found.key for found in whole.list()] == ["jobs/y"]


def test_ranges_are_read_without_the_rest(storage: Storage) -> None:
    storage.put_bytes("speech.pcm", bytes(range(200)))
    assert storage.read_range("speech.pcm", 10, 20) == bytes(range(10, 20))
    assert storage.read_range("speech.pcm", 0, 1) == b"\x00"
    assert storage.read_range("speech.pcm", 190, 1000) == bytes(range(190, 200)), "it ends where the object ends"
    assert storage.read_range("speech.pcm", 200, 1000) == b""
    assert storage.read_range("speech.pcm", 7, 7) == b""
    with pytest.raises(ValueError, match=r"\[20, 10\)"):
        storage.read_range("speech.pcm", 20, 10)
    with pytest.raises(NotFoundError):
        storage.read_range("nothing", 0, 10)


def test_listings_go_on_past_a_thousand_keys(storage: Storage) -> None:
    names = [f"many/{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: storage.put_bytes(name, b"x"), names))
    before = time.time()
    found = list(storage.list("many/"))
    assert [each.key for each in found] == names
    assert {each.size for each in found} == {1}
    assert {each.etag for each in found} == {hashlib.md5(b"x").hexdigest()}  # noqa: S324
    assert all(before - 120 < each.modified < before + 2 for each in found)
    storage.delete(*names)
    assert not list(storage.list("many/"))


def test_listings_of_nothing_are_empty(storage: Storage) -> None:
    assert not list(storage.list())
    assert not list(storage.list("jobs/"))


def test_deleting_what_is_not_there_is_no_error(storage: Storage) -> None:
    storage.put_bytes("a", b"1")
    storage.delete("a", "never/was")
    storage.delete()
    assert not storage.exists("a")


def test_an_input_is_uploaded_once(gated: Storage, gate: Gate, tmp_path: Path) -> None:
    photo, copy = tmp_path / "photo.png", tmp_path / "the same under another name"
    photo.write_bytes(b"pixels" * 1000)
    copy.write_bytes(b"pixels" * 1000)
    sha256 = gated.put_asset(photo)
    assert sha256 == hashlib.sha256(b"pixels" * 1000).hexdigest()
    assert gate.count("PUT") == 1
    assert gated.put_asset(copy) == sha256
    assert gate.count("PUT") == 1, "the second time nothing is sent"
    assert gated.get_bytes(keys.asset(sha256)) == b"pixels" * 1000


def test_an_input_that_lies_there_half_is_uploaded_again(storage: Storage, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"pixels")
    key = keys.asset(hashlib.sha256(b"pixels").hexdigest())
    storage.put_bytes(key, b"pix")
    storage.put_asset(photo)
    assert storage.get_bytes(key) == b"pixels"


def test_an_input_that_changes_while_it_is_uploaded_is_not_kept(storage: Storage, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"pixels")
    with pytest.raises(StorageError, match=r"photo\.png was changed while it was uploaded as s3://b-.*/assets/"):
        storage.put_asset(photo, on_progress=lambda share: os.utime(photo, (share, share)))
    assert not list(storage.list("assets/"))


def test_a_file_that_is_not_there_is_named(storage: Storage, tmp_path: Path) -> None:
    for put in (storage.put_asset, lambda path: storage.put_file("x", path)):
        with pytest.raises(NotFoundError, match=r"missing\.wav"):
            put(tmp_path / "missing.wav")


def test_a_presigned_url_opens_with_plain_http(storage: Storage) -> None:
    storage.put_bytes("a b/é.txt", b"for everybody", content_type="text/plain")
    with urllib.request.urlopen(storage.url("a b/é.txt", expires_s=60)) as answer:  # noqa: S310
        assert answer.read() == b"for everybody"
        assert answer.headers["Content-Type"] == "text/plain"


def test_a_presigned_url_ends(rclone: dict[str, str], make: Callable[..., Storage]) -> None:
    storage = make(rclone)
    storage.put_bytes("x", b"1")
    tampered = storage.url("x", expires_s=60).replace("X-Amz-Expires=60", "X-Amz-Expires=600")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(tampered)  # noqa: S310
    refused.value.close()
    assert refused.value.code == 403
    with pytest.raises(ValueError, match="604801"):
        storage.url("x", expires_s=604_801)


def test_inputs_are_fetched_from_s3_urls(storage: Storage, bucket: str, tmp_path: Path) -> None:
    hostile = "course 1/a?b#c%2e%2e&d=é.wav"
    storage.put_bytes(hostile, b"speech")
    storage.fetch_url(f"s3://{bucket}/{hostile}", tmp_path / "speech")
    assert (tmp_path / "speech").read_bytes() == b"speech"
    with pytest.raises(NotFoundError, match=f"there is no object s3://{bucket}/course 2/gone.wav"):
        storage.fetch_url(f"s3://{bucket}/course 2/gone.wav", tmp_path / "gone")
    assert [path.name for path in tmp_path.iterdir()] == ["speech"]


HOSTILE_URLS = (
    *("s3://", "s3:///key", "s3://bucket-only", "s3://bucket-only/", "https://host/x", "s3://../x/y", "s3://a..b/x"),
    *("s3://bucket/../other/secret", "s3://bucket/a/./b", "s3://bucket/a\r\nX: y", "s3://bucket/a\x00", "s3://u@h/k"),
)


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_urls_that_lead_elsewhere_are_refused_unasked(url: str, make: Callable[..., Storage], tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is no storage URL"):
        make({"s3_endpoint": "http://127.0.0.1:9"}).fetch_url(url, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_making_the_bucket_twice_is_no_error(server: dict[str, str], make: Callable[..., Storage]) -> None:
    for region in ("us-east-1", "eu-central-1"):
        storage = make(server, s3_bucket=f"made-{region}", s3_region=region)
        storage.ensure_bucket()
        storage.ensure_bucket()
        storage.put_bytes("x", b"1")
        assert storage.get_bytes("x") == b"1"


def test_many_threads_share_one_storage(storage: Storage) -> None:
    def round_trip(number: int) -> bool:
        data = bytes([number]) * 10_000
        storage.put_bytes(f"t/{number}", data)
        return storage.get_bytes(f"t/{number}") == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(40)))


MEASURE = """
import resource, sys
from pathlib import Path
from farm.settings import Settings
from farm.storage.s3 import Storage
storage, folder = Storage.from_settings(Settings.load()), Path(sys.argv[1])
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
def round_trip(name):
    storage.put_file(name, folder / name)
    storage.get_file(name, folder / "back")
    assert (folder / "back").stat().st_size == (folder / name).stat().st_size
round_trip("small")
before = peak()
round_trip("large")
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_file(rclone: dict[str, str], tmp_path: Path) -> None:
    for name, megabytes in (("small", 17), ("large", 128)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(megabytes << 20)
    environ = {f"FARM_{name.upper()}": value for name, value in rclone.items()}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 30, "MB more for 128 MB than for 17 MB"
