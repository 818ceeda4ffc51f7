"""A slot shows whether it is well: it renders a known-good probe, which is held against its expected frames.

The preview's frames come with the farm. Those of a renderer with weights of its own are kept in storage, once for each
version and weights, by a slot that is known to be well: a video with its chunk was accepted just before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from typing import TYPE_CHECKING

from engine.probe.expected import expected_look
from engine.probe.look import Look
from engine.probe.render import made_by, render_probe
from farm.errors import CorruptObjectError, FarmError, NotFoundError, StorageError, UnreachableError
from farm.jobs.health import Probe, begin_probe, end_probe, take_proof
from farm.storage import keys
from farm.watch.nurse import try_storage
from workers.attempt import patiently
from workers.scratch import scratch_folder

if TYPE_CHECKING:
    from engine.renderer import Renderer
    from farm.jobs.health import Verdict
    from workers.process import SlotWorker

log = logging.getLogger(__name__)

ROOM_BYTES = 64 << 20
"""What a machine whose disk was full must be able to write again: about a minute of video with its lossless ends."""


class UnwellError(Exception):
    """Raised when a slot shows that it is not well; says why in a sentence."""


def probe(worker: SlotWorker) -> None:
    """Show what the books want to see of this slot, if anything, and tell them how it went."""
    wanted = begin_probe(worker.books, worker.name)
    if wanted is None:
        return
    try:
        if wanted.cause == "disk":
            _write_much()
        elif wanted.cause == "storage":
            _reach_storage(worker)
        else:
            _render_right(worker, wanted)
    except UnwellError as error:
        log.warning("slot %s stays out: %s", worker.name, error)
        _tell(worker, "wrong", str(error))
    except (UnreachableError, StorageError) as error:
        log.warning("slot %s could not be probed: %s", worker.name, error)
        _tell(worker, "unknown", str(error))
    else:
        log.info("slot %s is well and gets work again", worker.name)
        _tell(worker, "right")
    worker.dispatch()


def keep_expected(worker: SlotWorker, name: str) -> None:
    """Keep what the probe of this renderer should look like, where nobody has and this slot may say.

    What goes wrong here is no job's fault, and is tried again after another video was accepted.
    """
    renderer = worker.renderers[name]
    key = _key(renderer)
    if key in worker.probes_kept or expected_look(made_by(renderer)) is not None:
        return
    try:
        if not take_proof(worker.books, worker.name):
            return
        if not worker.storage.exists(key):
            look = _look(worker, name)
            about = {"version": 1, "made_by": made_by(renderer), "slot": worker.name, "at": time.time()}
            worker.storage.put_json(key, about | {"look": look.to_dict()})
            log.info("kept what the probe looks like with renderer %s: %s", name, key)
        worker.probes_kept.add(key)
    except (UnwellError, FarmError) as error:
        log.warning("not kept what the probe looks like with renderer %s: %s", name, error)


def _render_right(worker: SlotWorker, wanted: Probe) -> None:
    """Raises UnwellError where a render fails or looks wrong."""
    names = [name for name in wanted.renderers if name in worker.renderers]
    for name in names or worker.renderers:  # what it failed with may not be offered any more
        look = _look(worker, name)
        expected, where = _expected(worker, worker.renderers[name])
        if expected is None:
            # nothing to compare with yet: what is sick seldom goes wrong in the same way twice
            expected, where = _look(worker, name), "a second render of it"
        if wrong := look.differs(expected):
            raise UnwellError(f"the probe came out wrong with renderer {name}: {wrong}, held against {where}")


def _look(worker: SlotWorker, name: str) -> Look:
    worker.studio = None  # a job's features and the probe's need not fit side by side
    try:
        return render_probe(worker.renderers[name], name)
    except Exception as error:
        log.exception("the probe failed")
        raise UnwellError(f"the probe failed with renderer {name}: {type(error).__name__}: {error}") from error


def _expected(worker: SlotWorker, renderer: Renderer) -> tuple[Look | None, str]:
    """What the probe should look like, None where nobody kept it yet, and where that is from."""
    if (own := expected_look(made_by(renderer))) is not None:
        return own, "the frames that come with the farm"
    key = _key(renderer)
    try:
        kept = worker.storage.get_json(key)
        return Look.from_dict(kept["look"]), f"those of {kept['slot']} in {key}"
    except (NotFoundError, CorruptObjectError) as error:
        log.warning("no frames to hold the probe against: %s", error)
    except (KeyError, TypeError, ValueError) as error:
        log.warning("no frames to hold the probe against, %s is not what the farm writes there: %r", key, error)
    return None, ""


def _key(renderer: Renderer) -> str:
    return keys.probe(hashlib.sha256(json.dumps(made_by(renderer), sort_keys=True).encode()).hexdigest())


def _reach_storage(worker: SlotWorker) -> None:
    """Raises UnwellError where storage, which works for others, does not from here."""
    try:
        try_storage(worker.storage)
    except FarmError as error:
        raise UnwellError(f"storage still fails from here: {error}") from error


def _write_much() -> None:
    """Raises UnwellError where the disk has no room yet."""
    try:
        with scratch_folder() as folder, (folder / "room").open("wb") as file:
            file.write(bytes(ROOM_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UnwellError(f"the disk is still full: {error}") from error


def _tell(worker: SlotWorker, verdict: Verdict, why: str = "") -> None:
    patiently()(lambda: end_probe(worker.books, worker.name, verdict, why=why))
