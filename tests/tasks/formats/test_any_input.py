"""Whatever a file holds: it is read, written again and scored, or refused in words that are none of its own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.metrics.nested_exact import nested_exact_scores
from bertinchamps.metrics.strict_spans import strict_scores
from bertinchamps.tasks.formats import brat, conll, label_studio, prodigy, spans_jsonl, xmi
from bertinchamps.tasks.formats.conll import Layout
from bertinchamps.tasks.tagging.columns import tagged

SECRET = "Confidentielle"
NOISE = st.sampled_from(
    ["\t", " ", "\n", "\r", "\r\n", "#", "\u200b", "\ufeff", "\x00", "\x85", ";", "-", "💊", "é"]
)
NUMBERS = st.sampled_from(["0", "1", "2", "5", "14", "15", "99", "-1", "1.5", "9" * 5000, "٣"])


def file_of(*words: str) -> st.SearchStrategy[str]:
    """Words of a format, numbers and noise in any order."""
    return st.lists(st.sampled_from([SECRET, *words]) | NOISE | NUMBERS, max_size=30).map("".join)


def checked(read: Callable[[Path], list[AnnotatedText]], content: bytes, name: str) -> None:
    """Read a file of this content: what comes is written and scored, what is refused is not quoted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            documents = read(path)
        except UserError as error:
            message = str(error).replace(folder, "")
            assert SECRET not in message
            assert "9" * 50 not in message
            return
        for document in documents:
            brat.write_document(Path(folder, "out"), document)
        spans_jsonl.write(Path(folder, "out.jsonl"), documents)
        conll.write(Path(folder, "out.conll"), tagged(documents))
        for scores in (strict_scores, nested_exact_scores):
            report = scores(documents, documents)
            assert report["f1"] == (1.0 if report["support"] else 0.0)


@settings(max_examples=300, deadline=None)
@given(file_of("T1", "T2", "\tDISO ", "\tDISO 0 14\t", "N1\tx T1", "A1\t", "*\tEquiv", "R1 ", "#1\t"))
def test_annotations_of_brat(ann: str) -> None:
    def read(path: Path) -> list[AnnotatedText]:
        return [brat.read_document(f"{SECRET} la toux".encode(), path.read_bytes(), "note")]

    checked(read, ann.encode(), "note.ann")


ELEMENTS = [
    '<?xml version="1.0"?>', '<?xml version="1.0" encoding="big5"?>', '<x:XMI xmlns:x="urn:x">', "</x:XMI>",
    '<A sofa="1" ',
    '<Sofa x:id="1" sofaString="💊 la"/>', f'sofaString="{SECRET}"', 'begin="', 'end="', '"/>', "<!DOCTYPE a [", "&#1;",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(file_of(*ELEMENTS), st.booleans())
def test_xmi(content: str, whole: bool) -> None:
    if whole:
        inside = f'<A sofa="1" begin="0" end="2"/>{content}<Sofa x:id="1" sofaString="💊"/>'
        content = f'<x:XMI xmlns:x="urn:x">{inside}</x:XMI>'
    checked(lambda path: [xmi.read_document(path.read_bytes(), "note", ("A",))], content.encode(), "note.xml")


@pytest.mark.parametrize("layout", [Layout(), Layout(2, 3), Layout(1, 2, "io"), Layout(scheme="iob1")])
@settings(max_examples=150, deadline=None)
@given(
    content=file_of(
        "B-A", "I-A", "O", "E-A", "\tB-A\n", " O\n", "-DOCSTART-", "# newdoc\n", "1\ta\tO\n", "2-3\t"
    )
)
def test_columns(layout: Layout, content: str) -> None:
    checked(lambda path: conll.read(path, layout), content.encode(), "a.conll")
    checked(lambda path: conll.read(path, layout, annotated=False), content.encode(), "a.conll")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 30)
    | st.floats()
    | st.sampled_from([SECRET, "", "\ud800", 10**4000]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["start", "end", "label", "text", "fragments", SECRET]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
SPANS = st.fixed_dictionaries(
    {
        "start": st.integers(-1, 20),
        "end": st.integers(-1, 20),
        "label": st.sampled_from(["A", SECRET, "\udfff", ""]),
    },
    optional={"text": st.sampled_from([SECRET, "la", 3])},
)
ITEMS = st.fixed_dictionaries(
    {"text": st.sampled_from([f"{SECRET} la", "", " \n", 7])},
    optional={
        "id": VALUES, "spans": st.lists(SPANS, max_size=2) | VALUES, "label": VALUES, "answer": VALUES, SECRET: VALUES,
        "status": VALUES,
    },
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=3))
def test_json_lines_with_spans(items: list[dict[str, Any]]) -> None:
    content = "".join(json.dumps(item) + "\n" for item in items).encode()
    checked(spans_jsonl.read, content, "a.jsonl")
    checked(lambda path: spans_jsonl.read(path, annotated=False), content, "a.jsonl")
    checked(prodigy.read, content, "a.jsonl")


REGIONS = st.fixed_dictionaries(
    {"type": st.sampled_from(["labels", "choices", SECRET])},
    optional={"value": st.fixed_dictionaries({"start": VALUES, "end": VALUES, "labels": VALUES}) | VALUES},
)
ANNOTATIONS = st.fixed_dictionaries({"result": st.lists(REGIONS, max_size=2) | VALUES})
TASKS = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries({"text": st.sampled_from([f"{SECRET} la", "", 7]), "id": VALUES})
        | VALUES
    },
    optional={"id": VALUES, "annotations": st.lists(ANNOTATIONS, max_size=2) | VALUES},
)


@settings(max_examples=100, deadline=None)
@given(st.lists(TASKS, max_size=3) | VALUES)
def test_json_of_label_studio(tasks: Any) -> None:
    checked(label_studio.read, json.dumps(tasks).encode(), "a.json")
