# ruff: noqa: INP001 - a script, no module of a package
"""The pictures of the README, made anew from a demo and from a farm that is up:

    python docs/pictures/draw.py frames demo/lesson.mp4 45 325 685    writes docs/pictures/lesson.jpg
    python docs/pictures/draw.py job JOB --dir .farm                  writes docs/pictures/job.svg

`job` draws what `farm job show JOB` prints at that moment.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import av
from PIL import Image
from rich.console import Console

from farm import Farm
from farm.cli.show import JobCard

HERE = Path(__file__).parent
FRAME_BOX = (60, 0, 460, 400)
"""Head and collar in a frame of the demo: left, top, right, bottom."""
JPEG_QUALITY = 85
COLUMNS = 78
# no font is fetched from anywhere: the reader's own
TERMINAL = """<svg viewBox="0 0 {terminal_width} {terminal_height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>{lines}</defs>
<rect fill="#0c1117" width="{terminal_width}" height="{terminal_height}" rx="8"/>
<g transform="translate({terminal_x}, 16)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


def draw_frames(video: Path, numbers: list[int]) -> None:
    """Frames of the demo side by side, by their number."""
    with av.open(str(video)) as file:
        found = [frame.to_image() for number, frame in enumerate(file.decode(video=0)) if number in numbers]
    if len(found) != len(numbers):
        raise SystemExit(f"{video} has {len(found)} of the frames {numbers}")
    side = FRAME_BOX[2] - FRAME_BOX[0]
    strip = Image.new("RGB", (side * len(found), FRAME_BOX[3] - FRAME_BOX[1]))
    for place, picture in enumerate(found):
        strip.paste(picture.crop(FRAME_BOX), (side * place, 0))
    strip.save(HERE / "lesson.jpg", quality=JPEG_QUALITY, optimize=True)


def draw_job(job: str, folder: Path | None) -> None:
    """What `farm job show` says of a job now."""
    screen = Console(record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True, color_system="truecolor")
    with Farm.from_settings(dir=folder) as farm:
        screen.print(f"$ farm job show {job}", style="dim", highlight=False)
        screen.print(JobCard(farm.job(job).view()))
        screen.print()  # room below
    screen.save_svg(str(HERE / "job.svg"), code_format=TERMINAL, unique_id="job")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pictures = parser.add_subparsers(dest="what", required=True)
    frames = pictures.add_parser("frames")
    frames.add_argument("video", type=Path)
    frames.add_argument("numbers", type=int, nargs="+")
    job = pictures.add_parser("job")
    job.add_argument("job")
    job.add_argument("--dir", type=Path)
    given = parser.parse_args()
    if given.what == "frames":
        draw_frames(given.video, given.numbers)
    else:
        draw_job(given.job, given.dir)


if __name__ == "__main__":
    main()
