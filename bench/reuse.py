"""What an edit of a lesson has rendered: chunks, and seconds of video, of those that there are.

    python bench/reuse.py [--json]

Lessons of made-up speech are planned as a farm would, for preview and for Sonic (25 steps), then edited: 20 s in the
middle are said anew, a minute is appended, 5 s are put in at the middle. The edited lesson is planned with the cuts of
the first, as `farm submit --edit-of` does, and a chunk is rendered unless its recipe is one of the first lesson's.
Nothing is drawn and nothing timed: the figures are the same on any machine.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.plan import Plan, frames25_of, gen_frames_of, plan_chunks
from engine.renderer import BUILT_IN
from engine.spec import SPEECH_RATE, OutputSpec, RenderSpec
from farm.edit import SAMPLE_BYTES, cutting_after
from farm.estimate import geometry_for
from farm.reuse import Ground, kept_seconds, recipe_of

MINUTES = (10, 60)
CHUNK_SECONDS = 30
JOB = "20260101-000000-aaaaaa"

Sound = NDArray[np.int16]


class Speech:
    """engine's SpeechReader over samples in memory."""

    def __init__(self, sound: Sound) -> None:
        self.sound = sound
        self.samples = len(sound)

    def read(self, start: int, stop: int) -> Sound:
        out = np.zeros(stop - start, np.int16)
        first, last = max(0, start), min(stop, self.samples)
        if first < last:
            out[first - start : last - start] = self.sound[first:last]
        return out


class First:
    """What storage has of the first lesson, as far as an edit asks for it."""

    def __init__(self, plan: Plan, speech: Speech) -> None:
        self._plan, self._speech = plan, speech

    def get_json(self, _key: str) -> dict[str, Any]:
        return {**self._plan.to_dict(), "chunk_seconds": CHUNK_SECONDS}

    def read_range(self, _key: str, start: int, stop: int) -> bytes:
        return self._speech.sound[start // SAMPLE_BYTES : stop // SAMPLE_BYTES].astype("<i2").tobytes()


def noise(seconds: float, seed: int) -> Sound:
    return np.random.default_rng(seed).integers(-8000, 8000, round(seconds * SPEECH_RATE), np.int16)


def edits(sound: Sound) -> dict[str, Sound]:
    middle, anew = len(sound) // 2, noise(20, 7)
    return {
        "20 s said anew": np.concatenate([sound[:middle], anew, sound[middle + len(anew) :]]),
        "1 min appended": np.concatenate([sound, noise(60, 8)]),
        "5 s put in": np.concatenate([sound[:middle], noise(5, 9), sound[middle:]]),
    }


def row(renderer: str, minutes: int) -> dict[str, Any]:
    """How much of each edited lesson is rendered."""
    built_in = BUILT_IN[renderer]
    output = OutputSpec(smoothing=built_in.smoothing)
    spec, geometry = RenderSpec(renderer=renderer), geometry_for(built_in.geometry, output)
    ground = Ground(spec=spec, output=output, portrait="", speech="", hears=built_in.hears)

    def recipes(plan: Plan, speech: Speech) -> list[str]:
        return [recipe_of(ground, plan, chunk, maker="", speech=speech) for chunk in plan.chunks]

    speech = Speech(noise(60 * minutes, 1))
    first = plan_chunks(frames25_of(speech.samples, SPEECH_RATE), chunk_seconds=CHUNK_SECONDS, geometry=geometry)
    there = set(recipes(first, speech))
    found: dict[str, Any] = {"renderer": renderer, "minutes": minutes}
    for name, sound in edits(speech.sound).items():
        edited = Speech(sound)
        frames25 = frames25_of(edited.samples, SPEECH_RATE)
        storage: Any = First(first, speech)
        cutting = cutting_after(storage, JOB, edited, gen_frames_of(frames25), chunk_seconds=None)
        plan = plan_chunks(frames25, chunk_seconds=CHUNK_SECONDS, geometry=geometry, keep=cutting.keep)
        new = [index for index, recipe in enumerate(recipes(plan, edited)) if recipe not in there]
        found[name] = {"rendered": len(new), "chunks": len(plan.chunks), "seconds": kept_seconds(plan, new)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="What an edit of a lesson has rendered.")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    rows = [row(renderer, minutes) for renderer in ("preview", "sonic") for minutes in MINUTES]
    if arguments.json:
        print(json.dumps(rows))
        return
    names = [name for name in rows[0] if name not in {"renderer", "minutes"}]
    print(f"| lesson | {' | '.join(names)} |", "|---|" + "---|" * len(names), sep="\n")
    for one in rows:
        cells = [f"{one[n]['rendered']} of {one[n]['chunks']} chunks ({one[n]['seconds']:.0f} s)" for n in names]
        print(f"| {one['minutes']} min, {one['renderer']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
