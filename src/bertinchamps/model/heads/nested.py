"""A span classifier: every span of words is scored for every label, so entities may lie inside entities.

Shapes: B batch, S sequence, W words of a window, H hidden, D size of a role's vectors, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import EncoderSource, open_model
from bertinchamps.model.heads import DownstreamModel, Graph, WordSubwords, heads

HEAD_FILE = "head.safetensors"
ROLE_SIZE = 128  # D
PRIOR = 0.01  # initial probability of a span, about the share of spans that are entities (Lin et al., 2017, RetinaNet)
# The one class in config.json of a nested model. Stock classifiers of tokens or texts would open it with a head of
# random weights: our classes refuse it, and a pipeline over another encoder shows this text for every token.
NO_CLASS = "no class: "  # such a notice begins so
NOTICE = f"{NO_CLASS}the model has a nested head, so label with python -m bertinchamps.predict"
NOTICE_OF_WINDOWS = (
    f"{NO_CLASS}the head reads long texts in windows, so label with python -m bertinchamps.predict"
)
LONGEST_BUCKET = 32  # spans of so many words and more share the score of their length


def refuse_nested(config: Any) -> None:
    """Raise ValueError for the config of a model, nested for one, whose head a stock class does not have."""
    for name in (config.id2label or {}).values():
        if str(name).startswith(NO_CLASS):
            raise ValueError(f"{name}; AutoModel opens the encoder alone")


class SpanScorer(nn.Module):
    """Biaffine scores (Dozat and Manning, 2017; for entities Yu et al., 2020) plus an additive part.

        score(i, j, l) = s_iᵀ U_l e_j + a_l·s_i + b_l·e_j + mean over i…j of c_l·h + width(j - i, l)

    The biaffine term alone needs more sentences than small corpora have. The additive part adds, for each label, what a
    tagger would learn: whether a span begins, ends, or continues at a word. Each label is decided by itself (score
    above 0), so one span may have two labels, and a label may nest in itself.
    """

    def __init__(self, hidden_size: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.start = nn.Sequential(nn.Linear(hidden_size, ROLE_SIZE), nn.GELU(), nn.Dropout(dropout))
        self.end = nn.Sequential(nn.Linear(hidden_size, ROLE_SIZE), nn.GELU(), nn.Dropout(dropout))
        self.dropout = nn.Dropout(dropout)
        self.bilinear = nn.Parameter(torch.randn(labels, ROLE_SIZE, ROLE_SIZE) / ROLE_SIZE)
        self.start_score = nn.Linear(ROLE_SIZE, labels)
        self.end_score = nn.Linear(ROLE_SIZE, labels)
        self.inside_score = nn.Linear(hidden_size, labels, bias=False)
        self.width_score = nn.Embedding(LONGEST_BUCKET, labels)
        nn.init.constant_(self.width_score.weight, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, words: torch.Tensor) -> torch.Tensor:  # [B, W, H] -> [B, W, W, L]
        """Scores of the spans from word i to word j, both included; undefined for j < i."""
        words = self.dropout(words)
        starts, ends = self.start(words), self.end(words)  # [B, W, D]
        pairs = self._pairs(starts, ends)
        places = torch.arange(words.shape[1], device=words.device)
        width = (places[None, :] - places[:, None]).clamp(min=0)  # [W, W]
        lengths = self.width_score(width.clamp(max=LONGEST_BUCKET - 1))  # [W, W, L]
        additive = self.start_score(starts)[:, :, None] + self.end_score(ends)[:, None, :]
        summed = nn.functional.pad(self.inside_score(words).float().cumsum(1), (0, 0, 1, 0))  # [B, W + 1, L]
        inside = (summed[:, None, 1:] - summed[:, :-1, None]) / (width[None, :, :, None] + 1)
        scores: torch.Tensor = pairs.float() + additive.float() + inside + lengths
        return scores

    def _pairs(
        self, starts: torch.Tensor, ends: torch.Tensor
    ) -> torch.Tensor:  # twice [B, W, D] -> [B, W, W, L]
        """s_iᵀ U_l e_j, first as one product with a weight, which an exported model can hold in 8 bits."""
        weight = self.bilinear.to(starts.dtype).transpose(0, 1).flatten(1)  # [D, L · D]
        batch, words, labels = *starts.shape[:2], self.bilinear.shape[0]
        by_label = (starts @ weight).reshape(batch, words * labels, ROLE_SIZE)
        return (by_label @ ends.mT).reshape(batch, words, labels, words).transpose(2, 3)


def mean_of_subwords(hidden: torch.Tensor, words: WordSubwords) -> torch.Tensor:  # [B, S, H] -> [B, W, H]
    """The mean of the hidden states of each word's subwords: medical endings (-ite, -ose) are in the last ones."""

    def at(places: torch.Tensor) -> torch.Tensor:
        return sums.gather(1, places[:, :, None].expand(-1, -1, hidden.shape[-1]))

    sums = nn.functional.pad(hidden.float().cumsum(1), (0, 0, 1, 0))  # [B, S + 1, H]
    counts = words.last + 1 - words.first
    return ((at(words.last + 1) - at(words.first)) / counts[:, :, None]).to(hidden.dtype)


