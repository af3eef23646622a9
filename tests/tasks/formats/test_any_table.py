"""Whatever a table or JSON lines hold: they are read and written again, or refused in words that are none of theirs."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertinchamps.errors import UserError
from bertinchamps.schemas import PredictConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.formats import tables
from bertinchamps.tasks.formats.tables import Columns
from bertinchamps.tasks.inputs import open_inputs, survey
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.texts.targets import Prediction
from bertinchamps.tasks.writing import cells, checker
from bertinchamps.textfiles import json_lines

SECRET = "Confidentielle"
KIND, FACTS = kinds.build("single_label"), TaskFacts("toy", "single_label", None, ("é",), 64)
WORDS = [SECRET, "text", "label", "id", "0", "1.5", "9" * 400, "nan", "null", "\\ud800", "é", "💊"]
MARKS = [*",;\t\"'|[]{}: \n\r\ufeff\x00\x85\u2028", '""', "\r\n"]
PIECES = st.lists(st.sampled_from(WORDS + MARKS), max_size=30).map("".join)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("\ud800")
OBJECTS = st.lists(
    st.dictionaries(
        st.sampled_from(["text", "id", "label", SECRET]),
        VALUES | st.lists(VALUES, max_size=2) | st.just(SECRET) | st.just('["a", 1]'),
        max_size=4,
    ).map(json.dumps),
    max_size=3,
).map("\n".join)


def content_of(name: str) -> st.SearchStrategy[str]:
    mark = "\t" if name == "a.tsv" else ","
    cells = st.lists(st.sampled_from(WORDS) | PIECES, min_size=3, max_size=3).map(mark.join)
    rows = st.lists(cells, max_size=3).map("\n".join)
    table = (PIECES | rows).map(lambda content: f"text{mark}id{mark}label\n{content}")
    return OBJECTS | PIECES if name == "a.jsonl" else table


def check_words(error: UserError) -> None:
    assert SECRET not in str(error)
    assert "9" * 50 not in str(error)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
@pytest.mark.parametrize("target", ["single", "multi", "number"])
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_content_is_read_or_refused(name: str, target: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_text(data.draw(content_of(name)), encoding="utf-8", newline="")
        try:
            records = list(tables.read(path, Columns(target=target)))
        except UserError as error:
            check_words(error)
            return
    for record in records:
        assert isinstance(record.text.encode(), bytes)
        if isinstance(record.target, tuple):
            assert all(
                name == name.strip() != "" and isinstance(name.encode(), bytes) for name in record.target
            )


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv"])
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_content_comes_out_as_it_went_in_or_is_refused_beforehand(
    name: str, form: str, data: st.DataObject
) -> None:
    prediction = Prediction("é", {"é": 1.0})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_text(data.draw(content_of(name)), encoding="utf-8", newline="")
        try:
            inputs = open_inputs(PredictConfig(input=str(path)), KIND.reads_words, pairs=False)
            found = survey(inputs, checker(KIND, FACTS, form, inputs))
        except UserError as error:
            check_words(error)
            return
        given_ones = list(inputs.read())
        out = Path(folder, f"out.{form}")
        if form == "jsonl":
            out.write_text(
                "".join(
                    json_lines.line(KIND.as_object(FACTS, one, prediction, inputs)) for one in given_ones
                ),
                encoding="utf-8",
            )
        else:
            stream = io.StringIO(newline="")
            names = [*found.columns, *KIND.columns(FACTS)]
            rows = [
                line
                for one in given_ones
                for line in KIND.rows(FACTS, prediction, cells(one, found.columns, None))
            ]
            tables.write(stream, names, rows, None if form == "tsv" else ",")
            out.write_text(stream.getvalue(), encoding="utf-8", newline="")
        again = list(tables.open_rows(out, {"predicted": "x"}).rows)
    assert len(again) == len(given_ones)
    for one, (_, names_again, written) in zip(given_ones, again, strict=True):
        read = dict(zip(names_again, written, strict=True))
        assert read["predicted"] == "é"
        assert all(
            form == "jsonl" or read[key] == tables.cell(value)
            for key, value in one.fields
            if [key for key, _ in one.fields].count(key) == 1
        )
