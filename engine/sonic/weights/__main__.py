"""`python -m engine.sonic.weights check|reach|fetch|tiny DIR`: what `farm weights` runs, which stays free of torch.

Exit codes are the farm's: 0 done, 2 a file or an option is wrong, 4 the hub cannot be reached.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError, HubError, InputError
from engine.sonic.weights import identity, require_torch
from engine.sonic.weights.layout import FILES, size_text
from engine.spec import RenderSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.sonic.weights.fetch import Download

SAMPLES = Path(__file__).parents[3] / "samples"
PORTRAIT, SPEECH = "portrait.png", "lesson.opus"
EXIT_WRONG, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 2, 4, 130


def main(arguments: list[str]) -> int:
    """Run one verb; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        require_torch()
        return VERBS[options.verb](options)
    except EngineError as error:
        _complain(error, as_json=options.json)
        return EXIT_UNREACHABLE if isinstance(error, HubError) else EXIT_WRONG
    except KeyboardInterrupt:
        _note("Interrupted.")
        return EXIT_INTERRUPTED


def check_verb(options: argparse.Namespace, out: Callable[[str], None] | None = None) -> int:
    """Look at every file and say what is wrong with it."""
    folder = _existing(options.folder)
    from engine.sonic.weights.check import check, model_name

    say = out or _say
    findings = []
    for finding in check(folder):
        findings.append(finding)
        if not options.json:
            state = finding.state if finding.right else finding.state.upper()
            say(f"{state:<11} {finding.file.path}  {finding.facts}".rstrip())
            for problem in finding.problems:
                say(f"{'':<11} {problem}")
    right = all(finding.right for finding in findings)
    whole = identity(folder) if right else None
    model = model_name(folder)
    if options.json:
        files = [finding.to_dict() for finding in findings]
        say(json.dumps({"ok": right, "model": model, "identity": whole, "files": files}))
    elif right:
        say(f"All files are right. Model: {MODELS[model]}. Identity: {whole}")
    else:
        wrong = sum(not finding.right for finding in findings)
        say(f"{wrong} of {len(findings)} files are not right. `farm weights fetch` brings what is missing.")
    return 0 if right else EXIT_WRONG


def reach_verb(options: argparse.Namespace) -> int:
    """Check the files, then measure how much of a span's end must be thrown away."""
    folder = _existing(options.folder)
    portrait, speech = _sample(options.portrait, PORTRAIT), _sample(options.speech, SPEECH)
    if check_verb(argparse.Namespace(folder=folder, json=False), out=_note):
        raise InputError(f"{folder} cannot be measured before its files are right")
    os.environ["FARM_WEIGHTS"] = str(folder)  # where the renderer looks for them
    from engine.sonic.weights.reach import MOST_DIFFERENCE, measure_reach

    started = time.monotonic()
    spec = RenderSpec(renderer="sonic", steps=options.steps, min_resolution=options.min_resolution)
    reach = measure_reach(portrait, speech, spec, _progress())
    seconds = time.monotonic() - started
    if options.json:
        used = {"in_use": options.in_use, "steps": options.steps, "seconds": round(seconds, 1)}
        _say(json.dumps(reach.to_dict() | used))
        return 0
    _say("reach in gen_frames   difference of the first frame kept, in ordinary frame steps")
    for tried, difference in reach.differences.items():
        _say(f"{tried:>19}   {difference:.4f}")
    limit = f"under {MOST_DIFFERENCE:.0%} of an ordinary frame step"
    found = f"Reach {reach.proposed} is the smallest tried that stays {limit}."
    _say(found if reach.proposed is not None else f"None of these stays {limit}: chunks will differ at their cuts.")
    _say(f"Chunks are planned with reach {options.in_use} here: setting sonic_reach (FARM_SONIC_REACH).")
    _say(f"Measured in {seconds:.0f} s, {options.steps} steps.")
    return 0


def fetch_verb(options: argparse.Namespace) -> int:
    """Show what is to come and under which terms, ask, bring it, and check it."""
    from engine.sonic.weights.fetch import fetch, outstanding, require_room

    downloads = outstanding(options.folder)
    if downloads:
        require_room(options.folder, downloads)
        _show(downloads)
        _accept_licences(downloads, yes=options.yes)
        for place, download in enumerate(downloads, start=1):
            _note(f"[{place}/{len(downloads)}] {download.file.path}, {size_text(download.size)}")
            fetch(download, options.folder)
    else:
        _note("Every file is here already, in the size that the hub says.")
    return check_verb(options)


