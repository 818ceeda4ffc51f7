"""Manifests as people and spreadsheets write them, and as somebody writes them who means harm."""

from __future__ import annotations

import codecs
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.spec import OutputSpec, RenderSpec
from farm import Settings
from farm.batch.columns import COLUMNS
from farm.batch.manifest import Manifest, located, read_manifest
from farm.batch.rows import Given, Row, rows_of
from farm.batch.tables import decoded, read_table
from farm.batch.trees import read_yaml
from farm.errors import InputRefusedError, NotFoundError
from farm.storage.s3 import Storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.submission import Lesson

NOWHERE = Storage.from_settings(Settings(s3_endpoint="http://127.0.0.1:9"))
"""Local manifests ask storage nothing."""


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Row]]:
    """Rows of a manifest that is written as it is given."""

    def rows(name: str, content: str | bytes, *, defaults: str = "", **said: Any) -> list[Row]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        beside = tmp_path / "presenters.yaml"
        beside.write_text(defaults)
        manifest = read_manifest(str(path), storage=NOWHERE, defaults=str(beside) if defaults else None)
        return rows_of(manifest, Given(**said), storage=NOWHERE)

    return rows


def refusal(read: Callable[..., list[Row]], name: str, content: str | bytes, **more: Any) -> str:
    with pytest.raises(InputRefusedError) as caught:
        read(name, content, **more)
    return "; ".join(caught.value.problems)


def lesson(row: Row) -> Lesson:
    assert row.lesson is not None, row.problems
    return row.lesson


def test_every_flag_of_submit_that_says_what_a_lesson_is_has_a_column() -> None:
    from farm.cli.submit import submit

    not_of_a_lesson = {"dry_run", "wait", "output", "as_json", "folder"}
    flags = {name for name in submit.__annotations__ if name not in {*not_of_a_lesson, "return"}}
    assert flags <= set(COLUMNS)
    assert set(RenderSpec().to_dict()) | set(OutputSpec().to_dict()) <= set(COLUMNS)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("speech,portrait,seed,name\na.wav,ada.png,7,Größe\n", id="plain"),
        pytest.param("\ufeffspeech;portrait;seed;name\r\na.wav;ada.png;7;Größe\r\n", id="excel in Europe"),
        pytest.param("sep=;\r\nspeech;portrait;seed;name\r\na.wav;ada.png;7;Größe\r\n", id="excel's own first line"),
        pytest.param("speech\tportrait\tseed\tname\na.wav\tada.png\t7\tGröße", id="tabs, no last line end"),
        pytest.param('"Speech","Portrait","SEED","Name",,\na.wav,ada.png, 7 ,"Größe",,\n,,,,,\n', id="quotes, empties"),
        pytest.param("\n\nspeech,portrait,seed,name\n\na.wav,ada.png,7,Größe\n", id="empty lines"),
    ],
)
def test_a_table_is_read_however_a_spreadsheet_wrote_it(read: Callable[..., list[Row]], content: str) -> None:
    for encoded in (content.encode(), codecs.BOM_UTF16_LE + content.removeprefix("\ufeff").encode("utf-16-le")):
        (row,) = read("Term.CSV", encoded)
        found = lesson(row)
        assert (Path(str(found.speech)).name, found.parameters, found.name) == ("a.wav", {"seed": 7}, "Größe")


def test_rows_are_numbered_as_an_editor_numbers_lines(read: Callable[..., list[Row]]) -> None:
    content = 'speech,portrait,name\na.wav,p.png,"two\nlines"\n\nb.wav,p.png,b\n'
    assert [row.number for row in read("m.csv", content)] == [2, 5]
    lines = ['{"speech": "a.wav", "portrait": "p.png"}', "", '{"speech": "b.wav", "portrait": "p.png"}']
    assert [row.number for row in read("m.jsonl", "\n".join(lines))] == [1, 3]
    assert [row.number for row in read("m.yaml", "lessons:\n\n- {speech: a, portrait: b}\n- speech: c\n")] == [3, 4]


