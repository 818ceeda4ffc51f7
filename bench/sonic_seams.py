"""How a chunked Sonic job differs from the same job in one piece, frame by frame, with and without what prevents it.

    python -m bench.sonic_seams [--picture FILE] [--json]

A tiny model (two levels, window 8, shift 3, 6 steps, weights and conditioning drawn by lot) denoises a job of 100
gen_frames in one piece, in three chunks, and in four whose cuts lie half a chunk elsewhere. As the farm does it, a
chunk's span is the one that engine/plan.py gives it. Differences are of latents, in units of the mean difference
between neighbouring frames. Prints Markdown; takes a minute or two on a CPU. Exit code 1 where those of the farm beside
a cut are more than tests/engine/sonic/test_denoise.py lets them be.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from diffusers import EulerDiscreteScheduler

from engine.plan import GEN_RATE, Geometry, plan_chunks
from engine.sonic.config import LATENT_PIXELS, SonicConfig
from engine.sonic.context import Conditioning
from engine.sonic.denoise import denoise, noise_for, on_ring
from engine.sonic.unet import SonicUNet
from engine.sonic.weights import tiny
from tests.golden.weights import fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

FRAMES, WINDOW, SHIFT, STEPS, SIDE = 100, 8, 3, 6, 8
GEOMETRY = Geometry(reach=WINDOW, window=WINDOW, fade=2)
WANTED = 0.02
"""Ordinary frame steps beside a cut, at most, as the farm does it."""
CUTS = {"three chunks": (0, 33, 67, FRAMES), "cuts moved by half a chunk": (0, 17, 50, 83, FRAMES)}
COLOURS = {"three chunks": (190, 90, 20), "cuts moved by half a chunk": (40, 110, 230)}  # blue, green, red
WIDTH, PANEL, LEFT, TOP = 1000, 190, 60, 44
MOST_SHOWN = 0.6
"""Ordinary frame steps at the upper edge of a panel."""
Span = tuple[int, int]


@dataclass(frozen=True)
class Chunking:
    """A way to render chunks: the spans of theirs for some cuts, and whether a span is taken for a job of its `own`."""

    name: str
    spans: Callable[[tuple[int, ...]], list[Span]]
    own: bool = False

    def latents(self, cuts: tuple[int, ...]) -> Tensor:
        """Of the job, each gen_frame by the chunk that keeps it."""
        kept = zip(pairwise(cuts), self.spans(cuts), strict=True)
        return torch.cat([rendered(span, own=self.own)[a - span[0] : b - span[0]] for (a, b), span in kept])


def planned(cuts: tuple[int, ...]) -> list[Span]:
    """What the farm's plan has computed for these cuts, on the job's ring."""
    plan = plan_chunks(2 * FRAMES - 1, chunk_seconds=FRAMES / GEN_RATE, geometry=GEOMETRY, keep=list(pairwise(cuts)))
    return [on_ring(chunk.span, FRAMES, WINDOW) for chunk in plan.chunks]


def grown(cuts: tuple[int, ...], *, reach: int) -> list[Span]:
    return [(max(0, start - reach), min(FRAMES, stop + reach)) for start, stop in pairwise(cuts)]


FARM = Chunking("as the farm does it", planned)
CHUNKINGS = (
    FARM,
    Chunking("without reach", partial(grown, reach=0)),
    Chunking("with reach, windows from the span's start", partial(grown, reach=WINDOW + 3), own=True),
)


@cache
def network() -> SonicUNet:
    config = {name: value for name, value in tiny.CONFIGS["unet"].items() if not name.startswith("_")} | {
        "block_out_channels": [32, 64],
        "num_attention_heads": [1, 2],
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
        "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
    }
    unet: SonicUNet = fill(SonicUNet(**config)).eval().requires_grad_(False)
    return unet


@cache
def job() -> Conditioning:
    drawn = partial(torch.randn, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, LATENT_PIXELS * SIDE, LATENT_PIXELS * SIDE)
    mask[..., 16:48, 16:48] = 1
    tokens = (tiny.AUDIO_TOKENS, tiny.CONTEXT)
    return Conditioning(
        drawn(1, tiny.CONTEXT),
        drawn(1, 4, SIDE, SIDE),
        mask,
        drawn(FRAMES, *tokens),
        drawn(tokens),
        16 + drawn(FRAMES, 2),
    )


def rendered(span: Span, *, own: bool = False) -> Tensor:
    """Latents of a span on the job's ring; of its `own`, as if it were the whole job, but with the job's noise."""
    frames = [frame % FRAMES for frame in range(*span)]
    part = replace(job(), audio_tokens=job().audio_tokens[frames], motion_buckets=job().motion_buckets[frames])
    return denoise(
        network(),
        EulerDiscreteScheduler.from_config(tiny.CONFIGS["scheduler"]),
        part,
        config=SonicConfig(steps=STEPS, window=WINDOW, shift=SHIFT, memory="fast"),
        span=(0, len(frames)) if own else span,
        noise=noise_for(5, frames, (4, SIDE, SIDE)),
        on_step=lambda _: None,
        gen_frames=None if own else FRAMES,
    )


def differences(chunking: Chunking, cuts: tuple[int, ...], whole: Tensor) -> NDArray[np.float64]:
    """Of every gen_frame, in ordinary frame steps."""
    ordinary = (whole[1:] - whole[:-1]).abs().mean()
    return ((chunking.latents(cuts) - whole).abs().mean((1, 2, 3)) / ordinary).double().numpy()


def row(name: str, cuts: str, values: NDArray[np.float64]) -> dict[str, str | float]:
    beside = np.zeros(FRAMES, bool)
    for cut in CUTS[cuts][1:-1]:
        beside[cut - 1 : cut + 1] = True
    figures = {"beside": values[beside].mean(), "elsewhere": values[~beside].mean(), "worst": values.max()}
    return {"name": name, "cuts": cuts} | {what: round(float(figure), 4) for what, figure in figures.items()}


def table(rows: list[dict[str, str | float]]) -> str:
    lines = ["| | cuts | beside a cut | elsewhere | worst frame |", "|---|---|---|---|---|"]
    return "\n".join(
        [*lines, *("| {name} | {cuts} | {beside:.4f} | {elsewhere:.4f} | {worst:.4f} |".format(**row) for row in rows)]
    )


def picture(found: dict[tuple[str, str], NDArray[np.float64]]) -> NDArray[np.uint8]:
    """A panel for each way: differences over the job's gen_frames; cuts are thin lines of the same colour."""
    canvas = np.full((TOP + PANEL * len(CHUNKINGS), WIDTH, 3), 255, np.uint8)
    write = partial(cv2.putText, fontFace=cv2.FONT_HERSHEY_SIMPLEX, thickness=1, lineType=cv2.LINE_AA)
    for place, (cuts, colour) in enumerate(COLOURS.items()):
        write(canvas, cuts, (LEFT + 220 * place, 26), fontScale=0.5, color=colour)
    write(
        canvas, "difference from one piece, in ordinary frame steps", (LEFT + 500, 26), fontScale=0.45, color=(60,) * 3
    )
    for place, chunking in enumerate(CHUNKINGS):
        top, bottom = TOP + place * PANEL + 24, TOP + (place + 1) * PANEL - 16
        across = partial(np.interp, xp=(0, FRAMES - 1), fp=(LEFT, WIDTH - 20))
        down = partial(np.interp, xp=(0, MOST_SHOWN), fp=(bottom, top))
        write(canvas, chunking.name, (LEFT, top - 8), fontScale=0.5, color=(0, 0, 0))
        for level in (0, 0.2, 0.4, 0.6):
            y = round(float(down(level)))
            cv2.line(canvas, (LEFT, y), (WIDTH - 20, y), (225, 225, 225))
            write(canvas, f"{level:g}", (24, y + 4), fontScale=0.4, color=(60, 60, 60))
        for cuts, colour in COLOURS.items():
            for cut in CUTS[cuts][1:-1]:
                x = round(float(across(cut - 0.5)))
                cv2.line(canvas, (x, top), (x, bottom), tuple((channel + 510) // 3 for channel in colour))
            values = found[chunking.name, cuts]
            points = np.stack((across(np.arange(FRAMES)), down(values)), 1).round().astype(np.int32)
            cv2.polylines(canvas, [points], False, colour, 2, cv2.LINE_AA)
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help="PNG to draw into")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    whole = rendered((0, FRAMES))
    found = {
        (chunking.name, name): differences(chunking, cuts, whole)
        for chunking in CHUNKINGS
        for name, cuts in CUTS.items()
    }
    rows = [row(*which, values) for which, values in found.items()]
    print(json.dumps({"rows": rows, "farm": FARM.name, "wanted": WANTED}) if args.json else table(rows))
    if args.picture:
        cv2.imwrite(str(args.picture), picture(found))
    sys.exit(0 if all(row["beside"] <= WANTED for row in rows if row["name"] == FARM.name) else 1)


if __name__ == "__main__":
    main()
