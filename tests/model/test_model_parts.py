"""Heads, masks, and every entry of every registry."""

from __future__ import annotations

import math

import pytest
import torch

from bertinchamps.errors import UserError
from bertinchamps.model.activations import ACTIVATIONS
from bertinchamps.model.feed_forward import FEED_FORWARDS
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.initialisation import INITS
from bertinchamps.model.norms import NORMS
from bertinchamps.model.positions import POSITIONS, at

ENTRIES = [
    (field, name)
    for field, registry in {
        "activation": ACTIVATIONS,
        "feed_forward": FEED_FORWARDS,
        "norm": NORMS,
        "positions": POSITIONS,
        "init": INITS,
    }.items()
    for name in registry.names()
]
SWITCHES = [
    ("query_key_norm", True),
    ("norm_bias", False),
    ("attention_bias", True),
    ("feed_forward_bias", True),
    ("decoder_bias", True),
    ("embedding_norm", False),
    ("final_norm", False),
    ("first_attention_norm", False),
    ("head_transform", True),
    ("head_positions", True),
    ("dropout", 0.2),
]


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("field", "value"), [*ENTRIES, *SWITCHES])
def test_every_entry_and_switch_learns(small, ids, field, value, autocast):
    changes = {field: value}
    torch.manual_seed(0)
    model = BertinchampsForMaskedLM(small("crammed", **changes)).train()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = model(ids, labels=ids.flip(0)).loss
    loss.backward()
    assert loss.item() == pytest.approx(math.log(64), rel=0.1)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("name", ["crammed", "bert_base", "modern", "rotary, normed keys"])
def test_computing_what_is_read_equals_computing_everything(small, random_model, ids, padding, name):
    """Logits, and the gradient of every parameter."""
    more = {"positions": "rotary", "query_key_norm": True, "attention_bias": True}
    model = random_model(small(name) if name != "rotary, normed keys" else small("crammed", **more))
    places = torch.tensor([[0, 3, 6], [1, 2, 5]])
    logits = model.masked_logits(ids, places, padding)
    assert logits.shape == (2, 3, 64)
    logits.square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    everywhere = model(ids, padding).logits.gather(1, places[:, :, None].expand(-1, -1, 64))
    torch.testing.assert_close(logits, everywhere, rtol=1e-5, atol=1e-6)
    everywhere.square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_loss_is_the_mean_over_labelled_positions(small, random_model, ids):
    model = random_model(small())
    places, targets = torch.tensor([[4], [2]]), torch.tensor([[7], [9]])
    labels = torch.full_like(ids, -100)
    labels[0, 4], labels[1, 2] = 7, 9
    everywhere = model(ids, labels=labels)
    gathered = model(ids, labels=targets, masked_positions=places)
    by_hand = -everywhere.logits.log_softmax(-1)
    torch.testing.assert_close(everywhere.loss, (by_hand[0, 4, 7] + by_hand[1, 2, 9]) / 2)
    torch.testing.assert_close(everywhere.loss, gathered.loss)


@pytest.mark.parametrize("name", ["crammed", "bert_base", "modern"])
def test_padding_does_not_change_real_tokens(small, random_model, ids, padding, name):
    encoder = random_model(small(name)).encoder
    padded = encoder(ids, padding).last_hidden_state
    torch.testing.assert_close(padded[1, :7], encoder(ids[1:, :7]).last_hidden_state[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(padded, encoder(ids, padding.bool()).last_hidden_state)


@pytest.mark.parametrize("positions", POSITIONS.names())
def test_order_matters_to_every_position_encoding_but_none(small, random_model, ids, positions):
    encoder = random_model(small("crammed", positions=positions)).encoder
    forward, backward = encoder(ids).last_hidden_state, encoder(ids.flip(1)).last_hidden_state.flip(1)
    assert torch.allclose(forward, backward, atol=1e-5) == (positions == "none")


def test_learned_positions_end_with_a_message(small, random_model):
    model = random_model(small("crammed", positions="learned"))
    with pytest.raises(UserError, match=r"17 tokens exceeds arch\.max_positions=16"):
        model(torch.zeros(1, 17, dtype=torch.long))


def test_query_key_norm_makes_attention_blind_to_the_scale_of_queries(small, random_model, ids):
    for normed in (True, False):
        model = random_model(small("crammed", query_key_norm=normed))
        before = model(ids).logits
        with torch.no_grad():
            for layer in model.encoder.layers:
                layer.attention.query_key_value.weight[:64] *= 3  # queries and keys
        assert torch.allclose(before, model(ids).logits, rtol=1e-4, atol=1e-5) == normed


@pytest.mark.parametrize(
    ("init", "shrink"), [("normal", 1.0), ("zero_output", 0.0), ("depth_scaled", 6**-0.5)]
)
def test_initial_spread_of_weights(small, init, shrink):
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 512}
    model = BertinchampsForMaskedLM(small("crammed", init=init, **sizes)).encoder
    layer = model.layers[1]
    for plain in (model.embeddings.tokens, layer.attention.query_key_value, layer.feed_forward.input):
        assert plain.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for residual in (layer.attention.output, layer.feed_forward.output):
        assert residual.weight.std().item() == pytest.approx(0.02 * shrink, rel=0.05)
    assert model.embeddings.positions.scale.item() == pytest.approx(128**-0.5)


def test_positions_before_the_head_are_those_of_the_tokens_that_are_read(small, random_model, ids):
    model, chosen = random_model(small(head_positions=True)), torch.tensor([[1, 7], [0, 9]])
    logits = model(ids).logits
    torch.testing.assert_close(model.masked_logits(ids, chosen), at(logits, chosen))
    torch.testing.assert_close(model.head.decoder(model.masked_states(ids, chosen)), at(logits, chosen))
    later = torch.arange(3, 3 + ids.shape[1])[None]
    moved = model(ids, position_ids=later)
    chosen_moved = model(ids, position_ids=later, masked_positions=chosen)
    torch.testing.assert_close(chosen_moved.logits, at(moved.logits, chosen))
    encoded = model.encoder(ids, position_ids=later).last_hidden_state
    torch.testing.assert_close(moved.logits, model.head(encoded, later))
    without = model.head.decoder(model.encoder(ids).last_hidden_state)
    assert not torch.allclose(logits, without)
    torch.nn.init.zeros_(model.head.positions.scale)
    torch.testing.assert_close(model(ids).logits, without)


def test_positions_before_the_head_need_an_encoding_that_adds(small):
    with pytest.raises(UserError, match=r"arch\.head_positions=true: arch\.positions=rotary adds nothing"):
        small("crammed", positions="rotary", head_positions=True)


def test_activation_checkpointing_changes_no_gradient(small, random_model, ids):
    gradients = []
    for checkpointing in (False, True):
        model = random_model(small("modern")).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            assert all(layer.gradient_checkpointing for layer in model.encoder.layers)
        model(ids, labels=ids).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(gradients[0], gradients[1])
