"""Relations in brat folders, JSON lines and XMI: read, written back, and refused with file and line."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from xmi_files import BEGIN, sofa

from bertinchamps.contract import AnnotatedText, Entity, RelatedText, Relation
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import annotated_files, brat, brat_relations, relations_jsonl, xmi
from bertinchamps.tasks.formats.related import WITHOUT_ARGUMENT
from bertinchamps.tasks.readers import readers
from tiny_corpora import of_inception, related

TEXT = "glucose à 12 g et sodium à 140"
ANN = "T1\tEVENT 0 7\tglucose\nT2\tRML 10 14\t12 g\nT3\tEVENT 18 24\tsodium\nT4\tRML 27 30\t140\n"
GOLD = RelatedText(
    "note",
    TEXT,
    (
        Entity("EVENT", ((0, 7),)),
        Entity("EVENT", ((18, 24),)),
        Entity("RML", ((10, 14),)),
        Entity("RML", ((27, 30),)),
    ),
    (Relation("PERTAINS", 2, 0), Relation("PERTAINS", 3, 1)),
)


def of_brat(lines: str, left_out: Counter[str] | None = None) -> RelatedText:
    return brat_relations.read_document(TEXT.encode(), (ANN + lines).encode(), "gold/note", left_out)


def of_json(relations: object, tmp_path: Path, left_out: Counter[str] | None = None) -> RelatedText:
    entities = [[0, 7, "EVENT"], [10, 14, "RML"], [18, 24, "EVENT"], [27, 30, "RML"], [7, 8, "EVENT"]]
    file = tmp_path / "notes.jsonl"
    file.write_text(
        json.dumps({"id": "note", "text": TEXT, "entities": entities, "relations": relations}) + "\n", "utf-8"
    )
    [document] = relations_jsonl.read(file, left_out)
    return document


def test_r_lines_are_read_whatever_their_order_and_roles() -> None:
    lines = "R2\tPERTAINS Arg1:T4 Arg2:T3\t\nR1\tPERTAINS Arg2:T1 Arg1:T2\n#1\tAnnotatorNotes R1\tsure\n"
    assert of_brat(lines) == GOLD
    assert of_brat("R1\tPERTAINS Value:T2 Of:T1\nR2\tPERTAINS Arg1:T4 Arg2:T3\n") == GOLD


def test_old_readers_give_what_they_gave() -> None:
    document = brat.read_document(TEXT.encode(), f"{ANN}R1\tPERTAINS Arg1:T2 Arg2:T9\n".encode(), "note")
    assert document == AnnotatedText("note", TEXT, GOLD.entities)


def test_what_is_no_relation_between_entities_is_counted() -> None:
    left_out: Counter[str] = Counter()
    document = of_brat(
        "T5\tRML 3 3\nE1\tEVENT:T1\nR1\tA Arg1:E1 Arg2:T2\nR2\tA Arg1:T5 Arg2:T2\n*\tEquiv T1 T2\n", left_out
    )
    assert document.relations == ()
    assert left_out == {brat_relations.EVENTS: 1, brat_relations.EQUIVALENCES: 1, WITHOUT_ARGUMENT: 1}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("R1\tA Arg1:T2 Arg2:T9", "its argument T9 is no entity of the file"),
        ("R1\tA Arg1:T2", "an R line that is not well formed; expected is R1<tab>TYPE Arg1:T1 Arg2:T2"),
        ("R1\tA Arg1:T2 Arg2:T2", "a relation between an entity and itself"),
        ("R0\tPERTAINS Arg1:T2 Arg2:T1", "its id is also that of line 5; give each its own"),
        ("R1\tPERTAINS Arg1:T2 Arg2:T1", "the same relation as that of gold/note.ann: line 5"),
    ],
)
def test_wrong_r_lines_are_refused_with_file_and_line(line: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        of_brat(f"R0\tPERTAINS Arg1:T2 Arg2:T1\n{line}\n")
    assert str(caught.value).startswith(f"gold/note.ann: line 6: {told}")
    assert "glucose" not in str(caught.value)


def test_json_lines_name_arguments_by_their_places(tmp_path: Path) -> None:
    left_out: Counter[str] = Counter()
    links = [{"head": 3, "tail": 2, "label": "PERTAINS"}, {"head": 1, "tail": 0, "label": "PERTAINS"}]
    assert of_json([*links, {"head": 4, "tail": 0, "label": "A"}], tmp_path, left_out) == GOLD
    assert left_out == {"entities in which nothing can be seen": 1, WITHOUT_ARGUMENT: 1}


@pytest.mark.parametrize(
    ("relations", "told"),
    [
        (None, "the key 'relations' must list the relations, [] where there are none"),
        ([[0, 1, "A"]], "relations[0]: not a relation; write {"),
        ([{"head": 0, "tail": 1}], "relations[0]: not a relation; write {"),
        (
            [{"head": 0, "tail": 5, "label": "A"}],
            "relations[0]: its tail is no place in the list of entities, which has 5",
        ),
        (
            [{"head": True, "tail": 1, "label": "A"}],
            "relations[0]: its head is no place in the list of entities",
        ),
        ([{"head": 1, "tail": 1, "label": "A"}], "relations[0]: a relation between an entity and itself"),
        ([{"head": 1, "tail": 0, "label": "A"}] * 2, "relations[1]: the same relation as that of"),
    ],
)
def test_wrong_relations_of_json_lines_are_refused(relations: object, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        of_json(relations, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'notes.jsonl'}: line 1: {told}")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    documents = [GOLD, *related(3)]
    for document in documents:
        brat_relations.write_document(tmp_path / "brat", document)
    assert brat_relations.read_folder(tmp_path / "brat") == documents
    relations_jsonl.write(tmp_path / "notes.jsonl", documents)
    assert relations_jsonl.read(tmp_path / "notes.jsonl") == documents


def test_confidences_are_notes_and_fields(tmp_path: Path) -> None:
    predicted = GOLD._replace(confidences=(0.5, 0.98765))
    brat_relations.write_document(tmp_path, predicted)
    lines = (tmp_path / "note.ann").read_text("utf-8").splitlines()
    assert lines[4:] == [
        "R1\tPERTAINS Arg1:T2 Arg2:T1", "#1\tAnnotatorNotes R1\tconfidence 0.50",
        "R2\tPERTAINS Arg1:T4 Arg2:T3", "#2\tAnnotatorNotes R2\tconfidence 0.99",
    ]  # fmt: skip
    written = relations_jsonl.as_item(predicted)["relations"]
    assert written == [
        {"head": 1, "tail": 0, "label": "PERTAINS", "confidence": 0.5},
        {"head": 3, "tail": 2, "label": "PERTAINS", "confidence": 0.9877},
    ]


def of_xmi(
    *elements: str, links: tuple[str, ...] = ("RML.PERTAINSTO",), types: tuple[str, ...] = ("EVENT", "RML")
) -> RelatedText:
    content = "".join([
        BEGIN, '<custom:EVENT xmi:id="1" sofa="12" begin="0" end="7"/>\n',
        '<custom:RML xmi:id="2" sofa="12" begin="10" end="14" PERTAINSTO="5"/>\n',
        '<custom:EVENT xmi:id="3" sofa="12" begin="18" end="24"/>\n', *elements, sofa(TEXT), "</xmi:XMI>",
    ])  # fmt: skip
    return xmi.read_related(content.encode(), "layer1/FR1.xml", "FR1", types, links)


def test_links_and_relation_layers_of_xmi() -> None:
    linked = of_xmi('<custom:RMLPERTAINSTOLink xmi:id="5" role="PERTAINS" target="1"/>\n')
    assert (linked.name, linked.text, linked.entities) == ("FR1", TEXT, GOLD.entities[:3])
    assert linked.relations == (Relation("PERTAINS", 2, 0),)
    without_role = of_xmi('<custom:RMLPERTAINSTOLink xmi:id="5" target="1"/>\n')
    assert without_role.relations == (Relation("PERTAINSTO", 2, 0),)
    layer = '<custom:Link xmi:id="5" sofa="12" begin="0" end="7" Governor="3" Dependent="2"{}/>\n'
    assert of_xmi(layer.format(' kind="HAS"'), links=("Link.kind",)).relations == (Relation("HAS", 1, 2),)
    assert of_xmi(layer.format(""), links=("Link.kind",)).relations == (Relation("Link", 1, 2),)


@pytest.mark.parametrize(
    ("element", "told"),
    [
        ("", "line 3: RML.PERTAINSTO names a link that is not in the file"),
        (
            '<custom:L xmi:id="5" target="9"/>\n',
            "line 5: a relation with an argument that is not in the file",
        ),
        ('<custom:L xmi:id="5" target="2"/>\n', "line 5: a relation between an entity and itself"),
    ],
)
def test_links_to_nothing_are_refused(element: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        of_xmi(element)
    assert str(caught.value).startswith(f"layer1/FR1.xml: {told}")


def test_relations_that_inception_exports(tmp_path: Path) -> None:
    of_inception(tmp_path / "train", [GOLD, *related(2)])
    layers, links = ["Span.label"], ["Relation.label"]
    reader = readers.build("relations", train=str(tmp_path / "train"), layers=layers, links=links)
    reader.check()
    assert reader.read()["train"] == [GOLD, *related(2)]
    left_out: Counter[str] = Counter()
    (note, *_) = annotated_files.read_related_xmi(tmp_path / "train", layers, ["Relation"], left_out, {})
    assert note == GOLD._replace(relations=tuple(link._replace(label="Relation") for link in GOLD.relations))
    assert not +left_out
    (note, *_) = annotated_files.read_related_xmi(tmp_path / "train", ["Token"], links, left_out, {})
    assert (note.entities, note.relations, left_out) == ((), (), {xmi.NOT_READ: 6})


def test_arguments_without_a_label_are_counted_with_their_relations(tmp_path: Path) -> None:
    of_inception(tmp_path, [GOLD])
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text("utf-8").replace(' label="RML"', "", 1), "utf-8")
    left_out: Counter[str] = Counter()
    (note,) = annotated_files.read_related_xmi(file, ["Span.label"], ["Relation.label"], left_out, {})
    assert (len(note.entities), len(note.relations)) == (3, 1)
    assert left_out == {xmi.WITHOUT_LABEL: 1, xmi.NOT_READ: 1}


def test_a_folder_of_zips_is_what_a_project_exports(tmp_path: Path) -> None:
    of_inception(tmp_path / "all", [GOLD])
    with zipfile.ZipFile(tmp_path / "project.zip", "w") as archive:
        archive.write(tmp_path / "all" / "note.xmi", "note.xmi")
    place = tmp_path / "project" / "note.txt"
    place.mkdir(parents=True)
    (tmp_path / "project.zip").rename(place / "admin.zip")
    reader = readers.build(
        "relations", train=str(tmp_path / "project"), layers=["Span.label"], links=["Relation.label"]
    )
    reader.check()
    assert reader.read()["train"] == [GOLD]


def test_layers_and_links_are_asked_for_where_files_are_xmi_and_there_alone(tmp_path: Path) -> None:
    of_inception(tmp_path / "train", [GOLD])
    with pytest.raises(UserError, match=r"task\.links: none given, and task\.train is XMI"):
        readers.build("relations", train=str(tmp_path / "train")).check()
    brat_relations.write_document(tmp_path / "brat", GOLD)
    with pytest.raises(UserError, match=r"task\.layers, task\.links: only XMI has layers"):
        readers.build("relations", train=str(tmp_path / "brat"), links=["Relation.label"]).check()
    told = readers.problems("relations", {"train": "notes", "layers": [], "links": [".label"]})
    assert told == [
        "task.layers: TYPE.FEATURE each, such as [NamedEntity.value], or TYPE",
        "task.links: TYPE.FEATURE each, such as [Relation.label], or TYPE",
    ]
