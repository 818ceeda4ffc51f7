"""A real Redis and a real S3 server on a folder, for as long as a `with` lasts or until ended."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from farm.local.child import Child, Command, start_child
from farm.local.ports import LOOPBACK, on_port
from farm.local.programs import rclone_program, redis_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

READY_SECONDS = 60.0
"""A Redis with long books reads its append-only file before it answers."""
GRACE_SECONDS = 20.0
BUCKET = "sonic-farm"


@dataclass(frozen=True)
class RedisServer:
    """A running redis-server. url: with the password in it."""

    url: str
    child: Child


@dataclass(frozen=True)
class S3Server:
    """A running S3 server with path-style addresses and any region."""

    endpoint: str
    access_key: str
    secret_key: str
    child: Child


@contextmanager
def redis_server(folder: Path, *, port: int | None = None, password: str | None = None) -> Iterator[RedisServer]:
    """A Redis whose data and log live in `folder`; no port means a free one, no password a new one."""
    server = start_redis(folder, port=port, password=password)
    try:
        yield server
    finally:
        server.child.end()


@contextmanager
def s3_server(
    folder: Path, *, port: int | None = None, keys: tuple[str, str] | None = None, bucket: str = BUCKET
) -> Iterator[S3Server]:
    """An S3 server whose buckets and log live in `folder`, `bucket` among them; keys: access key, secret key."""
    server = start_s3(folder, port=port, keys=keys, bucket=bucket)
    try:
        yield server
    finally:
        server.child.end()


def start_redis(
    folder: Path, *, port: int | None = None, password: str | None = None, log: Path | None = None
) -> RedisServer:
    """Start a Redis and wait until it answers.

    Raises UnreachableError with the end of its log, PortTakenError, MissingExtraError.
    """
    program, password = redis_program(), password or new_secret()
    folder.mkdir(parents=True, exist_ok=True)

    def start(port: int) -> RedisServer:
        arguments = [str(program), str(write_redis_config(folder, port, password))]
        child = start_child(server_command("redis", arguments, folder, log, os.environ))
        server = RedisServer(f"redis://:{password}@{LOOPBACK}:{port}/0", child)
        child.wait_until(lambda: redis_answers(server.url), seconds=READY_SECONDS)
        return server

    return on_port(port, start)


def write_redis_config(folder: Path, port: int, password: str) -> Path:
    """Settings in a file that only we can read, so that the password is not in the process list."""
    lines = [
        f"bind {LOOPBACK}",
        f"port {port}",
        f'requirepass "{password}"',
        f"dir {quoted(folder.resolve())}",
        "appendonly yes",
        "appendfsync everysec",
        "maxmemory-policy noeviction",
    ]
    config = folder / "redis.conf"
    write_private(config, "\n".join(lines) + "\n")
    return config


def quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def redis_answers(url: str) -> bool:
    """False while it is not there, still loads, or is another's that knows no such password."""
    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def start_s3(
    folder: Path,
    *,
    port: int | None = None,
    keys: tuple[str, str] | None = None,
    bucket: str = BUCKET,
    log: Path | None = None,
) -> S3Server:
    """Start an S3 server with one bucket and wait until it answers; raises what start_redis does."""
    program, (access_key, secret_key) = rclone_program(), keys or (new_secret(), new_secret())
    buckets = folder / "buckets"
    (buckets / bucket).mkdir(parents=True, exist_ok=True)  # to rclone a folder is a bucket

    def start(port: int) -> S3Server:
        arguments = [
            str(program),
            "serve",
            "s3",
            str(buckets.resolve()),
            "--addr",
            f"{LOOPBACK}:{port}",
            "--config",
            "",
        ]
        environ = rclone_environ(access_key, secret_key)
        child = start_child(server_command("s3", arguments, folder, log, environ))
        child.wait_until(lambda: "Starting s3 server on" in child.log_text(), seconds=READY_SECONDS)
        return S3Server(f"http://{LOOPBACK}:{port}", access_key, secret_key, child)

    return on_port(port, start)


def server_command(
    name: str, arguments: list[str], folder: Path, log: Path | None, environ: Mapping[str, str]
) -> Command:
    return Command(name, arguments, log or folder / f"{name}.log", folder / f".{name}.lock", environ, GRACE_SECONDS)


def rclone_environ(access_key: str, secret_key: str) -> Mapping[str, str]:
    """The keys go by environment, not to be seen in the process list; a person's own rclone settings are kept out."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")}
    return {**environ, "RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"'}


def new_secret() -> str:
    return secrets.token_hex(16)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
