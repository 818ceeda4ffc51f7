"""Loopback ports: finding a free one, and trying again where another process was quicker."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, TypeVar

from farm.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK = "127.0.0.1"
TRIES = 5
Started = TypeVar("Started")


class PortTakenError(UnreachableError):
    """Raised when a server could not listen because its port is in use."""


def free_port() -> int:
    """A port that nothing listens on right now; by the time it is used it may be taken."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closed connections do not count
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def on_port(port: int | None, start: Callable[[int], Started]) -> Started:
    """Start something on `port`; None means a free one, another one where that was taken in between."""
    if port is not None:
        return start(port)
    for _ in range(TRIES - 1):
        try:
            return start(free_port())
        except PortTakenError:
            continue
    return start(free_port())
