"""New text in, entities and classes out: the same as the evaluation found, with offsets of the text as given."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import signal
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.checks.prediction import problems
from bertinchamps.errors import Stopped
from bertinchamps.finetune import finetune
from bertinchamps.predict import predict as predict_texts
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.signals import Interrupted
from bertinchamps.tasks import inputs
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.formats import annotated_files, brat, spans_jsonl
from bertinchamps.tasks.saved_model import SavedModel, open_model
from bertinchamps.tasks.tagging import predictor
from bertinchamps.tasks.tagging.predictor import EntityPredictor
from bertinchamps.training.runtime import build_runtime
from support import command, composed, started
from test_finetune import QUICK, SCRATCH
from tiny_corpora import brat_corpus, documents, opinions


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagger")
    words = [
        *brat_corpus(folder / "corpus"), *QUICK, *SCRATCH, "head=nested", "budget.epochs=60", "dropout=0",
        "optim.learning_rate=3e-3", "selection.every_epochs=10", f"run_dir={folder / 'run'}",
    ]  # fmt: skip
    return finetune(composed(*words, command="finetune"))


@pytest.fixture
def predict(tagger: Path, tmp_path: Path) -> Callable[..., Any]:
    def run(*words: str, stdin: str | None = None) -> Any:
        result = command(
            "bertinchamps.predict", f"model={tagger}", *words, "runtime=eager", cwd=tmp_path, stdin=stdin
        )
        assert result.returncode == 0, result.stderr
        return result

    return run


def test_a_folder_becomes_brat_with_the_entities_of_the_evaluation(
    predict: Callable[..., Any], tagger: Path, tmp_path: Path
) -> None:
    predict(f"input={tagger.parent / 'corpus/test'}", "output=labelled")
    found = brat.read_folder(tmp_path / "labelled")
    assert found == brat.read_folder(tagger / "predictions" / "test" / "brat")
    assert any(document.entities for document in found)


@pytest.mark.parametrize(
    ("form", "output"),
    [("label_studio", "tasks.json"), ("doccano", "out.jsonl"), ("prodigy", "out.jsonl"), ("xmi", "out")],
)
def test_annotation_tools_get_what_the_evaluation_found(
    form: str, output: str, predict: Callable[..., Any], tagger: Path, tmp_path: Path
) -> None:
    named = [] if form == "label_studio" else [f"format={form}"]  # by the name of the output
    predict(f"input={tagger.parent / 'corpus/test'}", f"output={output}", *named)
    gold = brat.read_folder(tagger / "predictions" / "test" / "brat")
    file = tmp_path / output
    if form == "label_studio":  # an annotator accepts what the model predicted
        (version,) = {task["predictions"][0]["model_version"] for task in json.loads(file.read_text("utf-8"))}
        assert version == "ner_corpus_train"
        file.write_text(file.read_text("utf-8").replace('"predictions"', '"annotations"'), encoding="utf-8")
    found = annotated_files.read(file, form, Counter())
    assert [(each.name, each.text, each.entities) for each in found] == [
        (each.name, each.text, each.entities) for each in gold
    ]


@pytest.mark.parametrize("portion", [1, 4, 8192])
@pytest.mark.parametrize("batch", [1, 64])
def test_texts_together_get_the_entities_that_they_get_alone(
    tagger: Path, batch: int, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "WINDOWS_AT_ONCE", portion)
    folder, runtime = tagger / "model", build_runtime(RuntimeConfig(precision="fp32", threads=1))
    reader = open_model(folder, read_facts(folder), batch, runtime)
    assert isinstance(reader.predictor, EntityPredictor)
    texts = [(document.name, document.text) for document in documents(12)]
    texts.insert(5, ("several", " ".join(text for _, text in texts[:4])))
    texts.insert(7, ("empty", ""))
    with reader.reading():
        together = reader.predictor.label(reader.model, texts)
        alone = [reader.predictor.label(reader.model, [text])[0] for text in texts]
    assert [(document.name, document.text) for document in together] == texts
    assert [document._replace(confidences=None) for document in together] == [
        document._replace(confidences=None) for document in alone
    ]
    for one, other in zip(together, alone, strict=True):
        assert one.confidences == pytest.approx(other.confidences, abs=1e-4)
    assert any(document.entities for document in together)


def test_several_models_write_a_file_each(predict: Callable[..., Any], tagger: Path, tmp_path: Path) -> None:
    texts = f"input={tagger.parent / 'corpus/test'}"
    predict(texts, "output=alone.csv")
    predict(f"model=[{tagger},{tagger}/model]", texts, "output=all", "format=csv")
    files = sorted((tmp_path / "all").iterdir())
    assert [file.name for file in files] == ["run-2.csv", "run.csv"]
    assert {file.read_bytes() for file in files} == {(tmp_path / "alone.csv").read_bytes()}


def test_several_models_have_rules_of_their_own(tagger: Path, tmp_path: Path) -> None:
    config = composed(f"model=[{tagger},missing,absent]", "deidentify=tags", command="predict")
    found = "\n".join(problems(config))
    for part in ("output=-: several models", "input=-: several models", "missing: no model", "absent: no model",
                 "deidentify=tags: replaces"):  # fmt: skip
        assert part in found
    assert "model: the directory of a run" in "".join(problems(composed("model=[]", command="predict")))


def test_standard_input_becomes_json_lines(predict: Callable[..., Any]) -> None:
    document = documents(1)[0]
    result = predict(stdin=document.text)
    (line,) = result.stdout.splitlines()
    found = json.loads(line)
    assert found["text"] == document.text
    spans = {(entity["start"], entity["end"], entity["label"]) for entity in found["entities"]}
    assert spans == {(entity.start, entity.end, entity.label) for entity in document.entities}


def test_offsets_are_those_of_the_text_as_given(predict: Callable[..., Any], tmp_path: Path) -> None:
    plain = documents(1)[0].text
    odd = unicodedata.normalize("NFD", plain).replace("Le ", "\ufeffLe\xa0\n ")
    rows = [{"id": "plain", "text": plain}, {"id": "odd", "text": odd}, {"id": "empty", "text": ""}]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    predict("input=notes.jsonl", "output=out.jsonl")
    first, second, empty = spans_jsonl.read(tmp_path / "out.jsonl")
    assert second.text == odd
    assert empty.entities == ()
    words = [
        sorted(
            unicodedata.normalize("NFC", document.text[e.start : e.end]) + e.label for e in document.entities
        )
        for document in (first, second)
    ]
    assert words[0] == words[1]
    assert words[0]


def test_pages_and_columns(predict: Callable[..., Any], tagger: Path, tmp_path: Path) -> None:
    note = tagger.parent / "corpus/test/note_14.txt"
    predict(f"input={note}", "output=page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "DISO" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    predict(f"input={note}", "output=note.conll")
    assert "B-" in (tmp_path / "note.conll").read_text(encoding="utf-8")


def test_sentences_and_words_of_columns_are_kept(predict: Callable[..., Any], tmp_path: Path) -> None:
    words = [["Dr", ".", "Le", "abcès", "du", "foie", "aujourd'hui", "10,5", "mg/j", "."], ["Fin", "…"]]
    rows = "\n\n".join("\n".join(sentence) for sentence in words)
    (tmp_path / "in.conll").write_text(rows, encoding="utf-8")
    predict("input=in.conll", "output=out.conll")
    written = (tmp_path / "out.conll").read_text(encoding="utf-8")
    found = [[row.split("\t") for row in part.split("\n")] for part in written.strip().split("\n\n")]
    assert [[row[0] for row in sentence] for sentence in found] == [
        [word for word in sentence if word] for sentence in words
    ]
    assert any(row[1].startswith("B-") for row in found[0])


def test_what_is_there_is_not_overwritten(tagger: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("precious", encoding="utf-8")
    result = command(
        "bertinchamps.predict",
        f"model={tagger}",
        "input=nothing.txt",
        "output=mine.jsonl",
        "format=brot",
        cwd=tmp_path,
    )
    assert result.returncode == 2
    assert "3 problems" in result.stderr
    assert (tmp_path / "mine.jsonl").read_text(encoding="utf-8") == "precious"


@pytest.fixture(scope="module")
def critic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of opinions on books."""
    folder = tmp_path_factory.mktemp("critic")
    train = opinions(folder / "train.jsonl", 60)
    words = [
        "task=classification", f"task.train={train}", *QUICK, *SCRATCH, "optim.learning_rate=3e-3",
        "budget.epochs=20", f"run_dir={folder / 'run'}",
    ]  # fmt: skip
    return finetune(composed(*words, command="finetune"))


