"""The embedded Redis and S3 server: real, private, lasting, and gone when they should be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import boto3
import psutil
import pytest
import redis
from botocore.config import Config
from botocore.exceptions import ClientError
from redis.backoff import NoBackoff
from redis.retry import Retry

from farm.local.ports import PortTakenError
from farm.local.servers import BUCKET, S3Server, redis_server, s3_server

if TYPE_CHECKING:
    from pathlib import Path

    from botocore.client import BaseClient


def client_of(server: S3Server, secret_key: str | None = None) -> BaseClient:
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=secret_key or server.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def test_redis_keeps_what_it_was_told_over_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "a folder with spaces"
    with redis_server(folder) as server, redis.Redis.from_url(server.url) as client:
        client.set("books", "kept")
        assert client.config_get("appendonly")["appendonly"] == "yes"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    with redis_server(folder) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("books") == b"kept"


def test_redis_refuses_who_has_no_password(tmp_path: Path) -> None:
    with redis_server(tmp_path, password="right") as server:
        port = server.url.rpartition(":")[2].partition("/")[0]
        with (
            redis.Redis(port=int(port), retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


def test_storage_keeps_objects_over_a_restart(tmp_path: Path) -> None:
    with s3_server(tmp_path / "s 3") as server:
        client_of(server).put_object(Bucket=BUCKET, Key="jobs/1/job.json", Body=b"{}")
        keys = server.access_key, server.secret_key
    with s3_server(tmp_path / "s 3", keys=keys) as server:
        assert client_of(server).get_object(Bucket=BUCKET, Key="jobs/1/job.json")["Body"].read() == b"{}"


def test_storage_refuses_a_wrong_key(tmp_path: Path) -> None:
    with s3_server(tmp_path) as server, pytest.raises(ClientError, match=r"SignatureDoesNotMatch|AccessDenied"):
        client_of(server, secret_key="wrong").list_objects_v2(Bucket=BUCKET)


def test_no_secret_is_seen_in_the_process_list(tmp_path: Path) -> None:
    with redis_server(tmp_path / "r", password="redis-secret") as books, s3_server(tmp_path / "s") as storage:
        seen = [
            " ".join(process.cmdline())
            for child in (books.child, storage.child)
            for process in family(child.process.pid)
        ]
        assert len(seen) >= 4
        assert not [line for line in seen if "redis-secret" in line or storage.secret_key in line]
        assert (tmp_path / "r" / "redis.conf").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("start", [redis_server, s3_server])
def test_a_taken_port_is_named_with_the_log(tmp_path: Path, start) -> None:
    with redis_server(tmp_path / "first") as first:
        port = int(first.url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(PortTakenError, match=f"(?s){port}.*in use"), start(tmp_path / "second", port=port):
            pass


def test_nothing_outlives_an_owner_killed_with_signal_9(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import sys, pathlib; from farm.local.servers import *\n"
                "folder = pathlib.Path(sys.argv[1])\n"
                "with redis_server(folder / 'r') as books, s3_server(folder / 's') as storage:\n"
                "    print('up', flush=True); sys.stdin.read()"
            ),
            str(tmp_path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    with owner, owner.stdin, owner.stdout:
        assert owner.stdout.readline() == b"up\n"
        started = family(owner.pid)[1:]
        assert len(started) == 4
        os.kill(owner.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
