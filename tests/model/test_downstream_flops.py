"""FLOPs of any encoder: formulas by hand, PyTorch's counter and what a budget spends agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.flops import downstream_flops_per_token, forward_flops_per_token
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification, TextClassifier
from bertinchamps.model.heads.flat import BertinchampsForTokenClassification
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.heads.nested import NestedTagger

LENGTH, HIDDEN, WIDE, LAYERS = 24, 32, 64, 3
SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": WIDE,
    "max_position_embeddings": LENGTH + 2,
    "pad_token_id": 1,
}
# Of a layer and a token: four projections, two of the feed-forward, and what a query reads of each key.
LAYER = 2 * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * WIDE) + 4 * LENGTH * HIDDEN


class Counted(TorchDispatchMode):
    """PyTorch's own formulas, without the hooks that its counter puts on all modules."""

    total = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        given = function(*arguments, **(named or {}))
        if function._overloadpacket in flop_registry:
            self.total += flop_registry[function._overloadpacket](*arguments, **(named or {}), out_val=given)
        return given


def build(family: str, head: str = "Model", **more: Any) -> Any:
    config = getattr(transformers, f"{family}Config")(**(SIZES | more))
    return getattr(transformers, f"{family}{head}")(config)


@pytest.mark.parametrize("name", ["crammed", "bert_base", "modern"])
@pytest.mark.parametrize("read", [LENGTH, 5])
def test_our_formula_counts_what_pytorch_counts(small, name, read):
    model = BertinchampsForMaskedLM(small(name, max_positions=LENGTH)).eval()
    model.set_attn_implementation("eager")
    ids, places = torch.full((2, LENGTH), 7), torch.arange(read).expand(2, -1)
    with Counted() as counted, torch.no_grad():
        model(ids, masked_positions=places)
    formula = forward_flops_per_token(model.config, LENGTH, read / LENGTH)
    assert counted.total == pytest.approx(2 * LENGTH * formula, rel=1e-9)


def test_our_classifiers_are_counted_by_the_formula(small):
    config = small(max_positions=LENGTH)
    model = BertinchampsForTokenClassification(config).eval()
    model.set_attn_implementation("eager")
    with Counted() as counted, torch.no_grad():
        model(torch.full((1, LENGTH), 7))
    assert downstream_flops_per_token(model, config, LENGTH) == 3 * counted.total / LENGTH
    # What reads a text once counts as if it read each token: a little too much.
    texts = BertinchampsForSequenceClassification(config)
    more = 3 * 2 * (HIDDEN * HIDDEN)
    assert downstream_flops_per_token(texts, config, LENGTH) == 3 * counted.total / LENGTH + more


def test_layers_that_share_their_weights_count_each_time():
    """ALBERT's matrices are there once and used by every layer."""
    model = build("Albert", embedding_size=16)
    pooler, mapping = 2 * HIDDEN * HIDDEN / LENGTH, 2 * 16 * HIDDEN
    counted = downstream_flops_per_token(model, model.config, LENGTH)
    assert counted == 3 * (LAYERS * LAYER + mapping + pooler)


def test_stock_encoders_and_their_heads():
    bert = build("Bert", "ForTokenClassification", num_labels=5)
    assert downstream_flops_per_token(bert, bert.config, LENGTH) == 3 * (LAYERS * LAYER + 2 * HIDDEN * 5)
    texts = build("Bert", "ForSequenceClassification", num_labels=5)
    once = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * 5  # pooler and classifier read a text, not its tokens
    assert downstream_flops_per_token(texts, texts.config, LENGTH) == 3 * (LAYERS * LAYER + once / LENGTH)


def test_heads_of_our_own_are_added(tmp_path):
    config = transformers.BertConfig(**SIZES)
    source = EncoderSource(str(tmp_path), config)
    nested, encoder = NestedTagger(source, ["A", "B"]), build("Bert")
    linear = sum(
        module.weight.numel() for module in nested.head.modules() if isinstance(module, torch.nn.Linear)
    )
    bare = downstream_flops_per_token(encoder, config, LENGTH)
    assert downstream_flops_per_token(nested, config, LENGTH) == pytest.approx(bare + 3 * 2 * linear)
    plain = TextClassifier(source, ["A", "B"], "single_label_classification")
    assert downstream_flops_per_token(plain, config, LENGTH) == downstream_flops_per_token(
        plain.model, config, LENGTH
    )


FOLLOWED_WITH_NUMBERS = {
    "Flaubert": {"emb_dim": HIDDEN, "n_layers": LAYERS, "n_heads": 4},
    "Longformer": {"attention_window": [8] * LAYERS},
    "DebertaV2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "Xmod": {"languages": ["fr_XX"], "default_language": "fr_XX"},
}


@pytest.mark.parametrize("family", FOLLOWED_WITH_NUMBERS)
def test_encoders_that_look_at_their_inputs_are_counted_and_left_as_they_were(family):
    model = build(family, **FOLLOWED_WITH_NUMBERS[family]).train()
    next(model.children()).eval()
    modes = [module.training for module in model.modules()]
    implementation, state = model.config._attn_implementation, torch.get_rng_state()
    counted = downstream_flops_per_token(model, model.config, LENGTH)
    assert [module.training for module in model.modules()] == modes
    assert model.config._attn_implementation == implementation
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    model.eval()
    if implementation == "sdpa":
        model.set_attn_implementation("eager")
    with Counted() as by_pytorch, torch.no_grad():
        model(torch.zeros(1, LENGTH, dtype=torch.long))
    assert counted == pytest.approx(3 * by_pytorch.total / LENGTH)


def test_a_model_without_memory_is_counted():
    with torch.device("meta"):
        model = build("Camembert", "ForMaskedLM")
    decoder = 2 * (HIDDEN * HIDDEN + HIDDEN * 50)
    assert downstream_flops_per_token(model, model.config, LENGTH) == 3 * (LAYERS * LAYER + decoder)
