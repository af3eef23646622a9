"""Rows of texts and targets in CSV, TSV and JSON lines."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.contract import LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import tables
from bertinchamps.tasks.formats.tables import Columns

SECRET = "Madame Confidentielle"
MULTI, NUMBER = Columns(target="multi"), Columns(target="number")


def read(tmp_path: Path, name: str, content: str, columns: Columns = Columns()) -> list[LabelledText]:  # noqa: B008
    path = tmp_path / name
    path.write_bytes(content.encode())
    return list(tables.read(path, columns))


def refused(tmp_path: Path, name: str, content: str, columns: Columns = Columns()) -> str:  # noqa: B008
    with pytest.raises(UserError) as caught:
        read(tmp_path, name, content, columns)
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"Un, deux\net ""trois""",x\nFin,y\n'),
        ("a.csv", '\ufefflabel;text\r\nx;"Un, deux\net ""trois"""\r\ny;Fin\r\n'),
        ("a.jsonl", '{"text": "Un, deux\\net \\"trois\\"", "label": "x"}\n\n{"text": "Fin", "label": " y "}'),
    ],
)
def test_texts_of_several_lines(tmp_path: Path, name: str, content: str) -> None:
    assert read(tmp_path, name, content) == [
        LabelledText(f"{name}, line {1 if name == 'a.jsonl' else 2}", 'Un, deux\net "trois"', None, ("x",)),
        LabelledText(f"{name}, line {3 if name == 'a.jsonl' else 4}", "Fin", None, ("y",)),
    ]


def test_a_quote_is_a_character_in_tsv(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.tsv", 's1\ts2\tcat\n"Un\tdeux"\t3\n', Columns("s1", "s2", "cat"))
    assert rows == [LabelledText("a.tsv, line 2", '"Un', 'deux"', ("3",))]


@pytest.mark.parametrize(
    ("value", "classes"),
    [("a|b", ("a", "b")), ("b| a |b", ("b", "a")), ("", ()), (["a", 2], ("a", "2")), ([], ()), ("a", ("a",))],
)
def test_any_number_of_classes(tmp_path: Path, value: Any, classes: tuple[str, ...]) -> None:
    content = json.dumps({"text": "t", "label": value})
    assert read(tmp_path, "a.jsonl", content, MULTI)[0].target == classes


def test_one_class_may_be_a_number_or_a_truth_value(tmp_path: Path) -> None:
    content = '{"text": "t", "label": 1}\n{"text": "t", "label": true}'
    assert [row.target for row in read(tmp_path, "a.jsonl", content)] == [("1",), ("true",)]


def test_numbers(tmp_path: Path) -> None:
    content = '{"text": "t", "label": 3}\n{"text": "t", "label": "-2.5e1"}'
    assert [row.target for row in read(tmp_path, "a.jsonl", content, NUMBER)] == [3.0, -25.0]


def test_texts_alone_and_compressed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"text\nUn\n"))
    assert list(tables.read(path, Columns(label=None))) == [LabelledText("a.csv.gz, line 2", "Un", None, ())]


