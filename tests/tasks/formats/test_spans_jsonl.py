"""Entities in JSON lines, in the spellings of annotation tools."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard
from documents import documents
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.spans import can_be_seen, visible
from bertinchamps.tasks.formats import json_lines, spans_jsonl

SECRET = "Madame Confidentielle"


def read(tmp_path: Path, *items: Any, annotated: bool = True) -> list[AnnotatedText]:
    path = tmp_path / "notes.jsonl"
    lines = [item if isinstance(item, str) else json.dumps(item) for item in items]
    path.write_text("\n".join(lines), encoding="utf-8")
    return spans_jsonl.read(path, annotated)


@pytest.mark.parametrize("key", ["entities", "spans", "labels", "label"])
@pytest.mark.parametrize(
    "entity", [{"start": 0, "end": 2, "label": "A"}, {"fragments": [[0, 2]], "label": "A"}, [0, 2, "A"]]
)
def test_every_spelling(tmp_path: Path, key: str, entity: Any) -> None:
    assert read(tmp_path, {"id": 7, "text": "os", key: [entity]}) == [
        AnnotatedText("7", "os", (Entity("A", ((0, 2),)),))
    ]


def test_names_fall_back_on_lines_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    found = read(tmp_path, {"text": "a", "spans": []}, "", {"id": None, "text": "b", "spans": []})
    assert [document.name for document in found] == ["notes-line-1", "notes-line-3"]


def test_texts_alone(tmp_path: Path) -> None:
    assert read(tmp_path, {"text": "a"}, annotated=False) == [AnnotatedText("notes-line-1", "a", ())]


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ({"text": SECRET}, "exactly one of the keys entities, spans, labels, label"),
        ({"text": SECRET, SECRET: []}, "(found: 2 by other names)"),
        ({"text": SECRET, "spans": [], "label": []}, "(found: spans, label)"),
        ({"note": SECRET}, "no key 'text' (found: 1 by another name)"),
        ({"text": [SECRET]}, "the key 'text' holds no text"),
        ('{"text": "\\ud800", "spans": []}', "half a surrogate pair"),
        ({"text": SECRET, "spans": {}}, "the key 'spans' must hold a list"),
        ({"text": SECRET, "spans": [[0, 2]]}, "spans[0]: not an entity; write "),
        ({"text": SECRET, "spans": [["0", 2, "A"]]}, "not an entity"),
        ({"text": SECRET, "spans": [[False, True, "A"]]}, "not an entity"),
        ({"text": SECRET, "spans": [[0, 2, ""]]}, "not an entity"),
        ({"text": SECRET, "spans": [[0, 1, "A"], {"start": 0, "label": "A"}]}, "spans[1]: not an entity"),
        ({"text": SECRET, "spans": [[0, 22, "A"]]}, "outside of the text, which has 21 characters"),
        ({"text": SECRET, "spans": [[3, 3, "A"]]}, "outside of the text"),
        ({"text": SECRET, "spans": [[-1, 3, "A"]]}, "outside of the text"),
        ({"text": SECRET, "spans": [{"fragments": [], "label": "A"}]}, "outside of the text"),
        ({"text": SECRET, "spans": [{"fragments": [[0, 3], [2, 4]], "label": "A"}]}, "fragments overlap"),
        ({"text": SECRET, "spans": [[0, int("9" * 4000), "A"]]}, "outside of the text"),
        ({"text": SECRET, "spans": [[0, 6, SECRET], [0, 99, SECRET]]}, "spans[1]: outside of the text"),
        ('{"text": "a", "spans": [[0, 1, "\\ud800"]]}', "the label holds half a surrogate pair"),
        ('{"id": "\\udfff", "text": "a", "spans": []}', "the key 'id' holds half a surrogate pair"),
        (f'{{"text": "a", "spans": [[0, {"9" * 5000}, "A"]]}}', "not valid JSON (a number of too many"),
        (
            {"text": SECRET, "spans": [{"start": 1, "end": 7, "label": "A", "text": SECRET[:6]}]},
            "spans[0]: the text",
        ),
        (f'{{"text": "{SECRET}"', "not valid JSON"),
        (f'["{SECRET}"]', "not a JSON object"),
        ({"id": 1, "text": SECRET, "spans": []}, "its id is also that of line 1"),
    ],
)
def test_a_bad_line_is_named_and_its_text_is_not(tmp_path: Path, item: Any, what: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, {"id": 1, "text": "a", "spans": []}, item)
    assert "notes.jsonl: line 2: " in str(caught.value)
    assert what in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no document in it"):
        read(tmp_path)


def test_compressed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(zstandard.compress(b'{"text": "os", "spans": []}'))
    assert spans_jsonl.read(path) == [AnnotatedText("a-line-1", "os", ())]


@pytest.mark.parametrize("key", ["id", "other"])
@pytest.mark.parametrize("identity", [True, ["x"], {"$oid": "x"}, None])
def test_an_id_that_is_no_name_gives_way_to_the_line(tmp_path: Path, key: str, identity: Any) -> None:
    assert read(tmp_path, {key: identity, "text": "a", "spans": []})[0].name == "notes-line-1"


def test_the_text_of_a_span_is_compared_with_its_offsets(tmp_path: Path) -> None:
    text = "\U0001f48a Prise d'aspirine  du\nsoir."
    right = [
        {"start": 10, "end": 18, "label": "CHEM", "text": "aspirine"},
        {"start": 10, "end": 25, "label": "CHEM", "text": " aspirine du soir "},  # blanks do not matter
        {"fragments": [[2, 7], [23, 27]], "label": "X", "text": "Prise soir"},
        {"start": 10, "end": 12, "label": "CHEM", "text": None},
    ]
    right[1]["end"] = 27
    assert len(read(tmp_path, {"text": text, "spans": right})[0].entities) == 4
    for start, end, what in ((11, 19, "UTF-16 units"), (13, 21, "bytes"), (10, 17, "of the last character")):
        wrong = {"start": start, "end": end, "label": "CHEM", "text": "aspirine"}
        with pytest.raises(UserError, match=f"line 1: spans\\[0\\]: the text of .*{what}"):
            read(tmp_path, {"text": text, "spans": [wrong]})
    last = {"start": 28, "end": 33, "label": "X", "text": "soir."}
    with pytest.raises(UserError, match=r"outside of the text.*UTF-16 units"):
        read(tmp_path, {"text": text, "spans": [{**last, "start": 24, "end": 29}]})


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("d'aspirine ce", [2, 11]),
        ("d'aspirine\u200b ce", [2, 11]),
        ("d'\u00adaspirine ce", [2, 11]),
        ("\ufeffaspirine\n", [0, 10]),
    ],
)
def test_what_cannot_be_seen_at_an_edge_is_not_of_the_entity(
    tmp_path: Path, text: str, span: list[int]
) -> None:
    (entity,) = read(tmp_path, {"text": text, "spans": [[*span, "CHEM"]]})[0].entities
    assert text[entity.start : entity.end] == "aspirine"


def test_entities_of_nothing_to_see_are_left_out_and_counted(tmp_path: Path) -> None:
    left_out: Counter[str] = Counter()
    item = {"text": "a \u200b\nb", "spans": [[1, 4, "X"], [0, 1, "X"]]}
    (tmp_path / "a.jsonl").write_text(json.dumps(item), encoding="utf-8")
    assert spans_jsonl.read(tmp_path / "a.jsonl", left_out=left_out)[0].entities == (Entity("X", ((0, 1),)),)
    assert left_out == {spans_jsonl.BLANK: 1}


def test_lines_marked_as_rejected_are_left_out_and_counted(tmp_path: Path) -> None:
    marks: list[dict[str, Any]] = [
        {"answer": "reject"}, {"answer": "ignore"}, {"was_cancelled": True}, {"status": "discarded"},
        {"answer": "accept", "was_cancelled": False}, {"status": "draft"}, {"answer": ["reject"]},
    ]  # fmt: skip
    items = [{"text": "a", "spans": [], **mark} for mark in marks]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    left_out: Counter[str] = Counter()
    found = spans_jsonl.read(path, left_out=left_out)
    assert [document.name for document in found] == ["a-line-5", "a-line-6", "a-line-7"]
    assert left_out == {json_lines.REJECTED: 4}
    assert len(spans_jsonl.read(path, annotated=False)) == 7  # who wants labels wants them for all
    with pytest.raises(UserError, match=r"no document in it; .*; 2 are marked as rejected"):
        read(tmp_path, *items[:2])


@given(st.tuples(documents("a"), documents("b")))
def test_what_is_written_is_read_again(written: tuple[AnnotatedText, ...]) -> None:
    expected = tuple(
        document._replace(
            entities=tuple(
                sorted(
                    visible(document.text, entity)
                    for entity in document.entities
                    if can_be_seen(document.text, entity)
                )
            )
        )
        for document in written
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.jsonl")
        spans_jsonl.write(path, written)
        assert tuple(spans_jsonl.read(path)) == expected


def test_confidences_of_a_model_stand_beside_its_entities(tmp_path: Path) -> None:
    entities = (Entity("ANAT", ((12, 15),)), Entity("DISO", ((0, 8), (12, 15))))
    found = AnnotatedText("n", "Fracture du col", entities, confidences=(0.123456, 1.0))
    assert spans_jsonl.as_item(found)["entities"] == [
        {"fragments": [[0, 8], [12, 15]], "label": "DISO", "confidence": 1.0},
        {"start": 12, "end": 15, "label": "ANAT", "confidence": 0.1235},
    ]
    spans_jsonl.write(tmp_path / "a.jsonl", [found])
    assert spans_jsonl.read(tmp_path / "a.jsonl") == [found._replace(confidences=None)]
