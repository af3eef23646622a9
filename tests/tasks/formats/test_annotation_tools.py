"""What annotation tools export is read as examples, and what they import is written; the same on the way back."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from documents import documents
from hypothesis import given, settings

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.spans import can_be_seen, visible
from bertinchamps.tasks.formats import (
    annotated_files,
    doccano,
    label_studio,
    prodigy,
    spans_jsonl,
    xmi_writing,
)

SECRET = "Confidentielle"
TEXT = "Le 💊 kyste du rein.\r\nFin\tde note."
NESTED = AnnotatedText("P/7", TEXT, (Entity("ANAT", ((14, 18),)), Entity("DISO", ((5, 18),))))
FILES = {
    "label_studio": (label_studio.write, "notes.json"),
    "doccano": (doccano.write, "notes.jsonl"),
    "prodigy": (prodigy.write, "notes.jsonl"),
}


def read(path: Path, form: str = "", left_out: Counter[str] | None = None) -> list[AnnotatedText]:
    counts = Counter[str]() if left_out is None else left_out
    return annotated_files.read(path, form or str(annotated_files.form_of(path)), counts)


def contiguous(document: AnnotatedText) -> AnnotatedText:
    """The document as every tool can hold it."""
    whole = [visible(document.text, entity) for entity in document.entities]
    kept = [entity for entity in whole if can_be_seen(document.text, entity) and len(entity.fragments) == 1]
    return document._replace(entities=tuple(sorted(kept)))


@pytest.mark.parametrize("form", list(FILES))
@settings(max_examples=40, deadline=None)
@given(document=documents())
def test_what_is_written_for_a_tool_is_read_again(form: str, document: AnnotatedText) -> None:
    document = contiguous(document)
    write, name = FILES[form]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, name), [spans_jsonl.as_item(document)])
        assert read(Path(folder, name), form) == [document]
        assert read(Path(folder, name)) == [document]  # told apart by the name


@settings(max_examples=60, deadline=None)
@given(document=documents())
def test_xmi_is_read_again_and_never_written_where_xml_cannot_hold_the_text(document: AnnotatedText) -> None:
    document = contiguous(document)
    with tempfile.TemporaryDirectory() as folder:
        xmi_writing.write_document(Path(folder), document)
        if xmi_writing.fits(document.text):
            assert read(Path(folder)) == [document]
        else:
            with pytest.raises(UserError, match="not well-formed XML"):
                read(Path(folder))


def test_other_columns_go_where_the_tool_keeps_them(tmp_path: Path) -> None:
    predicted = NESTED._replace(confidences=(0.25, 0.75))
    item = {**spans_jsonl.as_item(predicted), "ward": "B2"}
    for form, (write, name) in FILES.items():
        write(tmp_path / form / name, [item], "tagger")
    (task,) = json.loads((tmp_path / "label_studio/notes.json").read_text(encoding="utf-8"))
    assert task["data"] == {"id": "P/7", "text": TEXT, "ward": "B2"}
    (prediction,) = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("tagger", 0.5)
    assert [region["score"] for region in prediction["result"]] == [0.75, 0.25]
    assert prediction["result"][1]["value"] == {"start": 14, "end": 18, "text": "rein", "labels": ["ANAT"]}
    line = json.loads((tmp_path / "doccano/notes.jsonl").read_text(encoding="utf-8"))
    assert line == {"id": "P/7", "text": TEXT, "ward": "B2", "label": [[5, 18, "DISO"], [14, 18, "ANAT"]]}
    shown = json.loads((tmp_path / "prodigy/notes.jsonl").read_text(encoding="utf-8"))
    assert shown["meta"] == {"id": "P/7", "ward": "B2", "model": "tagger"}
    assert "answer" not in shown
    for span in shown["spans"]:
        tokens = shown["tokens"]
        assert tokens[span["token_start"]]["start"] == span["start"]
        assert tokens[span["token_end"]]["end"] == span["end"]


def test_predictions_of_label_studio_are_no_annotations(tmp_path: Path) -> None:
    label_studio.write(tmp_path / "a.json", [spans_jsonl.as_item(NESTED)], "tagger")
    with pytest.raises(
        UserError, match=r"no annotated document in it \(documents that nobody annotated: 1\)"
    ):
        read(tmp_path / "a.json")


def region(start: object, end: object, *labels: str, **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": list(labels), **more}
    return {"id": "x", "from_name": "label", "to_name": "text", "type": "labels", "value": value}


def task(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": 3, "data": {"text": "Le kyste du rein", **data}, "annotations": list(annotations)}


def test_of_several_annotations_one_counts(tmp_path: Path) -> None:
    first, truth = {"result": [region(3, 8, "DISO")]}, {"result": [], "ground_truth": True}
    choice = {"type": "choices", "value": {"choices": ["x"]}}
    link = {"type": "relation", "from_id": "x", "to_id": "y", "direction": "right"}
    several = [region(12, 16, "ANAT", "DISO", text="re\\nin"), choice, link]
    tasks = [
        task(first, {"result": []}),
        task(first, truth, id="b"),
        task({"result": [], "was_cancelled": True}, id="c"),
        task({"result": several}, id="d"),
        task({"result": [region(0, 16, "DISO"), region(2, 3, "DISO")]}, id="e"),
        {
            "id": 9,
            "data": {"note": "Une toux", "ward": 3},
            "annotations": [{"result": [region(4, 8, "DISO")]}],
        },
    ]
    (tmp_path / "a.json").write_text(json.dumps(tasks), encoding="utf-8")
    left_out: Counter[str] = Counter()
    found = {document.name: document for document in label_studio.read(tmp_path / "a.json", left_out)}
    assert list(found) == ["3", "b", "d", "e", "9"]
    assert found["3"].entities == (Entity("DISO", ((3, 8),)),)
    assert found["b"].entities == ()
    assert found["d"].entities == (Entity("ANAT", ((12, 16),)), Entity("DISO", ((12, 16),)))
    assert (found["e"].entities, found["9"].text) == ((Entity("DISO", ((0, 16),)),), "Une toux")
    assert left_out == {label_studio.FURTHER: 2, label_studio.REJECTED: 1, spans_jsonl.BLANK: 1}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f"[{SECRET}", "a.json: cannot be read as JSON (Expecting value, line 1)"),
        (f'["{SECRET}",\n "\n', "Invalid control character at, line 2"),
        (f'{{"{SECRET}": 1}}', "a.json: not an export of Label Studio; expected is a list of tasks"),
        (json.dumps([{"text": SECRET, "label": []}]), "not JSON-MIN"),
        ("[]", "not an export of Label Studio"),
        ("[" * 10_000, "nested too deeply"),
        (json.dumps([{"data": {"a": SECRET, "b": SECRET}}]), "task 1: no text under the key 'data.text'"),
        (json.dumps([{"data": {"text": f"{SECRET} \ud800"}}]), "task 1: the key 'data' holds half a surrogate pair"),
        (json.dumps([task(), {**task(), "annotations": SECRET}]), "task 2: the key 'annotations' must hold a list"),
        (json.dumps([task({"result": SECRET})]), "task 1: the key 'result' of its annotation must hold a list"),
        (json.dumps([task({"result": [region(0, 99, SECRET)]})]), "result[0]: outside of the text, which has 16"),
        (json.dumps([task({"result": [region("/p[1]", "/p[1]", "A", startOffset=0)]})]), "result[0]: a region of HTML"),
        (json.dumps([task({"result": [region(0, 2)]})]), "result[0]: not a labelled region of a text"),
        (json.dumps([task({"result": [{"type": "labels", "value": SECRET}]})]), "result[0]: not a labelled region"),
        (json.dumps([task({"result": [region(3, 8, "A", text=SECRET)]})]), "the text of the entity is not the text at"),
        (json.dumps([task({"result": []}), task({"result": []})]), "task 2: its id is also that of task 1"),
    ],
)  # fmt: skip
def test_an_export_that_does_not_fit_is_refused_by_its_place(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        label_studio.read(tmp_path / "a.json")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'a.json'}: ")
    assert told in message
    assert SECRET not in message


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_prodigy_has_tasks_without_spans_and_answers(tmp_path: Path) -> None:
    span = {"start": 3, "end": 8, "label": "DISO", "token_start": 1, "token_end": 1}
    rows = [
        {"text": "Le kyste", "spans": [span], "label": "DISO", "answer": "accept", "meta": {"id": "a"}},
        {"text": "Rien", "answer": "accept", "meta": {"id": "a"}},
        {"text": "Le kyste", "spans": [span], "answer": "reject"},
        {"text": "Le kyste", "spans": [span, {"start": 2, "end": 3, "label": "DISO"}], "id": "b"},
    ]
    left_out: Counter[str] = Counter()
    found = read(jsonl(tmp_path / "p.jsonl", *rows), "prodigy", left_out)
    assert [(document.name, len(document.entities)) for document in found] == [
        ("a", 1),
        ("p-line-2", 0),
        ("b", 1),
    ]
    assert left_out == {label_studio.REJECTED: 1, spans_jsonl.BLANK: 1}
    for spans, told in (
        (SECRET, "line 1: the key 'spans' must hold a list"),
        ([SECRET], "spans[0]: not an entity"),
    ):
        broken = jsonl(tmp_path / "q.jsonl", {"text": SECRET, "spans": spans})
        with pytest.raises(UserError) as caught:
            read(broken, "prodigy")
        assert told in str(caught.value)
        assert SECRET not in str(caught.value)


def test_doccano_with_relations_counts_characters_under_other_names(tmp_path: Path) -> None:
    entity = {"id": 4, "label": "DISO", "start_offset": 3, "end_offset": 8}
    rows = {"id": 1, "text": "Le kyste", "entities": [entity], "relations": [], "Comments": []}
    assert read(jsonl(tmp_path / "d.jsonl", rows), "doccano") == [
        AnnotatedText("1", "Le kyste", (Entity("DISO", ((3, 8),)),))
    ]


def test_xmi_in_folders_zips_and_files(tmp_path: Path) -> None:
    document = NESTED._replace(name="admin")
    xmi_writing.write_document(tmp_path / "plain", document)
    assert read(tmp_path / "plain" / "admin.xmi") == [document]
    for name in ("one.txt", "two.txt"):  # as INCEpTION exports a project
        place = tmp_path / "project" / "annotation" / name
        place.mkdir(parents=True)
        with zipfile.ZipFile(place / "admin.zip", "w") as archive:
            for file in (tmp_path / "plain").iterdir():
                archive.write(file, file.name)
    found = read(tmp_path / "project", "xmi")
    assert [each.name for each in found] == [f"annotation-{n}.txt-admin.zip-admin" for n in ("one", "two")]
    assert found[0].entities == NESTED.entities
    (tmp_path / "plain" / "empty").mkdir()
    with pytest.raises(UserError, match=r"plain/empty: no \.xmi file in it"):
        read(tmp_path / "plain" / "empty", "xmi")


def test_layers_of_xmi_give_the_labels(tmp_path: Path) -> None:
    xmi_writing.write_document(tmp_path, NESTED._replace(name="a"))
    file = tmp_path / "a.xmi"
    file.write_text(
        file.read_text(encoding="utf-8").replace('value="ANAT"', 'identifier="C1"'), encoding="utf-8"
    )

    def labels(*layers: str) -> list[str]:
        left_out: Counter[str] = Counter()
        (document,) = annotated_files.read_xmi(tmp_path, layers, left_out)
        assert sum(left_out.values()) == 2 - len(document.entities)
        return [entity.label for entity in document.entities]

    assert labels("NamedEntity.value") == ["DISO"]
    assert labels("NamedEntity.identifier") == ["C1"]
    assert labels("NamedEntity") == ["NamedEntity"] * 2


def test_cassis_opens_what_is_written_for_inception(tmp_path: Path) -> None:
    cassis = pytest.importorskip(
        "cassis", reason="dkpro-cassis, a reader of XMI, is not installed (extra peers)"
    )
    xmi_writing.write_document(tmp_path, NESTED._replace(name="a"))
    with (tmp_path / "TypeSystem.xml").open("rb") as types, (tmp_path / "a.xmi").open("rb") as file:
        cas = cassis.load_cas_from_xmi(file, cassis.load_typesystem(types))
    assert cas.sofa_string == TEXT
    found = cas.select("de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity")
    assert [(each.value, each.get_covered_text()) for each in found] == [
        ("DISO", "kyste du rein"),
        ("ANAT", "rein"),
    ]
    tokens = cas.select("de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Token")
    assert [token.get_covered_text() for token in tokens][:4] == ["Le", "💊", "kyste", "du"]
    cas.to_xmi(tmp_path / "again.xmi")
    assert read(tmp_path / "again.xmi") == [NESTED._replace(name="again")]


@pytest.mark.parametrize("name", ["notes.json", "notes.jsonl", "notes.xmi"])
def test_the_formats_of_tools_are_told_apart_by_their_names(name: str, tmp_path: Path) -> None:
    from bertinchamps.tasks.readers import readers

    writers: dict[str, Callable[[Path], None]] = {
        "notes.json": lambda path: label_studio.write(path, [spans_jsonl.as_item(NESTED)]),
        "notes.jsonl": lambda path: prodigy.write(path, [spans_jsonl.as_item(NESTED)]),
        "notes.xmi": lambda path: xmi_writing.write_document(path.parent, NESTED._replace(name="notes")),
    }
    writers[name](tmp_path / name)
    reader = readers.build("ner", train=str(tmp_path / name))
    reader.check()
    assert [document.entities for document in reader.read()["train"]] == [NESTED.entities]


def test_a_format_can_be_named_and_layers_belong_to_xmi(tmp_path: Path) -> None:
    from bertinchamps.tasks.readers import readers

    path = jsonl(tmp_path / "export.dat", {"text": "Le kyste", "answer": "accept"})
    reader = readers.build("ner", train=str(path), format="prodigy")
    reader.check()
    assert len(reader.read()["train"]) == 1
    told = readers.problems("ner", {"train": str(path), "format": "prodigi", "layers": []})
    assert told == [
        "task.format=prodigi: one of auto, brat, conll, jsonl, label_studio, doccano, prodigy, xmi",
        "task.layers: TYPE.FEATURE each, such as [NamedEntity.value], or TYPE",
    ]
    with pytest.raises(UserError, match=r"task\.layers: only XMI has layers"):
        readers.build("ner", train=str(path), format="prodigy", layers=["Span.label"]).check()
    with pytest.raises(
        UserError, match=r"\(task\.train=.*export\.dat is read as JSON of Label Studio: a folder"
    ):
        readers.build("ner", train=str(path), format="label_studio").read()
