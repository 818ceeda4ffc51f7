"""Which ports the embedded stack takes for its metrics."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from farm import Settings
from farm.errors import SettingsError
from farm.local import metrics
from farm.local.metrics import PORTS, address, metrics_port
from farm.local.supervisor import Supervisor
from farm.watch.serving import CPU, SLOTS, SWEEPER
from tests.farm.watch.conftest import row_of_ports

if TYPE_CHECKING:
    from pathlib import Path


def of_toml(folder: Path, port: int) -> Settings:
    (folder / "farm.toml").write_text(f"[farm]\nmetrics_port = {port}\n")
    return Settings.load({"dir": folder}, environ={})


def test_nobody_asked_so_three_free_ports_in_a_row_are_found() -> None:
    first = metrics_port(Settings.load(environ={}))
    with ExitStack() as stack:
        for port in range(first, first + PORTS):
            stack.enter_context(socket.create_server(("127.0.0.1", port)))


def test_the_ports_of_the_last_time_are_taken_again_or_the_next_three(tmp_path: Path) -> None:
    former = row_of_ports()
    settings = of_toml(tmp_path, former)
    assert metrics_port(settings) == former
    with socket.create_server(("127.0.0.1", former + CPU)):
        assert metrics_port(settings) >= former + PORTS


def test_a_taken_port_that_was_asked_for_is_refused_even_the_third(tmp_path: Path) -> None:
    first = row_of_ports()
    asked = Settings.load({"dir": tmp_path}, environ={"FARM_METRICS_PORT": str(first)})
    with (
        socket.create_server(("127.0.0.1", first + CPU)),
        pytest.raises(SettingsError, match=rf"FARM_METRICS_PORT is {first} \(environment\): .* listens on {first + 2}"),
    ):
        metrics_port(asked)
    assert metrics_port(asked) == first


@pytest.mark.parametrize("of", ["environment", "farm.toml"])
def test_port_0_turns_metrics_off(tmp_path: Path, of: str) -> None:
    by_environment = Settings.load({"dir": tmp_path / "none"}, environ={"FARM_METRICS_PORT": "0"})
    settings = by_environment if of == "environment" else of_toml(tmp_path, 0)
    assert metrics_port(settings) == 0
    assert address(settings, CPU) == ""


def test_ports_that_another_took_in_between_are_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = row_of_ports()
    found = iter([taken, taken])  # free when they were looked for: before anything started, and once Redis was up
    monkeypatch.setattr(metrics, "metrics_port", lambda settings: next(found, None) or metrics_port(settings))
    supervisor = Supervisor(Settings.load({"dir": tmp_path / "farm"}, environ={}), lambda _: None)
    with socket.create_server(("127.0.0.1", taken + SLOTS)):
        try:
            supervisor.start()
            assert supervisor.settings.metrics_port >= taken + PORTS
            assert all(metrics.answers(supervisor.settings, place) for place in (SWEEPER, SLOTS, CPU))
        finally:
            supervisor.stop()
