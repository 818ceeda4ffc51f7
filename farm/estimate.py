"""What a job will be: how long its chunks should be on this farm, its plan, and when it should be finished."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.cuts import TOLERANCE_SECONDS
from engine.media import smoothing
from engine.media.pauses import Heard, listen
from engine.plan import GEN_RATE, Geometry, Plan, plan_chunks
from engine.renderer import BUILT_IN
from farm.jobs.speeds import REFERENCE_PIXELS, Speed, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from engine.spec import ChunkSpec, OutputSpec, RenderSpec
    from farm.jobs.load import Load
    from farm.settings import Settings

FLOOR_SECONDS = 10.0
"""No chunk is cut finer than this because slots are free."""
FLOOR_OVERLAPS = 3
"""Nor finer than three times what neighbours compute twice: a quarter more work at most for the time gained."""
CEILING = 2.0
"""A deep queue makes chunks longer by this factor at most: a lost chunk costs its length."""
DEEP = 2
"""Chunks waiting for each slot from which a queue counts as deep; at CEILING times as many chunks are longest."""
FEW_SLOTS = 2
"""Slots up to which a lone job is cut as the setting says."""

ASSUMED: dict[str, float] = {"preview": 0.28, "sonic": 12.0, "plan": 0.02, "stitch": 0.01}
"""Seconds for a second of video at 512x512 where nothing was measured; Sonic's for 25 steps at 100 TFLOP/s."""
ASSUMED_STEPS = 25


@dataclass(frozen=True)
class ChunkLength:
    """Seconds of video that a chunk should keep, and why, in words and numbers."""

    seconds: float
    because: str


@dataclass(frozen=True)
class Estimate:
    """Seconds from now to the result; None where nobody can render it. words: what that rests on."""

    seconds: float | None
    words: tuple[str, ...]


def unknown_geometry(renderer: str) -> tuple[str, ...]:
    """What to say of a plan that is made where the renderer's class cannot be imported; nothing of one that comes with
    the farm.
    """
    if renderer in BUILT_IN:
        return ()
    told = f"renderer {renderer!r} does not come with the farm, so its reach and window are known to the workers alone"
    return (f"{told}: planned as if it had neither, its chunks may be cut otherwise and compute more",)


def chunk_seconds_for(speech_seconds: float, *, load: Load, setting: float, geometry: Geometry) -> ChunkLength:
    """The length of chunks that suits a farm at this moment; `setting` is the middle.

    A lone job on many slots is cut finer, to whole rounds over all of them; behind a deep queue chunks are longer, for
    less is computed twice. Jobs that wait for their plan are a queue too, of which nobody knows how deep it is.
    """
    slots, waiting, unplanned = len(load.usable), load.waiting, load.unplanned
    told = f"{slots} {_plural('slot', slots)}, {waiting} {_plural('chunk', waiting)} waiting"
    if unplanned:
        told += f", {unplanned} other {_plural('job', unplanned)} not planned yet"
    everybodys = len(load.devices) + len(load.too_small)
    depth = max(load.own / slots, waiting / everybodys) if slots else 0.0
    if depth > DEEP:
        seconds = setting * min(CEILING, depth / DEEP)
        return ChunkLength(round(seconds, 2), f"longer than setting chunk_seconds ({setting:g}): {told}")
    if waiting or unplanned or slots <= FEW_SLOTS:
        return ChunkLength(setting, f"setting chunk_seconds: {told}")
    overlap = (geometry.before + geometry.after) / GEN_RATE
    floor = max(FLOOR_SECONDS, FLOOR_OVERLAPS * overlap, geometry.shortest_kept / GEN_RATE)
    rounds = math.ceil(speech_seconds / (slots * setting))
    even = speech_seconds / (slots * rounds)
    if even >= setting or floor >= setting:
        return ChunkLength(setting, f"setting chunk_seconds: {told}")
    if even < floor:
        return ChunkLength(round(floor, 2), f"the shortest that is worth while: {told} for {speech_seconds:.0f} s")
    return ChunkLength(
        round(even, 2), f"{rounds} {_plural('chunk', rounds)} a slot: {told} for {speech_seconds:.0f} s of speech"
    )


def chunk_length(
    asked: float | None, speech_seconds: float, *, load: Load, settings: Settings, geometry: Geometry
) -> ChunkLength:
    """The length that was asked for, else the one that suits the farm, as long as reach and motion filter allow."""
    if asked is not None:
        return ChunkLength(asked, "asked for at submit")
    found = chunk_seconds_for(speech_seconds, load=load, setting=settings.chunk_seconds, geometry=geometry)
    shortest = geometry.shortest_kept / GEN_RATE
    if found.seconds >= shortest:
        return found
    return ChunkLength(shortest, f"the shortest that reach and motion filter allow, instead of {found.because}")


