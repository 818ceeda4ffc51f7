"""Which Redis is taken, and what is said when there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.errors import MissingExtraError
from farm.local import programs
from farm.local.programs import rclone_program, redis_program, redis_version

if TYPE_CHECKING:
    from pathlib import Path


def put_on_path(folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = folder / "redis-server"
    program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0:0 malloc=libc bits=64'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


def test_a_newer_redis_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = put_on_path(tmp_path, "99.0.1", monkeypatch)
    assert redis_program() == newer


@pytest.mark.parametrize("version", ["6.0.16", "6.2.1"])
def test_an_older_redis_on_path_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    older = put_on_path(tmp_path, version, monkeypatch)
    assert redis_program() != older
    assert redis_version(redis_program()) >= (6, 2)


def test_without_any_redis_the_install_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, "5.0.0", monkeypatch)
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"redis-server 6\.2 or newer on PATH.*sonic-farm\[local\]"):
        redis_program()


def test_rclone_is_the_one_that_was_installed_with_the_farm() -> None:
    assert rclone_program().is_file()
