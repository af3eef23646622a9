"""Training some rows of the embedding is training the model: same outputs, same gradients, whole when saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from bertinchamps.model.trained_rows import TrainedRows, train_rows, whole_embedding
from tiny_encoders import FAMILIES, make_encoder

USED = [7, 3, 11, 25]


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_and_gradients_are_those_of_the_whole_embedding(family: str, tmp_path: Path) -> None:
    folder = make_encoder(family, tmp_path)
    plain, narrow = (AutoModel.from_pretrained(folder, dtype=torch.float32).eval() for _ in range(2))
    train_rows(narrow, USED)
    ids = torch.tensor([[7, 3, 11, 25, 25]])
    anything = torch.tensor([[7, 2, 60, 25, 9]])
    assert torch.equal(plain(anything).last_hidden_state, narrow(anything).last_hidden_state)
    for model in (plain, narrow):
        model.get_input_embeddings().train()
        model(ids).last_hidden_state.square().sum().backward()
    whole, rows = plain.get_input_embeddings().weight.grad, narrow.get_input_embeddings().weight.grad
    assert torch.allclose(whole[sorted(USED)], rows, rtol=1e-4, atol=1e-6)
    others = torch.ones(len(whole), dtype=torch.bool)
    others[USED] = False
    assert not whole[others].any()


def test_trained_rows_are_in_their_places_when_the_model_is_saved(tmp_path: Path) -> None:
    folder = make_encoder("bert", tmp_path / "before")
    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    before = model.get_input_embeddings().weight.detach().clone()
    train_rows(model, USED)
    with torch.no_grad():
        model.get_input_embeddings().weight += 1
    with whole_embedding(model):
        model.save_pretrained(tmp_path / "after")
    assert isinstance(model.get_input_embeddings(), TrainedRows)
    after = AutoModel.from_pretrained(tmp_path / "after").get_input_embeddings().weight
    changed = (after != before).any(1).nonzero().flatten().tolist()
    assert changed == sorted(USED)
    assert torch.equal(after[USED], before[USED] + 1)