def test_a_column_nobody_knows_is_named_with_the_nearest(read: Callable[..., list[Row]]) -> None:
    found = refusal(read, "m.csv", "speach,portrait,colour\na.wav,p.png,red\n")
    assert "there is no column 'speach', did you mean 'speech'?" in found
    assert "there is no column 'colour'" in found
    (row,) = read("m.jsonl", '{"speech": "a.wav", "portrait": "p.png", "priorty": 3}')
    assert row.problems == ("there is no column 'priorty', did you mean 'priority'?",)


def test_every_wrong_cell_of_a_row_is_told_at_once_and_other_rows_are_read(read: Callable[..., list[Row]]) -> None:
    wrong, right = read(
        "m.csv", "speech,portrait,seed,mark,duration,priority\n,p.png,seven,maybe,1:30,high\nb.wav,p.png,,yes,,\n"
    )
    assert wrong.problems == (
        "seed is 'seven', wanted a whole number",
        "mark is 'maybe', wanted true or false",
        "duration is '1:30', wanted a number",
        "priority is 'high', wanted 0 to 9",
    )
    assert lesson(right).parameters == {"mark": True}


@pytest.mark.parametrize(
    ("column", "escaped"),
    [("name", r"\ud800"), ("speech", r"\ud800.wav"), ("speech", r"a\u0000b.wav"), ("token", r"a\nb")],
)
def test_a_cell_that_nothing_can_be_called_by_is_refused_and_the_refusal_can_be_written_down(
    read: Callable[..., list[Row]], column: str, escaped: str
) -> None:
    cells = {"portrait": "p.png", "speech": "s.wav", column: "HERE"}
    (row,) = read("m.jsonl", json.dumps(cells).replace("HERE", escaped) + "\n")
    (problem,) = row.problems
    assert problem.startswith(f"{column} is '")
    assert "wanted text without control characters" in problem
    json.dumps([row.number, row.name, problem], ensure_ascii=False).encode()


def test_kinds_come_from_the_columns_not_from_what_yaml_takes_a_word_for(read: Callable[..., list[Row]]) -> None:
    content = "- {speech: a.wav, portrait: p.png, name: 2026-11-23, consent: no, check: off, seed: 010, smoothing: 1}"
    found = lesson(read("m.yml", content)[0])
    assert (found.name, found.consent) == ("2026-11-23", "no")
    assert found.parameters == {"check": False, "seed": 10, "smoothing": 1.0}


COURSE = """
defaults: {owner: maths, priority: 3, framing: face}
presenters:
  anna: {portrait: people/anna.jpg, seed: 7, renderer: sonic}
lessons:
  - {speech: a.wav, presenter: anna, priority: 1}
  - {speech: b.wav, presenter: anna, seed: 8}
  - {speech: c.wav, portrait: people/ben.jpg, framing: full}
  - {speech: d.wav, presenter: berta}
"""


def test_a_presenter_is_pinned_defaults_give_way_and_what_was_said_beside_lies_between(
    read: Callable[..., list[Row]], tmp_path: Path
) -> None:
    anna, other_seed, ben, nobody = read("m.yaml", COURSE, owner="physics", priority=9)
    found = lesson(anna)
    assert (found.portrait, found.owner, found.priority) == (str(tmp_path / "people/anna.jpg"), "physics", 1)
    assert found.parameters == {"seed": 7, "renderer": "sonic", "framing": "face"}
    assert anna.presenter == "anna"
    assert other_seed.problems == ("seed is 8, presenter 'anna' has 7 for all: leave it out of the row",)
    assert (lesson(ben).priority, lesson(ben).parameters) == (9, {"framing": "full"})
    assert nobody.problems == ("presenter is 'berta', there is anna",)
    (alone,) = read("m.yml", "- {speech: a.wav, presenter: anna}")
    assert "presenter is 'anna', and none is described: see --defaults FILE" in alone.problems
    assert lesson(read("m.yaml", COURSE)[0]).owner == "maths"


