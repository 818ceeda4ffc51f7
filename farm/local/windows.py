"""The Flowers of a farm: one in which people look, and one for operators, who may stop workers and tasks in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import SettingsError
from farm.local.ports import LOOPBACK
from farm.settings import environment_key

if TYPE_CHECKING:
    from farm.settings import Settings

READ_ONLY_VARIABLE = "FLOWER_READ_ONLY"
"""Flower's own; "false" makes a Flower the operators' one."""


@dataclass(frozen=True)
class Window:
    """A Flower. setting: what the names of its settings begin with."""

    name: str
    setting: str
    read_only: bool
    what: str

    def port(self, settings: Settings) -> int:
        """Where it listens, 0 where there is none."""
        return int(getattr(settings, f"{self.setting}_port"))

    def login(self, settings: Settings) -> tuple[str, str]:
        """User and password; raises SettingsError where there is no password."""
        password = getattr(settings, f"{self.setting}_password")
        if not password:
            key = environment_key(f"{self.setting}_password")
            raise SettingsError(f"{self.setting}_password is empty: set {key}; without one, anybody could look in")
        return getattr(settings, f"{self.setting}_user"), password

    def prefix(self, settings: Settings) -> str:
        """What its paths begin with, without slashes around it: another for each, behind one host name."""
        return settings.flower_prefix and f"{settings.flower_prefix}{'' if self.read_only else '-operators'}"

    def path(self, settings: Settings, page: str) -> str:
        """The path of a page, "/healthcheck" say."""
        prefix = self.prefix(settings)
        return f"/{prefix}{page}" if prefix else page

    def url(self, settings: Settings) -> str:
        """Where people open it on this machine."""
        path = self.path(settings, "/")
        return f"http://{LOOPBACK}:{self.port(settings)}{'' if path == '/' else path}"


LOOKING = Window("flower", "flower", read_only=True, what="what the workers do")
OPERATING = Window("flower-operator", "flower_operator", read_only=False, what="stops workers and tasks")


def windows(settings: Settings) -> tuple[Window, ...]:
    """Those that the embedded stack has."""
    return (LOOKING, OPERATING) if settings.flower_operator_port else (LOOKING,)