@pytest.mark.parametrize(
    ("name", "content", "columns", "what"),
    [
        ("a.txt", "a", Columns(), "a.txt: unknown kind of file; known are .csv .tsv .jsonl"),
        ("a.csv", "", Columns(), "no row in it"),
        ("a.csv", "text,label\n", Columns(), "no row in it"),
        (
            "a.csv",
            f"note,label\n{SECRET},x\n",
            Columns(),
            "text=NAME, or add a first line that names the columns",
        ),
        (
            "a.csv",
            f"{SECRET},x\n{SECRET},x\n",
            Columns(),
            "line 1: no column 'text' (found: 2 by other names)",
        ),
        ("a.csv", f"text,cat\n{SECRET},x\n", Columns(), "name the right one with task.label=NAME"),
        (
            "a.csv",
            f"Text ,label\n{SECRET},x\n",
            Columns(),
            "number 1 differs in capitals, quotes or blanks alone",
        ),
        (
            "a.csv",
            f"text,label,label\n{SECRET},x,y\n",
            Columns(),
            "are called 'label': number 2 and number 3;",
        ),
        ("a.csv", f"text,label\r{SECRET},x\r", Columns(), "line 1: not valid"),
        ("a.tsv", f'"text"\t"label"\n"{SECRET}"\t"x"\n', Columns(), "call the file .csv"),
        (
            "a.jsonl",
            f'{{"text": "{SECRET}"}}',
            Columns(),
            "line 1: no key 'label' (found: 1 by another name)",
        ),
        (
            "a.jsonl",
            f'{{"text": "a", "{SECRET}": 1, "label": 1, "text": "b"}}',
            Columns(),
            "keys number 1 and 4 are",
        ),
        (
            "a.jsonl",
            '{"text": "a", "label": 1}\r{"text": "b", "label": 2}\r',
            Columns(),
            "some end in \\r alone",
        ),
        (
            "a.jsonl",
            '{"text": "a", "label": "\\ud800"}',
            Columns(),
            "column 'label': holds half a surrogate pair",
        ),
        (
            "a.jsonl",
            '{"text": "a", "label": ["b", "\\udc00"]}',
            MULTI,
            "column 'label': holds half a surrogate pair",
        ),
        ("a.csv", f"text,label\n{SECRET},x\n", Columns(pair="b"), "the right one with task.pair=NAME"),
        ("a.csv", f"text,label\na,x\n{SECRET},x,y\n", Columns(), "line 3: 3 columns where the header has 2"),
        ("a.csv", f'text,label\na,x\n"{SECRET},x\n', Columns(), "line 3: not valid"),
        ("a.csv", f"text,label\n{SECRET},\n", Columns(), "line 2: column 'label': no class"),
        ("a.csv", f"text,label\n{SECRET},a||b\n", MULTI, "no class"),
        ("a.csv", "text,label\na,3,5\n", NUMBER, "3 columns"),
        ("a.csv", f"text;label\na;{SECRET}\n", NUMBER, "column 'label': not a number with a decimal point"),
        ("a.csv", "text;label\na;3,5\n", NUMBER, "not a number"),
        ("a.csv", "text;label\na;nan\n", NUMBER, "not a number"),
        ("a.jsonl", '{"text": "t", "label": true}', NUMBER, "not a number"),
        ("a.jsonl", f'{{"text": "{SECRET}", "label": 1.5}}', Columns(), "no class"),
        ("a.jsonl", f'{{"text": "{SECRET}", "label": null}}', Columns(), "no class"),
        ("a.jsonl", f'{{"text": "{SECRET}", "label": 3}}', MULTI, "a list of classes, or a text with '|'"),
        ("a.jsonl", f'{{"text": ["{SECRET}"], "label": 3}}', Columns(), "the key 'text' holds no text"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, name: str, content: str, columns: Columns, what: str) -> None:
    assert what in refused(tmp_path, name, content, columns)


def test_other_columns_may_stand_twice(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.csv", "text;;label;\nUn;;x;\n")
    assert rows == [LabelledText("a.csv, line 2", "Un", None, ("x",))]


CLASSES = st.text("abé 1,;\"'", min_size=1).map(str.strip).filter(bool)
TEXT = st.text(max_size=20)


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.csv", ";"), ("a.csv", "\t")])
@given(
    rows=st.one_of(
        st.tuples(st.just("single"), st.lists(st.tuples(TEXT, TEXT, st.tuples(CLASSES)), min_size=1)),
        st.tuples(
            st.just("multi"),
            st.lists(st.tuples(TEXT, TEXT, st.lists(CLASSES, unique=True).map(tuple)), min_size=1),
        ),
        st.tuples(
            st.just("number"),
            st.lists(st.tuples(TEXT, TEXT, st.floats(allow_nan=False, allow_infinity=False)), min_size=1),
        ),
    )
)
def test_what_is_written_is_read_again(name: str, separator: str, rows: tuple[str, list[Any]]) -> None:
    columns = Columns("texte", "autre", "classe", target=rows[0])
    with tempfile.TemporaryDirectory() as folder:
        written = ((text, other, cell_of(target)) for text, other, target in rows[1])
        write(Path(folder, name), ("texte", "autre", "classe"), written, separator)
        assert [row[1:] for row in tables.read(Path(folder, name), columns)] == rows[1]


def cell_of(target: tuple[str, ...] | float) -> str:
    return tables.joined(target) if isinstance(target, tuple) else tables.cell(target)


def write(path: Path, names: Sequence[str], rows: Iterable[Sequence[str]], separator: str | None) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        tables.write(file, names, rows, separator)


def test_tsv_is_written_where_it_can_hold_the_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    write(path, ("text", "label"), [('un "mot"', "x")], None)
    assert path.read_text(encoding="utf-8") == 'text\tlabel\nun "mot"\tx\n'
    for text in ("a\tb", "a\nb", "a\rb"):
        with pytest.raises(UserError, match=r"a \.tsv cannot hold a tab or a line end"):
            write(path, ("text", "label"), [(text, "x")], None)


def test_values_of_json_as_cells() -> None:
    values: list[Any] = [None, "é|", "", 3, 2.5, True, ["é", 1], {"a": None}]
    assert list(map(tables.cell, values)) == ["", "é|", "", "3", "2.5", "true", '["é", 1]', '{"a": null}']


@pytest.mark.parametrize(
    "classes", [("a|b",), ("a|b", "c"), ("[x]",), ("['x']", "y"), ("{'x'}",), ("(x",), ()]
)
def test_classes_that_a_joined_text_would_lose_are_written_as_a_list(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    write(tmp_path / "a.csv", ("text", "label"), [("t", tables.joined(classes))], ",")
    (row,) = tables.read(tmp_path / "a.csv", MULTI)
    assert row.target == classes


def cell(value: str, name: str) -> str:
    """A file whose one label is this text."""
    return json.dumps({"text": "t", "label": value}) if name == "a.jsonl" else f"text\tlabel\nt\t{value}\n"


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl"])
@pytest.mark.parametrize(
    ("value", "classes"),
    [
        ('["vis", "outil"]', ("vis", "outil")),
        (" [] ", ()),
        ('["vis|vis", 2]', ("vis|vis", "2")),
        ("[x", ("[x",)),
        ("(x)|{y}", ("(x)", "{y}")),
    ],
)
def test_a_cell_may_hold_a_list_of_classes(
    tmp_path: Path, name: str, value: str, classes: tuple[str, ...]
) -> None:
    assert read(tmp_path, name, cell(value, name), MULTI)[0].target == classes


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl"])
@pytest.mark.parametrize("target", ["single", "multi"])
@pytest.mark.parametrize(
    "value", ["['vis', 'outil']", "['vis']", "('vis', 'outil')", "{'vis',}", '("vis", \'a\', "b")']
)
def test_a_list_as_python_prints_it_is_refused_with_a_way_out(
    tmp_path: Path, name: str, target: str, value: str
) -> None:
    told = refused(tmp_path, name, cell(value, name), Columns(target=target))
    assert "column 'label': a list that is not JSON" in told
    assert "json.dumps" in told
    assert "'|' between them" in told
    assert "outil']" not in told


@pytest.mark.parametrize("value", ['["vis"]', "[]", "[1]"])
def test_a_list_is_no_single_class(tmp_path: Path, value: str) -> None:
    assert "task.target=multi reads them" in refused(tmp_path, "a.tsv", cell(value, "a.tsv"))


def test_a_class_may_stand_in_brackets(tmp_path: Path) -> None:
    assert read(tmp_path, "a.tsv", cell("[autre]", "a.tsv"))[0].target == ("[autre]",)
    assert "a list that is not JSON" in refused(tmp_path, "a.tsv", cell("[autre]", "a.tsv"), MULTI)
