"""What a model says of texts, beside what the user's file has of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.inputs import Input, Inputs
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.texts.targets import Prediction
from bertinchamps.tasks.writing import cells, checker

SECRET = "Madame Confidentielle"
ROWS = Inputs(lambda: iter(()), "id", "note")


def facts_of(kind: str) -> TaskFacts:
    return TaskFacts("toy", kind, None, ("a", "b"), 64)


def check_of(kind: str, form: str) -> Callable[[Input], None]:
    return checker(kinds.build(kind), facts_of(kind), form, ROWS)


def rows_of(kind: str, given: Input, prediction: Any, columns: Sequence[str]) -> list[list[str]]:
    """The rows of a table for one text, as `write` has them."""
    built = kinds.build(kind)
    beside = cells(given, columns, None if built.keeps_text else ROWS.text_column)
    return list(built.rows(facts_of(kind), prediction, beside))


def object_of(kind: str, given: Input, prediction: Any) -> dict[str, Any]:
    return kinds.build(kind).as_object(facts_of(kind), given, prediction, ROWS)


def row(*fields: tuple[str, Any]) -> Input:
    return Input(str(dict(fields).get("id", "n")), "Une toux", "a.csv: line 2", fields=fields)


@pytest.mark.parametrize(
    ("kind", "prediction", "said", "own"),
    [
        ("single_label", Prediction("a", {"a": 0.75, "b": 0.25}), "a", ["a", "0.75"]),
        ("multi_label", Prediction(["a", "b|c"], {"a": 0.9}), ["a", "b|c"], ['["a", "b|c"]', '{"a": 0.9}']),
        ("regression", Prediction(2.5, {}), 2.5, ["2.5"]),
    ],
)
def test_classes_stand_beside_what_the_row_has(
    kind: str, prediction: Prediction, said: Any, own: list[str]
) -> None:
    given = row(("id", 7), ("text", "Une toux"), ("ward", None))
    probabilities = {"probabilities": dict(prediction.probabilities)} if prediction.probabilities else {}
    assert object_of(kind, given, prediction) == {
        "id": 7, "text": "Une toux", "ward": None, "predicted": said, **probabilities
    }  # fmt: skip
    assert rows_of(kind, given, prediction, ("id", "text", "ward")) == [["7", "Une toux", "", *own]]
    assert rows_of(kind, given, prediction, ("id", "age", "ward")) == [
        ["7", "", "", *own]
    ]  # of another line of JSON


def test_columns_that_stand_twice_stay_two() -> None:
    given = row(("id", "7"), ("", "a"), ("text", "Une toux"), ("", "b"))
    assert rows_of("regression", given, Prediction(1.0, {}), ("id", "", "text", "")) == [
        ["7", "a", "Une toux", "b", "1.0"]
    ]


DOCUMENT = AnnotatedText(
    "P-77", "Une toux\nsèche", (Entity("DISO", ((4, 14),)), Entity("SIGN", ((4, 8),))), None, (0.5, 0.98765)
)


def test_entities_in_json_lines_keep_other_keys_but_older_lists() -> None:
    given = row(
        ("id", "P-77"), ("note", DOCUMENT.text), ("spans", [[0, 3, "A"]]), ("label", "old"), ("ward", 2)
    )
    found = object_of("ner", given, DOCUMENT)
    assert list(found) == ["id", "text", "entities", "label", "ward"]
    assert found["entities"][0] == {"start": 4, "end": 8, "label": "SIGN", "confidence": 0.9877}


def test_a_table_has_a_row_for_each_entity_and_one_for_a_text_without() -> None:
    given, columns = row(("id", "P-77"), ("note", DOCUMENT.text), ("ward", 2)), ("id", "note", "ward")
    assert rows_of("ner", given, DOCUMENT, columns) == [
        ["P-77", "2", "SIGN", "4", "8", "toux", "0.9877"],
        ["P-77", "2", "DISO", "4", "14", "toux sèche", "0.5000"],
    ]
    empty = DOCUMENT._replace(entities=(), confidences=())
    assert rows_of("ner", given, empty, columns) == [["P-77", "2", "", "", "", "", ""]]


@pytest.mark.parametrize(
    ("kind", "form", "fields", "what"),
    [
        (
            "single_label",
            "jsonl",
            {"predicted": 1},
            "a column is called 'predicted', which is also a column of the output",
        ),
        ("multi_label", "csv", {"probabilities": 1}, "called 'probabilities'"),
        ("ner", "csv", {"entity_type": 1}, "called 'entity_type'"),
        ("ner", "jsonl", {"entities": SECRET}, "called 'entities'"),
        ("ner", "jsonl", {"note": "a", "text": "b"}, "called 'text'"),
        ("single_label", "tsv", {"x": f"{SECRET}\t"}, "a .tsv cannot hold; write a .csv"),
        ("single_label", "tsv", {"x": f"{SECRET}\n"}, "a .tsv cannot hold; write a .csv"),
        ("single_label", "tsv", {"x\n": 1}, "a .tsv cannot hold; write a .csv"),
        ("single_label", "csv", {"x": "\ud800"}, "half a surrogate pair"),
    ],
)
def test_what_cannot_be_written_is_refused_by_its_place(
    kind: str, form: str, fields: dict[str, Any], what: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_of(kind, form)(row(("id", "1"), *fields.items()))
    assert str(caught.value).startswith("a.csv: line 2: ")
    assert what in str(caught.value)
    assert SECRET not in str(caught.value)


def test_what_can_be_written_is_not_refused() -> None:
    for kind, form, fields in (
        ("regression", "csv", {"probabilities": 1, "x": "a\tb\n"}),
        ("single_label", "jsonl", {"x": "\ud800", "text": "a"}),
        ("ner", "jsonl", {"entities": [[0, 1, "A"]], "note": "a"}),
        ("ner", "tsv", {"note": "a\nb"}),  # the text itself is not written again
        ("ner", "conll", {"entities": 1}),
    ):
        check_of(kind, form)(row(("id", "1"), *fields.items()))


def test_json_has_no_columns_that_stand_twice_and_brat_no_ids() -> None:
    twice = row(("id", "1"), ("", "a"), ("", "b"))
    check_of("single_label", "csv")(twice)
    with pytest.raises(UserError, match=r"two columns have the same name, .* write a \.csv"):
        check_of("single_label", "jsonl")(twice)
    check = check_of("ner", "brat")
    check(row(("id", "P-1")))
    check(row(("id", "P-2")))
    with pytest.raises(UserError, match=r"line 2: its id is also that of an earlier text"):
        check(row(("id", "P-1")))


def test_xml_has_no_control_characters_and_doccano_a_key_of_its_own() -> None:
    check_of("ner", "xmi")(row(("id", "1")))
    with pytest.raises(UserError, match=r"a\.csv: line 2: a control character, which XML cannot hold"):
        check_of("ner", "xmi")(row(("id", "2"))._replace(text=f"{SECRET}\x0c"))
    for form in ("label_studio", "prodigy"):
        check_of("ner", form)(row(("id", "1"), ("label", "a")))
    with pytest.raises(UserError, match="a column is called 'label', which is also a column of the output"):
        check_of("ner", "doccano")(row(("id", "1"), ("label", SECRET)))


def test_half_a_surrogate_pair_of_a_field_is_spelt_again() -> None:
    from bertinchamps.textfiles import json_lines

    line = json_lines.line({"x": "\ud800", "é": "é"})
    assert line.isascii()
    assert json.loads(line) == {"x": "\ud800", "é": "é"}
    assert json_lines.line({"é": "é"}) == '{"é": "é"}\n'
