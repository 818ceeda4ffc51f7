"""deploy/flowerconfig.py as Flower reads it: for looking, unless its environment says otherwise."""

from __future__ import annotations

import os
import runpy
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import SettingsError
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith(("FARM_", "FLOWER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FARM_DIR", str(tmp_path))
    return monkeypatch


def config() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "deploy" / "flowerconfig.py"))


@pytest.mark.parametrize("said", [None, "true", "0", "no"])
def test_nothing_but_false_makes_it_writable(environment: pytest.MonkeyPatch, said: str | None) -> None:
    environment.setenv("FARM_FLOWER_PASSWORD", "hush")
    environment.setenv("FARM_FLOWER_PREFIX", "flower")
    if said is not None:
        environment.setenv("FLOWER_READ_ONLY", said)
    found = config()
    assert found["read_only"] is True
    assert (found["port"], found["basic_auth"], found["url_prefix"]) == (5555, ["farm:hush"], "flower")


def test_the_operators_one_has_a_port_a_login_a_prefix_and_a_memory_of_its_own(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("FARM_FLOWER_OPERATOR_PORT", "5999")
    environment.setenv("FARM_FLOWER_OPERATOR_PASSWORD", "hush")
    environment.setenv("FARM_FLOWER_PREFIX", "flower")
    environment.setenv("FLOWER_READ_ONLY", "false")
    found = config()
    assert found["read_only"] is False
    assert (found["port"], found["basic_auth"], found["url_prefix"]) == (5999, ["operator:hush"], "flower-operators")
    assert found["db"] == str(tmp_path / "flower-operator" / "tasks")
    assert found["persistent"] is True


@pytest.mark.parametrize(
    ("given", "lacks"),
    [
        ({}, "FARM_FLOWER_PASSWORD"),
        ({"FLOWER_READ_ONLY": "false"}, "FARM_FLOWER_OPERATOR_PORT"),
        ({"FLOWER_READ_ONLY": "false", "FARM_FLOWER_OPERATOR_PORT": "5999"}, "FARM_FLOWER_OPERATOR_PASSWORD"),
    ],
)
def test_without_a_password_or_a_port_it_does_not_start(
    environment: pytest.MonkeyPatch, given: dict[str, str], lacks: str
) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    with pytest.raises(SettingsError, match=f"set {lacks}"):
        config()
