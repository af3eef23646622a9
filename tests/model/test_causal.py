"""Causal attention, and a head that predicts the next token."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from bertinchamps.model.stock.twins import head_problems
from bertinchamps.model.views import Wanted, views_of
from bertinchamps.model.visibility import earlier_keys, rows_at

ARCHITECTURES = ("crammed", "bert_base", "modern")


def causal_states(model, ids, padding=None, positions=None):
    return model.encoder(ids, padding, query_positions=positions, causal=True).last_hidden_state


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_position_reads_what_comes_later(small, random_model, ids, name, gradients, implementation):
    """SDPA computes without gradients, and the plain formula with them."""
    model = random_model(small(name))
    model.set_attn_implementation(implementation)
    changed = ids.clone()
    changed[:, 6:] = (ids[:, 6:] + 1) % 64
    with torch.set_grad_enabled(gradients), sdpa_kernel(SDPBackend.MATH):
        before, after = causal_states(model, ids), causal_states(model, changed)
        both = model.encoder(changed).last_hidden_state
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.isclose(before[:, 6:], after[:, 6:]).all(-1).any()
    assert not torch.isclose(after[:, :6], both[:, :6]).all(-1).any()
    assert torch.allclose(
        after[:, -1], causal_states(model, changed, positions=torch.tensor([[9]] * 2))[:, 0], atol=1e-6
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_position_of_one_layer_reads_as_the_end_of_a_shorter_text_does(small, random_model, ids, name):
    model = random_model(small(name, num_hidden_layers=1))
    states = causal_states(model, ids)
    for end in range(1, ids.shape[1] + 1):
        whole = model.encoder(ids[:, :end]).last_hidden_state
        assert torch.allclose(states[:, end - 1], whole[:, -1], atol=1e-5)


def test_the_last_layer_computes_the_asked_positions_alone(small, random_model, ids, padding):
    model = random_model(small())
    positions = torch.tensor([[0, 3, 9], [2, 5, 6]])
    for mask in (None, padding):
        every = causal_states(model, ids, mask)
        some = causal_states(model, ids, mask, positions)
        assert torch.allclose(some, torch.take_along_dim(every, positions[:, :, None], 1), atol=1e-6)


def test_masks_of_padding_and_of_time_meet(padding):
    keys = padding.bool()[:, None, None, :]
    mask = earlier_keys(keys, 10, keys.device)
    assert mask.shape == (2, 1, 10, 10)
    assert all(mask[1, 0, q, k] == (k <= q and k < 7) for q in range(10) for k in range(10))
    assert rows_at(keys, torch.tensor([[1], [2]])) is keys  # all queries share a row
    assert torch.equal(rows_at(mask, torch.tensor([[9], [4]]))[:, 0, 0], mask[[0, 1], 0, [9, 4]])


def test_logits_of_a_head_that_predicts_the_next_token_are_those_of_the_position_before(
    small, random_model, ids
):
    plain, shifted = random_model(small()), random_model(small())
    shifted.config.predicts_next = True
    there, before = plain(ids).logits, shifted(ids).logits
    assert torch.equal(before[:, 1:], there[:, :-1])
    assert torch.equal(before[:, 0], there[:, 0])
    positions = torch.tensor([[0, 3, 9], [1, 2, 6]])
    expected = torch.take_along_dim(before, positions[:, :, None], 1)
    assert torch.allclose(shifted.masked_logits(ids, positions), expected, atol=1e-6)
    assert torch.allclose(shifted.head.decoder(shifted.masked_states(ids, positions)), expected, atol=1e-6)
    assert torch.allclose(views_of(shifted, ids, positions, Wanted((1,))).logits, expected, atol=1e-6)


def test_the_shift_is_saved(small, random_model, ids, tmp_path):
    model = random_model(small())
    model.config.predicts_next = True
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path).eval()
    assert again.config.predicts_next
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_no_stock_class_has_the_shift(small, random_model):
    model = random_model(small("modern"))
    assert head_problems(model) == []
    model.config.predicts_next = True
    (problem,) = head_problems(model)
    assert problem.startswith("predicts_next=true (config.json): ")
