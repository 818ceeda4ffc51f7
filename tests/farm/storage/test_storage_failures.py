"""What storage says when things go wrong: the class decides whether to try again, the text names what to mend."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import time
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from s3_gate import gate_before

from farm.errors import NotFoundError, SettingsError, StorageError, StorageUnreachableError
from farm.local.ports import LOOPBACK
from farm.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s3_gate import Gate

    from farm.storage.s3 import Storage


def test_a_missing_object_is_named(storage: Storage, bucket: str, tmp_path: Path) -> None:
    for read in (storage.get_bytes, storage.get_json, storage.size, lambda key: storage.get_file(key, tmp_path / "x")):
        with pytest.raises(NotFoundError, match=f"s3://{bucket}/jobs/gone"):
            read("jobs/gone")
    assert not storage.exists("jobs/gone")
    assert not list(tmp_path.iterdir())


def test_a_missing_bucket_is_not_taken_for_a_missing_object(
    server: dict[str, str], make: Callable[..., Storage], tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(b"1")
    for call in (
        lambda storage: storage.exists("x"),
        lambda storage: storage.get_bytes("x"),
        lambda storage: storage.put_bytes("x", b"1"),
        lambda storage: storage.put_asset(tmp_path / "x"),
        lambda storage: list(storage.list()),
        lambda storage: storage.delete("x"),
    ):
        with pytest.raises(StorageError, match=r"bucket 'no-such-bucket' does not exist.*check s3_bucket"):
            call(make(server, s3_bucket="no-such-bucket"))


@pytest.mark.parametrize(
    ("changed", "hint"), [("s3_secret_key", "check s3_secret_key"), ("s3_access_key", "check s3_access_key")]
)
def test_wrong_credentials_are_said_and_never_shown(
    changed: str, hint: str, rclone: dict[str, str], make: Callable[..., Storage]
) -> None:
    storage = make({**rclone, changed: "wrong-but-private"})
    for call in (
        lambda: storage.get_bytes("jobs/a"),
        lambda: storage.put_bytes("jobs/a", b"1"),
        lambda: list(storage.list("jobs/a")),
    ):
        with pytest.raises(StorageError, match=f"s3://sonic-farm/jobs/a.*{hint}") as refused:
            call()
        assert not refused.value.retryable
        assert "wrong-but-private" not in f"{refused.value}{refused.value.__cause__}{storage!r}"
        assert rclone["s3_secret_key"] not in f"{refused.value}{refused.value.__cause__}{storage!r}"
    with pytest.raises(StorageError, match=r"403.*check s3_access_key"):
        storage.exists("jobs/a")


def test_half_of_the_credentials_is_a_wrong_setting(rclone: dict[str, str], make: Callable[..., Storage]) -> None:
    with pytest.raises(SettingsError, match="s3_access_key and s3_secret_key"):
        make({**rclone, "s3_secret_key": None}).exists("x")


def test_an_endpoint_that_cannot_be_is_a_wrong_setting(rclone: dict[str, str], make: Callable[..., Storage]) -> None:
    with pytest.raises(SettingsError, match="s3_endpoint is 'http://not a host'"):
        make({**rclone, "s3_endpoint": "http://not a host"}).exists("x")


def test_a_server_that_is_down_is_unreachable_soon(make: Callable[..., Storage], rclone: dict[str, str]) -> None:
    storage = make({**rclone, "s3_endpoint": f"http://{LOOPBACK}:9"})
    started = time.monotonic()
    with pytest.raises(StorageUnreachableError, match=r"s3://sonic-farm/jobs/a.*127\.0\.0\.1:9") as refused:
        storage.get_bytes("jobs/a")
    assert refused.value.retryable
    assert time.monotonic() - started < 10


def test_a_server_that_fails_twice_and_then_works_is_not_noticed(gated: Storage, gate: Gate, storage: Storage) -> None:
    storage.put_bytes("x", b"1")
    gate.faults.extend(["503", "slow down"])
    assert gated.get_bytes("x") == b"1"
    assert gate.count("GET") == 3


def test_a_server_that_goes_on_failing_is_unreachable(gated: Storage, gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(b"1" * 1000)
    gate.method = "PUT"
    gate.faults.extend(["503"] * 6)
    with pytest.raises(StorageUnreachableError, match=r"s3://b-.*/x: ServiceUnavailable: not now") as refused:
        gated.put_bytes("x", b"1")
    assert refused.value.retryable
    with pytest.raises(StorageUnreachableError, match=r"s3://b-.*/y"):
        gated.put_file("y", tmp_path / "video")


def test_a_stream_that_breaks_is_taken_up_where_it_broke(
    gated: Storage, gate: Gate, storage: Storage, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 20_000
    storage.put_bytes("video", data)
    gate.faults.extend(["cut", "cut", "cut", "cut"])
    gated.get_file("video", tmp_path / "video")
    assert (tmp_path / "video").read_bytes() == data
    assert gate.count("GET") == 5
    gate.faults.append("cut")
    assert gated.read_range("video", 1000, 900_000) == data[1000:900_000]


def test_a_server_that_ignores_ranges_is_noticed(gated: Storage, gate: Gate, storage: Storage) -> None:
    storage.put_bytes("speech.pcm", b"0123456789")
    gate.faults.append("ignore range")
    with pytest.raises(StorageError, match=r"ignored the range bytes=2-4 of s3://b-.*/speech\.pcm"):
        gated.read_range("speech.pcm", 2, 5)


def test_a_content_that_changed_on_the_way_is_noticed(
    gated: Storage, gate: Gate, storage: Storage, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(b"pixels" * 1000)
    key = keys.asset(storage.put_asset(tmp_path / "in"))
    storage.put_bytes("video", b"frames" * 1000)
    for each in (key, "video"):
        gate.faults.append("flip answer")
        with pytest.raises(StorageError, match=f"s3://b-.*/{each} is corrupt: its sha256 is"):
            gated.get_file(each, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"], "no half or wrong file is left"


def test_an_input_that_is_not_what_its_name_says_is_noticed(storage: Storage) -> None:
    key = keys.asset("0" * 64)
    storage.put_bytes(key, b"something else")
    with pytest.raises(StorageError, match="is corrupt"):
        storage.get_bytes(key)


def test_an_upload_that_changed_on_the_way_is_refused(
    rclone: dict[str, str], make: Callable[..., Storage], tmp_path: Path
) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"pixels" * 1000)
    with gate_before(rclone["s3_endpoint"]) as gate:
        gate.method = "PUT"
        storage = make(rclone, s3_endpoint=gate.url)
        for put in (lambda: storage.put_bytes("spoiled", b"pixels"), lambda: storage.put_file("spoiled", path)):
            gate.faults.append("flip request")
            with pytest.raises(StorageError, match="s3://sonic-farm/spoiled"):
                put()
        assert not storage.exists("spoiled")


def test_json_that_is_none_is_corrupt(storage: Storage) -> None:
    storage.put_bytes("jobs/x/job.json", b"{half")
    with pytest.raises(StorageError, match=r"job\.json is corrupt"):
        storage.get_json("jobs/x/job.json")


def test_a_farm_with_its_own_authority_is_trusted_by_its_file_alone(
    rclone: dict[str, str], make: Callable[..., Storage], tmp_path: Path
) -> None:
    certificate, context = _authority(tmp_path)
    with gate_before(rclone["s3_endpoint"], tls=context) as gate:
        trusting = make(rclone, s3_endpoint=gate.url, s3_ca=certificate)
        trusting.put_bytes("over/tls", b"1")
        assert trusting.get_bytes("over/tls") == b"1"
        with pytest.raises(StorageError, match=r"not trusted, check s3_ca"):
            make(rclone, s3_endpoint=gate.url).get_bytes("over/tls")
        gate.method = "PUT"
        gate.faults.append("flip request")
        with pytest.raises(StorageError, match="s3://sonic-farm/over/spoiled"):
            trusting.put_bytes("over/spoiled", b"12345678")
    with pytest.raises(SettingsError, match=r"s3_ca is .*gone\.pem"):
        make(rclone, s3_ca=tmp_path / "gone.pem").exists("x")


def test_the_bucket_may_stand_in_the_host_name(
    moto: dict[str, str], make: Callable[..., Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    with gate_before(moto["s3_endpoint"]) as gate:
        monkeypatch.setenv("http_proxy", gate.url)
        monkeypatch.setenv("no_proxy", "")
        storage = make(
            moto, s3_endpoint="http://s3.us-east-1.amazonaws.com", s3_style="virtual", s3_bucket="in-the-host"
        )
        storage.ensure_bucket()
        storage.put_bytes("a/b", b"1")
        assert storage.get_bytes("a/b") == b"1"
        assert gate.seen[-1] == "GET http://in-the-host.s3.us-east-1.amazonaws.com/a/b"


def test_nothing_is_connected_before_the_first_call(rclone: dict[str, str], make: Callable[..., Storage]) -> None:
    storage = make({**rclone, "s3_endpoint": "http://farm:hidden-word@127.0.0.1:9"}, s3_prefix="team")
    assert repr(storage) == "Storage(http://farm:********@127.0.0.1:9, s3://sonic-farm/team/)"


def _authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that signs itself, and a server's context that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(hosts, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    shown, private = folder / "ca.pem", folder / "key.pem"
    shown.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, private)
    return shown, context
