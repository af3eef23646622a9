"""Rows that are padding from end to end: they mean nothing, and must not spoil what stands beside them."""

from __future__ import annotations

import pytest
import torch

from bertinchamps.model.attention import attend
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.heads.flat import BertinchampsForTokenClassification
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM

MODELS = (
    BertinchampsForMaskedLM,
    BertinchampsForTokenClassification,
    BertinchampsForSequenceClassification,
)


def build(config, model_class):
    torch.manual_seed(3)
    config.num_labels = 3
    return model_class(config).eval()


def labels_of(model_class, ids):
    """Of one real row, and of one of padding."""
    if model_class is BertinchampsForSequenceClassification:
        return torch.tensor([1, 2])
    labels = ids % 3
    labels[1] = -100
    return labels


@pytest.mark.parametrize("name", ["crammed", "bert_base", "modern"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("model_class", MODELS)
def test_a_row_of_padding_leaves_loss_and_gradients_finite(small, ids, name, training, model_class):
    model = build(small(name), model_class).train(training)
    mask = torch.ones_like(ids)
    mask[1] = 0
    with torch.set_grad_enabled(training):
        output = model(ids, mask, labels=labels_of(model_class, ids))
    assert output.loss.isfinite()
    assert output.logits.isfinite().all()
    alone = model(ids[:1], mask[:1]).logits
    torch.testing.assert_close(output.logits[:1], alone, rtol=1e-5, atol=1e-6)
    if training:
        output.loss.backward()
        for parameter_name, parameter in model.named_parameters():
            assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("training", [True, False])
def test_a_query_without_keys_reads_finite_numbers(training):
    query = torch.randn(2, 4, 5, 8, generator=torch.Generator().manual_seed(0), requires_grad=training)
    mask = torch.ones(2, 1, 1, 5, dtype=torch.bool)
    mask[1] = False
    with torch.set_grad_enabled(training):
        read = attend(query, query, query, mask, 0.0)
    assert read.isfinite().all()
    if training:
        read.sum().backward()
        assert query.grad.isfinite().all()


def test_training_and_evaluation_agree_on_rows_of_padding(small, random_model, ids):
    """The plain formula, and PyTorch's own attention, which gives zeros where there is no key."""
    encoder, mask = random_model(small()).encoder, torch.zeros_like(ids)
    with torch.no_grad():
        evaluated = encoder(ids, mask).last_hidden_state
    torch.testing.assert_close(encoder(ids, mask).last_hidden_state, evaluated, rtol=1e-4, atol=1e-5)
