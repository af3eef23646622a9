"""Fine-tuning and prediction on a card: flat and nested entities, classes and numbers; our encoder and others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fake_card import fake_card, waits_of_updates

from bertinchamps.contract import LabelledText
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import EncoderSource, open_tokenizer
from bertinchamps.model.trained_rows import train_rows
from bertinchamps.schemas import BudgetConfig, FinetuneBatchConfig, RuntimeConfig, SelectionConfig
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.saved_model import SavedModel
from bertinchamps.training import hooks
from bertinchamps.training.clock import Clock
from bertinchamps.training.optim import optimizers
from bertinchamps.training.runtime import build_runtime
from bertinchamps.training.trackers import trackers
from bertinchamps.training.trainer import Trainer
from tiny_corpora import documents
from tiny_encoders import SIZES, make_encoder

LABELS = ("ANAT", "CHEM", "DISO")
BATCH = FinetuneBatchConfig(micro_batch=4, size=8, evaluation=4)


def facts_of(kind: str, head: str | None = None) -> TaskFacts:
    labels = {"ner": LABELS, "regression": ("number",)}.get(kind, ("bad", "good"))
    return TaskFacts(title="t", kind=kind, head=head, labels=labels, max_length=48)


def examples(kind: str, count: int, skip: int) -> list[Any]:
    if kind == "ner":
        return documents(count, skip)
    targets = {"single_label": ("bad",), "multi_label": ("bad", "good"), "regression": 3.0}
    texts = (f"Un livre de {'très ' * (n % 3)}bonne qualité, {n} pages." for n in range(skip, skip + count))
    return [LabelledText(f"{n}", text, None, targets[kind]) for n, text in enumerate(texts)]


def source_of(family: str, folder: Path) -> EncoderSource:
    encoder = make_encoder("roberta" if family == "ours" else family, folder)
    if family != "ours":
        return EncoderSource(str(encoder), dropout=0.1)
    config = BertinchampsConfig(**SIZES, vocab_size=len(open_tokenizer(str(encoder))), pad_token_id=0)
    return EncoderSource(str(encoder), config, dropout=0.1)


def task_of(facts: TaskFacts, predictor: Any) -> Any:
    splits = {"train": examples(facts.kind, 16, 0), "dev": examples(facts.kind, 6, 16)}
    return kinds.build(facts.kind).build_task(splits, predictor, BATCH, 0)


CASES = [
    ("ours", "ner", "flat"), ("ours", "ner", "nested"), ("ours", "single_label", None), ("ours", "multi_label", None),
    ("ours", "regression", None), ("bert", "ner", "nested"), ("bert", "single_label", None), ("roberta", "ner", "flat"),
    ("roberta", "single_label", None), ("modernbert", "ner", "flat"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "kind", "head"), CASES)
def test_finetuning_and_prediction_are_on_the_card(
    family: str, kind: str, head: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, source = facts_of(kind, head), source_of(family, tmp_path / "encoder")
    kind = kinds.build(facts.kind)
    model: Any = kind.build_model(facts, source)
    tokenizer = open_tokenizer(source.name)
    predictor = kind.build_predictor(facts, tokenizer, BATCH.evaluation, torch.device("cuda"))
    task = task_of(facts, predictor)
    log = hooks.MetricsLog(
        tmp_path / "metrics.jsonl", 0, trackers.build(name="none", run_dir=tmp_path, settings={}), print
    )
    selection = hooks.Selection(SelectionConfig(), task.metric, log, hooks.BudgetBar())
    with fake_card(monkeypatch) as card:
        runtime = build_runtime(RuntimeConfig(device="cuda", precision="bf16", compile="off", threads=1))
        model.to(runtime.device)
        train_rows(model.model, task.train_ids())
        trainer = Trainer(
            task=task,
            model=model,
            optimizer=optimizers.build("adamw", model=model),
            schedule=lambda progress: 1.0,
            batch=BATCH,
            clock=Clock(BudgetConfig(steps=3), task.epoch_length(), 1.0),
            runtime=runtime,
            seed=0,
            gradient_clipping=1.0,
            hooks=[selection],
        )
        waits = waits_of_updates(trainer, card)
        trainer.fit()
        assert all(parameter.device.type == "cuda" for parameter in model.parameters())
        with SavedModel(model.eval(), predictor, runtime).reading():
            predicted = task.predict(model, "dev")
    assert len(predicted) == 6
    # Encoders of transformers ask whether a mask leaves anything out, which waits.
    file = {"flat": "flat.py", "nested": "nested.py"}.get(str(head), "classes.py")
    assert {wait.where for wait in waits} <= (set() if family == "ours" else {f"{file}:graph"})
