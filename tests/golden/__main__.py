"""python -m tests.golden [--dtype TYPE] [--device NAME] DIR...: does the engine compute what the reference did?

One line for each quantity: case, name, largest error, tolerance, verdict. The error is relative to the standard
deviation of the reference's values; for 8-bit pictures it is in levels of 255, for boxes and sizes plain.
The tolerances are those of float32: in float16 and bfloat16 errors are told and judged by nobody.
Exit status: 0 all ok, 1 a quantity fails or cannot be computed, 2 a folder is no golden case.
"""

# ruff: noqa: T201  (what this program prints is its answer)

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

import torch

from engine.sonic.config import DTYPES
from tests.golden.cases import NoCaseError, Quantity, kind_of, load_case
from tests.golden.runner import run_case


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    # so that tests/golden/* may be given: the files of the runner lie beside the cases
    folders = [path for path in options.folders if not path.is_file() and path.name != "__pycache__"]
    if not folders:
        print(f"{' '.join(map(str, options.folders))}: no folder among these, wanted golden cases", file=sys.stderr)
        return 2
    try:
        for folder in folders:
            kind_of(folder)
    except NoCaseError as error:
        print(error, file=sys.stderr)
        return 2
    torch.set_num_threads(1)  # on a busy machine threads of tiny layers wait for each other
    verdicts = [_passes(folder, options) for folder in folders]
    return 0 if all(verdicts) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description="Hold the engine to golden numbers.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="what the networks compute in")
    parser.add_argument("--device", default="cpu", help="where they compute: cpu, cuda")
    return parser


def _passes(folder: Path, options: argparse.Namespace) -> bool:
    try:
        quantities = run_case(load_case(folder), device=options.device, dtype=options.dtype)
    except Exception as error:  # noqa: BLE001  (one case that stops must not hide the others)
        traceback.print_exception(error)
        print(f"{folder.resolve().name:<16} {'stopped':<22} {type(error).__name__}: FAIL", flush=True)
        return False
    judged = options.dtype == "float32"
    for quantity in quantities:
        print(quantity if judged else _told(quantity), flush=True)
    return not judged or all(quantity.ok for quantity in quantities)


def _told(quantity: Quantity) -> str:
    return str(quantity).removesuffix("FAIL").removesuffix("ok") + "not judged"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
