"""Local layers read what is near, documents of a row do not see each other: in chunks, under masks, and alone."""

from __future__ import annotations

import pytest
import torch

from bertinchamps.model import visibility
from bertinchamps.model.flops import _attention_flops
from bertinchamps.model.positions import POSITIONS

LOCAL = {"attention": "alternating", "local_window": 4, "global_every": 3, "max_positions": 64}


def some_ids(length: int) -> torch.Tensor:
    return torch.randint(64, (2, length), generator=torch.Generator().manual_seed(2))


def documents_of(length: int) -> torch.Tensor:
    """Numbers of documents, of other lengths in each row."""
    ends = torch.tensor([[5, 6, length - 9], [1, length - 4, length]])
    return (torch.arange(length)[None, :, None] >= ends[:, None]).sum(-1)


@pytest.mark.parametrize("length", [9, 16, 23])
@pytest.mark.parametrize("what", ["nothing", "padding", "documents"])
@pytest.mark.parametrize("chosen", [False, True])
def test_chunks_compute_what_masks_do(small, random_model, monkeypatch, length, what, chosen):
    model, ids = random_model(small(**LOCAL)), some_ids(length)
    padding = torch.ones(2, length, dtype=torch.long)
    padding[1, length - 6 :] = 0
    given = {
        "nothing": {},
        "padding": {"attention_mask": padding},
        "documents": {"document_ids": documents_of(length)},
    }
    options = dict(given[what])
    if chosen:
        options["masked_positions"] = torch.tensor([[0, length - 7], [4, 2]])
    real = padding.bool() if what == "padding" and not chosen else torch.ones(())
    found = []
    for least in (visibility.CHUNKS_FROM, 10**9):
        monkeypatch.setattr("bertinchamps.model.huggingface.CHUNKS_FROM", least)
        logits = model(ids, **options).logits * (real[..., None] if real.dim() else real)
        gradients = torch.autograd.grad(logits.square().sum(), list(model.parameters()))
        with torch.no_grad():
            unseen = model(ids, **options).logits * (real[..., None] if real.dim() else real)
        found.append((logits, unseen, *gradients))
    for one, other in zip(*found, strict=True):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_local_layer_reads_its_window_alone(small, random_model):
    model = random_model(small(**LOCAL, num_hidden_layers=2))
    second = model.encoder.layers[1]
    surroundings = model.encoder.surroundings(torch.arange(40))
    assert isinstance(surroundings[1][1], visibility.Band)
    hidden = torch.randn(1, 40, 32, requires_grad=True)
    second(hidden, *surroundings[1])[0, 20].sum().backward()
    read = hidden.grad.abs().sum(-1)[0].nonzero().flatten().tolist()
    assert read == [18, 19, 20, 21, 22]


@pytest.mark.parametrize("positions", POSITIONS.names())
@pytest.mark.parametrize("attention", ["global", "alternating"])
def test_a_document_of_a_row_gets_what_it_gets_alone(small, random_model, positions, attention):
    model, ids = random_model(small(**LOCAL | {"positions": positions, "attention": attention})), some_ids(30)
    documents = documents_of(30)
    together = model(ids, document_ids=documents).logits
    for row in range(2):
        for number in documents[row].unique():
            of_document = documents[row] == number
            alone = model(ids[row : row + 1, of_document]).logits[0]
            torch.testing.assert_close(together[row, of_document], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together, model(ids).logits, atol=1e-3)


@pytest.mark.parametrize("length", [3, 4, 9, 40])
def test_operations_of_a_local_layer_are_those_of_its_mask(small, length):
    config = small(**LOCAL)
    visible = visibility.near(None, 2, length, torch.device("cpu")).sum().item()
    per_key = 4 * config.hidden_size
    assert _attention_flops(config, 1, length) == pytest.approx(per_key * visible / length)
    assert _attention_flops(config, 0, length) == _attention_flops(config, 3, length) == per_key * length


def test_places_begin_anew_in_each_document():
    numbers = torch.tensor([[0, 0, 1, 1, 1, 2], [4, 7, 7, 4, 4, 4]])
    assert visibility.places_in_documents(numbers).tolist() == [[0, 1, 0, 1, 2, 0], [0, 0, 1, 0, 1, 2]]
