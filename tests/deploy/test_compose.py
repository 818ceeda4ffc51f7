"""compose.yaml, the Dockerfiles and the policies. Without a container engine they are held to what they name."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import redis
import yaml

from farm import Settings
from farm.doctor import checks
from farm.local.servers import redis_server
from farm.settings import environment_key
from tests.conftest import PORTRAIT, ROOT
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm import Farm

DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))
COMPOSE = ROOT / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("sonic-farm:")}
EVERY_FILE = [COMPOSE, *(path for path in DEPLOY.iterdir() if path.is_file())]


def test_compose_yaml_is_valid_by_the_official_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bFARM_[A-Z0-9_]+\b", path.read_text()))
    assert named <= {environment_key(name) for name in Settings.model_fields}


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_every_service_are_accepted(name: str) -> None:
    given = {
        key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", re.sub(r"\$\{\w+:\?[^}]*\}", "secret", str(value)))
        for key, value in OURS[name]["environment"].items()
        if value is not None
    }
    settings = Settings.load(environ=given)
    assert settings.redis_url == "redis://farm:secret@redis:6379/0"
    assert settings.s3_endpoint == "http://minio:9000"


def test_every_setting_that_is_exported_reaches_the_containers() -> None:
    every = {environment_key(name) for name in Settings.model_fields}
    here = set.union(*(set(service["environment"]) for service in OURS.values()))
    of_another_server = {"FARM_S3_REGION", "FARM_S3_CA", "FARM_S3_PREFIX"}
    of_the_embedded_stack = {"FARM_FLOWER_PORT"}
    assert every - here == of_another_server | of_the_embedded_stack
    for name in ("cpu-worker", "gpu-worker", "sweeper", "folder"):
        assert {"FARM_OWNER_WEIGHTS", "FARM_LOG_FORMAT", "FARM_REUSE"} <= set(OURS[name]["environment"])


@pytest.mark.parametrize("name", OURS)
def test_every_command_starts_something_that_exists(name: str) -> None:
    command = OURS[name]["command"]
    module = command[2] if command[:2] == ["python", "-m"] else command[1].removeprefix("--app=")
    assert importlib.util.find_spec(module) is not None
    if module == "workers.launch":
        assert command[3] in {"cpu", "slots"}


def test_there_is_a_service_for_every_part_and_the_gpu_is_asked_for_by_profile() -> None:
    assert {"redis", "minio", "cpu-worker", "gpu-worker", "sweeper", "flower"} <= set(SERVICES)
    assert [name for name, service in SERVICES.items() if "gpu" in service.get("profiles", [])] == ["gpu-worker"]
    devices = SERVICES["gpu-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]


def test_no_port_is_open_to_the_network_and_no_image_is_a_moving_target() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert all(re.search(r":[\w.-]+$", service["image"]) for service in SERVICES.values())
    assert not [service for service in SERVICES.values() if service["image"].endswith(":latest")]


def test_every_file_that_is_mounted_or_built_from_exists() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (ROOT / source).exists(), source
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]) in DOCKERFILES


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_built_from_what_is_there_by_what_is_declared_and_not_run_as_root(path: Path) -> None:
    text = path.read_text()
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        missing = [source for source in sources.split() if not (ROOT / source).exists()]
        assert missing == []
    extras = set(re.search(r'"\.\[([\w,]+)\]"', text)[1].split(","))  # type: ignore[index]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras <= set(declared)
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["farm"]
    assert text.index("USER farm") > text.rindex("FROM "), "in the stage that runs"


@pytest.fixture
def restricted_redis(tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis for the user that deploy/redis-users.acl makes."""
    with redis_server(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as admin:
        rules = (DEPLOY / "redis-users.acl").read_text().replace("<password>", "secret").splitlines()
        admin.execute_command("ACL", "SETUSER", *next(rule for rule in rules if "farm" in rule).split()[1:])
        yield server.url.replace(server.url.split("@")[0], "redis://farm:secret")


def test_the_redis_user_may_do_all_that_a_job_needs_and_nothing_dangerous(
    restricted_redis: str, run_farm: Callable[..., Farm], tmp_path: Path
) -> None:
    farm = run_farm(redis_url=restricted_redis, renderers=("stripes=tests.renderers:Stripes",))
    job = farm.submit(PORTRAIT, tone(tmp_path / "speech.wav", 4), renderer="stripes", chunk_seconds=2)
    assert job.wait(60).state == "done"
    names = {check.name: check.ok for check in checks(farm.settings)}
    assert names["Redis version"]
    for command in ("FLUSHALL", "CONFIG GET *", "KEYS *", "ACL LIST", "SHUTDOWN"):
        with redis.Redis.from_url(restricted_redis) as user, pytest.raises(redis.exceptions.NoPermissionError):
            user.execute_command(*command.split())


def test_the_storage_policy_covers_one_bucket_and_no_more() -> None:
    policy = json.loads((DEPLOY / "s3-policy.json").read_text())
    resources = {statement["Resource"] for statement in policy["Statement"]}
    bucket = SERVICES["cpu-worker"]["environment"]["FARM_S3_BUCKET"]
    assert resources == {f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"}
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"} <= actions
    assert not [action for action in actions if "*" in action or "Policy" in action]
