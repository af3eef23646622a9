"""A model that pretrain made, or an encoder that was exported, opened to fill masks and to embed texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import has_masked_lm, longest_input, open_tokenizer, open_untuned
from bertinchamps.model.heads.embeddings import Embeddings
from bertinchamps.model.heads.masked_words import MaskedWords
from bertinchamps.model.onnx_model import TORCH, engine_of, open_graph, read_graph_facts, refuse_bare_graph
from bertinchamps.tasks.embeddings import EmbeddingPredictor
from bertinchamps.tasks.masked_words import MaskedWordPredictor, Proposal
from bertinchamps.training.runtime import Runtime

LONGEST = 512  # subwords of a text, where the encoder has no limit


@dataclass(frozen=True)
class Filler:
    """A masked language model and its predictor."""

    model: nn.Module
    predictor: MaskedWordPredictor
    runtime: Runtime

    def fill(self, texts: Sequence[str]) -> list[list[list[Proposal]]]:
        """Text → mask → proposals, the likeliest first."""
        with torch.inference_mode(), self.runtime.arithmetic():
            return self.predictor.fill(self.model, texts)


@dataclass(frozen=True)
class Embedder:
    """An encoder and its predictor."""

    model: nn.Module
    predictor: EmbeddingPredictor
    runtime: Runtime

    def embed(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """A vector for each text."""
        with torch.inference_mode(), self.runtime.arithmetic():
            return self.predictor.embed(self.model, texts)


@dataclass(frozen=True)
class PretrainedModel:
    """What a model without a task can do.

    Attributes:
        filler: fills masks; None: the graph has no vocabulary, or the encoder did not learn masked tokens.
        embedder: embeds texts; None: the graph gives no vectors of texts.
        longest: subwords of a text.
    """

    filler: Filler | None
    embedder: Embedder | None
    longest: int


def open_pretrained(
    folder: Path, batch: int, runtime: Runtime, engine: str = TORCH, proposals: int = 5
) -> PretrainedModel:
    """Open a masked language model, an encoder that has no head for masked tokens, or a graph of either.

    Args:
        folder: the model's directory.
        batch: texts that go through the model at once.
        runtime: device and precision.
        engine: what computes, AUTO or one of `model.onnx_model.ENGINES`.
        proposals: for each mask.

    Raises:
        UserError: the model cannot be read, or was not exported for the engine.
    """
    tokenizer, engine = open_tokenizer(str(folder)), engine_of(folder, engine)
    if engine != TORCH:
        return _of_graph(folder, tokenizer, batch, runtime, engine, proposals)
    refuse_bare_graph(folder)
    loaded = open_untuned(folder)
    loaded = loaded.to(runtime.device).eval()
    longest = min(LONGEST, longest_input(loaded.config))
    given = (tokenizer, longest, batch, runtime.device)
    filler = None
    if has_masked_lm(loaded.config):
        filler = Filler(MaskedWords(loaded), MaskedWordPredictor(*given, proposals), runtime)
    embedder = Embedder(Embeddings(loaded.base_model, "mean"), EmbeddingPredictor(*given), runtime)
    return PretrainedModel(filler, embedder, longest)


def _of_graph(
    folder: Path, tokenizer: Any, batch: int, runtime: Runtime, engine: str, proposals: int
) -> PretrainedModel:
    graph, facts = open_graph(folder, engine), read_graph_facts(folder)
    given = (tokenizer, int(facts["longest"]), batch, runtime.device)
    if facts["head"] == "masked_words":
        predictor = MaskedWordPredictor(*given, proposals)
        return PretrainedModel(Filler(graph, predictor, runtime), None, given[1])
    if facts["head"] == "embeddings" and facts["pool"] == "mean":
        return PretrainedModel(None, Embedder(graph, EmbeddingPredictor(*given), runtime), given[1])
    raise UserError(
        f"{folder}: a graph of {facts['head']}, which gives neither words nor a vector for each text"
    )
