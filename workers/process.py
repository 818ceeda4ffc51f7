"""What a worker process keeps from its start to its end: connections, its name, and in a slot the loaded renderers."""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Semaphore
from typing import TYPE_CHECKING, Any, ParamSpec, Self

import cv2

from engine.renderer import Renderer, load_renderer, targets_of
from farm.errors import BooksUnreachableError, FarmError
from farm.jobs.request import JobRequest
from farm.jobs.store import Books
from farm.logs import for_same_hand
from farm.messages import Bell, Message
from farm.reuse import maker_of
from farm.storage import keys
from farm.storage.s3 import Storage
from workers.beside import Beside
from workers.planfile import PlanFile
from workers.slots import LAUNCHER_VARIABLE, SLOT_VARIABLE, cpu_worker_name, machine, own_slot
from workers.speech import StoredSpeech
from workers.studio import Faces, Studio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from engine.plan import Plan
    from farm.settings import Settings

log = logging.getLogger(__name__)
P = ParamSpec("P")

AT_ONCE = 4
"""What a slot does beside its work at once: uploads, most of all."""
PORTERS = 4
"""Threads for what is drawn: encoding and delivery of the chunk that is drawn, and of the one before it."""
SEAMS_AT_HAND = 4
"""Chunks whose seams may be made or wait to be: chunks that were taken instead of drawn come faster than seams."""
GIVE_WAY_SECONDS = 1.0
"""How long the delivery of a chunk lets the slot come to its next one first."""


@dataclass
class Worker:
    """A cpu worker's connections, made once."""

    settings: Settings
    name: str
    books: Books
    storage: Storage
    bell: Bell

    @classmethod
    def start(cls, settings: Settings, name: str) -> Self:
        return cls(settings, name, Books.connect(settings), Storage.from_settings(settings), Bell(settings))

    def request(self, job: str) -> JobRequest:
        """What the job was asked for."""
        return JobRequest.from_dict(self.storage.get_json(keys.job_json(job)))

    def dispatch(self, *also: Message) -> None:
        """Send waiting chunks to slots that can take one, and what else is due.

        What is not sent for an outage, or because this process dies here, the sweeper sends again.
        """
        try:
            self.bell.ring([*also, *self.books.dispatch()])
        except BooksUnreachableError as error:
            log.warning("not dispatched, left to the sweeper: %s", error)


@dataclass
class SlotWorker(Worker):
    """A render slot: a Worker with its device and the renderers it has loaded.

    facts: what the books know of it. studio: set up for the job it stays on, dropped when another comes. speech, asked:
    of the job it was on last, what was read of its speech, what it was asked for and its plan. faces: of the portraits
    that it drew lately. probes_kept: keys of the probes that it knows to be in storage. aside: threads for what goes on
    beside its work. porters: threads that take what it draws. delivery: that of the chunk before the one in hand.
    seams: one thread for seams of what it drew.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    renderers: dict[str, Renderer] = field(default_factory=dict)
    studio: Studio | None = None
    faces: Faces = field(default_factory=Faces)
    speech: StoredSpeech | None = None
    asked: tuple[JobRequest, Plan] | None = None
    probes_kept: set[str] = field(default_factory=set)
    aside: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE, "aside"))
    porters: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(PORTERS, "porter"))
    delivery: Future[None] | None = None
    seams: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "seams"))
    _seams_at_hand: Semaphore = field(default_factory=lambda: Semaphore(SEAMS_AT_HAND))
    _draws_next: threading.Event = field(default_factory=threading.Event)

    def begin_to_draw(self) -> Beside:
        """The slot draws a chunk from now on, and what gave way to it goes on.

        What is left of the chunk when it is drawn gives way to the next one in its turn: once the slot waits for its
        device again, that costs it nothing.
        """
        self._draws_next.set()
        self._draws_next = draws_next = threading.Event()

        def give_way() -> None:
            if self.has_next():
                draws_next.wait(GIVE_WAY_SECONDS)

        return Beside(self.porters, give_way)

    def deliver_behind(self, delivery: Future[None]) -> None:
        """Go on while a chunk is delivered, but never two of them behind."""
        before, self.delivery = self.delivery, delivery
        delivery.add_done_callback(for_same_hand(_log_error))
        if before is not None:
            wait([before])

    def leave_nothing_undelivered(self) -> None:
        """Wait for the delivery of what is drawn."""
        if self.delivery is not None:
            wait([self.delivery])

    def leave_seams(self) -> None:
        """Wait for the chunk whose seams are in hand; what waits is left to the stitch."""
        self.seams.shutdown(cancel_futures=True)

    def do_aside(self, work: Callable[P, None], *args: P.args, **options: P.kwargs) -> None:
        """Let a thread do what nobody waits for; what it raises is logged."""
        self.aside.submit(for_same_hand(work), *args, **options).add_done_callback(for_same_hand(_log_error))

    def make_seams(self, work: Callable[[], None]) -> None:
        """Let the thread for seams do it in its turn, unless too much waits for it: the stitch makes what is left."""
        if not self._seams_at_hand.acquire(blocking=False):
            return
        made = self.seams.submit(for_same_hand(work))
        made.add_done_callback(lambda _: self._seams_at_hand.release())
        made.add_done_callback(for_same_hand(_log_error))

    def has_next(self) -> bool:
        """Whether a chunk waits for this slot; False where the books cannot say."""
        try:
            return self.books.has_next(self.name)
        except FarmError:
            return False

    def asked_of(self, job: str) -> tuple[JobRequest, Plan]:
        """What a job was asked for, and its plan; neither ever changes, so they are kept while the slot stays on it."""
        if self.asked is None or self.asked[0].id != job:
            plan = PlanFile.from_dict(self.storage.get_json(keys.plan_json(job))).plan
            self.asked = self.request(job), plan
        return self.asked

    def speech_of(self, job: str) -> StoredSpeech:
        """The job's speech: with what was read of it, while the slot stays on the job."""
        key = keys.speech_pcm(job)
        if self.speech is None or self.speech.key != key:
            self.speech = StoredSpeech(self.storage, key)
        return self.speech


