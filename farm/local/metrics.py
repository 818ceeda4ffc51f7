"""Where the embedded stack answers Prometheus: three ports in a row, for the sweeper, the slots, the cpu workers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from farm.errors import SettingsError
from farm.local.config import PORTS_TO_TRY, is_given
from farm.local.ports import is_free
from farm.settings import environment_key

if TYPE_CHECKING:
    from farm.settings import Settings

FIRST_PORT, PORTS = 9700, 3


def metrics_port(settings: Settings) -> int:
    """The first of the ports asked for, 0 for none; if nobody asked, the first of three that are free.

    Raises SettingsError when one of those asked for is taken.
    """
    wanted = settings.metrics_port
    if is_given(settings, "metrics_port"):
        for port in _from(wanted) if wanted else ():
            if not is_free(port):
                source = settings.source("metrics_port")
                raise SettingsError(
                    f"{environment_key('metrics_port')} is {wanted} ({source}): something already listens on {port}"
                )
        return wanted
    if settings.source("metrics_port") == "default":
        return _first_free(FIRST_PORT)
    return _first_free(wanted) if wanted else 0


def address(settings: Settings, place: int) -> str:
    """Where one of them answers; nothing when metrics are off."""
    return f"http://{settings.metrics_host}:{settings.metrics_port + place}/metrics" if settings.metrics_port else ""


def answers(settings: Settings, place: int) -> bool:
    """Whether something listens there; always, when metrics are off."""
    if not settings.metrics_port:
        return True
    try:
        with socket.create_connection((settings.metrics_host, settings.metrics_port + place), timeout=2):
            return True
    except OSError:
        return False


def _first_free(wanted: int) -> int:
    for first in range(wanted, wanted + PORTS * PORTS_TO_TRY, PORTS):
        if all(map(is_free, _from(first))):
            return first
    raise SettingsError(f"metrics_port: of the ports from {wanted} on no {PORTS} in a row are free")


def _from(first: int) -> range:
    return range(first, first + PORTS)
