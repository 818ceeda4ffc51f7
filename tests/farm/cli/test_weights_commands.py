"""`farm weights`: right and wrong folders, and fetching from a stand-in of the hub that serves a tiny checkpoint."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from engine.sonic.weights.__main__ import main
from engine.sonic.weights.layout import FILES, NEEDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]
FARM = [sys.executable, "-c", "from farm.cli.main import main; main()", "weights"]
CUT_AT = 100_000
"""Bytes after which the stand-in hangs up, once, in the middle of a file."""
FETCH_IN_PIECES_AND_AGAIN = f"""
import sys
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = {CUT_AT}  # it keeps whole pieces, of 10 MB each: more than a tiny file has
from engine.sonic.weights.__main__ import main
sys.exit(main(['fetch', *sys.argv[1:]]) or main(['fetch', *sys.argv[1:]]))
"""


class Hub(ThreadingHTTPServer):
    """Speaks as much of the hub's language as huggingface_hub needs to tell sizes and to fetch."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.folder = folder
        self.gated = ""
        self.cut: str | None = None
        self.asked: list[tuple[str, str | None]] = []
        """Path and byte range of every file that was asked for."""
        self.here = {(file.origin.repo, file.remote): folder / file.path for file in FILES}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._file(send=False)

    def do_GET(self) -> None:
        self._file(send=True)

    def _file(self, *, send: bool) -> None:
        """A file, or its end: /OWNER/NAME/resolve/main/PATH."""
        parts = self.path.split("/")
        repo, remote = "/".join(parts[1:3]), "/".join(parts[5:])
        if repo == self.server.gated:
            self._answer(403, {"X-Error-Code": "GatedRepo"}, b"")
            return
        data = self.server.here[repo, remote].read_bytes()
        facts = {"X-Repo-Commit": "1" * 40, "ETag": f'"{abs(hash(remote)):040x}"', "Accept-Ranges": "bytes"}
        if not send:
            self._answer(200, facts, data, body=False)
            return
        byte_range = self.headers.get("Range")
        self.server.asked.append((remote, byte_range))
        start = int(byte_range.removeprefix("bytes=").partition("-")[0]) if byte_range else 0
        rest = data[start:]
        if remote == self.server.cut:
            self.server.cut = None
            self._answer(200, facts, rest, body=False)
            self.wfile.write(rest[:CUT_AT])
            self.close_connection = True
            return
        if byte_range:
            facts["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._answer(206 if byte_range else 200, facts, rest)

    def _answer(self, code: int, headers: dict[str, str], data: bytes, *, body: bool = True) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture
def hub(tiny: Path) -> Iterator[Hub]:
    with Hub(tiny) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint, written by the command itself."""
    folder = tmp_path_factory.mktemp("weights") / "a tiny one"
    done = here("tiny", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["folder"] == str(folder)
    assert len(said["identity"]) == 64
    return folder


def farm(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `farm weights ...` as a process."""
    return process(FARM, *arguments, **more)


def here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run what `farm weights` starts, in this process: importing torch takes longer than what is asked."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*arguments])
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def process(
    command: list[str], *arguments: str, stdin: int = subprocess.DEVNULL, **environ: str
) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    env = {**inherited, "PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_TELEMETRY": "1", **environ}
    return subprocess.run([*command, *arguments], stdin=stdin, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def fetch(hub: Hub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Fetch from the stand-in into `tmp_path / "fetched"`."""

    def run(*options: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return farm("fetch", str(tmp_path / "fetched"), *options, HF_ENDPOINT=hub.endpoint, **more)

    return run


def test_check_says_that_a_right_folder_is_right(tiny: Path) -> None:
    done = farm("check", str(tiny))
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == len(FILES) + 1
    assert all(line.startswith("ok") for line in lines[:-1])
    assert lines[-1].startswith("All files are right.")


def test_check_names_what_is_wrong_for_programs(tiny: Path, tmp_path: Path) -> None:
    done = here("check", str(tmp_path), "--json")
    assert done.returncode == 2
    said = json.loads(done.stdout)
    assert not said["ok"]
    assert said["identity"] is None
    missing = {one["file"]: one for one in said["files"] if one["state"] == "missing"}
    assert set(missing) == {file.path for file in NEEDED}
    assert missing["whisper-tiny/config.json"]["repository"] == "openai/whisper-tiny"


def test_reach_is_measured_on_the_folders_own_models(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_WEIGHTS", "another folder")
    done = here("reach", str(tiny), "--in-use", "38", "--steps", "1", "--min-resolution", "128", "--json")
    assert done.returncode == 0, done.stderr
    assert "All files are right." in done.stderr
    said = json.loads(done.stdout)
    assert [one["reach"] for one in said["tried"]] == [0, 12, 25, 38]
    # windows of a single step share nothing: a span that ends with one of them needs no reach
    assert max(one["difference"] for one in said["tried"]) < 1e-4
    assert (said["proposed"], said["in_use"]) == (0, 38)


def test_what_is_for_measuring_alone_is_refused_without_it(tiny: Path) -> None:
    done = farm("check", str(tiny), "--steps", "3")
    assert done.returncode == 2
    assert "--steps is for measuring: say --reach too" in done.stderr


def test_the_reach_in_use_is_the_setting(tiny: Path) -> None:
    done = farm("check", str(tiny), "--reach", FARM_SONIC_REACH="126")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: FARM_SONIC_REACH is '126' (environment)")


def test_a_portrait_to_measure_with_that_is_not_there_is_named_before_files_are_read(tiny: Path) -> None:
    done = farm("check", str(tiny), "--reach", "--portrait", "nobody.png")
    assert done.returncode == 2
    assert done.stderr == "Error: nobody.png is not there\n"


def test_reach_is_not_measured_on_wrong_files(tmp_path: Path) -> None:
    done = here("reach", str(tmp_path), "--in-use", "25", "--json")
    assert done.returncode == 2
    assert (
        "cannot be measured before its files are right" in json.loads(done.stderr.splitlines()[-1])["error"]["message"]
    )


def test_a_folder_that_is_not_there_is_wrong_input(tmp_path: Path) -> None:
    done = farm("check", str(tmp_path / "none"), "--json")
    assert done.returncode == 2
    assert "is no folder" in json.loads(done.stderr)["error"]["message"]


def test_without_torch_the_extra_is_named(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from engine.sonic.weights.__main__ import main\n"
        f"sys.exit(main(['check', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'sonic-farm[sonic]'" in done.stderr


def test_fetch_brings_every_needed_file_once_goes_on_where_it_was_cut_off_and_checks(hub: Hub, tmp_path: Path) -> None:
    hub.cut = "Sonic/unet.pth"
    done = process([sys.executable, "-c", FETCH_IN_PIECES_AND_AGAIN], str(tmp_path / "fetched"), "--yes", "--json",
                   HF_ENDPOINT=hub.endpoint)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["ok"] for line in done.stdout.splitlines()] == [True, True]
    assert "CC BY-NC-SA 4.0" in done.stderr
    assert "Stability AI Community License" in done.stderr
    assert f"[1/{len(NEEDED)}] Sonic/unet.pth, " in done.stderr
    for file in NEEDED:
        assert (tmp_path / "fetched" / file.path).read_bytes() == (hub.folder / file.path).read_bytes()
    ranges = [byte_range for path, byte_range in hub.asked if path == "Sonic/unet.pth"]
    assert ranges == [None, f"bytes={CUT_AT}-"]
    assert "Every file is here already" in done.stderr.splitlines()[-1]
    assert len(hub.asked) == len(NEEDED) + 1  # nothing was fetched again


def test_without_a_yes_nothing_is_fetched(
    fetch: Callable[..., subprocess.CompletedProcess[str]], hub: Hub, tmp_path: Path
) -> None:
    done = fetch()
    assert done.returncode == 2
    assert "then say --yes" in done.stderr

    terminal, child = pty.openpty()
    os.write(terminal, b"no\n")
    done = fetch(stdin=child)
    os.close(child)
    os.close(terminal)
    assert done.returncode == 2
    assert "Do you accept these terms? [y/N]" in done.stderr
    assert "nothing was fetched" in done.stderr
    assert not hub.asked
    assert not (tmp_path / "fetched").exists()


def test_gated_files_say_what_to_do(fetch: Callable[..., subprocess.CompletedProcess[str]], hub: Hub) -> None:
    hub.gated = "stabilityai/stable-video-diffusion-img2vid-xt"
    done = fetch("--yes")
    assert done.returncode == 4
    assert "accept its terms there, then run `hf auth login`" in done.stderr
    assert not hub.asked  # said before gigabytes of the other repository have come


def test_a_hub_that_cannot_be_reached_is_said_plainly(tmp_path: Path) -> None:
    done = farm("fetch", str(tmp_path), "--yes", "--json", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 4
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "hub"
    assert "cannot be reached" in error["message"]
