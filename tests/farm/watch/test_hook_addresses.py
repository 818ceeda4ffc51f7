"""Where webhooks may go: what a URL can be made to look like, and what is behind it."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from farm.errors import DeliveryError, InputRefusedError
from farm.hooks import post
from farm.hooks.post import Message, Sender
from farm.hooks.receiver import addresses_of, receiver_of, url_problems
from tests.farm.watch.receivers import Receiver, start_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGE = Message("event-1", "test", b"{}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = start_receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "HTTP://example.com/",
        "file:///etc/passwd",
        "//example.com/",
        "https://",
        "https:///path",
        "https://ada:pw@example.com/",
        "https://example.com@evil.example/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: evil",
        "https://example.com\\@evil.example/",
        "https://münchen.example/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://-/",
        f"https://example.com/{'a' * 2000}",
    ],
)
def test_what_is_no_plain_web_address_is_refused_without_repeating_it(url: str) -> None:
    (problem,) = url_problems(url, private=True)
    assert problem.startswith("webhook ")
    assert "evil" not in problem
    assert "pw" not in problem


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("notaurl", "'notaurl' "),
        ("ftp://example.com", "'ftp://example.com' "),
        ("hooks.example.com/services/s3cret", "'hooks.example.com/...' "),
        ("HTTPS://example.com/s3cret", "'HTTPS://example.com/...' "),
        ("ada:s3cret@example.com/hook", ""),
        ("example.com?token=s3cret", ""),
        ("https://example.com:s3cret pw/", ""),
        ("s3cret" * 10, ""),
    ],
)
def test_what_is_no_url_is_named_by_its_host_or_its_one_short_word_alone(url: str, named: str) -> None:
    (problem,) = url_problems(url, private=True)
    assert problem.startswith(f"webhook {named}is no URL, wanted http:// or https://")
    assert "s3cret" not in problem


@pytest.mark.parametrize("url", ["https://example.com", "http://example.com:8080/a?b=c", "https://[2606:4700::1111]/x"])
def test_a_web_address_is_taken(url: str) -> None:
    assert url_problems(url, private=False) == []


PRIVATE = ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[::1]", "[fd00::1]", "[fec0::1]"]
WRITTEN_OTHERWISE = [
    "2130706433",
    "0x7f.1",
    "127.1",
    "0177.0.0.1",
    "localhost",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::10.0.0.1]",
    "[2002:7f00:1::]",
]
NEVER = [
    "169.254.169.254",
    "[fe80::1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "[ff02::1]",
    "0.0.0.0",  # noqa: S104
    "0",
    "[::]",
]


@pytest.mark.parametrize("host", PRIVATE + WRITTEN_OTHERWISE + NEVER)
def test_no_way_to_write_a_private_address_leads_there(host: str) -> None:
    with pytest.raises(InputRefusedError, match=r"private address|where none is ever sent"):
        addresses_of(receiver_of(f"http://{host}/"), private=False)


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_reached_where_that_is_allowed(host: str) -> None:
    assert addresses_of(receiver_of(f"http://{host}/"), private=True)


@pytest.mark.parametrize("host", NEVER)
def test_a_clouds_metadata_is_never_reached(host: str) -> None:
    with pytest.raises(InputRefusedError, match="where none is ever sent"):
        addresses_of(receiver_of(f"http://{host}/"), private=True)


def test_a_literal_private_address_is_refused_at_submit() -> None:
    assert "a private address" in url_problems("http://10.1.2.3/hook", private=False)[0]


def test_a_name_is_looked_up_once_and_the_checked_address_is_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def changing(host: str, *args: Any, **more: Any) -> Any:
        """A name server that gives another address the second time."""
        if host != "receiver.example":
            return real(host, *args, **more)
        looked_up.append(host)
        return real("127.0.0.1" if len(looked_up) == 1 else "169.254.169.254", *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    Sender("x" * 16, private=True).post(receiver.url("/", host="receiver.example"), MESSAGE)
    assert receiver.got[0].headers["host"] == f"receiver.example:{receiver.server.server_port}"
    assert looked_up == ["receiver.example"]


def test_one_bad_address_among_good_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def two(host: str, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (where, port)) for where in ("93.184.216.34", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with pytest.raises(InputRefusedError, match=r"10\.0\.0\.1, a private address"):
        addresses_of(receiver_of("https://receiver.example/"), private=False)


def test_a_name_that_nobody_knows_is_an_error_of_delivery() -> None:
    with pytest.raises(DeliveryError, match=r"nobody\.invalid is not found"):
        Sender("x" * 16, private=True).post("http://nobody.invalid/", MESSAGE)


def test_nobody_listening_is_an_error_of_delivery() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DeliveryError, match=rf"http://127.0.0.1:{port} did not take it: .*refused"):
        Sender("x" * 16, private=True).post(f"http://127.0.0.1:{port}/token", MESSAGE)


def test_a_receiver_that_drips_its_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "TOTAL_SECONDS", 0.4)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            talking, _ = server.accept()
            with talking:
                try:
                    while not over.wait(0.05):
                        talking.sendall(b"H")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        began = time.monotonic()
        with pytest.raises(DeliveryError, match=r"no answer within 0\.4 s"):
            Sender("x" * 16, private=True).post(f"http://127.0.0.1:{server.getsockname()[1]}/", MESSAGE)
        assert time.monotonic() - began < 20, "each byte alone was in time, all of them would have taken for ever"
        over.set()
        dripping.join()


@pytest.fixture
def tls_receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver with a certificate for the name localhost, which this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "receiver.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    post._tls.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    found = start_receiver(context)
    yield found
    found.server.shutdown()
    found.server.server_close()
    post._tls.cache_clear()


def test_https_is_held_to_the_name_though_it_connects_to_the_address(tls_receiver: Receiver) -> None:
    port = tls_receiver.server.server_port
    Sender("x" * 16, private=True).post(f"https://localhost:{port}/hook", MESSAGE)
    assert [got.body for got in tls_receiver.got] == [b"{}"]
    with pytest.raises(DeliveryError, match="certificate"):
        Sender("x" * 16, private=True).post(f"https://127.0.0.1:{port}/hook", MESSAGE)
    assert len(tls_receiver.got) == 1
