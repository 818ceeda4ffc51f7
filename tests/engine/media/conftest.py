"""What several tests of the media share."""

from __future__ import annotations

import pytest
from lessons import Lesson, make_lesson


@pytest.fixture(scope="session")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    """Six seconds in three chunks; not to be changed by a test."""
    return make_lesson(tmp_path_factory.mktemp("lesson"), samples=6 * 44_100 + 123)
