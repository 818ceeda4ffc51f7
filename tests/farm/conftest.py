from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from farm import Farm
from tests.farm.hands import Hand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm import Settings


@pytest.fixture
def hand(settings: Settings) -> Iterator[Hand]:
    with Farm(settings) as farm, closing(farm.storage):
        farm.storage.ensure_bucket()
        yield Hand(farm)
