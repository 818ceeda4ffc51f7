"""/metrics over HTTP, for Prometheus."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import disable_created_metrics, start_http_server

from farm.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

    from farm.settings import Settings

log = logging.getLogger(__name__)

SWEEPER, SLOTS, CPU = 0, 1, 2
"""Who answers on which port, counted from metrics_port."""


@contextmanager
def serving(registry: CollectorRegistry, settings: Settings, place: int) -> Iterator[None]:
    """Answer on this process' port while the body runs, from a thread; where metrics are off, just run the body.

    Raises SettingsError when the port is taken or the address is not this machine's.
    """
    if not settings.metrics_port:
        yield
        return
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each counter, which nobody asks for
    host, port = settings.metrics_host, settings.metrics_port + place
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SettingsError(
            f"metrics_port is {settings.metrics_port}, metrics_host {host!r}: "
            f"cannot listen on {host}:{port}: {error.strerror}"
        ) from error
    log.info("metrics at http://%s:%d/metrics", host, port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
