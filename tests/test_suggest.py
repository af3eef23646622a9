"""Which texts to annotate next: hard ones, unlike each other, none that is annotated, and ready for annotators."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertinchamps.checks.suggesting import problems
from bertinchamps.errors import UserError
from bertinchamps.finetune import finetune
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.suggest import suggest
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.formats import label_studio, spans_jsonl
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.saved_model import SavedModel, open_model
from bertinchamps.tasks.suggestion import Pool, methods
from bertinchamps.tasks.tagging.flat import Flat
from bertinchamps.tasks.tagging.nested import Nested
from bertinchamps.tasks.texts.doubts import doubts
from bertinchamps.tasks.texts.numbers import Regression
from bertinchamps.tasks.texts.targets import MultiLabel, SingleLabel
from bertinchamps.training.runtime import build_runtime
from support import composed
from test_finetune import QUICK, SCRATCH
from tiny_corpora import documents, opinions

SECRET = "Madame Confidentielle"


def chosen(
    method: str, doubts: list[float], angles: list[float], count: int = 9, known: tuple[float, ...] = ()
) -> list[int]:
    """The places that a method chooses of texts whose vectors have these angles, in degrees."""

    def vectors(degrees: Any) -> Any:
        radians = np.radians(np.array(degrees, dtype=np.float32)).reshape(-1)
        return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)

    pool = Pool(np.array(doubts, dtype=np.float32), vectors(angles), vectors(known))
    order = np.arange(len(doubts))
    return [each.place for each in methods.build(method).choose(pool, count, order)]


def test_what_each_method_chooses() -> None:
    doubts, angles = [0.5, 0.9, 0.8, 0.1], [0.0, 2.0, 1.0, 90.0]
    assert chosen("uncertainty", doubts, angles) == [1, 2, 0, 3]
    assert chosen("diversity", doubts, angles, 2) == [1, 3]  # the nearest to the mean, then the farthest
    assert chosen("both", doubts, angles, 2) == [1, 3]  # not 2, which is nearly a copy of 1
    assert (
        chosen("both", [0.5, 0.9, 0.8, 0.001], angles, 2)[1] == 0
    )  # an outlier without a doubt teaches little
    assert chosen("random", doubts, angles, 3) == [0, 1, 2]
    assert sorted(chosen("both", [0.0] * 4, angles)) == [0, 1, 2, 3]


def test_what_is_near_to_annotated_texts_is_not_chosen_first() -> None:
    assert chosen("diversity", [0.5] * 3, [0.0, 45.0, 90.0], 1, known=(0.0,)) == [2]
    assert chosen("both", [0.9, 0.8, 0.1], [1.0, 45.0, 90.0], 2, known=(0.0,)) == [1, 2]


def test_doubts_of_words() -> None:
    words = torch.tensor([3, 1])
    flat = Flat(["A"]).doubts(torch.tensor([[[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]]]), words[:1])
    assert flat[0].tolist() == pytest.approx([math.log(3), 0], abs=1e-4)
    logits = torch.full((2, 3, 3, 2), -50.0)
    logits[0, 0, 2, 1] = 0.0  # a span of which the model is not sure
    logits[0, 2, 0] = logits[1, 1, 1] = (
        0.0  # no spans: the end before the beginning, and beyond the last word
    )
    nested = Nested(["A", "B"]).doubts(logits, words)
    assert nested.flatten().tolist() == pytest.approx([math.log(2), 0, 0, 0, 0, 0], abs=1e-4)


def test_doubts_of_classes() -> None:
    logits = np.array([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]], dtype=np.float32)
    for kind, expected in ((SingleLabel(), [1, 0]), (MultiLabel(), [1, 2 / 3])):
        found = doubts(kind.problem_type, kind.probabilities(logits, "abc"))
        assert found == pytest.approx(expected, abs=1e-4)
    with pytest.raises(UserError, match="predicts a number, which has no probability: give method=diversity"):
        doubts(Regression.problem_type, [])


@pytest.fixture(scope="module")
def tagger(knows_by_heart: Path) -> Path:
    """A run that knows ten sentences with nested entities by heart."""
    return knows_by_heart


@pytest.fixture(scope="module")
def opened(tagger: Path) -> SavedModel:
    folder, runtime = tagger / "model", build_runtime(RuntimeConfig(precision="fp32", threads=1))
    return open_model(folder, read_facts(folder), 4, runtime)


def test_a_text_is_as_doubtful_alone_as_among_others_and_strange_ones_are_more_so(opened: SavedModel) -> None:
    known = [each.text for each in documents(10)]
    texts = [
        Input("", text, "") for text in [*known, "Un xylophone zigzague, drôle de fjord.", "", known[0] * 6]
    ]
    predictor: Any = opened.predictor
    with opened.reading():
        together = predictor.doubts(opened.model, texts)
        alone = [predictor.doubts(opened.model, [text])[0] for text in texts]
    assert together == pytest.approx(alone, abs=1e-5)
    assert together[11] == 0
    assert together[10] > 2 * max(together[:10])


def test_vectors_of_texts_of_any_length(tagger: Path, opened: SavedModel) -> None:
    from bertinchamps.model.encoders import open_tokenizer
    from bertinchamps.tasks.text_vectors import TextReader

    tokenizer = open_tokenizer(str(tagger / "model"))
    reader = TextReader(opened.model, tokenizer, 48, 4, opened.runtime.device)
    text = documents(1)[0].text
    encoder: Any = opened.model.model
    with opened.reading():
        found = reader.vectors([text, "Un livre.", text, text * 30])
        assert reader.vectors([]).shape == (0, reader.size)
        windows = tokenizer(text * 30, truncation=True, max_length=48, return_overflowing_tokens=True)[
            "input_ids"
        ]
        states = [encoder.base_model(torch.tensor([ids])).last_hidden_state[0] for ids in windows]
    mean = torch.cat(states).mean(0)
    assert len(windows) > 4
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert found[3] == pytest.approx((mean / mean.norm()).numpy(), abs=1e-4)
    assert found[0] == pytest.approx(found[2], abs=1e-5)
    assert found[0] @ found[1] < 0.999


def notes(folder: Path, texts: list[str]) -> Path:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"note_{number}.txt").write_text(text, encoding="utf-8")
    return folder


def suggested(tagger: Path, tmp_path: Path, *words: str) -> list[dict[str, Any]]:
    ranking = tmp_path / "ranking.jsonl"
    ranking.unlink(missing_ok=True)
    settings = [f"model={tagger}", f"ranking={ranking}", "runtime=eager", "runtime.threads=1", *words]
    config = composed(*settings, command="suggest")
    assert problems(config) == []
    suggest(config)
    return [json.loads(line) for line in ranking.read_text(encoding="utf-8").splitlines()]


def test_the_command_ranks_notes_and_labels_them(
    tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = [each.text for each in documents(10)]
    strange = ["Un xylophone zigzague, drôle de fjord.", "Kiwi, wagon, yacht."]
    folder = notes(tmp_path / "notes", [*known, *strange, strange[0] + " \n", "  ", known[1]])
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "a.txt").write_text(known[0], encoding="utf-8")
    settings = [f"input={folder}", f"annotated={tmp_path / 'done'}", "count=3", "method=both"]
    output = tmp_path / "tasks.json"
    rows = suggested(tagger, tmp_path, *settings, f"output={output}", "format=label_studio")
    told = capsys.readouterr().err
    assert "chosen     3 of 11 texts by method=both" in told
    assert "left out: 3 copies of others or of annotated ones, 1 blank" in told
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert {row["id"] for row in rows[:2]} == {"note_10", "note_11"}
    assert all(row["uncertainty"] > 0 and row["distance"] > 0 for row in rows)
    tasks = json.loads(output.read_text(encoding="utf-8"))
    assert [task["data"]["id"] for task in tasks] == [row["id"] for row in rows]
    assert all(task["predictions"][0]["model_version"] for task in tasks)
    assert not [word for word in (*known, *strange) if word in told]
    assert suggested(tagger, tmp_path, *settings) == rows  # the same choice again
    drawn = [suggested(tagger, tmp_path, *settings, "method=random", f"seed={seed}") for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0][0]["uncertainty"] is drawn[0][0]["distance"] is None


def test_an_annotator_corrects_and_a_model_is_trained(tagger: Path, tmp_path: Path) -> None:
    """Suggested, labelled, imported, corrected, exported, read: what comes back is what the tool showed."""
    folder = notes(tmp_path / "notes", [each.text for each in documents(6)])
    suggested(tagger, tmp_path, f"input={folder}", "count=4", f"output={tmp_path / 'tasks.json'}")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    exported = [
        {"id": n, "data": task["data"], "annotations": [{"result": task["predictions"][0]["result"]}]}
        for n, task in enumerate(tasks)
    ]
    (tmp_path / "export.json").write_text(json.dumps(exported), encoding="utf-8")
    gold = {f"note_{n}": document.entities for n, document in enumerate(documents(6))}
    read = label_studio.read(tmp_path / "export.json")
    assert len(read) == 4
    assert {each.name: each.entities for each in read} == {each.name: gold[each.name] for each in read}


def test_tables_keep_ids_and_a_ranking_may_be_a_csv(tagger: Path, tmp_path: Path) -> None:
    rows = [{"nip": f"P-{n}", "note": each.text} for n, each in enumerate(documents(4))]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = [
        "text_field=note",
        "id_field=nip",
        "count=9",
        "method=uncertainty",
        f"ranking={tmp_path / 'r.csv'}",
    ]
    output = tmp_path / "out.jsonl"
    settings = [
        f"model={tagger}",
        f"input={tmp_path / 'notes.jsonl'}",
        *words,
        f"output={output}",
        "runtime=eager",
    ]
    suggest(composed(*settings, command="suggest"))
    ranking = list(csv.DictReader((tmp_path / "r.csv").open(encoding="utf-8")))
    assert sorted(row["id"] for row in ranking) == ["P-0", "P-1", "P-2", "P-3"]
    doubts = [float(row["uncertainty"]) for row in ranking]
    assert doubts == sorted(doubts, reverse=True)
    assert [each.name for each in spans_jsonl.read(output)] == [row["id"] for row in ranking]


def test_classes_are_chosen_by_their_entropy_and_numbers_are_refused(tmp_path: Path) -> None:
    train = opinions(tmp_path / "train.jsonl", 20)
    shared = ["task=classification", f"task.train={train}", *QUICK, *SCRATCH, "budget.epochs=1"]
    run = finetune(composed(*shared, f"run_dir={tmp_path / 'run'}", command="finetune"))
    rows = suggested(run, tmp_path, f"input={train}", "count=2", "method=both")
    assert all(0 < row["uncertainty"] <= 1 for row in rows)
    numbers = tmp_path / "numbers.jsonl"
    items = [{"text": f"note {n}", "label": n % 5} for n in range(30)]
    numbers.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    words = ["task=classification", f"task.train={numbers}", "task.target=number", *shared[2:]]
    run = finetune(composed(*words, f"run_dir={tmp_path / 'numbers'}", command="finetune"))
    with pytest.raises(UserError, match="predicts a number"):
        suggested(run, tmp_path, f"input={numbers}")
    assert len(suggested(run, tmp_path, f"input={numbers}", "method=diversity", "count=3")) == 3
    facts = run / "model" / "task.json"
    facts.write_text(facts.read_text("utf-8").replace('"pairs": false', '"pairs": true'), encoding="utf-8")
    (run / "model" / "manifest.json").unlink()
    with pytest.raises(UserError, match="does not read single texts, of which suggest chooses"):
        suggested(run, tmp_path, f"input={numbers}", "method=diversity")


def test_mistakes_are_told_at_once(tagger: Path, tmp_path: Path) -> None:
    (tmp_path / "there.jsonl").write_text("precious", encoding="utf-8")
    words = ["input=-", "count=0", "method=bold", f"ranking={tmp_path / 'there.jsonl'}", "annotated=missing"]
    found = problems(composed(f"model={tagger}", *words, command="suggest"))
    assert [problem.partition(":")[0] for problem in found] == [
        "method=bold", "count=0", "input=-", f"ranking={tmp_path / 'there.jsonl'}", "annotated=missing"
    ]  # fmt: skip
    assert "(one of: both, diversity, random, uncertainty)" in found[0]
    words = [f"input={tmp_path / 'there.jsonl'}", "ranking=list.txt"]
    assert problems(composed(f"model={tagger}", *words, command="suggest")) == [
        "ranking=list.txt: end the name in .jsonl or .csv"
    ]
