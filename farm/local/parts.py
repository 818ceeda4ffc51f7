"""The parts of the embedded stack: how each is started, and what is said about it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import MissingExtraError
from farm.errors import FarmError
from farm.local.child import Child, Command
from farm.local.metrics import address
from farm.local.programs import rclone_program, redis_program
from farm.local.servers import RedisServer, S3Server, new_secret, start_redis, start_s3
from farm.local.state import Service
from farm.local.windows import READ_ONLY_VARIABLE
from farm.settings import Settings, environment_key, masked_url
from farm.watch.serving import CPU, SLOTS, SWEEPER

if TYPE_CHECKING:
    from farm.local.config import Former
    from farm.local.windows import Window

WORKER_GRACE_SECONDS = 85.0
"""A little more than workers give themselves to hand back or finish what they have in hand."""
GRACE_SECONDS = 10.0
LOGS, RUN = "logs", "run"
FLOWER_CONFIG = Path("deploy/flowerconfig.py")
INSTALLED_CONFIG = Path("share/sonic-farm/flowerconfig.py")


@dataclass(frozen=True)
class Part:
    """A part of the stack that was started; no child: a server that is not ours to start. values: for farm.toml."""

    service: Service
    child: Child | None
    values: dict[str, object]


def redis_part(settings: Settings, former: Former) -> Part:
    what = "broker and books"
    if former.is_external(settings, "redis_url"):
        where = masked_url(settings.redis_url)
        return Part(Service("redis", what, where, "not started here: redis_url is set"), None, {})
    server = start_redis(
        settings.dir / "redis", port=former.port("redis_url"), password=former.password, log=log_of(settings, "redis")
    )
    return Part(redis_service(server, what), server.child, {"redis_url": server.url})


def redis_service(server: RedisServer, what: str) -> Service:
    login = "password in farm.toml: redis_url"
    return Service("redis", what, masked_url(server.url), login, str(server.child.command.log))


def s3_part(settings: Settings, former: Former) -> Part:
    what = f"storage, bucket {settings.s3_bucket}"
    if former.is_external(settings, "s3_endpoint"):
        return Part(Service("s3", what, str(settings.s3_endpoint), "not started here: s3_endpoint is set"), None, {})
    server = start_s3(
        settings.dir / "s3",
        port=former.port("s3_endpoint"),
        keys=(settings.s3_access_key or new_secret(), settings.s3_secret_key or new_secret()),
        bucket=settings.s3_bucket,
        log=log_of(settings, "s3"),
    )
    return Part(s3_service(server, what), server.child, s3_values(server))


def s3_service(server: S3Server, what: str) -> Service:
    login = "keys in farm.toml: s3_access_key, s3_secret_key"
    return Service("s3", what, server.endpoint, login, str(server.child.command.log))


def s3_values(server: S3Server) -> dict[str, object]:
    return {
        "s3_endpoint": server.endpoint,
        "s3_access_key": server.access_key,
        "s3_secret_key": server.secret_key,
        "s3_style": "path",
        "s3_ca": None,
    }


def sweeper_command(settings: Settings) -> Command:
    return command(settings, "sweeper", ["farm.watch.sweeper"], grace=GRACE_SECONDS)


def cpu_command(settings: Settings) -> Command:
    return command(settings, "cpu", ["workers.launch", "cpu"], grace=WORKER_GRACE_SECONDS)


def slots_command(settings: Settings) -> Command:
    return command(settings, "slots", ["workers.launch", "slots"], grace=WORKER_GRACE_SECONDS)


def folder_command(settings: Settings) -> Command:
    return command(settings, "folder", ["farm.folder.watch"], grace=GRACE_SECONDS)


def flower_command(settings: Settings, window: Window) -> Command:
    flower = ["celery", "-A", "farm.local.flower", "flower", f"--conf={flower_config()}"]
    ours = command(settings, window.name, flower, grace=GRACE_SECONDS)
    return replace(ours, environ={**ours.environ, READ_ONLY_VARIABLE: str(window.read_only).lower()})


def command(settings: Settings, name: str, module: list[str], *, grace: float) -> Command:
    """A Python module of the farm as a child that finds its settings in farm.toml alone."""
    lock = settings.dir / RUN / f"{name}.lock"
    return Command(name, [sys.executable, "-m", *module], log_of(settings, name), lock, child_environ(settings), grace)


def child_environ(settings: Settings) -> dict[str, str]:
    """Our environment; of settings only the folder, since farm.toml has all others."""
    ours = {environment_key(name) for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, environment_key("dir"): str(settings.dir)}


def log_of(settings: Settings, name: str) -> Path:
    return settings.dir / LOGS / f"{name}.log"


def flower_config() -> Path:
    """Flower's settings: beside the packages in a clone, below the prefix where a wheel was installed."""
    places = [Path(__file__).parents[2] / FLOWER_CONFIG, Path(sys.prefix) / INSTALLED_CONFIG]
    for place in places:
        if place.exists():
            return place
    raise FarmError(f"Flower's settings are neither at {places[0]} nor at {places[1]}: install the project anew")


def slot_count(settings: Settings) -> int:
    return len(settings.gpus) or settings.slots


def worker_services(settings: Settings) -> list[Service]:
    devices = f"GPU {', '.join(settings.gpus)}" if settings.gpus else "CPU"
    count = slot_count(settings)
    slots = f"{count} render {'slot' if count == 1 else 'slots'} ({', '.join(settings.renderers)}; {devices})"
    where = partial(address, settings)
    return [
        Service("sweeper", "puts back what fell by the way", where(SWEEPER), log=str(log_of(settings, "sweeper"))),
        Service("cpu", f"{settings.cpu_workers} to plan and stitch", where(CPU), log=str(log_of(settings, "cpu"))),
        Service("slots", slots, where(SLOTS), log=str(log_of(settings, "slots"))),
    ]


def folder_service(settings: Settings) -> Service:
    return Service("folder", "takes what is dropped", ", ".join(settings.inboxes), log=str(log_of(settings, "folder")))


def flower_service(settings: Settings, window: Window) -> Service:
    login = " / ".join(window.login(settings))
    return Service(window.name, window.what, window.url(settings), login, str(log_of(settings, window.name)))


def require_extra() -> None:
    """Raise MissingExtraError where what the stack is made of is not installed."""
    if find_spec("flower") is None:
        raise MissingExtraError("farm up", "local")
    redis_program()
    rclone_program()
