"""Activations that are computed again: as transformers asks for it, without its classes at every start."""

from __future__ import annotations

import os

import pytest
import torch
from transformers.modeling_layers import GradientCheckpointingLayer

import warm
from bertinchamps.model.attention import Attention
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.heads.flat import BertinchampsForTokenClassification
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.layers import EncoderLayer, register

CLASS, IMPORTED = (
    "from transformers.modeling_layers import GradientCheckpointingLayer",
    "transformers.modeling_layers",
)
ORDERS = {
    "ours first": f"from bertinchamps.model.layers import EncoderLayer\n{CLASS}",
    "theirs first": f"{CLASS}\nfrom bertinchamps.model.layers import EncoderLayer",
    "the package first": f"import bertinchamps\n{CLASS}\nfrom bertinchamps.model.layers import EncoderLayer",
}


def run(code: str) -> None:
    done = warm.python(code, environment=os.environ)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("order", ORDERS)
def test_layers_are_those_that_transformers_knows_in_whatever_order_both_are_imported(order):
    run(f"{ORDERS[order]}\nassert issubclass(EncoderLayer, GradientCheckpointingLayer)")


def test_a_model_that_was_built_before_can_be_asked_afterwards():
    run(
        "import sys\n"
        "from bertinchamps.model.configuration import BertinchampsConfig\n"
        "from bertinchamps.model.huggingface import BertinchampsModel\n"
        "sizes = dict(hidden_size=8, num_attention_heads=2, intermediate_size=8, num_hidden_layers=3, vocab_size=9)\n"
        "model = BertinchampsModel(BertinchampsConfig(**sizes))\n"
        f"assert {IMPORTED!r} not in sys.modules and 'transformers.models.auto.modeling_auto' not in sys.modules\n"
        "model.gradient_checkpointing_enable()\n"
        "assert all(layer.gradient_checkpointing for layer in model.layers)\n"
    )


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize(
    "model_class",
    [BertinchampsForMaskedLM, BertinchampsForTokenClassification, BertinchampsForSequenceClassification],
)
def test_gradients_are_the_same(small, ids, padding, monkeypatch, model_class, reentrant):
    torch.manual_seed(0)
    model = model_class(small("modern")).train()
    labels = ids[:, 0] % 2 if model_class is BertinchampsForSequenceClassification else ids % 2
    calls, forward = [], Attention.forward
    monkeypatch.setattr(Attention, "forward", lambda *given: calls.append(given[0]) or forward(*given))
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        calls.clear()
        model(ids, padding, labels=labels).loss.backward()
        assert len(calls) == (6 if checkpointing else 3)
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
        model.zero_grad()
    torch.testing.assert_close(gradients[1], gradients[0])


def test_it_is_turned_on_for_some_layers_and_off(small):
    model = BertinchampsForMaskedLM(small())
    layers = model.encoder.layers
    assert all(isinstance(layer, GradientCheckpointingLayer) for layer in layers)
    assert not model.is_gradient_checkpointing
    model.gradient_checkpointing_enable(every_n_layers=2)
    assert [layer.gradient_checkpointing for layer in layers] == [True, False, True]
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    config = small()
    config.gradient_checkpointing = True
    assert BertinchampsForMaskedLM(config).is_gradient_checkpointing


def test_becoming_such_a_layer_twice_does_no_harm():
    before = EncoderLayer.forward, EncoderLayer.__bases__
    register()
    assert before == (EncoderLayer.forward, EncoderLayer.__bases__)


def test_hidden_states_are_kept_once(small, ids):
    model = BertinchampsForMaskedLM(small()).train()
    model.gradient_checkpointing_enable()
    output = model(ids, labels=ids, output_hidden_states=True)
    output.loss.backward()
    assert len(output.hidden_states) == 4
