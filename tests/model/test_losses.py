"""Losses beside logits: what the config calls the problem, and means over the targets of a whole update."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

from bertinchamps.model import losses
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.heads.flat import BertinchampsForTokenClassification
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM

CLASSES, SEVERAL = torch.tensor([2, 0]), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
PROBLEMS = {
    "single_label_classification": (3, CLASSES, functional.cross_entropy),
    "multi_label_classification": (3, SEVERAL, functional.binary_cross_entropy_with_logits),
    "regression": (
        1,
        torch.tensor([0.5, -2.0]),
        lambda logits, labels: functional.mse_loss(logits[:, 0], labels),
    ),
}


def classifier(small, labels: int, problem: str | None) -> BertinchampsForSequenceClassification:
    torch.manual_seed(1)
    config = small()
    config.num_labels, config.problem_type = labels, problem
    model = BertinchampsForSequenceClassification(config).eval()
    torch.nn.init.normal_(model.classifier.weight)
    return model


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_loss_is_that_of_the_problem_in_the_config(small, ids, tmp_path, problem):
    number, labels, loss = PROBLEMS[problem]
    classifier(small, number, problem).save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    output = model(ids, labels=labels)
    assert output.logits.shape == (2, number)
    torch.testing.assert_close(output.loss, loss(output.logits, labels))
    assert not torch.allclose(output.loss, torch.tensor(0.0))


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_problem_that_is_not_named_is_told_by_its_labels(small, ids, problem):
    number, labels, loss = PROBLEMS[problem]
    model = classifier(small, number, None)
    output = model(ids, labels=labels)
    torch.testing.assert_close(output.loss, loss(output.logits, labels))
    assert model.config.problem_type is None


def test_whole_numbers_are_numbers_and_labels_of_several_classes(small, ids):
    for labels in (torch.tensor([4, 1]), torch.tensor([[4], [1]])):
        output = classifier(small, 1, "regression")(ids, labels=labels)
        expected = functional.mse_loss(output.logits[:, 0], torch.tensor([4.0, 1.0]))
        torch.testing.assert_close(output.loss, expected)
    output = classifier(small, 3, "multi_label_classification")(ids, labels=SEVERAL.long())
    expected = functional.binary_cross_entropy_with_logits(output.logits, SEVERAL)
    torch.testing.assert_close(output.loss, expected)


def test_an_unknown_problem_is_refused():
    with pytest.raises(ValueError, match=r"config\.problem_type=ranking: one of regression"):
        losses.of_texts(torch.zeros(2, 3), SEVERAL, "ranking")


@pytest.mark.parametrize("problem", PROBLEMS)
def test_parts_of_an_update_add_up_to_its_mean(problem):
    number, _, _ = PROBLEMS[problem]
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, number, generator=generator)
    labels = {
        "regression": torch.randn(6, generator=generator),
        "single_label_classification": torch.arange(6) % 3,
        "multi_label_classification": (torch.randn(6, 3, generator=generator) > 0).float(),
    }[problem]
    whole = losses.of_texts(logits, labels, problem)
    for targets in (labels.numel(), torch.tensor(labels.numel())):
        parts = [
            losses.of_texts(logits[part], labels[part], problem, targets) for part in (slice(2), slice(2, 6))
        ]
        torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize("model_class", [BertinchampsForMaskedLM, BertinchampsForTokenClassification])
def test_labels_without_a_target_cost_nothing(small, ids, model_class):
    loss = model_class(small())(ids, labels=torch.full_like(ids, -100)).loss
    loss.backward()
    assert loss == 0


def test_transformers_trainer_learns_the_same_in_parts(small, ids, tmp_path: Path):
    """Rows have different numbers of targets, so a mean of means would be another loss."""
    rows = [
        {"input_ids": row, "labels": row.where(torch.arange(10) < kept, -100)}
        for row, kept in zip(torch.cat((ids, ids.flip(1))), (1, 10, 3, 6), strict=True)
    ]
    weights = []
    for size, parts in ((4, 1), (1, 4)):
        torch.manual_seed(0)
        model = BertinchampsForMaskedLM(small())
        settings = TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=1,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=parts,
            learning_rate=1.0,
            optim="sgd",
            lr_scheduler_type="constant",
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=True,
        )
        Trainer(model=model, args=settings, train_dataset=rows).train()
        weights.append(dict(model.named_parameters()))
    for name, parameter in weights[0].items():
        torch.testing.assert_close(parameter, weights[1][name], rtol=1e-4, atol=1e-5)
