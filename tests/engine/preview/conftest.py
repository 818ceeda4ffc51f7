"""The shipped lesson, rendered once for all tests that look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from looking import LESSON, decoded, job, rendered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.renderer import Frame


@pytest.fixture(scope="session")
def lesson() -> NDArray[np.int16]:
    return decoded(LESSON)


@pytest.fixture(scope="session")
def close_up(lesson: NDArray[np.int16]) -> list[Frame]:
    """Every frame of the lesson, cropped to the face."""
    return rendered(job(lesson))
