"""The Celery application of every worker: `celery -A workers.app worker`.

Which queue a worker consumes is told by FARM_SLOT: a render slot consumes its own, all others plan and stitch.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from celery.utils.log import get_multiprocessing_logger

from farm.logs import log_to_stderr
from farm.messages import celery_config, cpu_queue, slot_queue
from farm.settings import Settings
from workers.slots import SLOT_VARIABLE


def _config() -> dict[str, Any]:
    config = celery_config(Settings.load())
    slot = os.environ.get(SLOT_VARIABLE)
    queue = slot_queue(slot) if slot else cpu_queue()
    return config | {"task_queues": [queue], "task_default_queue": queue.name}


@setup_logging.connect
def _log(**_: Any) -> None:
    """Let Celery's own lines look like ours, in its main process and in those that work."""
    log_to_stderr(Settings.load())
    get_multiprocessing_logger().propagate = True  # deaths of processes; billiard would print them bare


app = Celery("sonic-farm", include=["workers.tasks"])
app.add_defaults(_config)  # read when a worker starts, not when this module is imported