def tiny_verb(options: argparse.Namespace) -> int:
    """Write a tiny checkpoint."""
    from engine.sonic.weights.tiny import write_tiny

    write_tiny(options.folder)
    size, whole = sum((options.folder / file.path).stat().st_size for file in FILES), identity(options.folder)
    if options.json:
        _say(json.dumps({"folder": str(options.folder), "bytes": size, "identity": whole}))
    else:
        _say(f"Wrote a tiny checkpoint to {options.folder}: {len(FILES)} files, {size_text(size)}. Identity: {whole}")
        _say("Its weights are drawn by lot: it renders the way the released one does, and what comes out is noise.")
    return 0


VERBS = {"check": check_verb, "reach": reach_verb, "fetch": fetch_verb, "tiny": tiny_verb}
MODELS = {"released": "the released one", "another size": "another size than the released one", "unknown": "unknown"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine.sonic.weights", description="Sonic's model files.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, verb in VERBS.items():
        one = verbs.add_parser(name, help=verb.__doc__)
        one.add_argument("folder", type=Path, metavar="DIR")
        one.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "fetch":
            one.add_argument("--yes", action="store_true", help="accept the licences without being asked")
        if name == "reach":
            one.add_argument("--portrait", type=Path, help="a photo of a face")
            one.add_argument("--speech", type=Path, help="10 s of speech or more")
            one.add_argument("--in-use", type=int, required=True, help="reach that chunks are planned with")
            one.add_argument("--steps", type=int, default=RenderSpec().steps)
            one.add_argument("--min-resolution", type=int, default=RenderSpec().min_resolution)
    return parser


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder")
    return folder


def _sample(named: Path | None, sample: str) -> Path:
    """What was named, or the sample that comes with a clone. Raises InputError where neither is there."""
    path = named or SAMPLES / sample
    if not path.is_file():
        hint = "" if named else "; samples come with a clone of the project, name a file of your own"
        raise InputError(f"{path} is not there{hint}")
    return path


def _progress() -> Callable[[float], None]:
    """Tells every tenth of the way, once."""
    told = [0.0]

    def on_progress(share: float) -> None:
        if share >= told[0] + 0.1:
            told[0] = share
            _note(f"measuring, {share:.0%}")

    return on_progress


def _show(downloads: list[Download]) -> None:
    """What is to come, by repository, and how much it is in all."""
    from engine.sonic.weights.fetch import page_of

    for origin in dict.fromkeys(download.file.origin for download in downloads):
        _note(f"From {page_of(origin)}")
        _note(f"  licence: {origin.licence} ({origin.terms})")
        for download in downloads:
            if download.file.origin is origin:
                _note(f"  {size_text(download.size):>8}  {download.file.path}")
    _note(f"In all {size_text(sum(download.size for download in downloads))}.")


def _accept_licences(downloads: list[Download], *, yes: bool) -> None:
    """Go on only when whoever fetches has accepted the terms. Raises InputError where they have not."""
    from engine.sonic.weights.fetch import licences_of

    asked = licences_of(downloads)
    if not asked or yes:
        return
    names = " and ".join(f"{origin.licence} ({origin.repo})" for origin in asked)
    if not sys.stdin.isatty():
        raise InputError(f"the licences must be accepted: {names}; read them, then say --yes")
    _note(f"These weights may be used only under {names}.")
    sys.stderr.write("Do you accept these terms? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError("the licences were not accepted: nothing was fetched")


def _complain(error: EngineError, *, as_json: bool) -> None:
    """An error as the farm's command line prints it."""
    problems: list[str] = getattr(error, "problems", [])
    if as_json:
        said: dict[str, Any] = {"code": error.code, "message": str(error)}
        _note(json.dumps({"error": said | ({"problems": problems} if problems else {})}))
    else:
        _note(
            "\n".join(["Error: several problems", *(f"  - {line}" for line in problems)])
            if len(problems) > 1
            else f"Error: {error}"
        )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except BrokenPipeError:  # whoever read the output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
