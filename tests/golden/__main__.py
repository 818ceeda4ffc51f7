"""python -m tests.golden DIR...: does the engine compute what the reference did?

One line for each quantity: case, name, largest error, tolerance, verdict. The error is relative to the standard
deviation of the reference's values; for 8-bit pictures it is in levels of 255, for boxes and sizes plain.
Exit status: 0 all ok, 1 a quantity fails or cannot be computed, 2 a folder is no golden case.
"""

# ruff: noqa: T201  (what this program prints is its answer)

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from tests.golden.cases import NoCaseError, kind_of, load_case
from tests.golden.runner import run_case


def main(arguments: list[str]) -> int:
    if not arguments:
        print("usage: python -m tests.golden DIR...", file=sys.stderr)
        return 2
    # so that tests/golden/* may be given: the files of the runner lie beside the cases
    folders = [path for path in map(Path, arguments) if not path.is_file() and path.name != "__pycache__"]
    if not folders:
        print(f"{' '.join(arguments)}: no folder among these, wanted golden cases", file=sys.stderr)
        return 2
    try:
        for folder in folders:
            kind_of(folder)
    except NoCaseError as error:
        print(error, file=sys.stderr)
        return 2
    verdicts = [_passes(folder) for folder in folders]
    return 0 if all(verdicts) else 1


def _passes(folder: Path) -> bool:
    try:
        quantities = run_case(load_case(folder))
    except Exception as error:  # noqa: BLE001  (one case that stops must not hide the others)
        traceback.print_exception(error)
        print(f"{folder.resolve().name:<16} {'stopped':<22} {type(error).__name__}: FAIL", flush=True)
        return False
    for quantity in quantities:
        print(quantity, flush=True)
    return all(quantity.ok for quantity in quantities)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
