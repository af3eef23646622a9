"""Train only the rows of the token embedding that the training texts use.

A fine-tuning corpus uses a few thousand of an encoder's tens of thousands of tokens. The rows of the other tokens have
no gradient, but a dense optimizer reads and writes them at each update, which takes most of the time of a small
encoder on a CPU. Frozen rows leave training as it is, except that weight decay does not shrink them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class TrainedRows(nn.Module):
    """A token embedding of which some rows are trained.

    Args:
        whole: the embedding, [V, H].
        ids: of the rows to train.
    """

    def __init__(self, whole: nn.Embedding, ids: Iterable[int]) -> None:
        super().__init__()
        device = whole.weight.device
        chosen = torch.tensor(sorted(set(ids)), device=device)
        places = torch.full((whole.num_embeddings,), -1, device=device)
        places[chosen] = torch.arange(len(chosen), device=device)
        self.weight = nn.Parameter(whole.weight.detach()[chosen].clone())  # [U, H]
        # Not persistent: both are constant, and the state is saved and compared.
        self.register_buffer("frozen", whole.weight.detach().clone(), persistent=False)
        self.register_buffer("places", places, persistent=False)
        self.padding_idx = whole.padding_idx
        self.frozen: torch.Tensor
        self.places: torch.Tensor

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:  # [B, S] -> [B, S, H]
        """Embed ids of trained rows (training), or any ids (evaluation)."""
        places = self.places[input_ids]
        if self.training:
            return functional.embedding(places, self.weight)
        trained = functional.embedding(places.clamp(min=0), self.weight)
        return torch.where((places >= 0)[..., None], trained, functional.embedding(input_ids, self.frozen))

    def whole(self) -> nn.Embedding:
        """The embedding with the trained rows in their places."""
        merged = self.frozen.clone()
        merged[self.places >= 0] = self.weight.detach()  # both are in the order of ids
        rows, size = merged.shape
        return nn.Embedding(rows, size, padding_idx=self.padding_idx, _weight=merged)


def train_rows(model: Any, ids: Iterable[int]) -> None:
    """Replace the token embedding of a model of transformers by `TrainedRows` of these ids."""
    whole = model.get_input_embeddings()
    model.set_input_embeddings(TrainedRows(whole, ids).train(whole.training))


def freeze_embeddings(model: Any) -> None:
    """Freeze the token embedding of a model of transformers, and what stands beside it: positions, types, a norm."""
    tokens = model.get_input_embeddings()
    name = next(name for name, part in model.named_modules() if part is tokens)
    beside = model.get_submodule(name.rpartition(".")[0])
    (tokens if beside is model else beside).requires_grad_(False)


@contextmanager
def whole_embedding(model: Any) -> Iterator[None]:
    """A context in which the model has one whole embedding, as other libraries expect."""
    narrow = model.get_input_embeddings()
    if not isinstance(narrow, TrainedRows):
        yield
        return
    model.set_input_embeddings(narrow.whole())
    try:
        yield
    finally:
        model.set_input_embeddings(narrow)
