"""One tiny checkpoint for every test that loads or looks at model files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.sonic.weights.tiny import write_tiny

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete tiny checkpoint; nobody changes it."""
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    write_tiny(folder)
    return folder
