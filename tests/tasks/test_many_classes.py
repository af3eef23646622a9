"""Several classes a text: losses, thresholds, hundreds of rare classes, and the metrics of rankings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertinchamps.checks.finetuning import problems
from bertinchamps.finetune import finetune
from bertinchamps.metrics.precision_at_k import precision_at_k
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.texts.losses import losses
from bertinchamps.tasks.texts.targets import MultiLabel, SingleLabel
from bertinchamps.tasks.texts.thresholds import best_thresholds
from support import command, composed
from tiny_encoders import make_encoder

# ------------------------------------------------------------------------------------------------- losses


def test_balanced_weights_are_those_of_scikit_learn_and_bounded() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    names = ["a"] * 6 + ["b"] * 3 + ["c"]
    expected = compute_class_weight("balanced", classes=np.array(["a", "b", "c"]), y=names)
    target = SingleLabel(losses.build("balanced"))
    target.learn([(name,) for name in names], ("a", "b", "c"))
    logits, truth = torch.randn(10, 3), torch.tensor([0] * 6 + [1] * 3 + [2])
    weighed = F.cross_entropy(logits, truth, weight=torch.tensor(expected).float(), reduction="sum")
    assert torch.allclose(target.loss(logits, truth), weighed)
    bounded = MultiLabel(losses.build("balanced", most=4.0))
    bounded.learn([("a",), ("a", "b"), *[("a",)] * 8], ("a", "b", "c"))
    chosen = torch.zeros(1, 3)
    chosen[0, 1] = 1
    plain = F.binary_cross_entropy_with_logits(torch.zeros(1, 3), chosen, reduction="none")
    assert float(bounded.loss(torch.zeros(1, 3), chosen)) == pytest.approx(
        float(plain.sum() + 3 * plain[0, 1]) / 3
    )


def test_focal_loss_is_that_of_the_formula() -> None:
    focal, logits = losses.build("focal", gamma=2.0), torch.tensor([[2.0, -1.0], [0.5, 0.1]])
    truth = torch.tensor([0, 1])
    right = logits.softmax(1)[torch.arange(2), truth]
    assert torch.allclose(focal.single(logits, truth), (-((1 - right) ** 2) * right.log()).sum())
    chosen = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    right = torch.where(chosen == 1, logits.sigmoid(), 1 - logits.sigmoid())
    assert torch.allclose(focal.multi(logits, chosen), (-((1 - right) ** 2) * right.log()).sum())
    flat = losses.build("focal", gamma=0.0)
    assert torch.allclose(flat.single(logits, truth), F.cross_entropy(logits, truth, reduction="sum"))
    sure = torch.tensor([[90.0, -90.0]], requires_grad=True)
    losses.build("focal", gamma=0.5).single(sure, torch.tensor([0])).backward()
    assert torch.isfinite(sure.grad).all()  # type: ignore[union-attr]


# --------------------------------------------------------------------------------------------- thresholds


def test_thresholds_of_frequent_classes_are_their_own_and_rare_ones_share_one() -> None:
    probabilities = np.full((40, 3), 0.02)
    gold: list[tuple[str, ...]] = [() for _ in range(40)]
    for text in range(10):  # a: right from 0.22 on; b: right from 0.72 on, wrong below
        gold[text] = ("a",)
        probabilities[text, 0] = 0.22
        gold[10 + text] = ("b",)
        probabilities[10 + text, 1] = 0.72
        probabilities[20 + text, 1] = 0.62
    probabilities[39, 2] = 0.22  # c is rare: a threshold of its own would fit one text
    gold[39] = ("c", "unknown")
    same = best_thresholds(probabilities, gold, "abc", "overall")
    assert len(set(same)) == 1
    own = best_thresholds(probabilities, gold, "abc", "by_label")
    assert own[0] <= 0.2
    assert 0.6 < own[1] <= 0.7
    assert own[2] == same[0]

    def micro(thresholds: tuple[float, ...]) -> float:
        found = [
            {name for name, p, t in zip("abc", row, thresholds, strict=True) if p > t}
            for row in probabilities
        ]
        right = sum(len(names & set(true)) for names, true in zip(found, gold, strict=True))
        return 2 * right / (sum(map(len, found)) + sum(map(len, gold)))

    assert micro(own) > micro(same) >= micro((0.5, 0.5, 0.5))


def records(file: Path, count: int, classes: int, unseen: bool = False) -> Path:
    """Texts of up to three of many classes, most of them rare; some have none."""
    rows = []
    for number in range(count):
        codes = [f"C{(number * step) % classes:03}" for step in range(1, 1 + number % 4)]
        rows.append(
            {"text": f"note de {' et '.join(codes) or 'rien'}", "codes": [*codes, *(["NEW"] * unseen)]}
        )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize("choice", ["by_label", "overall"])
def test_hundreds_of_rare_classes_and_texts_without_any(choice: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [
        "task=classification", "task.target=multi", "task.label=codes", "runtime=eager", "runtime.threads=1",
        f"task.train={records(tmp_path / 'train.jsonl', 240, 300)}",
        f"task.dev={records(tmp_path / 'dev.jsonl', 24, 300, unseen=True)}",
        f"task.test={records(tmp_path / 'test.jsonl', 12, 300)}", f"model={make_encoder('bert', tmp_path / 'bert')}",
        "max_length=32", "budget.epochs=1", f"selection.thresholds={choice}", "loss=balanced", f"run_dir={folder}",
        "report.intervals=0",
    ]  # fmt: skip
    config = composed(*words, command="finetune")
    assert problems(config) == []
    finetune(config)
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    facts = read_facts(folder / "model")
    assert len(facts.labels) > 200
    assert (len(facts.thresholds), facts.threshold_choice) == (len(facts.labels), choice)
    assert facts.loss["name"] == "balanced"
    dev = results["scores"]["dev"]
    assert set(dev["precision_at_k"]) == {"precision_at_1", "precision_at_5", "precision_at_8"}
    assert dev["multi_label"]["classes"]["NEW"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 24}
    output = tmp_path / "found.jsonl"
    given = [f"model={folder}", f"input={tmp_path / 'dev.jsonl'}", f"output={output}", "runtime=eager"]
    assert command("bertinchamps.predict", *given, cwd=tmp_path).returncode == 0
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    kept = (folder / "predictions/dev.jsonl").read_text(encoding="utf-8").splitlines()
    assert [line["predicted"] for line in lines] == [json.loads(line)["predicted"] for line in kept]
    least = dict(zip(facts.labels, facts.thresholds, strict=True))
    for line in lines:
        # the file has six digits of a probability: one that is the threshold there may have been on either side of it
        shares = line["probabilities"]
        above = [name for name, share in shares.items() if share > least[name]]
        not_below = [name for name, share in shares.items() if share >= least[name]]
        assert line["predicted"] == [name for name in not_below if name in line["predicted"]]
        assert set(above) <= set(line["predicted"])


def test_what_a_task_does_not_have_is_refused(tmp_path: Path) -> None:
    file = records(tmp_path / "train.jsonl", 20, 4)
    words = ["task=classification", f"task.train={file}", "model=scratch"]
    found = problems(composed(*words, "selection.thresholds=by_label", command="finetune"))
    assert "this task has no thresholds of labels" in found[0]
    found = problems(composed("task=demo", "model=scratch", "selection.thresholds=true", command="finetune"))
    assert "fixed or overall or by_label" in found[0]
    found = problems(composed("task=demo", "model=scratch", "loss=focal", command="finetune"))
    assert "learns no classes" in found[0]
    text = tmp_path / "numbers.csv"
    text.write_text("text,label\nun,1\ndeux,2\n", encoding="utf-8")
    number = ["task=classification", f"task.train={text}", "task.target=number", "model=scratch"]
    assert "learns no classes" in problems(composed(*number, "loss=balanced", command="finetune"))[0]
    assert "loss.gamma=-1" in problems(composed(*words, "loss=focal", "loss.gamma=-1", command="finetune"))[0]


# ------------------------------------------------------------------------------------------- precision at k


def test_precision_at_k_counts_right_labels_among_the_likeliest() -> None:
    ranked = [list("abcdefgh"), list("hgfedcba")]
    scores = precision_at_k([("a", "c", "z"), ()], ranked)
    assert scores == {"precision_at_1": 0.5, "precision_at_5": 2 / 10, "precision_at_8": 2 / 16}
    assert set(precision_at_k([("a",)], [["a", "b"]])) == {"precision_at_1"}
    assert precision_at_k([], []) == {"precision_at_1": 0.0}
