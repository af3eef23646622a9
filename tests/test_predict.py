"""New text in, entities and classes out: the same as the evaluation found, with offsets of the text as given."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.config import RuntimeConfig
from bertinchamps.finetune import finetune
from bertinchamps.predict import open_reader
from bertinchamps.tasks import ner
from bertinchamps.tasks.formats import brat, spans_jsonl
from bertinchamps.tasks.saved import read_facts
from bertinchamps.training.runtime import build_runtime
from support import command, composed
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


@pytest.mark.parametrize("portion", [1, 4, 8192])
@pytest.mark.parametrize("batch", [1, 64])
def test_texts_together_get_the_entities_that_they_get_alone(
    tagger: Path, batch: int, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ner, "WINDOWS_AT_ONCE", portion)
    folder, runtime = tagger / "model", build_runtime(RuntimeConfig(precision="fp32", threads=1))
    reader = open_reader(folder, read_facts(folder), batch, runtime)
    assert isinstance(reader.labeller, ner.EntityLabeller)
    texts = [(document.name, document.text) for document in documents(12)]
    texts.insert(5, ("several", " ".join(text for _, text in texts[:4])))
    texts.insert(7, ("empty", ""))
    with reader.reading():
        together = reader.labeller.label(reader.model, texts)
        alone = [reader.labeller.label(reader.model, [text])[0] for text in texts]
    assert [(document.name, document.text) for document in together] == texts
    assert [document._replace(confidences=None) for document in together] == [
        document._replace(confidences=None) for document in alone
    ]
    for one, other in zip(together, alone, strict=True):
        assert one.confidences == pytest.approx(other.confidences, abs=1e-4)
    assert any(document.entities for document in together)


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


def test_classes_with_their_probabilities(tmp_path: Path) -> None:
    train = opinions(tmp_path / "train.jsonl", 60)
    words = [
        "task=classification", f"task.train={train}", *QUICK, *SCRATCH, "optim.learning_rate=3e-3",
        "budget.epochs=20", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    run = finetune(composed(*words, command="finetune"))
    (tmp_path / "new.csv").write_text(
        'text\n"Un très bon livre, 8 pages."\n"Un mauvais livre, 9 pages."\n', encoding="utf-8"
    )
    result = command("bertinchamps.predict", f"model={run}", "input=new.csv", "runtime=eager", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["predicted"] for row in found] == ["good", "bad"]
    assert all(sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-4) for row in found)


def test_a_model_of_pairs_wants_pairs_and_texts_that_are_cut_are_told(tmp_path: Path) -> None:
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
    result = subprocess.run(
        [sys.executable, "-m", "bertinchamps.predict", f"model={tagger}", "runtime=eager"],
        input=f"\r\n\r\n{document.text}\r\n".encode(), capture_output=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    found = json.loads(result.stdout)
    spans = {(entity["start"], entity["end"], entity["label"]) for entity in found["entities"]}
    assert spans == {(entity.start + 4, entity.end + 4, entity.label) for entity in document.entities}
