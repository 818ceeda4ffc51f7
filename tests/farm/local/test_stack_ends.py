"""A stack in the background: what is left of it, and what is kept, when it is ended, killed, or cannot start."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import redis

from farm import Farm, Settings
from farm.errors import NotAllowedError, SettingsError, UnreachableError
from farm.local import down, embedded_stack, standing, up
from farm.local.state import read_state
from tests.conftest import PORTRAIT, ROOT, wait_until
from tests.workers.conftest import tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RENDERERS = ("stripes=tests.renderers:Stripes",)


@pytest.fixture(autouse=True)
def _find_the_tests_renderers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for a farm, which is down afterwards."""
    yield tmp_path / "farm"
    down(tmp_path / "farm")


def asked(folder: Path, **flags: Any) -> Settings:
    return Settings.load({"dir": folder, "renderers": RENDERERS, **flags}, environ={})


def supervisor_of(folder: Path) -> psutil.Process:
    state = read_state(folder)
    assert state is not None
    process = state.supervisor()
    assert process is not None
    return process


def family_of(folder: Path) -> list[psutil.Process]:
    supervisor = supervisor_of(folder)
    return [supervisor, *supervisor.children(recursive=True)]


def test_a_supervisor_killed_with_signal_9_leaves_nothing_and_the_next_start_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_TEST_GATE", str(tmp_path / "gate"))
    steps: list[str] = []
    first = up(asked(folder, renderers=("gated=tests.renderers:Gated",)), on_step=steps.append)
    # a step that passes between two looks is not told
    in_order = ["Redis", "S3 server", "Flower", "cpu workers", "render slots"]
    assert len(steps) > 1
    assert steps == [step for step in in_order if step in steps]
    with Farm(first.settings) as farm:
        speech = tone(tmp_path / "speech.wav", 4)
        job = farm.submit(PORTRAIT, speech, renderer="gated", chunk_seconds=2).id
        wait_until(lambda: farm.slots()[0].state == "busy", what="a chunk in hand")
    family = family_of(folder)
    assert len(family) > 12

    supervisor_of(folder).kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    assert standing(folder) is None

    second = up(asked(folder, renderers=first.settings.renderers))
    assert not second.already_up
    assert second.settings == first.settings, "same ports, same secrets"
    (tmp_path / "gate").touch()
    with Farm(second.settings) as farm:
        assert farm.job(job).wait(90).state == "done"
    family = family_of(folder)
    assert down(folder)
    assert [process for process in family if process.is_running()] == []
    assert not down(folder), "there is none any more"


def test_an_embedded_stack_ends_when_its_block_is_interrupted(folder: Path) -> None:
    family: list[psutil.Process] = []

    def interrupted() -> None:
        with embedded_stack(folder, renderers=RENDERERS, slots=2) as stack:
            with Farm(stack.settings) as farm:
                assert [slot.state for slot in farm.slots()] == ["idle", "idle"]
            family.extend(family_of(folder))
            with pytest.raises(NotAllowedError, match="is up in"), embedded_stack(folder):
                pass
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(family) > 12
    assert [process for process in family if process.is_running()] == []


def test_a_port_of_flower_that_was_asked_for_and_is_taken_is_refused_before_anything_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"FARM_FLOWER_PORT is {port} .*already listens"):
            up(asked(folder, flower_port=port))
    assert not (folder / "redis").exists()


def test_two_flowers_at_one_port_are_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="flower_operator_port is 5999, as flower_port is"):
        up(asked(folder, flower_port=5999, flower_operator_port=5999))


def test_a_part_that_cannot_start_is_told_with_the_end_of_its_log_and_nothing_stays(folder: Path) -> None:
    (folder / "redis").mkdir(parents=True)
    (folder / "redis" / "appendonly.aof").write_text("no books at all")
    with pytest.raises(UnreachableError, match=r"(?s)redis ended with code 1 while starting.*Bad file format"):
        up(asked(folder))
    assert not down(folder), "nothing was left"


def test_slots_cannot_be_counted_while_gpus_are_named(folder: Path) -> None:
    with pytest.raises(SettingsError, match="slots is 2, but gpus is 0,1"):
        up(asked(folder, slots=2, gpus=("0", "1")))


def test_a_process_that_has_the_pid_of_a_former_supervisor_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    former = {"pid": os.getpid(), "created": 1.0, "phase": "ready", "services": []}
    (folder / "stack.json").write_text(json.dumps(former))
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    try:
        assert standing(folder) is None
        assert not down(folder)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended == []


def test_a_redis_or_storage_of_the_environment_is_used_and_not_started(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("redis_url", "s3_endpoint", "s3_access_key", "s3_secret_key"):
        monkeypatch.setenv(f"FARM_{name.upper()}", getattr(settings, name))
    stack = up(Settings.load({"dir": folder, "renderers": RENDERERS}))
    assert stack.settings.redis_url == settings.redis_url
    assert stack.settings.s3_endpoint == settings.s3_endpoint
    assert [service.login for service in stack.services[:2]] == [
        "not started here: redis_url is set",
        "not started here: s3_endpoint is set",
    ]
    assert not (folder / "redis").exists()
    with redis.Redis.from_url(settings.redis_url) as client:
        assert client.zcard("farm:slots") == 1


def test_renderers_that_cannot_start_are_refused_before_anything_starts(folder: Path) -> None:
    with pytest.raises(SettingsError, match="renderers is foo: renderer 'foo' does not come with the farm"):
        up(asked(folder, renderers=("foo",)))
    with pytest.raises(SettingsError, match="weights is not set, wanted the folder"):
        up(asked(folder, renderers=("preview", "sonic")))
    with pytest.raises(SettingsError, match=r"weights is .*/nowhere, which is no folder"):
        up(asked(folder, renderers=("sonic",), weights=folder / "nowhere"))
    assert not (folder / "redis").exists()
