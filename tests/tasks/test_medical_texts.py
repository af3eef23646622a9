"""MORFITT, FrenchMedMCQA and the French STS benchmark, in the official formats, which these tests write small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertinchamps.checks.finetuning import problems
from bertinchamps.errors import UserError
from bertinchamps.finetune import finetune
from bertinchamps.metrics.multiple_choice import multiple_choice_scores
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.texts.choices import Choices
from real import real
from support import command, composed
from tiny_encoders import make_encoder

SECRET = "Madame Confidentielle"
HEADER = "identifier\tabstract\tspecialities\n"
FILES = {"morfitt": "{}.tsv", "frenchmedmcqa": "{}.json", "stsb_fr": "stsb-fr-{}.csv"}


def question(number: int, right: str, answers: int = 5) -> dict[str, Any]:
    letters = "abcdefgh"[:answers]
    texts = {each: f"Réponse {'juste' if each in right else 'fausse'}\n{each}" for each in letters}
    return {
        "id": f"q{number}",
        "question": f"Question {number} ?",
        "answers": texts,
        "correct_answers": list(right),
    }


def content(task: str) -> str:
    if task == "morfitt":
        return f"{HEADER}a1\t Un virus du porc. \tveterinary|virology\na2\tUn gène.\tgenetics\n"
    if task == "stsb_fr":
        return 'Un homme court.,"Un homme court, vite.",4.2\nUn chat.,Une porte.,0\n"Il dit ""oui"".",Il dit non.,1.5\n'
    return json.dumps([question(1, "a"), question(2, "be"), question(1, "d")], indent=4)


def corpus(task: str, folder: Path, **replaced: str) -> Path:
    folder.mkdir(exist_ok=True)
    for split in ("train", "dev", "test"):
        (folder / FILES[task].format(split)).write_text(replaced.get(split, content(task)), encoding="utf-8")
    return folder


def test_each_is_read_and_other_sizes_are_remarked(tmp_path: Path) -> None:
    first = {}
    for task in FILES:
        reader = readers.build(task, path=str(corpus(task, tmp_path / task)))
        reader.check()
        first[task] = reader.read()["train"]
        assert "not the official splits" in reader.remarks[0]
    assert first["morfitt"][0] == ("a1", "Un virus du porc.", None, ("veterinary", "virology"))
    assert first["stsb_fr"][0] == (
        "stsb-fr-train.csv, line 1",
        "Un homme court.",
        "Un homme court, vite.",
        4.2,
    )
    assert first["stsb_fr"][2][1:3] == ('Il dit "oui".', "Il dit non.")
    assert first["frenchmedmcqa"][1][3] == ("b", "e")
    assert [each.name for each in first["frenchmedmcqa"]] == ["q1", "q2", "q1, line 31"]
    assert first["frenchmedmcqa"][1].pair == "\n".join(
        f"Réponse {'juste' if each in 'be' else 'fausse'} {each}" for each in "abcde"
    )


def broken(**changes: Any) -> str:
    return json.dumps([question(1, "a"), {**question(2, "b"), "question": SECRET, **changes}], indent=4)


@pytest.mark.parametrize(
    ("task", "text", "told"),
    [
        ("morfitt", f"{HEADER}a1\t{SECRET}\t\n", "dev.tsv: line 2: nothing in column specialities"),
        ("morfitt", f"{HEADER}a1\t{SECRET}\n", "dev.tsv: line 2: 2 columns where the header has 3"),
        ("morfitt", f"{HEADER}a1\t{SECRET}\tvirology|poetry\n", "dev.tsv: line 2: specialities must be some of"),
        ("stsb_fr", f"a,b,1\n{SECRET},b,5.2\n", "dev.csv: line 2: the similarity must be a number from 0 to 5"),
        ("stsb_fr", f"a,b,1\n{SECRET},b,nan\n", "dev.csv: line 2: the similarity must be"),
        ("stsb_fr", f'"a\na",b,1\n{SECRET},3.1\n', "dev.csv: line 3: not two sentences and a similarity"),
        ("stsb_fr", f'a,b,1\n"{SECRET},b,2\n', "dev.csv: line 2: not two sentences"),
        ("frenchmedmcqa", broken(correct_answers=["f"]), "dev.json: line 16: correct_answers must be a list of some"),
        ("frenchmedmcqa", broken(correct_answers=[]), "dev.json: line 16: a question without correct_answers"),
        ("frenchmedmcqa", broken(answers={"a": "x", "c": "y"}), "dev.json: line 16: id, question and the answers"),
        ("frenchmedmcqa", broken(answers={"a": "x", "b": 3}), "dev.json: line 16: id, question and the answers"),
        ("frenchmedmcqa", broken()[:-4], "dev.json: line 16: a question that is not valid JSON"),
        ("frenchmedmcqa", f'{{"question": "{SECRET}"}}', "dev.json: line 1: not a JSON list"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_file_and_line_and_no_text(
    task: str, text: str, told: str, tmp_path: Path
) -> None:
    reader = readers.build(task, path=str(corpus(task, tmp_path / "corpus", dev=text)))
    with pytest.raises(UserError) as raised:
        reader.read()
    assert told in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.real_data
@pytest.mark.parametrize("task", FILES)
def test_the_real_releases_have_the_published_sizes(task: str) -> None:
    reader = readers.build(task, path=str(real("labelled") / task))
    reader.read()
    assert reader.remarks == ()


# --------------------------------------------------------------------------------------- multiple choice


def test_exact_match_and_hamming_score() -> None:
    scores = multiple_choice_scores([("a",), ("a", "b"), ("c",)], [("a",), ("b", "e"), ("d",)])
    assert scores == {"exact_match": 1 / 3, "hamming": (1 + 1 / 3 + 0) / 3}
    assert multiple_choice_scores([], []) == {"exact_match": 0.0, "hamming": 0.0}


def test_at_least_one_answer_is_given_and_the_threshold_is_that_of_the_best_hamming_score() -> None:
    logits = np.array([[-1.0, -2.0, -30.0], [-0.6, -0.7, -3.0]], dtype=np.float32)
    assert Choices().decoded(logits, tuple("abc")) == [("a",), ("a",)]
    gold = [("a",), ("a", "b")]
    chosen = Choices().thresholds(gold, logits, tuple("abc"), "overall")
    assert len(set(chosen)) == 1
    assert Choices().decides_at(chosen).decoded(logits, tuple("abc")) == gold
    assert Choices().probabilities(logits, tuple("abc"))[0].keys() == {"a", "b"}  # there is no answer c


def test_right_answers_are_learnt_and_predicted_by_question(tmp_path: Path) -> None:
    every = [question(number, "abcdeabcde"[number % 5 :][: 1 + number % 2]) for number in range(40)]
    texts = {"train": json.dumps(every), "dev": json.dumps([*every[:12], question(99, "c", 4)])}
    folder, path = tmp_path / "run", corpus("frenchmedmcqa", tmp_path / "corpus", **texts)
    config = composed(
        "task=frenchmedmcqa", f"task.path={path}", f"model={make_encoder('bert', tmp_path / 'bert')}", "runtime=eager",
        "runtime.threads=1", "max_length=40", "optim.learning_rate=3e-3", "dropout=0", "budget.epochs=20",
        "selection.every_epochs=20", "batch.size=8", f"run_dir={folder}", command="finetune",
    )  # fmt: skip
    assert problems(config) == []
    finetune(config)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["scores"]["dev"]["multiple_choice"]["hamming"] > 0.9
    lines = [json.loads(line) for line in (folder / "predictions/dev.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"q{number}" for number in (*range(12), 99)]
    assert len(lines[-1]["probabilities"]) == 4
    assert all(line["predicted"] for line in lines)
    asked = tmp_path / "asked.jsonl"
    reader = readers.build("frenchmedmcqa", path=str(path))
    rows = [{"id": each.name, "text": each.text, "answers": each.pair} for each in reader.read()["dev"]]
    rows.append({"id": "long", "text": "Question ?", "answers": "\n".join(["Réponse fausse"] * 7)})
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    output = tmp_path / "found.jsonl"
    words = [f"model={folder}", f"input={asked}", f"output={output}", "pair_field=answers", "runtime=eager"]
    done = command("bertinchamps.predict", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [line["predicted"] for line in found[:-1]] == [line["predicted"] for line in lines]
    assert len(found[-1]["probabilities"]) == 5  # the model knows five answers, and says that it left two out


def test_a_table_of_questions_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    file.write_text('text,answers,label\nQui ?,"Lui\nElle",c\n', encoding="utf-8")
    words = ["task=classification", f"task.train={file}", "task.pair=answers", "task.target=multiple_choice"]
    assert problems(composed(*words, "model=scratch", command="finetune")) == []
