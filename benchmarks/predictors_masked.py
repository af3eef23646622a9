"""Masked words, filled in by both sides of `benchmarks.prediction`.

B texts of a batch, S tokens of the longest, V vocabulary.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, pipeline

from benchmarks import needed_flops
from benchmarks.predictors import DTYPES, Agreement, Models, Row, both_sides, padding_share
from bertinchamps.model.encoders import open_config
from bertinchamps.model.heads.masked_lm import load_masked_lm
from bertinchamps.tasks.batching import in_length_order
from bertinchamps.tasks.tagging.windows import words_of
from bertinchamps.training.runtime import Runtime

PROPOSALS = 5  # of a masked word, as the pipeline gives without being asked


def masked_rows(models: Models) -> list[Row]:
    """Ours and the peers' at each precision, each text with one word masked."""
    tokenizer = AutoTokenizer.from_pretrained(models.masked)  # to which "[MASK]" in a text is the mask
    chance = random.Random(0)
    texts = [_masked(text, tokenizer.mask_token, chance) for text in models.texts]
    lengths = [len(ids) for ids in tokenizer(texts)["input_ids"]]
    encoder = open_config(str(models.masked))
    return both_sides(
        "masked words",
        models,
        texts,
        lengths,
        encoder,
        needed_flops.of_masked_words(encoder, lengths),
        partial(MaskedPositions, models, tokenizer),
        partial(FillMask, models, tokenizer),
        _masked_agreement,
    )


def _masked(text: str, mask: str, chance: random.Random) -> str:
    start, end = chance.choice(words_of(text, 0, len(text)))
    return f"{text[:start]}{mask}{text[end:]}"


class MaskedPositions:
    """This package's masked language model, decoded at the masked positions only."""

    def __init__(self, models: Models, tokenizer: Any, runtime: Runtime) -> None:
        self._tokenizer, self._runtime, self._batch = tokenizer, runtime, models.batch
        self._model = load_masked_lm(models.masked).to(runtime.device).eval()

    def answers(self, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
        """The likeliest words of each text, each with its score and the text that it makes, as in the pipeline."""
        encoded = [np.array(ids) for ids in self._tokenizer(list(texts))["input_ids"]]
        found: list[list[dict[str, Any]]] = [[] for _ in texts]
        with torch.inference_mode(), self._runtime.arithmetic():
            for indices in in_length_order([len(ids) for ids in encoded], self._batch):
                own = [encoded[index] for index in indices]
                for index, proposals in zip(indices, self._of_batch(own), strict=True):
                    found[index] = proposals
        return found

    def padding(self, texts: Sequence[str]) -> float:
        """Share of padding in what the model reads."""
        lengths = [len(ids) for ids in self._tokenizer(list(texts))["input_ids"]]
        order = list(in_length_order(lengths, self._batch))
        widths = [max(lengths[index] for index in indices) for indices in order for _ in indices]
        return padding_share(lengths, widths)

    def _of_batch(self, encoded: Sequence[np.ndarray[Any, Any]]) -> list[list[dict[str, Any]]]:
        lengths = np.array([len(ids) for ids in encoded])
        ids = np.full((len(encoded), lengths.max()), self._tokenizer.pad_token_id)  # [B, S]
        for row, own in enumerate(encoded):
            ids[row, : len(own)] = own
        real = np.arange(lengths.max()) < lengths[:, None]
        places = (ids == self._tokenizer.mask_token_id).argmax(1)[:, None]  # [B, 1], one in each row
        device = self._runtime.device
        logits = self._model.masked_logits(
            torch.from_numpy(ids).to(device),
            torch.from_numpy(places).to(device),
            None if real.all() else torch.from_numpy(real).to(device),
        )  # [B, 1, V]
        scores, tokens = (part.cpu() for part in logits[:, 0].float().softmax(-1).topk(PROPOSALS))
        filled = [own for own in encoded for _ in range(PROPOSALS)]
        filled = [
            np.where(own == self._tokenizer.mask_token_id, token, own)
            for own, token in zip(filled, tokens.flatten().tolist(), strict=True)
        ]
        sequences = self._tokenizer.batch_decode(filled, skip_special_tokens=True)
        words = self._tokenizer.batch_decode(tokens.reshape(-1, 1))
        flat = [
            {"score": score, "token": token, "token_str": word, "sequence": sequence}
            for score, token, word, sequence in zip(
                scores.flatten().tolist(), tokens.flatten().tolist(), words, sequences, strict=True
            )
        ]
        return [flat[start : start + PROPOSALS] for start in range(0, len(flat), PROPOSALS)]


class FillMask:
    """The pipeline of transformers over the same weights."""

    def __init__(self, models: Models, tokenizer: Any, precision: str, batch: int) -> None:
        self._batch = batch
        self._pipeline: Any = pipeline(
            "fill-mask",
            model=str(models.masked),
            tokenizer=tokenizer,
            top_k=PROPOSALS,
            device=models.device,
            dtype=DTYPES[precision],
        )

    def answers(self, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
        """The likeliest words of each text."""
        found: list[list[dict[str, Any]]] = self._pipeline(list(texts), batch_size=self._batch)
        return found


def _masked_agreement(
    side: MaskedPositions | FillMask, reference: FillMask, texts: Sequence[str]
) -> Agreement:
    same, largest = 0, 0.0
    for own, other in zip(side.answers(texts), reference.answers(texts), strict=True):
        same += [entry["sequence"] for entry in own] == [entry["sequence"] for entry in other]
        pairs = zip(own, other, strict=True)
        largest = max([largest, *(abs(mine["score"] - theirs["score"]) for mine, theirs in pairs)])
    return Agreement(same / len(texts), largest, None)
