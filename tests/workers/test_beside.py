"""Frames are encoded beside the renderer; what goes wrong on either side ends both, and is said."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, current_thread
from typing import TYPE_CHECKING

import pytest

from workers.beside import AHEAD, Beside, CutOffError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

PATIENCE_SECONDS = 30


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def test_what_comes_next_is_drawn_while_the_work_is_still_at_the_first(threads: ThreadPoolExecutor) -> None:
    second_drawn = Event()

    def drawn() -> Generator[int]:
        yield 1
        second_drawn.set()
        yield 2

    def work(items: Iterator[int]) -> list[int]:
        first = next(items)
        assert second_drawn.wait(PATIENCE_SECONDS), "the drawing waited for the work"
        return [first, *items]

    assert Beside(threads).run(drawn(), work).result() == [1, 2]


def test_all_is_worked_on_in_order_however_much_there_is(threads: ThreadPoolExecutor) -> None:
    many = range(10 * AHEAD)
    assert Beside(threads).run((number for number in many), list).result() == list(many)


def test_the_drawing_stays_in_the_thread_of_whoever_asked(threads: ThreadPoolExecutor) -> None:
    def drawn() -> Generator[object]:
        yield current_thread()

    assert Beside(threads).run(drawn(), list).result() == [current_thread()]


def test_drawing_stops_a_few_items_before_the_work(threads: ThreadPoolExecutor) -> None:
    drawn_so_far = 0

    def drawn() -> Generator[int]:
        nonlocal drawn_so_far
        for number in range(10 * AHEAD):
            drawn_so_far = number + 1
            yield number

    # the one in hand, those on the belt, the one that waits for room on it, and the one after that
    ahead = Beside(threads).run(drawn(), lambda items: [drawn_so_far - done for done in items]).result()
    assert max(ahead) <= AHEAD + 3


def test_whoever_draws_is_free_when_all_is_drawn_though_the_work_is_not_done(threads: ThreadPoolExecutor) -> None:
    may_end = Event()

    def work(items: Iterator[int]) -> list[int]:
        taken = list(items)
        assert may_end.wait(PATIENCE_SECONDS), "whoever draws waited for the work"
        return taken

    working = Beside(threads).run((number for number in range(3)), work)
    assert not working.done()
    may_end.set()
    assert working.result(PATIENCE_SECONDS) == [0, 1, 2]


def test_whoever_draws_is_free_when_the_work_gives_way_with_a_full_belt(threads: ThreadPoolExecutor) -> None:
    free, behind = Event(), Event()

    def slow(items: Iterator[int]) -> list[int]:
        first = next(items)
        assert behind.wait(PATIENCE_SECONDS)
        return [first, *items]

    def drawn() -> Generator[int]:
        for number in range(AHEAD + 2):
            if number == AHEAD + 1:
                behind.set()
            yield number

    def give_way() -> None:
        assert free.wait(PATIENCE_SECONDS), "whoever draws waits for the work, and the work for him"

    working = Beside(threads, give_way).run(drawn(), slow)
    free.set()
    assert working.result(PATIENCE_SECONDS) == list(range(AHEAD + 2))


def test_nothing_drawn_is_nothing_to_work_on(threads: ThreadPoolExecutor) -> None:
    assert Beside(threads).run((number for number in ()), list).result(PATIENCE_SECONDS) == []


def test_work_that_fails_at_the_last_item_says_so_to_whoever_asks_for_it(threads: ThreadPoolExecutor) -> None:
    drawn_on = Event()

    def work(items: Iterator[int]) -> None:
        list(items)
        assert drawn_on.wait(PATIENCE_SECONDS)
        raise OSError("no space left on device")

    working = Beside(threads).run((number for number in range(3)), work)
    drawn_on.set()
    with pytest.raises(OSError, match="no space left"):
        working.result(PATIENCE_SECONDS)


def test_a_drawing_that_fails_is_raised_and_the_work_hears_that_it_did_not_get_all(
    threads: ThreadPoolExecutor,
) -> None:
    told = []

    def drawn() -> Generator[int]:
        yield 1
        raise ArithmeticError("the picture fell off the wall")

    def work(items: Iterator[int]) -> None:
        try:
            list(items)
        except CutOffError as cut:
            told.append(cut)
            raise

    with pytest.raises(ArithmeticError, match="fell off the wall"):
        Beside(threads).run(drawn(), work)
    assert len(told) == 1


@pytest.mark.parametrize("before", [0, 1, AHEAD - 1, AHEAD, 3 * AHEAD])
def test_work_that_fails_is_raised_and_no_more_is_drawn(before: int, threads: ThreadPoolExecutor) -> None:
    drawn_so_far = 0

    def drawn() -> Generator[int]:
        nonlocal drawn_so_far
        while True:
            drawn_so_far += 1
            yield drawn_so_far

    def work(items: Iterator[int]) -> None:
        for _ in range(before):
            next(items)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        Beside(threads).run(drawn(), work)
    assert drawn_so_far >= before


def test_what_was_drawn_from_is_closed_at_once_and_here_when_the_work_fails(threads: ThreadPoolExecutor) -> None:
    closed_in = []

    def drawn() -> Generator[int]:
        try:
            while True:
                yield 1
        finally:
            closed_in.append(current_thread())

    def work(items: Iterator[int]) -> None:
        raise OSError("no space left on device")

    def caught() -> OSError:
        with pytest.raises(OSError, match="no space left") as refused:
            Beside(threads).run(drawn(), work)
        return refused.value

    error = caught()
    assert closed_in == [current_thread()]
    assert not any(isinstance(each, Future) for each in held_by(error)), "a ring that only the collector frees"


def held_by(error: BaseException) -> Iterator[object]:
    """The local variables along an error's traceback."""
    trace = error.__traceback__
    while trace is not None:
        yield from trace.tb_frame.f_locals.values()
        trace = trace.tb_next
