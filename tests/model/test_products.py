"""Linear maps by oneDNN: the same products, the same weights, and only where they are faster."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bertinchamps.model import products
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.huggingface import BertinchampsForTokenClassification

pytestmark = pytest.mark.skipif(not products._is_there(), reason="PyTorch was built without oneDNN")


def tagger() -> nn.Module:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return BertinchampsForTokenClassification(BertinchampsConfig(vocab_size=64, num_labels=5, **sizes)).eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 24), (3, 5, 24), (1, 24)])
def test_products_are_those_of_the_layer(shape: tuple[int, ...], bias: bool) -> None:
    layer, inputs = nn.Linear(24, 10, bias=bias), torch.randn(*shape)
    with torch.inference_mode():
        assert torch.allclose(products.product(layer, inputs), layer(inputs), atol=1e-6)


def test_products_take_inputs_as_they_lie() -> None:
    layer, inputs = nn.Linear(6, 10), torch.randn(6, 3, 5).permute(1, 2, 0)
    with torch.inference_mode():
        assert torch.allclose(products.product(layer, inputs), layer(inputs), atol=1e-6)


def test_a_model_says_the_same_and_keeps_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_is_faster", lambda: True)
    model, ids = tagger(), torch.arange(24).reshape(2, 12)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    calls = []
    through = products.product
    monkeypatch.setattr(products, "product", lambda layer, x: calls.append(layer) or through(layer, x))
    with torch.inference_mode():
        before = model(ids).logits
        assert products.use_faster_products(model)
        after = model(ids).logits
    assert len(calls) == sum(isinstance(module, nn.Linear) for module in model.modules())
    assert torch.allclose(before, after, atol=1e-6)
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def test_where_they_are_not_faster_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_is_faster", lambda: False)
    model = tagger()
    assert not products.use_faster_products(model)
    assert not any("forward" in vars(module) for module in model.modules())
