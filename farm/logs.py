"""How long-running processes log: one line an event, to stderr, in UTC."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.settings import Settings

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def formatter() -> logging.Formatter:
    """The format of every log line, on the screen and in storage."""
    lines = logging.Formatter(LOG_FORMAT)
    lines.converter = time.gmtime
    return lines


def log_to_stderr(settings: Settings) -> None:
    """Send what this process logs to stderr; libraries only from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("farm", "workers", "engine"):
        logging.getLogger(ours).setLevel(settings.log_level)
