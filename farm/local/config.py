"""farm.toml: what the embedded stack runs with, written for every other command and kept for the next start."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.errors import MissingExtraError, UnknownRendererError
from engine.renderer import BUILT_IN, targets_of
from farm.errors import SettingsError
from farm.folder.inbox import inboxes
from farm.local.ports import free_port, is_free
from farm.local.servers import write_private
from farm.local.windows import windows
from farm.settings import TOML_NAME, Settings, environment_key, is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.local.windows import Window

GIVEN = ("flag", "environment")
PORTS_TO_TRY = 50
SERVERS_NAME = "servers.json"


def is_given(settings: Settings, name: str) -> bool:
    """Whether this very start asks for the value, by flag or environment."""
    return settings.source(name) in GIVEN


@dataclass(frozen=True)
class Former:
    """The addresses that our own servers had last time, if any: redis_url and s3_endpoint as in farm.toml."""

    redis_url: str | None = None
    s3_endpoint: str | None = None

    @classmethod
    def read(cls, folder: Path) -> Former:
        try:
            return cls(**json.loads((folder / SERVERS_NAME).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls()

    def write(self, folder: Path) -> None:
        write_private(folder / SERVERS_NAME, json.dumps(asdict(self)))

    def is_external(self, settings: Settings, name: str) -> bool:
        """Whether `redis_url` or `s3_endpoint` is set to a server that is not ours to start."""
        value = getattr(settings, name)
        return value is not None and settings.source(name) != "default" and value != getattr(self, name)

    def port(self, name: str) -> int | None:
        """The port to take again, if it is free; None leaves the choice open."""
        port = urlsplit(getattr(self, name) or "").port
        return port if port and is_free(port) else None

    @property
    def password(self) -> str | None:
        return urlsplit(self.redis_url or "").password


def refuse_contradictions(settings: Settings) -> None:
    """Raise SettingsError for settings that cannot go together, before anything is started.

    Slots asked for while GPUs are named, for then there is one for each of those; renderers that cannot start; inboxes
    that cannot be watched; two Flowers at one port.
    """
    refuse_renderers_that_cannot_start(settings)
    inboxes(settings.inboxes, settings)  # raises for one that cannot be watched
    if settings.flower_operator_port == settings.flower_port:
        raise SettingsError(f"flower_operator_port is {settings.flower_port}, as flower_port is: set another")
    if settings.gpus and is_given(settings, "slots"):
        gpus = f"gpus is {','.join(settings.gpus)} ({settings.source('gpus')})"
        raise SettingsError(
            f"slots is {settings.slots}, but {gpus}, a slot each: leave slots out, or set gpus to nothing"
        )


def refuse_renderers_that_cannot_start(settings: Settings) -> None:
    """Raise what a slot would find out only when it is started: an unknown name, no weights, no torch."""
    try:
        targets = targets_of(settings.renderers)
    except UnknownRendererError as error:
        raise SettingsError(f"renderers is {','.join(settings.renderers)}: {error}") from None
    if targets.get("sonic") != BUILT_IN["sonic"].target:
        return
    if find_spec("torch") is None:
        raise MissingExtraError("renderer 'sonic'", "sonic")
    if settings.weights is None or not settings.weights.is_dir():
        found = "not set" if settings.weights is None else f"{settings.weights}, which is no folder"
        raise SettingsError(f"weights is {found}, wanted the folder of Sonic's checkpoints: `farm weights fetch DIR`")


def flower_values(settings: Settings) -> dict[str, object]:
    """Port and password of every Flower that the stack has. Raises SettingsError when a port asked for is taken."""
    values: dict[str, object] = {}
    for window in windows(settings):
        values[f"{window.setting}_port"] = flower_port(settings, window)
        values[f"{window.setting}_password"] = getattr(settings, f"{window.setting}_password") or new_password()
    return values


def flower_port(settings: Settings, window: Window) -> int:
    """The port asked for; if nobody asked, the next free one. Raises SettingsError when the one asked for is taken."""
    name, wanted = f"{window.setting}_port", window.port(settings)
    others = {other.port(settings) for other in windows(settings)} - {wanted}
    if is_free(wanted):
        return wanted
    if is_given(settings, name):
        key = environment_key(name)
        raise SettingsError(f"{key} is {wanted} ({settings.source(name)}): something already listens there")
    near = range(wanted + 1, min(wanted + PORTS_TO_TRY, 65536))
    return next((port for port in near if port not in others and is_free(port)), free_port())


def new_password() -> str:
    return secrets.token_urlsafe(12)


def webhook_secret(settings: Settings) -> str:
    return settings.webhook_secret or secrets.token_urlsafe(24)


def write_toml(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Write what is not a default, and `values`, to farm.toml; the settings that a process of the stack will read."""
    kept = {
        name: getattr(settings, name)
        for name in Settings.model_fields
        if name != "dir" and settings.source(name) != "default"
    }
    table = {name: value for name, value in (kept | dict(values)).items() if value is not None}
    lines = [
        "# Written by `farm up`, read by every farm command. It holds secrets.",
        "[farm]",
        *(f"{name} = {toml(table[name])}" for name in Settings.model_fields if name in table),
    ]
    write_private(settings.dir / TOML_NAME, "\n".join(lines) + "\n")
    return Settings.load({"dir": settings.dir}, environ={})


def toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)


def refuse_other_settings(running: Settings, asked: Settings) -> None:
    """Raise SettingsError when a stack that is up was asked for with another value than it runs with."""
    for name in Settings.model_fields:
        if name == "dir" or not is_given(asked, name) or getattr(asked, name) == getattr(running, name):
            continue
        values = "another value" if is_secret(name) else f"{getattr(running, name)!r}, not {getattr(asked, name)!r}"
        raise SettingsError(f"the farm in {running.dir} is up with {name} {values}: `farm down` first")