def first_subword(hidden: torch.Tensor, words: WordSubwords) -> torch.Tensor:  # [B, S, H] -> [B, W, H]
    """The hidden state of each word's first subword."""
    return hidden.gather(1, words.first[:, :, None].expand(-1, -1, hidden.shape[-1]))


# What stands for a word, by its mark in the head's file; a file of an earlier version has no mark.
WORD_VECTORS = {"mean": mean_of_subwords, None: first_subword}
MARK = "word_vectors"


@heads.register("nested")
class NestedTagger(DownstreamModel):
    """An encoder and a `SpanScorer` over a vector for each word: the mean of its subwords' hidden states."""

    def __init__(self, source: EncoderSource, classes: Sequence[str]) -> None:
        super().__init__()
        self.model = open_model("AutoModel", source, None)
        self.model.config.id2label, self.model.config.label2id = {0: NOTICE}, {NOTICE: 0}
        dropout = 0.0 if source.dropout is None else source.dropout
        self.head = SpanScorer(self.model.config.hidden_size, len(classes), dropout)
        self.mark: str | None = "mean"
        if source.with_head:
            weights, self.mark = _head_of(Path(source.name) / HEAD_FILE)
            self.head.load_state_dict(weights)

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],  # input_ids [B, S] and what goes with them
        words: WordSubwords,
    ) -> torch.Tensor:  # [B, W, W, L]
        """Scores of each span from word i to word j, both included."""
        return self.through(self.graph, inputs, words)

    def graph(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:  # [B, W, W, L]
        """Scores of each span, from `input_ids` and what goes with them, `first_subwords` and `last_subwords`."""
        inputs = dict(tensors)
        words = WordSubwords(inputs.pop("first_subwords"), inputs.pop("last_subwords"))
        hidden = self.model(**inputs).last_hidden_state
        return cast(torch.Tensor, self.head(WORD_VECTORS[self.mark](hidden, words)))

    @staticmethod
    def through(graph: Graph, *given: Any) -> torch.Tensor:  # [B, W, W, L]
        """The graph, with the places of words among its tensors."""
        inputs, words = given
        return graph({**inputs, "first_subwords": words.first, "last_subwords": words.last})

    def save_head(self, folder: Path) -> None:
        """Write the head beside the encoder; NOTICE is the class in config.json."""
        metadata = None if self.mark is None else {MARK: self.mark}
        save_file(self.head.state_dict(), folder / HEAD_FILE, metadata)


def _head_of(file: Path) -> tuple[dict[str, torch.Tensor], str | None]:
    """The weights of a saved head, and the mark of its word vectors."""
    try:
        with safe_open(file, framework="pt") as opened:
            mark = (opened.metadata() or {}).get(MARK)
        if mark not in WORD_VECTORS:
            raise UserError(
                f"{file}: {MARK} {mark!r} is of a later version of bertinchamps; update bertinchamps"
            )
        return load_file(file), mark
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"{file}: missing or damaged ({type(error).__name__}); a nested head is kept there"
        ) from error