def geometry_for(renders: Geometry, output: OutputSpec) -> Geometry:
    """A renderer's geometry with what the motion filter behind it looks at."""
    return replace(renders, radius=renders.radius + -(-smoothing.RADIUS // 2)) if output.smoothing else renders


def plan_speech(
    pcm: Path,
    frames25: int,
    *,
    chunk_seconds: float,
    geometry: Geometry,
    tolerance: float = TOLERANCE_SECONDS,
    keep: Sequence[tuple[int, int]] = (),
    on_progress: Callable[[float], None] = lambda _: None,
) -> tuple[Plan, Heard]:
    """Hear a decoded speech (speech.pcm) and cut its job where it pauses. tolerance: seconds that a cut may move.

    keep: gen_frames [a, b) that are a chunk each, as in an earlier plan.
    """
    heard = listen(pcm, frames25=frames25, fade=geometry.fade, on_progress=on_progress)
    plan = plan_chunks(
        frames25,
        chunk_seconds=chunk_seconds,
        geometry=geometry,
        noise=heard.noise,
        tolerance_seconds=tolerance,
        keep=keep,
    )
    return plan, heard


def estimate(
    plan: Plan,
    spec: RenderSpec,
    *,
    pixels: int,
    load: Load,
    speeds: Mapping[Work, Speed],
    waiting_seconds: float,
    rendered: Collection[int] = (),
) -> Estimate:
    """When a job planned like this should be finished, if it were submitted now.

    pixels: of a rendered frame. waiting_seconds: of video, that one chunk in the queue before it is taken for.
    rendered: the chunks that were rendered already.
    """
    kept_off = _kept_off(load, pixels)
    if not load.devices:
        return Estimate(None, tuple(kept_off) or (f"no slot offers renderer {spec.renderer!r} now",))
    ours, everybodys = load.usable, (*load.devices, *load.too_small)
    known = {device: speed_of(Work(spec.renderer, device, spec.steps), speeds) for device in set(everybodys)}
    unknown = sorted(device for device in set(ours) if known[device] is None)
    if unknown:
        return Estimate(None, (f"renderer {spec.renderer!r} was not measured yet on {', '.join(unknown)}",))
    paces = {device: speed.pace * pixels / REFERENCE_PIXELS for device, speed in known.items() if speed is not None}
    first = load.waiting + load.in_hand
    queue = waiting_seconds * (_shared(first - load.own, everybodys, paces) + _shared(load.own, ours, paces))
    chunks = [chunk for chunk in plan.chunks if chunk.index not in rendered]
    rendering = _rendered(plan, chunks, [paces[device] for device in ours])
    around, video = 0.0, plan.gen_frames / GEN_RATE
    words = [_words(spec.renderer, device, speed, paces) for device in sorted(set(ours)) if (speed := known[device])]
    for step in ("plan", "stitch"):
        speed = speed_of(Work(step, "cpu"), speeds)
        around += speed.pace * video if speed else 0.0
    return Estimate(round(queue + rendering + around, 1), (*words, *kept_off, *_before(load, queue)))


def _kept_off(load: Load, pixels: int) -> list[str]:
    """What keeps a job from slots that offer its renderer."""
    slots, words = len(load.devices), []
    if load.too_small:
        fit = f"{slots or 'none'} of {slots + len(load.too_small)} slots"
        words.append(f"frames of {pixels:,} pixels fit into the memory of {fit}")
    if len(load.usable) < slots:
        words.append(f"its owner may have {load.limit} of {slots} slots at once")
    return words


def _before(load: Load, queue: float) -> list[str]:
    """What is served first, in about so many seconds."""
    first, words = load.waiting + load.in_hand, []
    if first:
        in_hand = f", {load.in_hand} of them in hand" if load.in_hand else ""
        words.append(f"{first} {_plural('chunk', first)} of other jobs first{in_hand}, about {queue:.0f} s")
    if load.unplanned:
        other = f"{load.unplanned} other {_plural('job', load.unplanned)}"
        are = "is" if load.unplanned == 1 else "are"
        words.append(f"{other} {are} not planned yet: what comes first of them is not counted")
    return words


def _shared(chunks: int, devices: Sequence[str], paces: Mapping[str, float]) -> float:
    """Seconds for a second of video of each of these chunks, on all slots of known speed together."""
    return chunks / sum(1 / paces[device] for device in devices if device in paces)


def _rendered(plan: Plan, chunks: Sequence[ChunkSpec], paces: list[float]) -> float:
    """Seconds until slots of these paces, each taking the next chunk when it is free, have rendered these."""
    free = [(0.0, slot) for slot in range(len(paces))]
    heapq.heapify(free)
    finish = 0.0
    for chunk in chunks:
        at, slot = heapq.heappop(free)
        at += paces[slot] * plan.windows(chunk) * plan.geometry.window / GEN_RATE
        finish = max(finish, at)
        heapq.heappush(free, (at, slot))
    return finish


def speed_of(work: Work, speeds: Mapping[Work, Speed]) -> Speed | None:
    """As measured, else as assumed for what comes with the farm."""
    if work in speeds:
        return speeds[work]
    if work.renderer not in ASSUMED:
        return None
    steps = work.steps / ASSUMED_STEPS if work.renderer == "sonic" else 1.0
    return Speed(ASSUMED[work.renderer] * steps, 0)


def _words(renderer: str, device: str, speed: Speed, paces: Mapping[str, float]) -> str:
    source = (
        f"measured here on {speed.pieces} {_plural('chunk', speed.pieces)}" if speed.pieces else "assumed, not measured"
    )
    return f"{renderer} on {device}: {paces[device]:.3g} s for a second of video, {source}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
