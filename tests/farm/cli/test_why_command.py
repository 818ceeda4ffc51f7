"""`farm job why`: the sentence on stdout, the same for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Answer, Hand

    Cli = Callable[..., Answer]


def test_why_says_one_sentence(cli: Cli, hand: Hand) -> None:
    job = hand.job()
    hand.books.decide(job, "pause", who="ann")
    said = f"It is paused; `farm job resume {job}` lets it go on."
    assert cli("job", "why", job).out == f"{said}\n"
    assert cli("job", "why", job, "--json").json == {"job": job, "cause": "paused", "sentence": said}


def test_why_of_an_unknown_job_is_an_error(cli: Cli) -> None:
    answer = cli("job", "why", "20260101-000000-zzzzzz")
    assert (answer.code, answer.out) == (2, "")
    assert "is not in the books" in answer.err
