"""The task of finding relations: a class for each candidate pair of entities, the first of which is "no relation"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertinchamps.contract import AnnotatedText, Batch, Output, RelatedText
from bertinchamps.metrics.calibration import best_temperature, unlikelihood
from bertinchamps.metrics.counting import span_tally
from bertinchamps.metrics.relation_errors import relation_error_counts
from bertinchamps.metrics.relations import END_TO_END, GIVEN, relation_counts, relation_scores
from bertinchamps.metrics.tallies import Tally
from bertinchamps.schemas import FinetuneBatchConfig, SelectionConfig
from bertinchamps.tasks.batching import batches_of
from bertinchamps.tasks.comparing import MISSED, RIGHT, SPURIOUS
from bertinchamps.tasks.facts import TaskFacts
from bertinchamps.tasks.relations.nearest import labels_of, nearest
from bertinchamps.tasks.relations.pairs import Pair
from bertinchamps.tasks.relations.predictor import Array, RelationPredictor, read
from bertinchamps.tasks.thresholds import Settled

Finder = Callable[[Sequence[RelatedText]], list[AnnotatedText]]  # finds entities in texts
NEW_TYPE = "of a type that train has not"
SECOND = "beside another relation of the same two arguments"


class Predicted(NamedTuple):
    """Predictions for a split: between its gold entities, and between found ones where a model finds them."""

    given: list[RelatedText]
    end_to_end: list[RelatedText] | None


class RelationExtraction:
    """The `Task` that the trainer trains.

    Args:
        splits: documents of train and dev, and of test where there is one.
        predictor: pairs, labels, tokenizer and device.
        batch: how many pairs at once, and in an update.
        seed: of the order, and of the choice among pairs without a relation.
        finder: finds the entities of end-to-end scores; None: no such scores.
    """

    name = "relations"
    predicted_fraction = 0.0  # the head predicts per pair, not per token
    metric = "f1"

    def __init__(
        self,
        splits: Mapping[str, list[RelatedText]],
        predictor: RelationPredictor,
        batch: FinetuneBatchConfig,
        seed: int,
        finder: Finder | None = None,
    ) -> None:
        self.splits, self.predictor, self._batch, self._seed, self._finder = (
            splits,
            predictor,
            batch,
            seed,
            finder,
        )
        self.pairs = {split: list(predictor.pairs(documents)) for split, documents in splits.items()}
        self.lost = {split: self._lost(split) for split in splits}
        targets = self._targets("train")
        chosen = _balanced(targets, predictor.settings.negatives, seed)
        self.studied = [self.pairs["train"][at] for at in chosen]
        self._studied_targets = torch.from_numpy(targets[chosen])
        self._lengths = [len(pair.subwords) for pair in self.studied]
        self._dev_targets = torch.from_numpy(self._targets("dev"))

    def _targets(self, split: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The class of each pair of a split, 0 for no relation; of several relations of one pair the first counts."""
        numbers = {label: number for number, label in enumerate(self.predictor.labels, start=1)}
        gold: dict[tuple[int, int, int], int] = {}
        for index, document in enumerate(self.splits[split]):
            for label, head, tail in document.relations:
                if label in numbers:
                    gold.setdefault((index, head, tail), numbers[label])
        return np.array(
            [gold.get((pair.document, pair.head, pair.tail), 0) for pair in self.pairs[split]], dtype=np.int64
        )

    def _lost(self, split: str) -> Counter[str]:
        """Relations that no prediction can give, by reason; scores count them as missed."""
        lost: Counter[str] = Counter()
        for document in self.splits[split]:
            known = [each for each in document.relations if each.label in self.predictor.labels]
            if len(known) < len(document.relations):
                lost[NEW_TYPE] += len(document.relations) - len(known)
            reasons = self.predictor.maker.why_not(document.text, document.entities, known)
            lost.update(reason for reason in reasons if reason is not None)
            seen: set[tuple[int, int]] = set()
            for (_, head, tail), reason in zip(known, reasons, strict=True):
                if reason is None and (head, tail) in seen:
                    lost[SECOND] += 1
                seen.add((head, tail))
        return lost

    def train_ids(self) -> set[int]:
        """Ids of all subwords of the pairs to learn from, and those of padding and of the places of markers."""
        used = np.unique(np.concatenate([pair.subwords for pair in self.studied]))
        return {self.predictor.padding, self.predictor.maker.unknown, *used.tolist()}

    def epoch_length(self) -> int:
        """Pairs to learn from."""
        return len(self.studied)

    def batches(self, cursor: int, micro_batch: int, rank: int = 0, world_size: int = 1) -> Iterator[Batch]:
        """Endless micro-batches of training pairs, grouped by length."""
        stream = batches_of(self._lengths, self._seed, cursor, self._batch.size, micro_batch)
        for indices, after in islice(stream, rank, None, world_size):
            inputs = self.predictor.inputs([self.studied[index] for index in indices])
            inputs["targets"] = self._studied_targets[torch.from_numpy(indices)]
            yield Batch(inputs, len(indices), inputs["input_ids"].numel(), after)

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """Cross-entropy, summed over pairs."""
        logits = read(model, inputs).float()
        return Output(F.cross_entropy(logits, inputs["targets"], reduction="sum"))

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Mean loss over the pairs of dev, and the scores of its relations."""
        logits = self.predictor.logits(model, self.pairs["dev"])
        loss = F.cross_entropy(torch.from_numpy(logits), self._dev_targets, reduction="sum")
        scores = relation_scores(self.splits["dev"], self._decoded("dev", logits))
        shown = {name: value for name, value in scores.items() if isinstance(value, float)}
        return {"loss": float(loss) / max(1, len(logits)), **shown}

    def _decoded(self, split: str, logits: Array) -> list[RelatedText]:
        return self.predictor.decoded(self.splits[split], self.pairs[split], logits)

    def predict(self, model: nn.Module, split: str) -> Predicted:
        """The documents of a split with predicted relations; of dev and test also between found entities."""
        given = self._decoded(split, self.predictor.logits(model, self.pairs[split]))
        if self._finder is None or split == "train":
            return Predicted(given, None)
        return Predicted(given, self.predictor.label(model, self._finder(self.splits[split])))

    def scores(
        self, split: str, predicted: Predicted, places: Sequence[int] | None = None
    ) -> dict[str, dict[str, Any]]:
        """The relations between gold entities, and those between found ones where there are any."""
        chosen = range(len(predicted.given)) if places is None else places
        gold = [self.splits[split][at] for at in chosen]
        scores = {GIVEN: relation_scores(gold, [predicted.given[at] for at in chosen])}
        simple = nearest(self.splits[split], self.pairs[split], labels_of(self.splits["train"]))
        of_nearest = relation_scores(gold, [simple[at] for at in chosen])
        scores[GIVEN]["nearest_f1"] = of_nearest["f1"]
        scores[GIVEN]["remark"] = (
            "without a model, each entity linked to the nearest one of a type that train links it to: precision "
            f"{of_nearest['precision']:.1%}, recall {of_nearest['recall']:.1%}, F1 {of_nearest['f1']:.1%} of {split}"
        )
        if predicted.end_to_end is not None:
            scores[END_TO_END] = relation_scores(gold, [predicted.end_to_end[at] for at in chosen])
        return scores

    def tallies(
        self, split: str, predicted: Predicted, places: Sequence[int] | None = None
    ) -> dict[str, Tally]:
        """What these scores are computed from, document by document."""
        chosen = range(len(predicted.given)) if places is None else places
        gold = [self.splits[split][at] for at in chosen]
        sides = {GIVEN: predicted.given, END_TO_END: predicted.end_to_end}
        return {
            name: span_tally(relation_counts(gold, [found[at] for at in chosen]))
            for name, found in sides.items()
            if found is not None
        }

    def errors(self, split: str, predicted: Predicted) -> dict[str, Any]:
        """Counts of errors by type and kind of error, of relations between the given entities."""
        return relation_error_counts(self.splits[split], predicted.given)

    def compared(self, split: str, predicted: Predicted) -> Iterator[dict[str, Any]]:
        """The documents with true and predicted relations between the given entities."""
        for true, found in zip(self.splits[split], predicted.given, strict=True):
            confidences = dict(zip(found.relations, found.confidences or (), strict=False))
            marks = [
                {
                    "label": relation.label,
                    "state": RIGHT
                    if relation in true.relations and relation in found.relations
                    else MISSED
                    if relation in true.relations
                    else SPURIOUS,
                    "fragments": [
                        *true.entities[relation.head].fragments,
                        *true.entities[relation.tail].fragments,
                    ],
                    **({"confidence": round(confidences[relation], 4)} if relation in confidences else {}),
                }
                for relation in sorted({*true.relations, *found.relations})
            ]
            yield {"text": true.text, "marks": marks}

    def decisions(self, split: str, predicted: Predicted) -> list[tuple[float, bool]]:
        """Of each relation between given entities its probability, and whether it is there."""
        return [
            (confidence, relation in true.relations)
            for true, found in zip(self.splits[split], predicted.given, strict=True)
            for relation, confidence in zip(found.relations, found.confidences or (), strict=True)
        ]

    def fit_temperature(self, model: nn.Module) -> float:
        """By the probabilities of the relations that are predicted on dev, which are the same at any temperature."""
        self.predictor.temperature = 1.0
        logits = self.predictor.logits(model, self.pairs["dev"])

        def loss(temperature: float) -> float:
            documents = self._decoded("dev", logits / temperature)
            return unlikelihood(self.decisions("dev", Predicted(documents, None)))

        self.predictor.temperature = best_temperature(loss)
        return self.predictor.temperature

    def settled(self, model: nn.Module, facts: TaskFacts, choice: SelectionConfig) -> Settled:
        """The facts as they are: the likeliest class is predicted."""
        del model, choice
        return Settled(facts)

    def facts(self, split: str) -> dict[str, Any]:
        """Counts for the results: documents, entities, relations, pairs, and relations that no pair can give."""
        documents = self.splits[split]
        learnt = {"pairs_learnt": len(self.studied)} if split == "train" else {}
        return {
            "documents": len(documents),
            "entities": sum(len(document.entities) for document in documents),
            "relations": sum(len(document.relations) for document in documents),
            "pairs": len(self.pairs[split]),
            **learnt,
            "not_representable": dict(sorted(self.lost[split].items())),
        }


def _balanced(
    targets: np.ndarray[Any, np.dtype[np.int64]], negatives: float | None, seed: int
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Places of the pairs to learn from: all with a relation, and at most `negatives` for each of them without one."""
    positive, negative = np.flatnonzero(targets), np.flatnonzero(targets == 0)
    wanted = len(negative) if negatives is None else min(len(negative), round(negatives * len(positive)))
    chosen = np.random.default_rng([seed, 0]).permutation(negative)[:wanted]
    return np.sort(np.concatenate([positive, chosen]))


__all__ = ["Finder", "Pair", "Predicted", "RelationExtraction"]
