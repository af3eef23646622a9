"""Plain texts with masked tokens: what a masked language model is judged and scored by.

One text in ten scores, and the others are calibrated on. Masks are drawn from a seed, so that two models of one
tokenizer fill the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bertinchamps.contract import Batch
from bertinchamps.errors import UserError

LONGEST = 128  # tokens of a text
RATE = 0.15
ONE_IN = 10  # texts, of which one scores
LEFT_OUT = -100  # a target that counts nothing


class MaskedTexts:
    """Texts and masks for a tokenizer.

    Args:
        tokenizer: of the model.
        texts: two at least.
        batch: texts that go through the model at once.
        seed: of the masks.

    Raises:
        UserError: too few texts, or a tokenizer without a mask.
    """

    metric = "masked_accuracy"

    def __init__(self, tokenizer: Any, texts: Sequence[str], batch: int, seed: int) -> None:
        if len(texts) < 2:
            raise UserError(
                f"texts: {len(texts)} texts in them; a masked language model is judged by two at least"
            )
        if tokenizer.mask_token_id is None:
            raise UserError("model: its tokenizer has no mask token, so masks cannot be filled")
        self._tokenizer, self._batch, self._seed = tokenizer, batch, seed
        self._texts = {"train": calibrating(texts), "dev": self.held_out(texts)}

    @staticmethod
    def held_out(texts: Sequence[str]) -> list[str]:
        """The texts that score."""
        return list(texts[::ONE_IN])

    def batches(self, split: str, count: int) -> list[Batch]:
        """Batches of the first texts of a split; `labels` [B, S] are the ids behind masks."""
        generator = torch.Generator().manual_seed(self._seed)
        return [self._masked(inputs, generator) for inputs in self.plain(self._texts[split][:count])]

    def plain(self, texts: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """The inputs of texts, without masks, in batches."""
        for start in range(0, len(texts), self._batch):
            part = list(texts[start : start + self._batch])
            yield dict(
                self._tokenizer(part, truncation=True, max_length=LONGEST, padding=True, return_tensors="pt")
            )

    def _masked(self, inputs: dict[str, Tensor], generator: torch.Generator) -> Batch:
        ids = inputs["input_ids"]
        special = torch.isin(ids, torch.tensor(self._tokenizer.all_special_ids))
        drawn = torch.rand(ids.shape, generator=generator).masked_fill(special, 1.0)
        # the token with the lowest number is masked, so that each text has a mask
        chosen = ((drawn < RATE) | (drawn == drawn.amin(1, keepdim=True))) & ~special
        labels = ids.masked_fill(~chosen, LEFT_OUT)
        masked = ids.masked_fill(chosen, self._tokenizer.mask_token_id)
        return Batch({**inputs, "input_ids": masked, "labels": labels}, int(chosen.sum()), ids.numel(), 0)

    @staticmethod
    def loss(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """The cross-entropy at masks, summed, in nats."""
        given = dict(inputs)
        labels = given.pop("labels")
        logits = model(**given).logits.float().flatten(0, 1)
        return nn.functional.cross_entropy(logits, labels.flatten(), ignore_index=LEFT_OUT, reduction="sum")

    def scores(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Mean loss and share of right tokens at the masks of the texts that score."""
        loss = right = masks = 0.0
        for batch in self.batches("dev", len(self._texts["dev"])):
            inputs = {name: tensor.to(device) for name, tensor in batch.inputs.items()}
            labels = inputs.pop("labels")
            logits = model(**inputs).logits.float()
            at = labels != LEFT_OUT
            loss += float(nn.functional.cross_entropy(logits[at], labels[at], reduction="sum"))
            right += float((logits[at].argmax(-1) == labels[at]).sum())
            masks += batch.targets
        return {"loss": loss / max(1.0, masks), self.metric: right / max(1.0, masks)}


def calibrating(texts: Sequence[str]) -> list[str]:
    """The texts that do not score."""
    return [text for at, text in enumerate(texts) if at % ONE_IN]
