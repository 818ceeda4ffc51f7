from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from moto.server import ThreadedMotoServer
from s3_gate import gate_before

from farm.local.servers import s3_server
from farm.settings import Settings
from farm.storage.s3 import Patience, Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3_gate import Gate

QUICK = Patience(attempts=3, connect_seconds=2, read_seconds=10)


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with s3_server(tmp_path_factory.mktemp("rclone")) as server:
        yield {
            "s3_endpoint": server.endpoint,
            "s3_access_key": server.access_key,
            "s3_secret_key": server.secret_key,
        }


@pytest.fixture(scope="session")
def moto() -> Iterator[dict[str, str]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {"s3_endpoint": f"http://{host}:{port}", "s3_access_key": "moto-access", "s3_secret_key": "moto-secret"}
    server.stop()


@pytest.fixture(params=["rclone", "moto"])
def server(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings of a real S3 server; every test that asks for them is judged by both."""
    found: dict[str, str] = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def make() -> Iterator[Callable[..., Storage]]:
    """Makes storages that are closed at the end."""
    made: list[Storage] = []

    def make(server: dict[str, str], patience: Patience = QUICK, **changes: object) -> Storage:
        made.append(Storage.from_settings(Settings(**{**server, **changes}), patience))
        return made[-1]

    yield make
    for storage in made:
        storage.close()


@pytest.fixture
def bucket() -> str:
    """The name of a bucket of the test's own."""
    return f"b-{secrets.token_hex(6)}"


@pytest.fixture
def storage(server: dict[str, str], bucket: str, make: Callable[..., Storage]) -> Storage:
    """A storage whose bucket exists and is empty."""
    storage = make(server, s3_bucket=bucket)
    storage.ensure_bucket()
    return storage


@pytest.fixture
def gate(server: dict[str, str]) -> Iterator[Gate]:
    """A proxy before the server that counts and spoils requests."""
    with gate_before(server["s3_endpoint"]) as gate:
        yield gate


@pytest.fixture
def gated(server: dict[str, str], bucket: str, gate: Gate, make: Callable[..., Storage], storage: Storage) -> Storage:
    """The same bucket, with all requests going through the gate."""
    return make(server, s3_bucket=bucket, s3_endpoint=gate.url)
