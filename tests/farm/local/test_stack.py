"""A stack in the foreground, as `farm up` on a terminal: what it says, who may look, what comes back to life."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from base64 import b64encode
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import psutil
import pytest

from farm import Farm, Settings
from farm.errors import SettingsError
from farm.local import up
from farm.local.ports import free_port
from farm.local.servers import redis_answers
from farm.local.windows import LOOKING, OPERATING, Window
from tests.conftest import PORTRAIT, ROOT, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FARM = (sys.executable, "-c", "from farm.cli.main import main; main()")
WINDOWS = (LOOKING, OPERATING)


@dataclass
class Running:
    """`farm up` as a process, and the settings that reach what it started."""

    process: subprocess.Popen[str]
    settings: Settings
    said: dict[str, object]
    gate: Path

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def one(self, program: str, *arguments: str) -> psutil.Process:
        """The process of the family that runs this program, by the end of its path, with these arguments first."""
        return next(
            process
            for process in self.family()
            if f"{program} " in f"{(line := process.cmdline())[0]} "  # Redis puts its address behind its name
            and line[1 : 1 + len(arguments)] == list(arguments)
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("a farm") / "its folder"
    gate = folder.parent / "gate"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FARM_")}
    environment = inherited | {
        "FARM_RENDERERS": "gated=tests.renderers:Gated",
        "FARM_FLOWER_PORT": str(free_port()),
        "FARM_FLOWER_PREFIX": "/lessons/flower/",
        "FARM_FLOWER_OPERATOR_PORT": str(free_port()),
        "FARM_TEST_GATE": str(gate),
        "PYTHONPATH": str(ROOT),
    }
    command = [*FARM, "up", "--dir", str(folder), "--slots", "1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Running(process, Settings.load({"dir": folder}, environ={}), said, gate)
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert [left for left in below if left.is_running()] == []


def flower(
    settings: Settings, method: str, path: str, *, login: str | None = None, body: str = "", window: Window = LOOKING
) -> tuple[int, bytes]:
    """What a Flower answers behind its prefix: status and body. login: user:password."""
    connection = HTTPConnection("127.0.0.1", window.port(settings), timeout=10)
    headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    connection.request(method, window.path(settings, path), body=body, headers=headers)
    with connection.getresponse() as answer:
        found = answer.status, answer.read()
    connection.close()
    return found


def login_of(settings: Settings, window: Window = LOOKING) -> str:
    return ":".join(window.login(settings))


def test_it_says_every_part_and_leads_there_by_farm_toml(running: Running) -> None:
    assert [service["name"] for service in running.said["services"]] == [
        "redis", "s3", "sweeper", "cpu", "slots", "flower", "flower-operator",
    ]  # fmt: skip
    toml = running.settings.dir / "farm.toml"
    assert toml.stat().st_mode & 0o777 == 0o600
    assert running.settings.renderers == ("gated=tests.renderers:Gated",), "what the environment said is kept"
    with Farm(running.settings) as farm:
        assert [slot.state for slot in farm.slots()] == ["idle"]
        assert len(farm.cpu_workers()) == 1
        farm.storage.put_bytes("probe", b"here")
        assert farm.storage.get_bytes("probe") == b"here"


@pytest.mark.parametrize(("part", "sign"), [("sweeper", "farm_slots{"), ("cpu", '"cpu"'), ("slots", '"slot"')])
def test_sweeper_cpu_workers_and_slots_answer_prometheus_where_it_says(running: Running, part: str, sign: str) -> None:
    where = {service["name"]: service["where"] for service in running.said["services"]}  # type: ignore[attr-defined]
    port = urlsplit(where[part]).port

    def metrics() -> str:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    wait_until(lambda: sign in metrics(), what=f"{sign} of {part}")


def test_no_secret_is_in_any_command_line(running: Running) -> None:
    of = running.settings
    secrets = [of.flower_password, of.flower_operator_password, of.webhook_secret, of.s3_secret_key, of.redis_url]
    lines = [" ".join(process.cmdline()) for process in running.family()]
    assert len(lines) > 10
    assert not [line for line in lines for secret in secrets if str(secret) in line]


def test_a_second_farm_up_says_that_it_is_up(running: Running) -> None:
    command = [*FARM, "up", "--dir", str(running.settings.dir), "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    said = json.loads(answer.stdout)
    assert said["already_up"]
    assert said["services"] == running.said["services"]


def test_a_second_farm_up_with_other_settings_is_refused(running: Running) -> None:
    asked = Settings.load({"dir": running.settings.dir, "slots": 3}, environ={})
    with pytest.raises(SettingsError, match="up with slots 1, not 3"):
        up(asked)


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.name)
@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"])
def test_flower_shows_nothing_without_the_password(running: Running, path: str, window: Window) -> None:
    of, (user, _) = running.settings, window.login(running.settings)
    others = next(login_of(of, other) for other in WINDOWS if other != window)
    for login, status in ((None, 401), (f"{user}:wrong", 401), (others, 401), (login_of(of, window), 200)):
        assert flower(of, "GET", path, login=login, window=window)[0] == status


STEPS = [
    "/api/worker/shutdown/cpu@any",
    "/api/worker/pool/restart/cpu@any",
    "/api/worker/pool/grow/cpu@any",
    "/api/worker/queue/cancel-consumer/cpu@any",
    "/api/task/apply/farm.plan_job",
    "/api/task/async-apply/farm.plan_job",
    "/api/task/send-task/farm.plan_job",
    "/api/task/timeout/farm.plan_job",
    "/api/task/abort/any",
    "/api/task/revoke/any",
]


@pytest.mark.parametrize("path", STEPS)
def test_flower_does_nothing_without_the_password_and_nothing_for_who_may_only_look(
    running: Running, path: str
) -> None:
    for window in WINDOWS:
        assert flower(running.settings, "POST", path, body="{}", window=window)[0] == 401
    assert flower(running.settings, "POST", path, body="{}", login=login_of(running.settings))[0] == 403


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.name)
def test_behind_a_prefix_every_link_and_file_of_a_page_is_there_and_nothing_beside_it(
    running: Running, window: Window
) -> None:
    of = running.settings
    prefix = {"flower": "/lessons/flower", "flower-operator": "/lessons/flower-operators"}[window.name]
    said = {service["name"]: service["where"] for service in running.said["services"]}  # type: ignore[attr-defined]
    assert urlsplit(said[window.name]).path == f"{prefix}/"
    for page in ("/", "/tasks"):
        body = flower(of, "GET", page, login=login_of(of, window), window=window)[1].decode()
        found = {link for link in re.findall(r'(?:href|src)="(/[^"#]*)', body) if "logout" not in link}
        assert len(found) > 5
        for link in found:
            assert link.startswith(f"{prefix}/")
            path = link.removeprefix(prefix)
            assert flower(of, "GET", path, login=login_of(of, window), window=window)[0] == 200, link
    bare = of.model_copy(update={"flower_prefix": ""})
    assert flower(bare, "GET", "/workers", login=login_of(of, window), window=window)[0] == 404


def test_an_operator_ends_a_running_chunk_in_flower_and_it_is_rendered_again(running: Running, tmp_path: Path) -> None:
    of = running.settings
    operator = login_of(of, OPERATING)

    def task_in_hand() -> str | None:
        tasks = json.loads(flower(of, "GET", "/api/tasks?state=STARTED", login=operator, window=OPERATING)[1])
        return next((id_ for id_, task in tasks.items() if task["name"] == "farm.render_chunk"), None)

    with Farm(of) as farm:
        job = farm.submit(PORTRAIT, tone(tmp_path / "speech.wav", 2), name="Algebra 04", renderer="gated")
        path = f"/api/task/revoke/{wait_until(task_in_hand, what='a chunk in hand in Flower')}?terminate=true"
        assert flower(of, "POST", path, login=login_of(of), body="")[0] == 403
        assert flower(of, "POST", path, login=operator, body="", window=OPERATING)[0] == 200
        lost = wait_until(lambda: [one for one in job.view().attempts if one.outcome == "lost"], what="the end noticed")
        assert lost[0].reason == f"its task was terminated by hand on {lost[0].slot}"
        running.gate.touch()
        assert job.wait(60).state == "done"
    running.gate.unlink()


def test_flower_names_a_running_chunk_by_its_lesson_and_says_how_far_it_is(running: Running, tmp_path: Path) -> None:
    speech = tone(tmp_path / "speech.wav", 6)
    query = "/tasks/datatable?" + urlencode(
        {"draw": 1, "start": 0, "length": 100, "order[0][column]": 0, "columns[0][data]": "received"}
    )

    def rows() -> list[dict[str, str]]:
        status, body = flower(running.settings, "GET", query, login=login_of(running.settings))
        assert status == 200
        return [row for row in json.loads(body)["data"] if row["name"].startswith("Algebra 03, chunk")]

    with Farm(running.settings) as farm:
        job = farm.submit(PORTRAIT, speech, name="Algebra 03", renderer="gated", chunk_seconds=3)
        row = wait_until(
            lambda: next((row for row in rows() if row["kwargs"].endswith("%")), None), what="a percentage in Flower"
        )
        assert row["name"] == "Algebra 03, chunk 1 of 2"
        assert row["kwargs"] == f"job {job.id}, chunk 1, 0 %"
        assert row["state"] == "STARTED"
        running.gate.touch()
        job.wait(60)
        names = wait_until(lambda: {row["name"] for row in rows() if row["state"] == "SUCCESS"}, what="a success")
        assert "Algebra 03, chunk 1 of 2" in names


def test_a_redis_killed_with_signal_9_is_started_again_with_its_books(running: Running) -> None:
    with Farm(running.settings) as farm:
        jobs = [job.id for job in farm.jobs()]
        killed = running.one("redis-server")
        killed.kill()
        killed.wait(10)
        wait_until(lambda: redis_answers(running.settings.redis_url), what="another Redis")
        assert [job.id for job in farm.jobs()] == jobs
        wait_until(lambda: farm.slots()[0].state == "idle", what="the slot at work again")


def test_a_workers_launcher_killed_with_signal_9_is_started_again_alone(running: Running) -> None:
    with Farm(running.settings) as farm:
        before = farm.slots()[0].pid
        launcher = running.one(sys.executable, "-m", "workers.launch", "slots")
        family = [launcher, *launcher.children(recursive=True)]
        launcher.kill()
        wait_until(lambda: farm.slots()[0].pid != before and farm.slots()[0].state == "idle", what="a new slot process")
        assert [process for process in family if process.is_running()] == [], "the old worker does not run beside it"