def predicted(model: Path, tmp_path: Path, *words: str) -> Any:
    """What `python -m bertinchamps.predict` returned in a folder."""
    return command("bertinchamps.predict", f"model={model}", *words, "runtime=eager", cwd=tmp_path)


def test_classes_with_their_probabilities(critic: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(
        'text\n"Un très bon livre, 8 pages."\n"Un mauvais livre, 9 pages."\n', encoding="utf-8"
    )
    result = predicted(critic, tmp_path, "input=new.csv")
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["predicted"] for row in found] == ["good", "bad"]
    assert [row["id"] for row in found] == ["new.csv, line 2", "new.csv, line 3"]
    assert all(sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-4) for row in found)


BOOKS = "id;text;ward\nP-77;Un très bon livre, 8 pages.;B2\nP-78;Un mauvais livre, 9 pages.;\n"


def test_ids_and_columns_come_out_as_they_went_in(critic: Path, tmp_path: Path) -> None:
    (tmp_path / "books.csv").write_text(BOOKS, encoding="utf-8")
    for name in ("out.csv", "out.tsv", "out.jsonl"):
        assert predicted(critic, tmp_path, "input=books.csv", f"output={name}").returncode == 0
    rows = {
        "out.csv": list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8"), delimiter=";")),
        "out.tsv": list(csv.DictReader((tmp_path / "out.tsv").open(encoding="utf-8"), delimiter="\t")),
        "out.jsonl": [json.loads(line) for line in (tmp_path / "out.jsonl").open(encoding="utf-8")],
    }
    for name, found in rows.items():
        kept = [(row["id"], row["text"], row["ward"], row["predicted"]) for row in found]
        assert kept == [
            ("P-77", "Un très bon livre, 8 pages.", "B2", "good"),
            ("P-78", "Un mauvais livre, 9 pages.", "", "bad"),
        ], name
    shares = [row["probabilities"][row["predicted"]] for row in rows["out.jsonl"]]
    for name in ("out.csv", "out.tsv"):
        assert [float(row["probability"]) for row in rows[name]] == pytest.approx(shares, abs=1e-5)
    result = predicted(critic, tmp_path, "input=out.jsonl", "format=csv", "id_field=ward")
    assert result.returncode == 2
    assert "out.jsonl: line 1: a column is called 'predicted'" in result.stderr


