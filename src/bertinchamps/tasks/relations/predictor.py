"""Finds relations between given entities with a trained model. B pairs, S subwords of the longest, C classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from bertinchamps.contract import AnnotatedText, RelatedText, Relation
from bertinchamps.tasks.batching import in_length_order
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.relations.pairs import Pair, PairMaker
from bertinchamps.tasks.relations.settings import PairSettings
from bertinchamps.training.passes import each

NO_RELATION = "no relation"  # the first class; labels follow
PAIRS_AT_ONCE = 8192  # in memory, where pairs take far more than entities

Array = np.ndarray[Any, Any]
Documents = Sequence[AnnotatedText | RelatedText]


class RelationPredictor:
    """Finds relations between the entities of documents with a trained model.

    Args:
        maker: of candidate pairs.
        settings: of the pairs.
        labels: types of relations, in the order of the head's classes behind that of no relation.
        padding: id that fills short pairs up.
        batch: pairs that go through the model at once, at most.
        device: where the model is.
        temperature: divides the logits.
    """

    def __init__(
        self,
        maker: PairMaker,
        settings: PairSettings,
        labels: Sequence[str],
        padding: int,
        batch: int,
        device: torch.device,
        temperature: float = 1.0,
    ) -> None:
        self.temperature = temperature
        self.maker, self.settings, self.labels, self.padding = maker, settings, tuple(labels), padding
        self.batch, self.device = batch, device

    def pairs(self, documents: Documents) -> Iterator[Pair]:
        """The candidate pairs of all documents, in order."""
        for index, document in enumerate(documents):
            yield from self.maker.pairs(index, document.text, document.entities)

    def predict(self, model: nn.Module, texts: Sequence[Input], cut: Counter[str]) -> list[RelatedText]:
        """The texts with their entities and the relations that the model finds between them."""
        del cut
        return self.label(
            model, [AnnotatedText(given.name, given.text, given.entities or ()) for given in texts]
        )

    def label(self, model: nn.Module, documents: Documents) -> list[RelatedText]:
        """The documents with the relations that the model finds, instead of their own."""
        found: dict[int, list[tuple[Relation, float]]] = {}
        portion: list[Pair] = []
        for pair in self.pairs(documents):
            portion.append(pair)
            if len(portion) == PAIRS_AT_ONCE:
                self._add(found, portion, self.logits(model, portion))
                portion = []
        self._add(found, portion, self.logits(model, portion))
        return with_relations(documents, found)

    def decoded(self, documents: Documents, pairs: Sequence[Pair], logits: Array) -> list[RelatedText]:
        """The documents with the relations of all their pairs, from logits [pairs, C]."""
        found: dict[int, list[tuple[Relation, float]]] = {}
        self._add(found, pairs, logits)
        return with_relations(documents, found)

    def _add(
        self, found: dict[int, list[tuple[Relation, float]]], pairs: Sequence[Pair], logits: Array
    ) -> None:
        shares = torch.from_numpy(logits).softmax(1).numpy()
        for pair, best, own in zip(pairs, logits.argmax(1).tolist(), shares, strict=True):
            if best:
                relation = Relation(self.labels[best - 1], pair.head, pair.tail)
                found.setdefault(pair.document, []).append((relation, float(own[best])))

    def inputs(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """Tensors [B, S] of some pairs: `input_ids`, `roles`, `types`, and `attention_mask` where lengths differ."""
        lengths = np.array([len(pair.subwords) for pair in pairs])
        ids = np.full((len(pairs), lengths.max()), self.padding, dtype=np.int64)
        roles, types = np.zeros_like(ids), np.zeros_like(ids)
        for row, pair in enumerate(pairs):
            ids[row, : lengths[row]] = pair.subwords
            roles[row, : lengths[row]] = pair.roles
            types[row, : lengths[row]] = pair.types
        arrays = {"input_ids": ids, "roles": roles, "types": types}
        if lengths.min() < lengths.max():
            arrays["attention_mask"] = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @torch.no_grad()
    def logits(self, model: nn.Module, pairs: Sequence[Pair]) -> Array:
        """[pairs, C], in the order given."""
        logits = np.zeros((len(pairs), len(self.labels) + 1), dtype=np.float32)

        def logits_of(indices: Sequence[int]) -> Tensor:
            inputs = self.inputs([pairs[index] for index in indices])
            return read(model, {name: tensor.to(self.device) for name, tensor in inputs.items()})

        batches = in_length_order([len(pair.subwords) for pair in pairs], self.batch)
        for indices, output in each(batches, logits_of):
            logits[indices] = (output.float() / self.temperature).cpu().numpy()
        return logits


def read(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """The model's logits of each pair."""
    subwords = {name: inputs[name] for name in ("input_ids", "attention_mask") if name in inputs}
    return cast(Tensor, model(subwords, inputs["roles"], inputs["types"]))


def with_relations(
    documents: Documents, found: Mapping[int, Sequence[tuple[Relation, float]]]
) -> list[RelatedText]:
    """The documents with these relations and their confidences, by the index of the document."""
    related = []
    for index, document in enumerate(documents):
        ordered = sorted(found.get(index, ()))
        relations, confidences = (tuple(side) for side in zip(*ordered, strict=True)) if ordered else ((), ())
        related.append(RelatedText(document.name, document.text, document.entities, relations, confidences))
    return related
