"""Finds entities in new texts with a trained model. B windows, S subwords of the longest, W words of the longest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from bertinchamps.contract import AnnotatedText
from bertinchamps.model.heads import WordSubwords
from bertinchamps.tasks.batching import in_length_order
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.lessons import Opinion
from bertinchamps.tasks.tagging.representations import Found, Representation
from bertinchamps.tasks.tagging.windows import SubwordTokenizer, Window, Words, windows_of
from bertinchamps.training.passes import each

Array = np.ndarray[Any, Any]
T = TypeVar("T")
Decode = Callable[[Sequence[Window], Sequence[Array]], list[Found]]
WINDOWS_AT_ONCE = 8192  # in memory, where windows take far more than texts; many enough to batch by length
ROUND_UP_TO = 4  # fewer different shapes, because a CPU's kernels are prepared for each shape


class EntityPredictor:
    """Finds entities in texts with a trained model.

    Args:
        representation: decodes entities from logits.
        subwords: of the model's tokenizer.
        padding: id that fills short windows up.
        batch: windows that go through the model at once, at most.
        device: where the model is.
        temperature: divides the logits that entities are decoded from.
    """

    def __init__(
        self,
        representation: Representation,
        subwords: SubwordTokenizer,
        padding: int,
        batch: int,
        device: torch.device,
        temperature: float = 1.0,
    ) -> None:
        self.representation, self.subwords, self.padding = representation, subwords, padding
        self.batch, self._device, self.temperature = batch, device, temperature

    def predict(self, model: nn.Module, texts: Sequence[Input], cut: Counter[str]) -> list[AnnotatedText]:
        """The texts with the entities that the model finds; long sentences are windowed, so none is cut."""
        del cut
        pairs = [(given.name, given.text) for given in texts]
        return self.label(model, pairs, [given.words for given in texts])

    def label(
        self,
        model: nn.Module,
        texts: Sequence[tuple[str, str]],
        words: Sequence[Words | None] | None = None,
    ) -> list[AnnotatedText]:
        """The texts, given as (name, text), with the entities that the model finds.

        Args:
            model: the trained model.
            texts: names and texts.
            words: for each text its words, as one sentence; None: sentences and words are found in the text.
        """
        words = words or [None] * len(texts)
        found: dict[int, list[Found]] = {}
        for windows in _portions(windows_of([text for _, text in texts], self.subwords, words)):
            found |= self.entities(windows, self.window_logits(model, windows))
        return [
            with_entities(AnnotatedText(name, text, (), words[index]), found.get(index, ()))
            for index, (name, text) in enumerate(texts)
        ]

    def doubts(self, model: nn.Module, texts: Sequence[Input]) -> list[float]:
        """How unsure the model is of each text: the mean over its words, in nats; 0 for a text without words."""
        sums, counts = np.zeros(len(texts)), np.zeros(len(texts))
        given = windows_of([each.text for each in texts], self.subwords, [each.words for each in texts])
        for windows in _portions(given):
            self.window_logits(model, windows, partial(self._add_doubts, windows, sums, counts))
        return (sums / np.maximum(counts, 1)).tolist()  # type: ignore[no-any-return]

    def _add_doubts(
        self,
        windows: Sequence[Window],
        sums: Array,
        counts: Array,
        indices: Sequence[int],
        inputs: Mapping[str, Tensor],
        logits: Tensor,
    ) -> None:
        """Add the words that each window of a batch owns to the sums and counts of their texts."""
        doubts = self.representation.doubts(logits, inputs["words"]).cpu().numpy()
        for row, index in enumerate(indices):
            first, last = windows[index].owned
            sums[windows[index].document] += doubts[row, first:last].sum()
            counts[windows[index].document] += last - first

    def opinions(self, model: nn.Module, texts: Sequence[Input]) -> list[Opinion]:
        """Of each text what the representation calls an opinion."""
        given = windows_of([each.text for each in texts], self.subwords, [each.words for each in texts])
        windows, of = list(given), self.representation.opinion
        said = _by_document(windows, self.window_logits(model, windows), of)
        return [said[index] if index in said else of((), ()) for index in range(len(texts))]

    def mixed(self, parts: Iterable[tuple[float, Opinion]]) -> Opinion:
        """As the representation mixes opinions."""
        return self.representation.mixed(parts)

    def inputs(self, windows: Sequence[Window]) -> dict[str, Tensor]:
        """Tensors of some windows: `input_ids` [B, S], `first_subwords` and `last_subwords` [B, W], `words` [B],
        and `attention_mask` [B, S] where they differ in length."""
        lengths = [len(window.subwords) for window in windows]
        words = [len(window.first_subwords) for window in windows]
        # at most `max_length`, because the encoder may have no further positions
        longest = min(-(-max(lengths) // ROUND_UP_TO) * ROUND_UP_TO, self.subwords.longest)
        ids = np.full((len(windows), longest), self.padding)
        firsts = np.zeros((len(windows), -(-max(words) // ROUND_UP_TO) * ROUND_UP_TO), dtype=np.int64)
        lasts = np.zeros_like(firsts)
        for row, window in enumerate(windows):
            ids[row, : lengths[row]] = window.subwords
            firsts[row, : words[row]] = window.first_subwords
            lasts[row, : words[row]] = window.last_subwords
        arrays = {
            "input_ids": ids,
            "first_subwords": firsts,
            "last_subwords": lasts,
            "words": np.array(words),
        }
        if min(lengths) < longest:
            arrays["attention_mask"] = (np.arange(longest) < np.array(lengths)[:, None]).astype(np.int64)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @torch.no_grad()
    def window_logits(
        self,
        model: nn.Module,
        windows: Sequence[Window],
        watch: Callable[[Sequence[int], Mapping[str, Tensor], Tensor], None] | None = None,
    ) -> list[Array]:
        """The head's logits of each window, as `Representation.reduced_logits` reduces them.

        Args:
            model: the trained model.
            windows: of any texts.
            watch: called with the indices, inputs and logits of each batch.
        """
        answers: list[Array] = [np.empty(0)] * len(windows)

        def logits_of(indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
            inputs = self.inputs([windows[index] for index in indices])
            moved = {name: tensor.to(self._device) for name, tensor in inputs.items()}
            return moved, read(model, moved)

        batches = in_length_order([len(window.subwords) for window in windows], self.batch)
        for indices, (moved, logits) in each(batches, logits_of):
            if watch is not None:
                watch(indices, moved, logits)
            tempered = (logits.float() / self.temperature).cpu().numpy()
            for index, own in zip(indices, tempered, strict=True):
                answers[index] = self.representation.reduced_logits(own, windows[index])
        return answers

    def entities(
        self, windows: Sequence[Window], answers: Sequence[Array], decode: Decode | None = None
    ) -> dict[int, list[Found]]:
        """Document → entities, from the `answers` of all windows in order.

        Args:
            windows: of any documents.
            answers: one for each window.
            decode: the windows and answers of one document → what is found; None: the representation's entities.
        """
        return _by_document(windows, answers, decode or self.representation.entities)


def _by_document(
    windows: Sequence[Window],
    answers: Sequence[Array],
    decode: Callable[[Sequence[Window], Sequence[Array]], T],
) -> dict[int, T]:
    """Document → what is decoded from its windows and their answers."""
    pairs = zip(windows, answers, strict=True)
    found = {}
    for document, group in groupby(pairs, key=lambda pair: pair[0].document):
        own_windows, own_answers = zip(*group, strict=True)
        found[document] = decode(own_windows, own_answers)
    return found


def with_entities(document: AnnotatedText, found: Iterable[Found]) -> AnnotatedText:
    """The document with these entities instead of its own."""
    ordered = sorted(found)
    return document._replace(
        entities=tuple(entity for entity, _ in ordered),
        confidences=tuple(confidence for _, confidence in ordered),
    )


def _portions(windows: Iterable[Window]) -> Iterator[list[Window]]:
    """Lists of WINDOWS_AT_ONCE windows, or of more to complete the last document."""
    portion: list[Window] = []
    for _, own in groupby(windows, key=lambda window: window.document):
        portion += own
        if len(portion) >= WINDOWS_AT_ONCE:
            yield portion
            portion = []
    if portion:
        yield portion


def read(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """The model's logits of each word, or of each span of words."""
    subwords = {name: inputs[name] for name in ("input_ids", "attention_mask") if name in inputs}
    return cast(Tensor, model(subwords, WordSubwords(inputs["first_subwords"], inputs["last_subwords"])))
