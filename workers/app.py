"""The Celery application of every worker: `celery -A workers.app worker`.

Which queue a worker consumes is told by FARM_SLOT: a render slot consumes its own, all others plan and stitch.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from farm.messages import celery_config, cpu_queue, slot_queue
from farm.settings import Settings
from workers.slots import SLOT_VARIABLE


def _config() -> dict[str, Any]:
    config = celery_config(Settings.load())
    slot = os.environ.get(SLOT_VARIABLE)
    queue = slot_queue(slot) if slot else cpu_queue()
    return config | {"task_queues": [queue], "task_default_queue": queue.name}


app = Celery("sonic-farm", include=["workers.tasks"])
app.add_defaults(_config)  # read when a worker starts, not when this module is imported