def _log_error(future: Future[None]) -> None:
    """What nobody waits for is said at least."""
    if not future.cancelled() and (error := future.exception()) is not None:
        log.error("not done aside: %s", error, exc_info=error)


def keep_pulse(worker: Worker) -> None:
    """Show that this process lives, from a thread of its own, for as long as it does.

    A slot's facts go along: books that were emptied know it again within a beat.
    """

    def keep() -> None:
        while True:
            try:
                _beat(worker)
            except FarmError as error:
                log.warning("cannot show that this worker lives: %s", error)
            time.sleep(min(5.0, worker.settings.lease_seconds / 4))

    threading.Thread(target=keep, name="pulse", daemon=True).start()


def _beat(worker: Worker) -> None:
    if not isinstance(worker, SlotWorker):
        worker.books.report_cpu_worker(worker.name)
        return
    facts = worker.facts  # one look: the other thread puts a new dict here
    worker.books.report_slot(worker.name, facts, loaded=facts["state"] == "ready", pulse=True)


def start_cpu_worker(settings: Settings) -> Worker:
    """Make this process a cpu worker."""
    worker = Worker.start(settings, cpu_worker_name(os.getpid()))
    keep_pulse(worker)
    return worker


def start_slot_worker(settings: Settings) -> SlotWorker:
    """Make this process a slot: report it as loading, load every renderer it offers, report it as ready."""
    # a slot is a core or a GPU's keeper, and optical flow comes out the same each time from one thread alone
    cv2.setNumThreads(1)
    slot = own_slot(settings)
    worker = SlotWorker.start(settings, slot.name)
    declared = targets_of(settings.renderers)
    worker.facts = {
        "state": "loading",
        "host": machine(),
        "pid": os.getpid(),
        "process": secrets.token_hex(8),  # a pid comes again, in a container at every start
        "launcher": os.environ.get(LAUNCHER_VARIABLE, ""),
        "device": slot.device,
        "visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "renderers": list(declared),
        "ttl_ms": round(settings.lease_seconds * 1000),
    }
    worker.books.report_slot(slot.name, worker.facts)
    keep_pulse(worker)
    began = time.monotonic()
    for name in declared:
        worker.renderers[name] = load_renderer(name, slot.device, declared)
    seconds = round(time.monotonic() - began, 3)
    log.info("slot %s loaded %s in %.3f s", slot.name, ", ".join(declared), seconds)
    makers = {name: maker_of(name, renderer) for name, renderer in worker.renderers.items()}
    ready = {"state": "ready", "load_seconds": seconds, "makers": json.dumps(makers)}
    worker.facts = worker.facts | ready | device_facts(worker.renderers.values())
    worker.books.report_slot(slot.name, worker.facts, loaded=True)
    worker.dispatch()
    return worker


def device_facts(renderers: Iterable[Renderer]) -> dict[str, Any]:
    """What the loaded renderers know of the slot's device."""
    devices = [device for renderer in renderers if (device := renderer.device()) is not None]
    if not devices:
        return {}
    found = devices[-1]  # what is free for frames is known when all is loaded
    most = {} if found.most_pixels is None else {"most_pixels": found.most_pixels}
    return {"device": found.name, "memory_mb": found.memory_mb} | most


def is_slot() -> bool:
    return SLOT_VARIABLE in os.environ
