"""Wildcards in names of objects, as people write them and as somebody writes them who means harm."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.batch import globs
from farm.batch.globs import matching
from farm.errors import InputRefusedError
from farm.storage.s3 import Storage

if TYPE_CHECKING:
    from farm import Settings

AS_AN_EXPRESSION = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
PIECES = st.lists(st.sampled_from([*AS_AN_EXPRESSION, "a", "b", "/", "ab"]), max_size=5)
NAMES = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    storage = Storage.from_settings(settings)
    storage.ensure_bucket()
    return storage


@given(PIECES, NAMES)
def test_a_name_fits_as_it_would_a_regular_expression(given: list[str], name: str) -> None:
    pieces = [piece for piece in globs._PIECES.split("".join(given)) if piece]
    expression = "".join(AS_AN_EXPRESSION.get(piece, re.escape(piece)) for piece in pieces)
    assert globs._fits(name, pieces) == (re.fullmatch(expression, name) is not None)


@pytest.mark.parametrize("wildcard", ["*", "**"])
def test_a_pattern_with_more_ways_through_a_name_than_there_is_time_is_answered(
    storage: Storage, wildcard: str
) -> None:
    for key in ("in/" + 200 * "a", "in/" + 200 * "a" + "b"):
        storage.put_bytes(key, b"")
    url = str(storage.address("in/"))
    assert matching(url + 12 * f"{wildcard}a" + "b", storage) == [url + 200 * "a" + "b"]


def test_a_pattern_of_too_many_wildcards_is_refused_before_anything_is_listed(storage: Storage) -> None:
    with pytest.raises(InputRefusedError, match="has more than 16 wildcards"):
        matching("s3://no-such-bucket/in/" + 17 * "*a", storage)
