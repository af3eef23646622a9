"""Stock ModernBERT and BERT with our weights compute what we compute, and the other way round."""

from __future__ import annotations

import pytest
import torch

from bertinchamps.errors import UserError
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.heads.flat import BertinchampsForTokenClassification
from bertinchamps.model.stock.bert import bert_config, from_bert, to_bert
from bertinchamps.model.stock.modernbert import from_modernbert, to_modernbert
from bertinchamps.model.stock.requirements import stock_problems
from bertinchamps.model.stock.twins import stock_twin

TWINS = {
    "modern": (to_modernbert, from_modernbert),
    "bert_base": (to_bert, from_bert),
}
twins = pytest.mark.parametrize("name", TWINS)
tolerance = {"rtol": 1e-5, "atol": 2e-6}


def logits_and_gradients(model, ids, mask, padded):
    """Logits at real positions, and gradients by name, of a loss on them."""
    real = padded.bool()
    logits = model(input_ids=ids, attention_mask=mask).logits[real]
    torch.nn.functional.cross_entropy(logits, ids.flip(0)[real]).backward()
    return logits, {name: parameter.grad for name, parameter in model.named_parameters()}


@twins
@pytest.mark.parametrize("padded", [False, True])
def test_logits_and_gradients_equal_the_stock_twins(small, random_model, ids, padding, name, padded):
    to_stock, from_stock = TWINS[name]
    model = random_model(small(name))
    twin = to_stock(model)
    mask = padding if padded else None
    mine, my_gradients = logits_and_gradients(model, ids, mask, padding)
    theirs, their_gradients = logits_and_gradients(twin, ids, mask, padding)
    torch.testing.assert_close(mine, theirs, **tolerance)
    # Gradients travel under our names by being put in the twin's place of the weights.
    with torch.no_grad():
        for parameter_name, parameter in twin.named_parameters():
            parameter.copy_(their_gradients[parameter_name])
        if name == "bert_base":  # the token types are no weights of ours
            twin.bert.embeddings.token_type_embeddings.weight.zero_()
    renamed = dict(from_stock(twin).named_parameters())
    assert renamed.keys() == my_gradients.keys()
    for parameter_name, gradient in my_gradients.items():
        torch.testing.assert_close(
            gradient, renamed[parameter_name].detach(), **tolerance, msg=parameter_name
        )


@twins
def test_there_and_back_changes_no_weight_and_no_setting(small, random_model, name):
    to_stock, from_stock = TWINS[name]
    changes = {"activation": "gelu_tanh", "tie_word_embeddings": False}
    model = random_model(small(name, **changes))
    back = from_stock(to_stock(model))
    assert back.config.to_dict() == model.config.to_dict()
    assert back.state_dict().keys() == model.state_dict().keys()
    for parameter_name, tensor in model.state_dict().items():
        assert torch.equal(tensor, back.state_dict()[parameter_name]), parameter_name


def test_every_bias_of_modernbert_has_its_place(small, random_model, ids):
    biases = dict.fromkeys(("norm_bias", "attention_bias", "feed_forward_bias", "head_bias"), True)
    model = random_model(small("modern", rotary_theta=500.0, **biases))
    torch.testing.assert_close(model(ids).logits, to_modernbert(model)(ids).logits, **tolerance)


@pytest.mark.parametrize(("every", "window"), [(2, 4), (3, 2), (3, 128)])
@pytest.mark.parametrize("padded", [False, True])
def test_local_layers_are_those_of_modernbert(small, random_model, ids, padding, every, window, padded):
    changes = {
        "attention": "alternating",
        "local_window": window,
        "global_every": every,
        "local_theta": 300.0,
    }
    model = random_model(small("modern", **changes))
    twin = to_modernbert(model)
    mask, real = (padding, padding.bool()) if padded else (None, torch.ones(2, 10, dtype=torch.bool))
    torch.testing.assert_close(
        model(ids, mask).logits[real], twin(ids, attention_mask=mask).logits[real], **tolerance
    )
    whole = random_model(small("modern"))(ids, mask).logits[real]
    assert torch.allclose(model(ids, mask).logits[real], whole, atol=1e-5) is False
    assert from_modernbert(twin).config.to_dict() == model.config.to_dict()


@pytest.mark.parametrize(("name", "biases"), [("modern", False), ("modern", True), ("bert_base", True)])
def test_a_tagger_and_its_encoder_have_stock_twins(small, ids, padding, name, biases):
    switched = dict.fromkeys(("norm_bias", "attention_bias", "feed_forward_bias", "head_bias"), biases)
    config = small(name, **switched)
    config.num_labels, config.dropout = 5, 0.1  # fine-tuning leaves its rate there
    torch.manual_seed(0)
    model = BertinchampsForTokenClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    real = padding.bool()
    twin = stock_twin(model)
    assert twin.config.num_labels == 5
    assert model.config.dropout == 0.1
    theirs, ours = (each(input_ids=ids, attention_mask=padding).logits[real] for each in (twin, model))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    encoder = stock_twin(model.encoder)
    theirs, ours = (
        each(input_ids=ids, attention_mask=padding).last_hidden_state[real]
        for each in (encoder, model.encoder)
    )
    torch.testing.assert_close(ours, theirs, **tolerance)


@pytest.mark.parametrize(("name", "biases"), [("modern", False), ("modern", True), ("bert_base", True)])
def test_a_text_classifier_has_a_stock_twin(small, ids, padding, name, biases):
    switched = dict.fromkeys(("norm_bias", "attention_bias", "feed_forward_bias", "head_bias"), biases)
    config = small(name, **switched)
    config.num_labels, config.dropout = 5, 0.1
    torch.manual_seed(0)
    model = BertinchampsForSequenceClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    twin = stock_twin(model)
    assert type(twin).__name__.endswith("ForSequenceClassification")
    theirs, ours = (each(input_ids=ids, attention_mask=padding).logits for each in (twin, model))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_text_classifier_with_the_pooler_of_cramming_has_no_stock_twin(small):
    model = BertinchampsForSequenceClassification(small("modern", pooler="cramming"))
    with pytest.raises(UserError, match=r"pooler=cramming \(config\.json\): text classifiers of modernbert"):
        stock_twin(model)


def test_the_twin_keeps_dtype_and_mode(small, random_model):
    model = random_model(small("modern")).bfloat16()
    twin = to_modernbert(model)
    assert twin.dtype == torch.bfloat16
    assert not twin.training


def test_token_type_zero_of_a_stock_bert_is_folded_into_its_positions(small, random_model, ids):
    twin = to_bert(random_model(small("bert_base")))
    with torch.no_grad():
        twin.bert.embeddings.token_type_embeddings.weight.normal_()
    torch.testing.assert_close(from_bert(twin)(ids).logits, twin(ids).logits, **tolerance)


def test_every_field_in_the_way_is_named(small):
    config = small("crammed")
    assert stock_problems(config, "modernbert") == [
        "arch.first_attention_norm=true: arch.stock=modernbert needs false",
        "arch.positions=scaled_sinusoidal: arch.stock=modernbert needs rotary",
        "arch.head_transform=false: arch.stock=modernbert needs true",
    ]
    with pytest.raises(UserError, match=r"arch\.positions=scaled_sinusoidal: arch\.stock=bert needs learned"):
        bert_config(config)


def test_another_order_of_local_layers_is_refused(small, random_model):
    twin = to_modernbert(random_model(small("modern")))
    twin.config.layer_types = ["full_attention", "full_attention", "sliding_attention"]
    with pytest.raises(UserError, match="layer_types"):
        from_modernbert(twin)
