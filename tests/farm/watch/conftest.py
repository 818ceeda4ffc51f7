from __future__ import annotations

import pytest

from farm.local.ports import free_port, is_free

HIGHEST = 65533


def row_of_ports() -> int:
    """The first of three ports in a row that nothing listens on."""
    while (first := free_port()) > HIGHEST or not all(map(is_free, range(first, first + 3))):
        pass
    return first


@pytest.fixture
def free_row() -> int:
    return row_of_ports()
