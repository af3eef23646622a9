"""What transformers asks of each of its models, asked of ours: the checks of its own common tests, written anew.

Those that do not apply: chunked feed-forwards, pruned heads, TorchScript, caches and generation.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AttentionInterface,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from bertinchamps.model import huggingface
from bertinchamps.model.attention import attend_plainly
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.heads.flat import BertinchampsForTokenClassification
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.huggingface import BertinchampsModel
from bertinchamps.model.positions import POSITIONS

AUTO = {
    BertinchampsModel: AutoModel,
    BertinchampsForMaskedLM: AutoModelForMaskedLM,
    BertinchampsForTokenClassification: AutoModelForTokenClassification,
    BertinchampsForSequenceClassification: AutoModelForSequenceClassification,
}
WITH_LABELS = [model_class for model_class in AUTO if model_class is not BertinchampsModel]
ARCHITECTURES = ("crammed", "bert_base", "modern")

every_class = pytest.mark.parametrize("model_class", AUTO)
every_class_with_labels = pytest.mark.parametrize("model_class", WITH_LABELS)
every_architecture = pytest.mark.parametrize("name", ARCHITECTURES)


@pytest.fixture
def build(small):
    """Builds a model in which no weight is 0 or 1."""

    def built(
        model_class: type, name: str = "crammed", implementation: str | None = None, **changes: Any
    ) -> Any:
        torch.manual_seed(1)
        config = small(name, **changes)
        config.num_labels, config._attn_implementation = 3, implementation
        model = model_class(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    return built


@pytest.fixture
def warnings(monkeypatch):
    """What the models say."""
    said: list[str] = []
    monkeypatch.setattr(huggingface.logger, "warning_once", said.append)
    return said


def main_output(output: Any) -> torch.Tensor:
    """Hidden states or logits."""
    return output.logits if "logits" in output else output.last_hidden_state


def labels_for(model_class: type, ids: torch.Tensor) -> torch.Tensor:
    return ids[:, 0] % 3 if model_class is BertinchampsForSequenceClassification else ids % 3


# Saving and loading


@every_class
@every_architecture
def test_what_is_saved_is_loaded_whole_and_says_the_same(build, ids, padding, tmp_path, model_class, name):
    model = build(model_class, name)
    model.save_pretrained(tmp_path)
    loaded, report = AUTO[model_class].from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is model_class
    assert not any(report.values()), report
    assert torch.equal(main_output(loaded(ids, padding)), main_output(model(ids, padding)))


@pytest.mark.parametrize("model_class", WITH_LABELS[1:])
def test_a_classifier_of_a_pretrained_encoder_misses_its_own_layers_alone(build, tmp_path, model_class):
    pretrained = build(BertinchampsForMaskedLM, "bert_base")
    pretrained.save_pretrained(tmp_path)
    loaded, report = model_class.from_pretrained(tmp_path, output_loading_info=True, num_labels=3)
    assert all(key.startswith(("classifier.", "dense.")) for key in report["missing_keys"])
    assert all(key.startswith("head.") for key in report["unexpected_keys"])
    assert loaded.classifier.weight.std().item() == pytest.approx(0.02, rel=0.5)
    for key, weight in loaded.encoder.state_dict().items():
        assert torch.equal(weight, pretrained.encoder.state_dict()[key]), key


@every_class
def test_models_begin_on_no_device_and_copies_are_alike(build, small, ids, model_class):
    with torch.device("meta"):
        assert all(parameter.is_meta for parameter in model_class(small()).parameters())
    model = build(model_class)
    assert torch.equal(main_output(copy.deepcopy(model)(ids)), main_output(model(ids)))


@every_class
@every_architecture
def test_every_parameter_is_initialised(small, model_class, name):
    """Whatever lay in its memory before."""
    model = model_class(small(name))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1e9)
    for module in model.modules():
        if any(True for _ in module.parameters(recurse=False)):
            model._init_weights(module)
    for key, parameter in model.named_parameters():
        assert parameter.abs().max() <= 1, key


@every_class
def test_another_number_of_tokens_or_another_embedding(build, ids, model_class):
    model = build(model_class, "bert_base")
    before = main_output(model(ids))
    model.resize_token_embeddings(70)
    assert (model.config.vocab_size, model.get_input_embeddings().num_embeddings) == (70, 70)
    after = main_output(model(ids))
    torch.testing.assert_close(after[..., : before.shape[-1]], before)
    zeros = nn.Embedding(70, 32, _weight=torch.zeros(70, 32))
    model.set_input_embeddings(zeros)
    assert model.get_input_embeddings() is zeros
    assert not torch.equal(main_output(model(ids))[..., : before.shape[-1]], before)


def test_a_tied_decoder_stays_tied(build, tmp_path):
    model = build(BertinchampsForMaskedLM)
    model.save_pretrained(tmp_path)
    for tied in (model, copy.deepcopy(model), BertinchampsForMaskedLM.from_pretrained(tmp_path)):
        assert tied.get_output_embeddings().weight is tied.get_input_embeddings().weight


# What is taken


@every_class
def test_inputs_are_those_of_stock_encoders_in_their_order(model_class):
    named = list(inspect.signature(model_class.forward).parameters.values())
    names = [parameter.name for parameter in named]
    stock = ["input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"]
    assert names[1:6] == stock
    assert named[-1].kind is inspect.Parameter.VAR_KEYWORD


@every_class
@every_architecture
def test_vectors_in_place_of_tokens(build, ids, padding, model_class, name):
    model = build(model_class, name)
    vectors = model.get_input_embeddings()(ids)
    by_vectors = model(inputs_embeds=vectors, attention_mask=padding)
    assert torch.equal(main_output(by_vectors), main_output(model(ids, padding)))
    for wrong in ({}, {"input_ids": ids, "inputs_embeds": vectors}):
        with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
            model(**wrong)


@every_class
def test_token_types_mean_nothing_and_unknown_options_are_reported(build, ids, model_class, warnings):
    model = build(model_class)
    plain = main_output(model(ids))
    assert torch.equal(main_output(model(ids, token_type_ids=torch.ones_like(ids))), plain)
    assert torch.equal(main_output(model(ids, use_cache=False)), plain)
    assert not warnings
    assert torch.equal(main_output(model(ids, atention_mask=None)), plain)
    assert warnings == ["BertinchampsModel does not read atention_mask"]


@pytest.mark.parametrize("positions", POSITIONS.names())
def test_padding_on_the_left_is_padding_on_the_right_where_positions_say_so(build, ids, positions):
    """Of two rows, one is three tokens shorter."""
    encoder = build(BertinchampsModel, positions=positions)
    right, left = torch.ones_like(ids), torch.ones_like(ids)
    right[1, 7:], left[1, :3] = 0, 0
    moved = ids.clone()
    moved[1] = ids[1].roll(3)
    counted = (left.cumsum(1) - 1).clamp(min=0)
    for places in (None, torch.tensor([[2, 6], [1, 5]])):
        expected = encoder(ids, right, query_positions=places).last_hidden_state
        places = None if places is None else places + torch.tensor([[0], [3]])
        actual = encoder(moved, left, position_ids=counted, query_positions=places).last_hidden_state
        rows = (0, slice(None)), (1, slice(7) if places is None else slice(None))
        for (row, seen), read in zip(
            rows, (slice(None), slice(3, None) if places is None else slice(None)), strict=True
        ):
            torch.testing.assert_close(actual[row, read], expected[row, seen], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("positions", POSITIONS.names())
def test_positions_are_counted_from_zero_unless_given(build, ids, positions):
    encoder = build(BertinchampsModel, positions=positions)
    counted = torch.arange(10)[None]
    plain, given = (
        encoder(ids, position_ids=position_ids).last_hidden_state for position_ids in (None, counted)
    )
    assert torch.equal(plain, given)
    assert torch.equal(plain, encoder(ids, position_ids=counted.expand(2, -1)).last_hidden_state)
    other = encoder(ids, position_ids=counted.flip(1)).last_hidden_state
    assert torch.allclose(plain, other, atol=1e-5) == (positions == "none")


# What is given


@every_class
@every_architecture
def test_the_same_input_has_the_same_output_alone_and_in_a_batch(build, ids, model_class, name):
    model = build(model_class, name)
    together = main_output(model(ids))
    assert torch.equal(together, main_output(model(ids)))
    alone = torch.cat([main_output(model(row[None])) for row in ids])
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)


@every_class
@pytest.mark.parametrize("told", ["by the call", "by the config"])
def test_a_tuple_holds_what_the_output_holds(build, ids, model_class, told):
    model = build(model_class, implementation="eager")
    options = {"output_hidden_states": True, "output_attentions": True}
    if model_class is not BertinchampsModel:
        options["labels"] = labels_for(model_class, ids)
    named = model(ids, **options)
    if told == "by the call":
        plain = model(ids, **options, return_dict=False)
    else:
        model.config.return_dict = False
        plain = model(ids, **options)
    assert isinstance(plain, tuple)
    for one, other in zip(plain, named.to_tuple(), strict=True):
        torch.testing.assert_close(one, other)


def test_masked_logits_are_logits_whatever_the_config_returns(build, ids):
    model = build(BertinchampsForMaskedLM)
    model.config.return_dict = False
    assert model.masked_logits(ids, ids[:, :2] % 10).shape == (2, 2, 64)


@every_class
@every_architecture
def test_hidden_states_of_all_layers_and_of_some(build, ids, model_class, name):
    model = build(model_class, name)
    encoder = model if model_class is BertinchampsModel else model.encoder
    states = model(ids, output_hidden_states=True).hidden_states
    assert [state.shape for state in states] == [(2, 10, 32)] * 4
    assert torch.equal(states[0], encoder.embeddings(ids, torch.arange(10)))
    assert torch.equal(
        states[1], encoder.layers[0](states[0], encoder.embeddings.positions.rotation(torch.arange(10)), None)
    )
    assert torch.equal(states[-1], encoder(ids).last_hidden_state)
    # Versions of transformers differ in what number they give the embeddings.
    (kept,) = [state for state in model(ids, output_hidden_states=[1]).hidden_states if state is not None]
    assert torch.equal(kept, states[1]) or torch.equal(kept, states[2])
    model.config.output_hidden_states = True
    assert len(model(ids).hidden_states) == 4


@every_class
@every_architecture
def test_shares_of_attention(build, ids, padding, model_class, name):
    model = build(model_class, name, implementation="eager")
    shares = model(ids, padding, output_attentions=True).attentions
    assert [share.shape for share in shares] == [(2, 4, 10, 10)] * 3
    for share in shares:
        torch.testing.assert_close(share.sum(-1), torch.ones(2, 4, 10))
        assert not share[1, :, :, 7:].any()
    model.config.output_attentions = True
    assert len(model(ids).attentions) == 3


def test_shares_of_the_positions_that_are_read(build, ids):
    encoder = build(BertinchampsModel, implementation="eager")
    options = {"output_attentions": True, "output_hidden_states": True}
    output = encoder(ids, query_positions=torch.tensor([[4, 1], [0, 9]]), **options)
    assert [share.shape[2] for share in output.attentions] == [10, 10, 2]
    whole = encoder(ids, **options).attentions[-1][0, :, 1]
    torch.testing.assert_close(output.attentions[-1][0, :, 1], whole, rtol=1e-5, atol=1e-6)
    assert output.hidden_states[-1] is output.last_hidden_state


def test_sdpa_knows_no_shares_and_says_so(build, ids, warnings):
    output = build(BertinchampsModel)(ids, output_attentions=True)
    assert output.attentions == ()
    assert ["eager" in warning for warning in warnings] == [True]


@every_class
def test_gradients_of_hidden_states_and_of_shares_are_kept(build, ids, model_class):
    model = build(model_class, implementation="eager")
    output = model(ids, output_hidden_states=True, output_attentions=True)
    kept = (output.hidden_states[0], output.attentions[0])
    for tensor in kept:
        tensor.retain_grad()
    main_output(output).square().sum().backward()
    assert all(tensor.grad is not None and tensor.grad.any() for tensor in kept)


# How it is computed


@every_class
@every_architecture
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("side", ["none", "left", "right"])
def test_eager_attention_equals_sdpa(build, ids, model_class, name, training, side):
    mask = torch.ones_like(ids)
    mask[1, {"none": slice(0), "left": slice(3), "right": slice(7, None)}[side]] = 0
    eager, sdpa = (build(model_class, name, implementation) for implementation in ("eager", "sdpa"))
    with torch.set_grad_enabled(training):
        one, other = (main_output(model(ids, None if side == "none" else mask)) for model in (eager, sdpa))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_implementation_of_attention_can_be_changed_and_added(build, ids, padding):
    called = []

    def registered(module, query, key, value, mask, **options):
        called.append(module)
        read, shares = attend_plainly(query, key, value, mask, options["dropout"])
        return read.transpose(1, 2), shares

    AttentionInterface.register("written_for_this_test", registered)
    encoder = build(BertinchampsModel)
    before = encoder(ids, padding).last_hidden_state
    assert encoder.config._attn_implementation == "sdpa"
    for implementation in ("eager", "written_for_this_test"):
        encoder.set_attn_implementation(implementation)
        output = encoder(ids, padding, output_attentions=True)
        torch.testing.assert_close(output.last_hidden_state, before, rtol=1e-4, atol=1e-5)
        assert len(output.attentions) == 3
    assert called == [layer.attention for layer in encoder.layers]
    with pytest.raises(ValueError, match="Flash Attention"):
        build(BertinchampsModel, implementation="flash_attention_2")


@every_class
@every_architecture
def test_half_precision(build, ids, padding, tmp_path, model_class, name):
    model = build(model_class, name)
    model.save_pretrained(tmp_path)
    halved = AUTO[model_class].from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in halved.parameters()} == {torch.bfloat16}
    output = main_output(halved(ids, padding))
    assert output.dtype is torch.bfloat16
    exact = main_output(model(ids, padding))
    assert (output - exact).abs().mean() < 0.05 * exact.abs().mean()


@every_class
def test_one_graph_when_compiled(build, ids, padding, model_class):
    model = build(model_class, "modern")
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    expected = main_output(model(ids, padding))
    torch.testing.assert_close(main_output(compiled(ids, padding)), expected)
    told = compiled(ids, padding, position_ids=torch.arange(10)[None], return_dict=False)
    torch.testing.assert_close(told[0], expected)
