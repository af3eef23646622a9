"""Entities in JSON lines, in the spellings of annotation tools."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from documents import documents
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import spans_jsonl

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
        ({"text": SECRET, "spans": [[0, 22, "A"]]}, "A 0-22: outside of the text, which has 21 characters"),
        ({"text": SECRET, "spans": [[3, 3, "A"]]}, "A 3-3: outside of the text"),
        ({"text": SECRET, "spans": [[-1, 3, "A"]]}, "A -1-3: outside of the text"),
        ({"text": SECRET, "spans": [{"fragments": [], "label": "A"}]}, "outside of the text"),
        ({"text": SECRET, "spans": [{"fragments": [[0, 3], [2, 4]], "label": "A"}]}, "overlap or touch"),
        (f'{{"text": "{SECRET}"', "not a JSON object"),
        (f'["{SECRET}"]', "not a JSON object"),
        ({"id": 1, "text": SECRET, "spans": []}, "the id '1' is also that of an earlier line"),
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


@given(st.tuples(documents("a"), documents("b")))
def test_what_is_written_is_read_again(written: tuple[AnnotatedText, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "out.jsonl")
        spans_jsonl.write(path, written)
        assert tuple(spans_jsonl.read(path)) == written
