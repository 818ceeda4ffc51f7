# ruff: noqa: INP001 - a script, no module of a package
"""The pictures of a farm at work, made anew: three slots render lessons of two owners and a batch, one slot dies.

    python docs/pictures/watch.py        writes top.png, flower-workers.png, flower-tasks.png

Needs Chromium, by the name chromium or that in the variable CHROMIUM.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from draw import TERMINAL
from PIL import Image
from rich.console import Console

from farm import Farm, Settings
from farm.cli.topview import TopView
from farm.local import embedded_stack
from farm.local.windows import LOOKING

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "samples"
COLUMNS, LINES = 112, 34
PAGE = (1720, 660)
LOAD_MS = 8000
"""What a page gets to ask for what it shows."""
BORDER = 150
"""Of a browser's window: its page is lower than it is."""
COLOURS = 64
"""Of a picture: a page has few, and its file is a third as large."""


def main() -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        with (
            embedded_stack(folder / "farm", slots=3, chunk_seconds=4.0, reuse=False, check=False) as stack,
            Farm(stack.settings) as farm,
        ):
            submit(farm, folder)
            until(lambda: farm.glance().rates.video_per_minute, "a chunk")
            lose_a_slot(farm)
            until(lambda: sum(bool(slot.job) for slot in farm.slots()) == 3, "three slots at work")
            draw_top(farm, folder)
            draw_flower(stack.settings)


def submit(farm: Farm, folder: Path) -> None:
    """Three lessons of one owner, a batch of another."""
    portrait, speech = SAMPLES / "portrait.png", SAMPLES / "lesson.opus"
    rows = [f"{portrait},{speech},Cells {number:02},{number}" for number in range(1, 7)]
    manifest = folder / "biology.csv"
    manifest.write_text("\n".join(["portrait,speech,name,seed", *rows]) + "\n")
    farm.submit_batch(farm.check_batch(manifest, owner="biology"))
    for number in range(1, 4):
        farm.submit(portrait, speech, name=f"Algebra {number:02}", owner="maths", priority=number, seed=number)


def lose_a_slot(farm: Farm) -> None:
    """Kill a slot while it renders; it comes back by itself."""
    killed: set[int] = set()

    def noticed() -> bool:
        slot = farm.slots()[2]
        if slot.job and slot.pid not in killed:
            os.kill(slot.pid, signal.SIGKILL)
            killed.add(slot.pid)
        return bool(farm.glance().failures)

    until(noticed, "the end of a slot noticed")


def draw_top(farm: Farm, folder: Path) -> None:
    """What `farm top` shows now."""
    screen = Console(
        record=True,
        file=io.StringIO(),
        width=COLUMNS,
        height=LINES,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    screen.print(TopView(farm.glance(), live=True))
    screen.print("\n")  # room below
    drawn = screen.export_svg(code_format=TERMINAL, unique_id="top")
    width, height = (round(float(side)) for side in drawn.split('viewBox="0 0 ')[1].split('"')[0].split())
    page = folder / "top.html"
    page.write_text(f'<body style="margin:0;width:{width}px">{drawn}</body>', encoding="utf-8")
    photograph(page.as_uri(), HERE / "top.png", size=(width, height))


def draw_flower(settings: Settings) -> None:
    """Flower's workers and tasks."""
    inside = LOOKING.url(settings).replace("://", f"://{':'.join(LOOKING.login(settings))}@")
    for page in ("workers", "tasks"):
        photograph(f"{inside}/{page}", HERE / f"flower-{page}.png", size=PAGE)


def photograph(url: str, picture: Path, *, size: tuple[int, int]) -> None:
    """A page as a browser shows it, with few colours."""
    width, height = size
    browser = os.environ.get("CHROMIUM", "chromium")
    flags = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={width},{height + BORDER}"]
    with TemporaryDirectory() as profile:
        command = [browser, *flags, f"--user-data-dir={profile}", f"--virtual-time-budget={LOAD_MS}"]
        subprocess.run([*command, f"--screenshot={picture}", url], check=True, capture_output=True, timeout=180)
    with Image.open(picture) as page:
        few = page.convert("RGB").crop((0, 0, width, height)).quantize(COLOURS)
    few.save(picture, optimize=True)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until it is so."""
    ends = time.monotonic() + 240
    while not condition():
        if time.monotonic() > ends:
            raise SystemExit(f"no {what} within four minutes")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
