"""The wire: task names, queue names, payloads, and how Celery is set up on both ends.

Tasks are sent by name, so that whoever submits needs no task code. A message only rings the bell: the books decide
whether there is anything to do, so losing or doubling a message does no harm.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from celery import Celery
from kombu import Producer, Queue
from kombu.exceptions import OperationalError

from farm.errors import BooksUnreachableError
from farm.settings import Settings, masked_url

WIRE_VERSION = 1
PLAN_JOB: Final = "farm.plan_job"
RENDER_CHUNK: Final = "farm.render_chunk"
STITCH_JOB: Final = "farm.stitch_job"
PROBE_SLOT: Final = "farm.probe_slot"
CPU_QUEUE = "cpu"
PRIORITY_STEPS = list(range(10))
CPU_LISTS = [CPU_QUEUE if step == 0 else f"{CPU_QUEUE}:{step}" for step in PRIORITY_STEPS]
"""The Redis lists in which Kombu keeps the cpu queue, one for each priority; the first is served first."""
TaskName = Literal["farm.plan_job", "farm.render_chunk", "farm.stitch_job", "farm.probe_slot"]


@dataclass(frozen=True)
class Message:
    """One ring of the bell. `title` is for people watching Flower; nothing reads it."""

    task: TaskName
    queue: str
    job: str | None
    chunk: int | None = None
    title: str = ""
    priority: int = 0
    version: int = WIRE_VERSION

    def payload(self) -> dict[str, Any]:
        body = asdict(self)
        del body["task"], body["queue"], body["priority"]
        return {key: value for key, value in body.items() if value is not None}


def slot_queue(slot: str) -> Queue:
    """The queue that only this slot consumes."""
    return Queue(f"slot.{slot}", durable=True)


def cpu_queue() -> Queue:
    """The queue of planning and stitching, consumed by every cpu worker."""
    return Queue(CPU_QUEUE, durable=True)


def celery_config(settings: Settings) -> dict[str, Any]:
    """Celery's settings, the same in every process of the farm; docs/celery.md says why each."""
    return {
        "broker_url": settings.redis_url,
        "task_serializer": "json",
        "accept_content": ["json"],
        "timezone": "UTC",
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_track_started": True,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "worker_pool": "prefork",
        "worker_concurrency": 1,
        "worker_pool_start_method": "spawn",
        "worker_proc_alive_timeout": 600,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_max_tasks_per_child": None,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_soft_shutdown_timeout": 75,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_queues": [cpu_queue()],
        "task_default_queue": CPU_QUEUE,
        "task_create_missing_queues": False,
        "broker_transport_options": {
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 15,
            "queue_order_strategy": "round_robin",
            "priority_steps": PRIORITY_STEPS,
            "sep": ":",
        },
    }


class Bell:
    """Sends messages to workers."""

    def __init__(self, settings: Settings) -> None:
        self._app = Celery("sonic-farm", set_as_current=False)
        self._app.conf.update(celery_config(settings))
        self._where = masked_url(settings.redis_url)

    def ring(self, messages: list[Message]) -> None:
        """Publish every message; raises BooksUnreachableError when Redis does not answer."""
        if not messages:
            return
        try:
            with self._app.producer_pool.acquire(block=True) as producer:
                for message in messages:
                    self._send(message, producer)
        except OperationalError as error:
            raise BooksUnreachableError(f"Redis at {self._where} does not answer: {error}") from error

    def _send(self, message: Message, producer: Producer) -> None:
        queue = cpu_queue() if message.queue == CPU_QUEUE else slot_queue(message.queue)
        self._app.send_task(
            message.task,
            kwargs=message.payload(),
            queue=queue,
            priority=message.priority,
            producer=producer,
            ignore_result=True,
            retry=False,
        )

    def close(self) -> None:
        self._app.close()