def test_a_table_gets_its_presenters_from_a_file_beside_it(read: Callable[..., list[Row]], tmp_path: Path) -> None:
    defaults = "presenters: {anna: {portrait: anna.jpg}}\ndefaults: {presenter: anna, owner: maths}"
    (row,) = read("m.csv", "speech\na.wav\n", defaults=defaults)
    assert (lesson(row).portrait, lesson(row).owner) == (str(tmp_path / "anna.jpg"), "maths")
    assert "has lessons" in refusal(read, "m.csv", "speech\na.wav\n", defaults="lessons: [{speech: b.wav}]")
    for wrong, words in {
        "defaults: {speech: a.wav}": "speech belongs to a row",
        "presenters: {anna: {presenter: ben}}": "presenter 'anna' names a presenter",
        "default: {owner: x}": "there is no section 'default'",
        "presenters: {anna: {seed: x}}": "presenter 'anna': seed is 'x', wanted a whole number",
        "presenters: [anna]": "presenters is no mapping",
    }.items():
        assert words in refusal(read, "m.csv", "speech\na.wav\n", defaults=wrong)


def test_wildcards_make_rows_named_after_their_files(read: Callable[..., list[Row]], tmp_path: Path) -> None:
    for name in ("course/01.wav", "course/02.wav", "course/more/03.wav", "course/.04.wav", "course/[5].wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def names(speech: str, **cells: str) -> list[str]:
        columns = {"speech": speech, "portrait": "p.png", **cells}
        return [row.name for row in read("m.jsonl", json.dumps(columns)) if not row.problems]

    assert names("course/0?.wav") == ["01", "02"]
    assert names("course/**/*.wav") == ["01", "02", "[5]", "03"]
    assert names("course/0*.wav", name="Algebra") == ["Algebra 01", "Algebra 02"]
    assert names("course/[5].wav") == ["[5]"]
    (none,) = read("m.csv", "speech,portrait\ncourse/*.mp3,p.png\n")
    assert none.problems == (f"speech {tmp_path}/course/*.mp3 stands for no file",)
    (fixed,) = read("m.csv", "speech,portrait,duration\ncourse/*.wav,p.png,3\n")
    assert fixed.problems == ("duration cannot be the same for many",)


def test_wildcards_make_no_more_rows_than_a_manifest_may_have(
    read: Callable[..., list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1.wav", "2.wav", "3.wav", "4.mp3", "5.mp3"):
        (tmp_path / name).touch()
    for module in ("rows", "globs"):
        monkeypatch.setattr(f"farm.batch.{module}.MOST_ROWS", 2)
    wav, mp3 = "speech,portrait\n*.wav,p.png\n", "*.mp3,p.png\n"
    (row,) = read("m.csv", wav)
    assert row.problems == (f"speech {tmp_path}/*.wav stands for more than 2 files, wanted 2 at most",)
    assert "m has more than 2 rows with those of its wildcards, wanted 2 at most" in refusal(read, "m.csv", wav + mp3)


def test_what_is_wrong_with_a_webhook_is_said_without_it(read: Callable[..., list[Row]]) -> None:
    defaults = "presenters: {anna: {portrait: anna.png, webhook: 'https://example.com/hooks/s3cret'}}"
    (other,) = read(
        "m.csv", "speech,presenter,webhook\na.wav,anna,https://example.com/hooks/0ther\n", defaults=defaults
    )
    assert other.problems == ("webhook is another, presenter 'anna' has one for all: leave it out of the row",)
    (bell,) = read("m.jsonl", r'{"speech": "a.wav", "portrait": "p.png", "webhook": "https://x/s3cret\u0007"}')
    assert bell.problems == (r"webhook is no URL, wanted text without control characters: it has '\x07'",)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("m.yaml", BOMB, "line 1 uses an anchor", id="aliases that explode"),
        pytest.param("m.yaml", "lessons: " + "[" * 100_000, "nested too deep", id="deep nesting"),
        pytest.param("m.yaml", "lessons: [{speech: !!python/name:os.system x}]", "portrait", id="a tag that acts"),
        pytest.param("m.yaml", "lessons: {", "is no YAML in line", id="broken yaml"),
        pytest.param("m.yaml", "just words", "is no mapping", id="no mapping"),
        pytest.param("m.yaml", "a: 1\n---\nb: 2", "is no YAML", id="two documents"),
        pytest.param("m.jsonl", "[" * 100_000, "is no JSON", id="deep json"),
        pytest.param("m.jsonl", '{"seed": 1, "seed": 2}', "a name is there twice", id="a name twice"),
        pytest.param("m.jsonl", '{"speech": ["a.wav"]}', "'speech' holds more than one value", id="a list"),
        pytest.param("m.csv", b"speech,portrait\na.wav,p\xff.png\n", "is no UTF-8 in line 2", id="latin letters"),
        pytest.param("m.csv", b"speech\0", "bytes of zero", id="bytes of zero"),
        pytest.param("m.csv", "speech,portrait,Speech\n", "column 'speech' is there twice", id="a column twice"),
        pytest.param("m.csv", 'speech,portrait\n"a.wav,p.png\n', "cannot be read in line", id="an open quote"),
        pytest.param("m.csv", "", "is empty", id="empty"),
        pytest.param("m.csv", "speech,portrait\n", "has no rows", id="a header alone"),
        pytest.param("m.csv", "speech\na.wav,p.png,x\n", "more cells than the header", id="too many cells"),
        pytest.param("m.csv", f"speech,portrait\n{'a' * 5000},p.png\n", "has 5000 characters", id="a long cell"),
        pytest.param("m.csv", f"speech,portrait,seed\na,p,{'9' * 5000}\n", "wanted a whole number", id="a long number"),
        pytest.param("m.csv", "speech\n" + "a\n" * 100_001, "has more rows, wanted 1 to 100000", id="too many rows"),
        pytest.param("m.yaml", "- a\n" * 1_000_001, "more than 1000000 values", id="too many values"),
        pytest.param("m.xlsx", "PK", "wanted a manifest that ends in .csv", id="a workbook"),
    ],
)
def test_what_is_no_manifest_is_refused_in_plain_words(
    read: Callable[..., list[Row]], name: str, content: str | bytes, words: str
) -> None:
    try:
        told = "; ".join(problem for row in read(name, content) for problem in row.problems)
    except InputRefusedError as error:
        told = str(error)
    assert words in told
    assert len(told) < 1000


def test_a_manifest_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.csv cannot be read: No such file"):
        read_manifest(str(tmp_path / "none.csv"), storage=NOWHERE)


def test_a_manifest_in_storage_names_nothing_outside_it() -> None:
    base = "s3://school/inbox/"
    assert located("audio/a.wav", base) == "s3://school/inbox/audio/a.wav"
    assert located("s3://other/a.wav", base) == "s3://other/a.wav"
    for path in ("/etc/passwd", "../a.wav", "audio/../../a.wav", "..\\a.wav"):
        with pytest.raises(InputRefusedError, match="is no path below s3://school/inbox/"):
            located(path, base)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_make_a_reader_fail_in_another_way_than_by_refusing(data: bytes) -> None:
    for take in (lambda text: list(read_table(text, "m")), lambda text: read_yaml(text, "m")):
        with suppress(InputRefusedError):
            take(decoded(data, "m"))


def test_a_manifest_of_ten_thousand_rows_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("".join(f"- {{speech: {row}.wav, portrait: p.png, seed: {row}}}\n" for row in range(10_000)))
    found: Manifest = read_manifest(str(path), storage=NOWHERE)
    assert [entry.cells["seed"] for entry in found.entries] == list(range(10_000))
