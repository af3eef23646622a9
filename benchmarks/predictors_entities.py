"""Entities, found by both sides of `benchmarks.prediction`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from transformers import pipeline

from benchmarks import needed_flops
from benchmarks.predictors import DTYPES, Agreement, Models, Row, both_sides, padding_share
from bertinchamps.model.encoders import open_config
from bertinchamps.tasks.batching import in_length_order
from bertinchamps.tasks.saved_model import SavedModel, open_model
from bertinchamps.tasks.tagging.predictor import EntityPredictor
from bertinchamps.tasks.tagging.windows import windows_of, words_of

Spans = list[set[tuple[int, int, str]]]  # for each text, its entities


def entity_rows(models: Models) -> list[Row]:
    """Ours and the peers' at each precision; all are compared with the peer in float32, text by text."""
    encoder = open_config(str(models.tagger))
    return both_sides(
        "entities",
        models,
        models.texts,
        models.lengths,
        encoder,
        needed_flops.of_labels(models.facts, encoder, models.lengths),
        lambda runtime: Ours(open_model(models.tagger, models.facts, models.batch, runtime)),
        partial(Stock, models),
        _agreement,
    )


class Ours:
    """This package, by what `python -m bertinchamps.predict` calls."""

    def __init__(self, reader: SavedModel) -> None:
        assert isinstance(reader.predictor, EntityPredictor)
        self._reader, self._predictor = reader, reader.predictor

    def answers(self, texts: Sequence[str]) -> Spans:
        """The entities of each text."""
        with self._reader.reading():
            found = self._predictor.label(self._reader.model, [("", text) for text in texts])
        return [
            {(entity.start, entity.end, entity.label) for entity in document.entities} for document in found
        ]

    def tokens(self, texts: Sequence[str]) -> list[dict[int, tuple[str, float]]]:
        """For each text, by the place of each word's first subword, the best tag and its probability."""
        windows = list(windows_of(texts, self._predictor.subwords))
        with self._reader.reading():
            answers = self._predictor.window_logits(self._reader.model, windows)
        found: list[dict[int, tuple[str, float]]] = [{} for _ in texts]
        for window, logits in zip(windows, answers, strict=True):
            shares = torch.from_numpy(logits).softmax(-1).numpy()
            firsts = window.first_subwords[slice(*window.owned)]
            tags = [self._predictor.representation.classes[index] for index in shares.argmax(-1)]
            found[window.document] |= dict(
                zip(firsts, zip(tags, shares.max(-1).tolist(), strict=True), strict=True)
            )
        return found

    def padding(self, texts: Sequence[str]) -> float:
        """Share of padding in what the model reads."""
        windows = list(windows_of(texts, self._predictor.subwords))
        lengths = [len(window.subwords) for window in windows]
        widths = [
            self._predictor.inputs([windows[index] for index in indices])["input_ids"].shape[1]
            for indices in in_length_order(lengths, self._predictor.batch)
            for _ in indices
        ]
        return padding_share(lengths, widths)


class Stock:
    """The pipeline of transformers over the same weights."""

    def __init__(self, models: Models, precision: str, batch: int) -> None:
        self._batch = batch
        self._pipeline: Any = pipeline(
            "token-classification",
            model=str(models.tagger),
            tokenizer=models.tokenizer,
            aggregation_strategy="simple",
            device=models.device,
            dtype=DTYPES[precision],
        )

    def answers(self, texts: Sequence[str]) -> Spans:
        """The entities of each text."""
        found = self._pipeline(list(texts), batch_size=self._batch)
        return [{(entity["start"], entity["end"], entity["entity_group"]) for entity in own} for own in found]

    def tokens(self, texts: Sequence[str]) -> list[dict[int, tuple[str, float]]]:
        """For each text, by the place of each token, the best tag and its probability."""
        found = self._pipeline(
            list(texts), batch_size=self._batch, aggregation_strategy="none", ignore_labels=[]
        )
        return [{token["index"]: (token["entity"], float(token["score"])) for token in own} for own in found]


def _agreement(side: Ours | Stock, reference: Stock, texts: Sequence[str]) -> Agreement:
    same = total = 0
    largest = 0.0
    for text, own, other in zip(texts, side.tokens(texts), reference.tokens(texts), strict=True):
        places = own.keys() & other.keys()
        # a word that one side has read otherwise has no place there, and counts as another answer
        total += max(len(places), min(len(words_of(text, 0, len(text))), len(own)))
        same += sum(own[place][0] == other[place][0] for place in places)
        largest = max([largest, *(abs(own[place][1] - other[place][1]) for place in places)])
    pairs = list(zip(side.answers(texts), reference.answers(texts), strict=True))
    either = sum(len(own | other) for own, other in pairs)
    both = sum(len(own & other) for own, other in pairs)
    return Agreement(same / total, largest, both / either if either else 1.0)
