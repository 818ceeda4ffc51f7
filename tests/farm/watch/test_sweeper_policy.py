"""The sweeper writes down how owners share the slots, as often as it looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.jobs.policy import Policy, policy_of
from farm.jobs.store import Books
from farm.messages import Bell
from farm.watch.sweeper import Sweeper

if TYPE_CHECKING:
    from farm.settings import Settings


def test_shares_and_limits_are_those_of_the_sweepers_settings_even_in_emptied_books(
    settings: Settings,
) -> None:
    told = settings.model_copy(update={"owner_weights": ("maths=2", "biology=1"), "owner_limits": ("maths=8", "*=4")})
    books = Books.connect(told)
    sweeper = Sweeper(books, Bell(told), told)
    wanted = Policy(weights={"maths": 2, "biology": 1}, limits={"maths": 8, "*": 4})
    assert sweeper.look()
    assert policy_of(books) == wanted
    books.client.flushall()
    assert sweeper.look()
    assert policy_of(books) == wanted
    books.close()
