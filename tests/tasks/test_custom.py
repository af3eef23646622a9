"""The user's own examples, told apart by the names of their files."""

from __future__ import annotations

import json
import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.contract import AnnotatedText, Entity, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.examples import read_examples
from bertinchamps.tasks.readers import custom, readers
from bertinchamps.tasks.splits import label_names
from real import real
from support import composed

SECRET = "Madame Confidentielle"


def write(path: Path, content: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())
    return str(path)


def refused(name: str, call: str = "check", **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        getattr(readers.build(name, **settings), call)()
    assert SECRET not in str(caught.value)
    return str(caught.value)


# --- classification


def test_classification_of_pairs_in_files_of_different_kinds(tmp_path: Path) -> None:
    reader = readers.build(
        "classification",
        train=write(tmp_path / "train.csv", "a,b,cat\nUn,Deux,x\n"),
        test=write(tmp_path / "test.jsonl", '{"a": "Un", "b": "Deux", "cat": "y"}'),
        text="a",
        pair="b",
        label="cat",
    )
    reader.check()
    assert reader.read() == {
        "train": [LabelledText("train.csv, line 2", "Un", "Deux", ("x",))],
        "test": [LabelledText("test.jsonl, line 1", "Un", "Deux", ("y",))],
    }


@pytest.mark.parametrize(
    ("target", "kind", "read"),
    [
        ("single", "single_label", ("1/2",)),
        ("multi", "multi_label", ("1", "2")),
        ("number", "regression", None),
    ],
)
def test_the_target_decides_the_kind(tmp_path: Path, target: str, kind: str, read: Any) -> None:
    train = write(tmp_path / "a.tsv", "text\tlabel\nUn\t1/2\n")
    reader = readers.build("classification", train=train, target=target, separator="/")
    assert reader.kind == kind
    if read is None:
        assert "a.tsv: line 2: column 'label': not a number" in refused(
            "classification", train=train, target=target
        )
    else:
        assert reader.read()["train"][0].target == read


def test_quotes_that_a_tsv_keeps_are_reported(tmp_path: Path) -> None:
    train = write(
        tmp_path / "a.tsv", 'text\tlabel\n"Un ""mot"""\tx\nUn "mot"\ty\n"Un" et "deux"\tx\nUn\t"x"\n'
    )
    reader = readers.build(
        "classification", train=train, test=write(tmp_path / "b.tsv", "text\tlabel\nUn\tx\n")
    )
    assert reader.read()["train"][0].text == '"Un ""mot"""'
    assert reader.remarks == (
        "2 of the 4 rows of task.train have a field in quotes, which are kept: in a .tsv a quote is a character like "
        "any other; where quotes enclose fields, call the file .csv",
    )
    reader = readers.build(
        "classification", train=write(tmp_path / "a.csv", 'text\tlabel\n"Un ""mot"""\tx\n')
    )
    assert reader.read()["train"][0].text == 'Un "mot"'
    assert reader.remarks == ()


def test_classification_that_cannot_be(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", f"note,label\n{SECRET},1\n")
    assert "task.target=regression: one of single, multi, number" in refused(
        "classification", train=train, target="regression"
    )
    assert "task.separator: must not be empty" in refused("classification", train=train, separator="")
    assert "name the right one with task.text=NAME" in refused("classification", train=train)
    assert "task.dev=missing.csv: no such file or folder" in refused(
        "classification", train=train, dev="missing.csv"
    )
    assert "also task.train" in refused("classification", train=train, test=str(tmp_path / "." / "a.csv"))
    assert "unknown kind of file" in refused("classification", train=write(tmp_path / "a.xlsx", ""))
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name in ("classification", "ner"):
        told = refused(name, train=str(tmp_path / "pipe.jsonl"))
        assert "pipe.jsonl: neither a file nor a folder" in told
    assert "task.train: classification needs it" in refused("classification")


@pytest.mark.parametrize(
    ("train", "name"),
    [
        ("lettres/records.csv.gz", "records"),
        ("lettres/train.jsonl", "lettres_train"),
        ("lettres/brat/Train", "lettres_brat_Train"),
        ("lettres/../rapports/train/", "rapports_train"),
        ("/train.csv", "train"),
    ],
)
def test_a_task_is_called_after_what_tells_it_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert custom.named_after(Path(train)) == name


def test_an_empty_title_is_refused(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", "text,label\nUn,1\n")
    for name in ("classification", "ner"):
        assert "task.title: must not be empty" in refused(name, train=train, title=" ")


def test_lines_that_an_annotation_tool_rejected_are_no_examples(tmp_path: Path) -> None:
    rows = [
        {"text": f"note {n}", "label": "a", "answer": ["accept", "reject", "ignore"][n % 3]} for n in range(9)
    ]
    train = write(tmp_path / "train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    reader = readers.build("classification", train=train)
    assert [record.text for record in reader.read()["train"]] == ["note 0", "note 3", "note 6"]
    assert reader.remarks == (
        "left out of task.train: lines that the annotation tool marked as rejected (6)",
    )
    reader = readers.build("classification", train=train, label="answer")  # which then is no mark
    assert len(reader.read()["train"]) == 9


# --- named entities

EXPECTED = [AnnotatedText("n", "La rougeole", (Entity("DISO", ((3, 11),)),))]


def ner_file(tmp_path: Path, kind: str) -> str:
    """The expected document in a format."""
    if kind == "brat folder":
        write(tmp_path / "folder" / "n.ann", "T1\tDISO 3 11\trougeole\n")
        return str(Path(write(tmp_path / "folder" / "n.txt", "La rougeole")).parent)
    if kind == "brat zip":
        with zipfile.ZipFile(tmp_path / "notes.zip", "w") as archive:
            archive.writestr("n.txt", "La rougeole")
            archive.writestr("n.ann", "T1\tDISO 3 11\trougeole\n")
        return str(tmp_path / "notes.zip")
    if kind == ".jsonl":
        item = {"id": "n", "text": "La rougeole", "spans": [[3, 11, "DISO"]]}
        return write(tmp_path / "notes.jsonl", json.dumps(item))
    return write(tmp_path / f"n{kind}", "La O\nrougeole B-DISO\n")


@pytest.mark.parametrize(
    "kind", ["brat folder", "brat zip", ".jsonl", ".conll", ".tsv", ".iob2", ".bio", ".txt"]
)
def test_ner_in_every_format(tmp_path: Path, kind: str) -> None:
    reader = readers.build(
        "ner", train=ner_file(tmp_path, kind), test=ner_file(tmp_path / "test", "brat zip")
    )
    reader.check()
    splits = reader.read()
    assert [document[1:3] for document in splits["train"]] == [EXPECTED[0][1:3]]
    assert splits["test"] == EXPECTED
    assert (reader.kind, list(splits)) == ("ner", ["train", "test"])


@pytest.fixture(autouse=True)
def _folder_of_the_test_split(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()


def test_ner_tells_the_formats_and_how_a_broken_file_was_read(tmp_path: Path) -> None:
    train = write(tmp_path / "notes.docx", SECRET)
    for call in ("check", "read"):
        message = refused("ner", call, train=train)
        assert (
            f"task.train={train}: no known format has this suffix: a folder, .zip or .tar.gz is read as brat"
            in message
        )
    broken = write(tmp_path / "notes.conll", f"{SECRET}\n")
    message = refused("ner", "read", train=ner_file(tmp_path, ".jsonl"), dev=broken)
    assert "notes.conll: line 1: " in message
    assert f"(task.dev={broken} is read as CoNLL columns: " in message
    assert "task.train=missing: no such file or folder" in refused("ner", train="missing")


def test_what_is_left_out_of_entities_is_remarked(tmp_path: Path) -> None:
    rows = [{"text": "La rougeole", "spans": [[3, 11, "DISO"], [2, 3, "DISO"]]}]
    rows += [{"text": "La grippe", "spans": [], "answer": "reject"}] * 2
    train = write(tmp_path / "train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path / "dev" / "n.ann", "T1\tDISO 3 11\trougeole\nT2\tDISO 3 3\t\n")
    dev = str(Path(write(tmp_path / "dev" / "n.txt", "La rougeole")).parent)
    reader = readers.build("ner", train=train, dev=dev)
    splits = reader.read()
    assert [len(split) for split in splits.values()] == [1, 1]
    assert reader.remarks == (
        "left out of task.train: entities in which nothing can be seen (1)",
        "left out of task.train: lines that the annotation tool marked as rejected (2)",
        "left out of task.dev: entities without a character (1)",
    )


@pytest.mark.parametrize("column", ["id", "text"])
@pytest.mark.parametrize("dev", [True, False])
def test_a_column_of_ids_or_texts_as_labels_is_refused(tmp_path: Path, column: str, dev: bool) -> None:
    rows = "".join(
        f'{{"id": "Zwart{n}", "text": "Zwart tousse, {n}", "label": "{n % 2}"}}\n' for n in range(40)
    )
    for split in ("train", "dev"):
        (tmp_path / f"{split}.jsonl").write_text(rows, encoding="utf-8")
    words = ["task=classification", f"task.train={tmp_path / 'train.jsonl'}"]
    words += [f"task.dev={tmp_path / 'dev.jsonl'}"] if dev else []
    assert read_examples(composed(*words, command="finetune")).labels == ("0", "1")
    with pytest.raises(UserError, match=r"task\.label: 40 of 40 training texts") as raised:
        read_examples(composed(*words, f"task.label={column}", command="finetune"))
    assert "Zwart" not in str(raised.value)


# --- the real data


@pytest.mark.real_data
@pytest.mark.parametrize(("topic", "name"), [(1, "REGIONS"), (2, "FOOTBALL")])
def test_real_topics_of_the_press(topic: int, name: str) -> None:
    folder = real("rtbf_topic")
    reader = readers.build(
        "classification",
        train=str(folder / f"topic_{topic}_train.jsonl.zst"),
        test=str(folder / f"topic_{topic}_test.jsonl.zst"),
        label="category",
    )
    reader.check()
    splits = reader.read()
    assert label_names(splits) == (name, "other")
    for records in splits.values():
        assert Counter(record.target for record in records) == {(name,): 1_000, ("other",): 1_000}
    assert splits["train"][0].name == f"topic_{topic}_train.jsonl.zst, line 1"