def test_entities_in_a_table_keep_ids_and_columns(tagger: Path, tmp_path: Path) -> None:
    notes = documents(3)
    rows = [{"nip": f"P-{n}", "note": note.text, "ward": n} for n, note in enumerate(notes)]
    rows.append({"nip": "P-9", "note": "", "ward": 9})
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "notes.jsonl").write_text(lines, encoding="utf-8")
    shared = [tagger, tmp_path, "input=notes.jsonl", "text_field=note", "id_field=nip"]
    assert predicted(*shared, "output=out.csv").returncode == 0
    found = list(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8")))
    assert list(found[0]) == [
        "nip", "ward", "entity_type", "entity_start", "entity_end", "entity_text", "confidence"
    ]  # fmt: skip
    for number, note in enumerate(notes):
        own = [row for row in found if row["nip"] == f"P-{number}"]
        assert {row["ward"] for row in own} == {str(number)}
        assert sorted((int(row["entity_start"]), row["entity_type"]) for row in own) == sorted(
            (entity.start, entity.label) for entity in note.entities
        )
        assert all(
            note.text[int(row["entity_start"]) : int(row["entity_end"])] == row["entity_text"] for row in own
        )
        assert all(0.5 < float(row["confidence"]) <= 1 for row in own)
    assert found[-1] == dict.fromkeys(found[0], "") | {"nip": "P-9", "ward": "9"}
    assert predicted(*shared, "output=out.jsonl").returncode == 0
    first = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert {"id": "P-0", "text": notes[0].text, "nip": "P-0", "ward": 0}.items() <= first.items()
    assert predicted(*shared, "output=brat").returncode == 0
    assert sorted(file.stem for file in (tmp_path / "brat").glob("*.ann")) == ["P-0", "P-1", "P-2", "P-9"]
    places = [
        int(line.split()[2])
        for line in (tmp_path / "brat" / "P-0.ann").read_text().splitlines()
        if line[0] == "T"
    ]
    assert places == sorted(places)
    assert "AnnotatorNotes T1\tconfidence " in (tmp_path / "brat" / "P-0.ann").read_text()


def test_a_mistake_at_the_end_is_told_before_anything_is_written(critic: Path, tmp_path: Path) -> None:
    (tmp_path / "books.csv").write_text(BOOKS + "P-79;too;many;cells\n", encoding="utf-8")
    result = predicted(critic, tmp_path, "input=books.csv", "output=new/out.csv")
    assert result.returncode == 2
    assert "books.csv: line 4: 4 columns where the header has 3" in result.stderr
    assert not (tmp_path / "new").exists()


def interrupted_once(portions: list[int]) -> Callable[..., Any]:
    """`SavedModel.predictions` that SIGTERM meets at the third portion; the sizes of portions are added to a list."""
    answers = SavedModel.predictions

    def interrupted(reader: SavedModel, portion: Any, cut: Any) -> Any:
        portions.append(len(portion))
        if len(portions) == 3:
            raise Interrupted(signal.SIGTERM)
        return answers(reader, portion, cut)

    return interrupted


def test_what_was_labelled_before_an_interruption_is_kept_under_another_name(
    critic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "TEXTS_AT_ONCE", 2)
    answers, interrupted = SavedModel.predictions, interrupted_once([])
    books = opinions(tmp_path / "books.jsonl", 9)
    words = [f"model={critic}", f"input={books}", f"output={tmp_path / 'out.csv'}", "runtime=eager"]
    config = composed(*words, command="predict")
    with monkeypatch.context() as patch:
        patch.setattr(SavedModel, "predictions", interrupted)
        with pytest.raises(Stopped) as caught:
            predict_texts(config)
    left = tmp_path / "out.csv.unfinished"
    assert str(caught.value) == f"stopped; the texts labelled so far are in {left}; the same command goes on"
    assert caught.value.number == signal.SIGTERM
    with left.open(encoding="utf-8") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [f"books.jsonl, line {n}" for n in (1, 2, 3, 4)]
    with left.open() as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        (problem,) = problems(config)
        assert f"another process is writing {left} now" in problem
    with left.open("a", encoding="utf-8") as file:
        file.write("books.jsonl, line 5;half a ro")  # behind what is noted: a kill within a portion
    assert problems(config) == []
    labelled: list[int] = []

    def counted(reader: SavedModel, portion: Any, cut: Any) -> Any:
        labelled.append(len(portion))
        return answers(reader, portion, cut)

    with monkeypatch.context() as patch:
        patch.setattr(SavedModel, "predictions", counted)
        predict_texts(config)
    assert labelled == [2, 2, 1], "four texts were labelled before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["books.jsonl", "out.csv"]
    whole = composed(*words[:2], f"output={tmp_path / 'whole.csv'}", "runtime=eager", command="predict")
    predict_texts(whole)
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


@pytest.mark.parametrize("change", ["batch", "input", "journal", "format"])
def test_what_was_begun_otherwise_is_begun_anew(
    critic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(inputs, "TEXTS_AT_ONCE", 2)
    portions: list[int] = []
    books = opinions(tmp_path / "books.jsonl", 9)
    words = [f"model={critic}", f"input={books}", f"output={tmp_path / 'out.csv'}", "runtime=eager"]
    monkeypatch.setattr(SavedModel, "predictions", interrupted_once(portions))
    with pytest.raises(Stopped):
        predict_texts(composed(*words, command="predict"))
    if change == "batch":
        words.append("batch=3")
    elif change == "input":
        opinions(tmp_path / "books.jsonl", 11)
    elif change == "format":
        words.append("format=jsonl")
    else:
        journal = tmp_path / ".out.csv.unfinished.progress.json"
        journal.write_text(
            journal.read_text(encoding="utf-8").replace('"texts": 4', '"texts": 2'), encoding="utf-8"
        )
    predict_texts(composed(*words, command="predict"))
    assert sum(portions) == 6 + (11 if change == "input" else 9)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["books.jsonl", "out.csv"]


def test_whoever_reads_standard_output_may_leave_and_a_full_disk_is_reported(
    critic: Path, tmp_path: Path
) -> None:
    opinions(tmp_path / "books.jsonl", 2000)
    words = ["bertinchamps.predict", f"model={critic}", "input=books.jsonl", "runtime=eager"]
    os.mkfifo(tmp_path / "shown")
    shown = started(*words, cwd=tmp_path, stdout=tmp_path / "shown")
    with (tmp_path / "shown").open(encoding="utf-8") as reader:
        assert json.loads(reader.readline())["id"] == "books.jsonl, line 1"
    _, said = shown.communicate(timeout=60)
    assert (shown.returncode, "Traceback" in said) == (141, False)
    full = started(*words, cwd=tmp_path, stdout=Path("/dev/full"))
    _, said = full.communicate(timeout=60)
    assert full.returncode == 2
    assert "the output cannot be written (No space left on device)" in said
    assert "Traceback" not in said


def test_where_nothing_can_be_written_is_told_before_anything_is_computed(
    critic: Path, tmp_path: Path
) -> None:
    (tmp_path / "books.csv").write_text(BOOKS, encoding="utf-8")
    result = predicted(critic, tmp_path, "input=books.csv", "output=books.csv/out.csv")
    assert result.returncode == 2
    assert "output=books.csv/out.csv: cannot be written there (" in result.stderr
    assert "Traceback" not in result.stderr
    os.mkfifo(tmp_path / "pipe.jsonl")
    result = predicted(critic, tmp_path, "input=pipe.jsonl")
    assert "input=pipe.jsonl: neither a file nor a folder" in result.stderr
    result = predicted(critic, tmp_path, "input=books.csv", "format=html")
    assert "format=html: standard output gets jsonl, csv, tsv" in result.stderr


def test_a_model_of_pairs_wants_pairs_and_texts_that_are_cut_are_reported(tmp_path: Path) -> None:
    rows = [{"text": f"note {n}", "other": f"suite {n}", "label": str(n % 2)} for n in range(20)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = [
        "task=classification", f"task.train={tmp_path / 'pairs.jsonl'}", "task.pair=other", *QUICK, *SCRATCH,
        "budget.epochs=1", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    finetune(composed(*words, command="finetune"))
    shared = ["bertinchamps.predict", "model=run", "runtime=eager"]
    alone = command(*shared, cwd=tmp_path, stdin="note 3")
    assert alone.returncode == 2
    assert "the model reads pairs" in alone.stderr
    rows = [{"text": "note " * 300, "other": "suite"}, *rows]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    both = command(*shared, "input=new.jsonl", "pair_field=other", "output=out.jsonl", cwd=tmp_path)
    assert both.returncode == 0, both.stderr
    assert "1 of them longer than max_length=48" in both.stdout + both.stderr
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 21


def test_line_ends_on_standard_input_count(tagger: Path, tmp_path: Path) -> None:
    document = documents(1)[0]
    text = f"\r\n\r\n{document.text}\r\n"
    result = command("bertinchamps.predict", f"model={tagger}", "runtime=eager", cwd=tmp_path, stdin=text)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    spans = {(entity["start"], entity["end"], entity["label"]) for entity in found["entities"]}
    assert spans == {(entity.start + 4, entity.end + 4, entity.label) for entity in document.entities}
