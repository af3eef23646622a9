"""Classes of a long text, or a number, from all windows of the text.

Shapes: B texts, M windows of the text that has most, R windows of all texts, S subwords of a window, H hidden,
C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import EncoderSource, open_model
from bertinchamps.model.heads import DownstreamModel, heads
from bertinchamps.model.heads.nested import HEAD_FILE, NOTICE_OF_WINDOWS
from bertinchamps.registry import Registry

pools: Registry[nn.Module] = Registry("pool", "long_texts.pool")


class _OneVector(nn.Module):
    """A vector for a text, then dense, tanh, dropout and a linear map, as the head of short texts has them."""

    def __init__(self, hidden_size: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size, classes)

    def classified(self, text: torch.Tensor) -> torch.Tensor:  # [B, H] -> [B, C]
        """Logits of vectors of texts."""
        return cast(torch.Tensor, self.classifier(self.dropout(torch.tanh(self.dense(text)))))


@pools.register("mean")
class Mean(_OneVector):
    """The mean over all subwords of all windows."""

    def forward(
        self,
        hidden: torch.Tensor,  # [R, S, H]
        real: torch.Tensor,  # [R, S], 1 at real subwords
        rows: torch.Tensor,  # [B, M], indices of windows, -1 for none
    ) -> torch.Tensor:  # [B, C]
        """Logits of each text."""
        sums, counts = (hidden * real[..., None]).sum(1), real.sum(1)  # [R, H], [R]
        there = (rows >= 0).to(hidden.dtype)
        of_text = rows.clamp(min=0)
        total = (sums[of_text] * there[..., None]).sum(1)
        return self.classified(total / (counts[of_text] * there).sum(1, keepdim=True).clamp(min=1))


@pools.register("max")
class Max(_OneVector):
    """The mean over the subwords of each window; of the windows the largest number in each dimension."""

    def forward(self, hidden: torch.Tensor, real: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Logits of each text; shapes as in `Mean`."""
        means = (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1)
        of_text = means[rows.clamp(min=0)].masked_fill(rows[..., None] < 0, float("-inf"))
        return self.classified(of_text.amax(1))


@pools.register("labels")
class Labels(nn.Module):
    """Label-wise attention (CAML: Mullenbach et al., 2018): each class reads the subwords that speak for it.

    For a class c with vectors u and b, over all subwords h of all windows: a = softmax(u·h), logit = b·(Σ a h) + bias.
    """

    def __init__(self, hidden_size: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.Linear(hidden_size, classes, bias=False)
        self.classifier = nn.Linear(hidden_size, classes)
        nn.init.xavier_uniform_(self.attention.weight)
        nn.init.xavier_uniform_(self.classifier.weight)

    def forward(self, hidden: torch.Tensor, real: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Logits of each text; shapes as in `Mean`."""
        hidden = self.dropout(hidden)
        # scored by window before the windows of a text are put beside each other: fewer copies of hidden states
        scores = self.attention(hidden).float()  # [R, S, C]
        scores = scores.masked_fill(real[..., None] == 0, float("-inf"))
        values = nn.functional.linear(hidden, self.classifier.weight).float()  # b·h, [R, S, C]
        there, of_text = rows >= 0, rows.clamp(min=0)
        beside = scores[of_text].masked_fill(~there[..., None, None], float("-inf"))  # [B, M, S, C]
        weights = beside.flatten(1, 2).softmax(1)
        read = (weights * values[of_text].flatten(1, 2)).sum(1)
        return cast(torch.Tensor, read + self.classifier.bias)


@heads.register("windows")
class WindowsClassifier(DownstreamModel):
    """An encoder and a pool over the windows of each text.

    The encoder reads `at_once` windows at a time. While training, all of them but the hidden states are forgotten and
    computed again for the gradients, so that memory is that of `at_once` windows however long the texts are.

    Args:
        source: of the encoder.
        classes: names; one for a regression.
        pool: an entry of `pools`.
        at_once: windows.
    """

    def __init__(self, source: EncoderSource, classes: Sequence[str], pool: str, at_once: int) -> None:
        super().__init__()
        self.model = open_model("AutoModel", source, None)
        self.model.config.id2label, self.model.config.label2id = (
            {0: NOTICE_OF_WINDOWS},
            {NOTICE_OF_WINDOWS: 0},
        )
        dropout = 0.0 if source.dropout is None else source.dropout
        size = self.model.config.hidden_size
        self.head = pools.build(pool, hidden_size=size, classes=len(classes), dropout=dropout)
        self._at_once = at_once
        if source.with_head:
            _load(self.head, Path(source.name) / HEAD_FILE)

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Logits [B, C] of texts whose windows are `input_ids` [R, S] and what goes with them, and `rows` [B, M]."""
        given = dict(inputs)
        rows, ids = given.pop("rows"), given["input_ids"]
        hidden = self._hidden(given)
        real = given.get("attention_mask", torch.ones_like(ids)).to(hidden.dtype)
        return cast(torch.Tensor, self.head(hidden, real, rows))

    def graph(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:  # [B, C]
        """What `forward` returns, from all windows at once."""
        given = dict(tensors)
        rows, ids = given.pop("rows"), given["input_ids"]
        hidden = self.model(**given).last_hidden_state
        real = given.get("attention_mask", torch.ones_like(ids)).to(hidden.dtype)
        return cast(torch.Tensor, self.head(hidden, real, rows))

    def _hidden(self, given: Mapping[str, torch.Tensor]) -> torch.Tensor:  # [R, S, H]
        def encoded(part: dict[str, torch.Tensor]) -> torch.Tensor:
            return cast(torch.Tensor, self.model(**part).last_hidden_state)

        windows = len(given["input_ids"])
        starts = range(0, windows, self._at_once)
        parts = [{name: each[at : at + self._at_once] for name, each in given.items()} for at in starts]
        if len(parts) == 1:
            return encoded(parts[0])
        if not torch.is_grad_enabled():
            return torch.cat([encoded(part) for part in parts])
        modes: list[Any] = cast(Any, _get_current_function_mode_stack)()
        again = {"use_reentrant": False, "context_fn": lambda: (nullcontext(), _with_modes(modes))}
        return torch.cat([cast(Any, checkpoint)(encoded, part, **again) for part in parts])

    def save_head(self, folder: Path) -> None:
        """Write the head beside the encoder; NOTICE_OF_WINDOWS is the class in config.json."""
        save_file(self.head.state_dict(), folder / HEAD_FILE)


@contextmanager
def _with_modes(modes: Sequence[Any]) -> Iterator[None]:
    """The modes of functions of a forward pass, for another one: `checkpoint` restores autocast alone."""
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        yield


def _load(head: nn.Module, file: Path) -> None:
    """Load the weights of a saved head."""
    try:
        head.load_state_dict(load_file(file))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{file}: missing or damaged ({type(error).__name__}); the head that reads windows is kept there"
        ) from error
