"""Texts longer than a window: what stands behind the first window is learnt, in bounded memory, and predicted alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bertinchamps.checks.finetuning import problems
from bertinchamps.errors import UserError
from bertinchamps.finetune import finetune
from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.heads import heads
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.texts.predictor import TextPredictor, Windows
from bertinchamps.tasks.texts.targets import SingleLabel
from support import command, composed
from tiny_encoders import make_encoder

WORDS = ("le", "patient", "présente", "une", "toux", "sèche", "depuis", "hiver")
MARKS = ("fracture", "œdème")  # one of them, behind the first window of 16 tokens, decides
SETTINGS = [
    "task=classification", "runtime=eager", "runtime.compile=off", "runtime.threads=1", "max_length=16", "dropout=0",
    "long_texts.overlap=4", "long_texts.at_once=8", "optim.learning_rate=4e-3", "batch.evaluation=16",
    "batch.size=8", "batch.micro_batch=8", "budget.epochs=6", "selection.every_epochs=6",
]  # fmt: skip
TARGETS = {
    "single": (lambda mark: MARKS[mark], "accuracy", "classes"),
    "multi": (lambda mark: [MARKS[mark]], "micro_f1", "multi_label"),
    "number": (lambda mark: float(mark), "spearman", "regression"),
}


def letters(file: Path, target: str, count: int = 48) -> Path:
    """Texts of some forty words, of which some behind the first window decide."""
    draw = torch.Generator().manual_seed(count)
    rows = []
    for number in range(count):
        words = [WORDS[int(torch.randint(len(WORDS), (1,), generator=draw))] for _ in range(40)]
        words[24:40:2] = [MARKS[number % 2]] * 8
        rows.append({"text": " ".join(words), "label": TARGETS[target][0](number % 2)})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def run(tmp_path: Path, target: str, *words: str) -> tuple[Path, dict[str, Any]]:
    files = [f"task.train={letters(tmp_path / 'train.jsonl', target)}"]
    files += [f"task.dev={letters(tmp_path / 'dev.jsonl', target, 32)}", f"task.target={target}"]
    encoder = tmp_path / "bert"
    if not encoder.exists():
        make_encoder("bert", encoder)
    config = composed(*SETTINGS, *files, f"model={encoder}", *words, command="finetune")
    assert problems(config) == []
    folder = finetune(config)
    return folder, json.loads((folder / "results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("target", "pool"), [("single", "mean"), ("single", "max"), ("multi", "labels"), ("number", "labels")]
)
def test_a_word_behind_the_first_window_is_learnt_in_windows(target: str, pool: str, tmp_path: Path) -> None:
    _, metric, protocol = TARGETS[target]
    words = ["long_texts.read=windows", f"long_texts.pool={pool}", f"run_dir={tmp_path / 'run'}"]
    folder, results = run(tmp_path, target, *words)
    assert results["scores"]["dev"][protocol][metric] > 0.85
    counts = results["data"]["dev"]
    assert counts["texts_cut"] == 0
    assert counts["rows"] > 2 * counts["examples"]
    assert results["cost"]["tokens"] > 6 * 48 * 40  # of all windows, in all epochs
    assert read_facts(folder / "model").long_texts["pool"] == pool
    output = tmp_path / "found.jsonl"
    dev = tmp_path / "dev.jsonl"
    done = command(
        "bertinchamps.predict",
        f"model={folder}",
        f"input={dev}",
        f"output={output}",
        "runtime=eager",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    kept = (folder / "predictions/dev.jsonl").read_text(encoding="utf-8").splitlines()
    expected = [json.loads(line)["predicted"] for line in kept]
    assert [line["predicted"] for line in lines] == (
        expected if target != "number" else pytest.approx(expected, abs=1e-4)
    )


def test_a_word_behind_the_first_window_is_lost_where_texts_are_cut(tmp_path: Path) -> None:
    _, results = run(tmp_path, "single", f"run_dir={tmp_path / 'run'}")
    assert results["scores"]["dev"]["classes"]["accuracy"] < 0.8
    assert results["data"]["dev"]["texts_cut"] == 32


def test_windows_beyond_the_bound_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["long_texts.read=windows", "long_texts.most=2", "budget.epochs=1", "selection.every_epochs=1"]
    folder, results = run(tmp_path, "single", *words, f"run_dir={tmp_path / 'run'}")
    counts = results["data"]["dev"]
    assert counts["texts_cut"] == 32
    assert counts["rows"] == 64
    assert counts["rows_left_out"] >= 32
    assert "rows left out" in capsys.readouterr().err
    found = command(
        "bertinchamps.predict", f"model={folder}", f"input={tmp_path / 'dev.jsonl'}", f"output={tmp_path / 'x.jsonl'}",
        "runtime=eager", cwd=tmp_path,
    )  # fmt: skip
    assert "32 of them longer than 2 windows of max_length=16 of the model" in found.stderr


# ------------------------------------------------------------------------------------------------ the model


def classifier(tmp_path: Path, pool: str, at_once: int) -> Any:
    torch.manual_seed(1)
    source = EncoderSource(str(make_encoder("bert", tmp_path / "bert")), dropout=0.0)
    return heads.build("windows", source=source, classes=("a", "b", "c"), pool=pool, at_once=at_once)


def inputs() -> dict[str, torch.Tensor]:
    """Three texts of one, three and two windows; the last window of the second is short."""
    ids = torch.randint(10, 60, (6, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(6, 12, dtype=torch.long)
    mask[3, 5:] = 0
    return {
        "input_ids": ids, "attention_mask": mask,
        "rows": torch.tensor([[0, -1, -1], [1, 2, 3], [4, 5, -1]]),
    }  # fmt: skip


@pytest.mark.parametrize("pool", ["mean", "max", "labels"])
def test_logits_and_gradients_are_those_of_all_windows_at_once(pool: str, tmp_path: Path) -> None:
    weights = torch.tensor([[1.0, -2.0, 0.5], [0.3, 1.0, 2.0], [-1.0, 0.7, 1.0]])
    found = []
    for at_once in (100, 2):
        model = classifier(tmp_path, pool, at_once)
        logits = model(inputs())
        (logits * weights).sum().backward()
        found.append((logits.detach(), {name: each.grad for name, each in model.named_parameters()}))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-6)
    for name, gradient in found[0][1].items():
        if gradient is not None:
            assert torch.allclose(gradient, found[1][1][name], atol=1e-5), name


@pytest.mark.parametrize("pool", ["mean", "max", "labels"])
def test_a_text_is_classified_alike_alone_and_beside_longer_ones(pool: str, tmp_path: Path) -> None:
    model, given = classifier(tmp_path, pool, 3).eval(), inputs()
    together = model(given)
    for text, rows in enumerate(([0], [1, 2, 3], [4, 5])):
        alone = {"input_ids": given["input_ids"][rows], "attention_mask": given["attention_mask"][rows]}
        alone["rows"] = torch.arange(len(rows))[None]
        assert torch.allclose(model(alone)[0], together[text], atol=1e-5)


def test_attention_is_that_of_the_formula(tmp_path: Path) -> None:
    model, given = classifier(tmp_path, "labels", 100).eval(), inputs()
    hidden = model.model(
        input_ids=given["input_ids"], attention_mask=given["attention_mask"]
    ).last_hidden_state
    read = torch.cat([hidden[1], hidden[2], hidden[3, :5]])  # the second text, without padding
    for label in range(3):
        weights = (read @ model.head.attention.weight[label]).softmax(0)
        vector = (weights[:, None] * read).sum(0)
        expected = vector @ model.head.classifier.weight[label] + model.head.classifier.bias[label]
        assert torch.allclose(model(given)[1, label], expected, atol=1e-5)


def test_activations_are_those_of_few_windows(tmp_path: Path) -> None:
    """What is kept for the gradients grows with the hidden states alone, not with the encoder's activations."""

    def kept(at_once: int, windows: int) -> int:
        model, sizes = classifier(tmp_path, "mean", at_once), []
        given = {"input_ids": torch.full((windows, 16), 20), "rows": torch.arange(windows)[None]}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            model(given)
        return sum(sizes)

    assert kept(4, 32) < 0.2 * kept(100, 32)


