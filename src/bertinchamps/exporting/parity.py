"""Whether an exported model does what the original does: compared on random ids of the vocabulary, never on text."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import longest_input
from bertinchamps.model.heads import WordSubwords

ROWS, LONGEST = 4, 48
TOLERANCE = 1e-4  # of the largest logit, or of 1 where all are smaller


def random_inputs(tokenizer: Any, model: Any) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` [ROWS, S], the first row whole and each other one with more padding.

    Args:
        tokenizer: its special tokens are not drawn.
        model: an encoder of transformers, with a head or beside one.
    """
    config = model.config if isinstance(model, PreTrainedModel) else model.model.config
    length = min(LONGEST, longest_input(config))
    ids = torch.tensor(
        sorted(set(range(min(len(tokenizer), config.vocab_size))) - set(tokenizer.all_special_ids))
    )
    drawn = torch.randint(len(ids), (ROWS, length), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(length)[None, :] < length - torch.arange(ROWS)[:, None] * length // (ROWS + 1)
    return {
        "input_ids": torch.where(mask, ids[drawn], tokenizer.pad_token_id),
        "attention_mask": mask.long(),
    }


def random_words(mask: torch.Tensor) -> WordSubwords:  # [B, S] -> [B, W]
    """Words of one and two subwords in turn, the same in each row."""
    first = torch.arange(0, int(mask.sum(1).min()) - 1)
    first = first[first % 3 < 2]
    last = first + (first % 3 == 1)
    return WordSubwords(*(places.expand(len(mask), -1).clone() for places in (first, last)))


def compared(ours: torch.Tensor, theirs: torch.Tensor, what: str = "logits") -> str:
    """A line with the largest difference.

    Raises:
        UserError: it is more than arithmetic explains.
    """
    difference = float((ours.float() - theirs.float()).abs().max())
    largest = float(ours.abs().max())
    line = f"{what:<10} differ from the original's by {difference:.1e} at the most, of {largest:.3g} (random ids)"
    if not difference <= TOLERANCE * max(1.0, largest):  # NaN, too
        raise UserError(f"the exported model is another one, and was not kept: {line}")
    return line
