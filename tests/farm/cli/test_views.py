"""How jobs look: few chunks and many, narrow and wide, without colour and without Unicode."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from farm.cli.chunkmap import ChunkMap, bar
from farm.cli.show import JobCard, duration, headline, job_table
from farm.jobs.model import AttemptView, ChunkView, Failure, Finding, JobState, JobView, UnitState

WAITING, SENT, RENDERING, DONE, FAILED = UnitState


def drawn(thing: object, *, width: int = 80, encoding: str = "utf-8") -> str:
    """What a terminal without colour would show."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width, no_color=True, markup=False, highlight=False, emoji=False).print(thing)
    file.flush()
    return raw.getvalue().decode(encoding)


def chunks(count: int) -> tuple[ChunkView, ...]:
    """The first half done, then two rendering, one failed, one sent; the rest waits."""
    half = count // 2
    special = {
        half: ChunkView(half, RENDERING, "gpu0", 40.0, 1),
        half + 1: ChunkView(half + 1, RENDERING, "gpu1", 7.0, 2),
        half + 2: ChunkView(half + 2, FAILED, "gpu1", 0.0, 3),
        half + 3: ChunkView(half + 3, SENT, "gpu2", 0.0, 0),
    }
    return tuple(
        special.get(i) or (ChunkView(i, DONE, "gpu0", 100.0, 1) if i < half else ChunkView(i, WAITING))
        for i in range(count)
    )


def job(count: int = 3, *, name: str = "Algebra 03", **changes: object) -> JobView:
    facts: dict[str, object] = {
        "id": "20261122-181530-k3f9ab",
        "state": JobState.RENDERING,
        "name": name,
        "owner": "ada",
        "renderer": "preview",
        "priority": 5,
        "paused": False,
        "needs_review": False,
        "submitted": 1_795_000_000.0,
        "started": 1_795_000_001.0,
        "ended": None,
        "frames25": count * 750,
        "percent": 50.0,
        "seconds_left": 185.0,
        "chunks": chunks(count),
        "attempts": (),
        "versions": (),
        "result": None,
        "digest": None,
        "error": None,
    }
    return JobView(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("count", [1, 3, 12, 13, 100, 500])
def test_a_card_never_is_wider_than_the_terminal(count: int, width: int) -> None:
    view = job(count, name="A lesson with quite a long name, and then some more of it")
    assert max(cell_len(line) for line in drawn(JobCard(view), width=width).splitlines()) <= width


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("count", [13, 100, 500])
def test_a_map_of_many_has_one_cell_for_each_chunk(count: int, width: int) -> None:
    cells = drawn(ChunkMap(chunks(count)), width=width).partition("done")[0].removesuffix("■ ")
    half = count // 2
    assert [cells.count(cell) for cell in "■▶✗·"] == [half, 2, 1, count - half - 3]


def test_rows_of_a_map_start_with_the_number_of_their_first_chunk() -> None:
    rows = [line for line in drawn(ChunkMap(chunks(500)), width=80).splitlines() if line[:3].strip().isdecimal()]
    first = [int(line.split()[0]) for line in rows]
    cells = [sum(map(len, line.split()[1:])) for line in rows]
    assert first == [1 + sum(cells[:row]) for row in range(len(rows))]
    assert sum(cells) == 500


def test_few_chunks_have_a_bar_each_with_percent_slot_and_attempt() -> None:
    lines = drawn(ChunkMap(chunks(6))).splitlines()
    assert [line.split()[:2] for line in lines] == [["chunk", str(i)] for i in range(1, 7)]
    assert "done on gpu0" in lines[0]
    assert "rendering 40 % on gpu0" in lines[3]
    assert "rendering 7 % on gpu1, attempt 2" in lines[4]
    assert "failed, attempt 3" in lines[5]


def test_chunks_that_were_taken_say_from_which_job_and_the_card_counts_them() -> None:
    taken = tuple(ChunkView(i, DONE, "gpu0", 100.0, 1, "20261120-101010-aaaaaa") for i in range(2))
    card = drawn(JobCard(job(3, chunks=(*taken, ChunkView(2, WAITING)), rendered=2)), width=120)
    assert "2 of 3 chunks taken from 20261120-101010-aaaaaa" in card
    assert "done on gpu0, taken from 20261120-101010-aaaaaa" in card
    assert "2 of 3 chunks were rendered already" in drawn(JobCard(job(3, rendered=2)))
    assert "saved" not in drawn(JobCard(job(3)))


def test_what_failed_is_listed_first_with_its_reason_under_a_large_map() -> None:
    rendering = [ChunkView(i, RENDERING, f"gpu{i}", 1.0, 1) for i in range(99)]
    many = (*rendering, ChunkView(99, FAILED, "gpu0"))
    lines = drawn(ChunkMap(many, {99: "out of GPU memory"}), width=120).splitlines()
    listed = [line for line in lines if line.lstrip().startswith("chunk")]
    assert "chunk 100" in listed[0]
    assert "out of GPU memory" in "\n".join(lines)
    assert lines[-1].startswith("... and 92 more")


def test_a_terminal_without_unicode_gets_letters() -> None:
    text = drawn(JobCard(job(100)), encoding="ascii")
    assert text.isascii()
    assert "?" not in text
    cells = text[text.index("##########") :]
    assert ">" in cells
    assert "X" in cells


def test_a_bar_is_full_only_when_all_is_done() -> None:
    assert bar(0.999, 10, ascii_only=True) == "#########-"
    assert bar(1.0, 10, ascii_only=True) == "##########"
    assert bar(0.0, 4, ascii_only=True) == "----"


def test_the_reason_of_a_failed_job_and_of_its_plan_are_shown() -> None:
    attempt = AttemptView("plan", 1, "cpu0", 1.0, 2.0, "failed", "the speech ends in the middle")
    error = Failure("bad_speech", "the speech cannot be decoded")
    view = job(0, state=JobState.FAILED, attempts=(attempt,), error=error, ended=1_795_000_065.0)
    text = drawn(JobCard(view))
    assert "plan, attempt 1 on cpu0: the speech ends in the middle" in text
    assert "the speech cannot be decoded (bad_speech)" in text
    assert "in 1 min 05 s" in text


def test_a_job_in_one_line_has_state_percent_chunks_and_time_left() -> None:
    assert headline(job(8)) == (
        "20261122-181530-k3f9ab  rendering  50 %  "
        "chunks: 4 done, 2 rendering, 1 waiting, 1 failed  about 3 min 05 s left"
    )
    assert "rendering, paused" in headline(job(paused=True))


def test_names_are_shown_as_they_are_but_cannot_drive_the_terminal() -> None:
    text = drawn(job_table([job(name="[red]x[/red] :smile: \x1b[2J")]), width=200)
    assert "[red]x[/red] :smile:" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")]
)
def test_lengths_of_time_read_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_job_that_was_redone_long_after_does_not_say_that_it_took_so_long() -> None:
    done = {"state": JobState.DONE, "ended": 1_795_000_060.0}
    assert "in 1 min 00 s" in headline(job(**done, versions=(1,)))  # type: ignore[arg-type]
    assert " in " not in headline(job(**done, versions=(1, 2)))  # type: ignore[arg-type]


def test_what_needs_a_look_is_on_the_card_with_its_timecode() -> None:
    finding = Finding(4800, 4900, "03:12.0", "the mouth does not move")
    shown = drawn(JobCard(job(state=JobState.DONE, needs_review=True, review=(finding,))))
    assert "done, needs review" in shown
    assert "Look at 03:12.0: the mouth does not move" in shown