def test_windows_cover_a_text_and_overlap(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(make_encoder("bert", tmp_path / "bert"))
    text = " ".join(WORDS * 5)
    whole = tokenizer(text)["input_ids"][1:-1]
    predictor = TextPredictor(SingleLabel(), ("a",), tokenizer, 16, 8, torch.device("cpu"), Windows(4, 50))
    long, short = predictor.encoded([(text, None), ("le patient", None)])
    assert (long.left_out, len(short.rows)) == (0, 1)
    joined = list(long.rows[0][1:-1])
    for row in long.rows[1:]:
        assert list(row[1:5]) == joined[-4:]
        joined += list(row[5:-1])
    assert joined == whole
    assert all(len(row) <= 16 for row in long.rows)
    assert predictor.inputs([long, short])["rows"][1].tolist() == [len(long.rows)] + [-1] * (
        len(long.rows) - 1
    )


def test_what_cannot_be_read_in_windows_is_refused(tmp_path: Path) -> None:
    train = letters(tmp_path / "train.jsonl", "single")
    words = [*SETTINGS, f"task.train={train}", f"model={make_encoder('bert', tmp_path / 'bert')}"]
    wrong = [
        "long_texts.read=window",
        "long_texts.pool=attention",
        "long_texts.most=0",
        "long_texts.at_once=0",
    ]
    told = "\n".join(problems(composed(*words, *wrong, command="finetune")))
    for part in ("cut or windows", "labels, max, mean", "long_texts.most=0", "long_texts.at_once=0"):
        assert part in told
    wide = [*words, "long_texts.read=windows", "long_texts.overlap=8"]
    assert "less than half of max_length" in problems(composed(*wide, command="finetune"))[0]
    entities = ["task=demo", "model=scratch", "long_texts.read=windows"]
    assert "windows of its own" in problems(composed(*entities, command="finetune"))[0]
    pairs = [*words, "task.pair=label", "long_texts.read=windows", f"run_dir={tmp_path / 'run'}"]
    with pytest.raises(UserError, match="these are pairs; use cut"):
        finetune(composed(*pairs, command="finetune"))
    assert not (tmp_path / "run").exists()


def test_a_stock_class_does_not_open_a_model_of_windows(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    words = [
        "long_texts.read=windows",
        "budget.epochs=1",
        f"run_dir={tmp_path / 'run'}",
        "model=scratch",
        "arch=tiny",
    ]
    folder, _ = run(tmp_path, "single", *words, "tokenizer.vocab_size=100", "tokenizer.min_frequency=1")
    with pytest.raises(ValueError, match="reads long texts in windows"):
        AutoModelForSequenceClassification.from_pretrained(folder / "model")
