"""Heads, one file each: what reads an encoder's hidden states, with its save and load.

A downstream head is a `torch.nn.Module` that is built on an `EncoderSource` by its name in `heads`:

    heads.build("flat", source=source, classes=tags)                       one tag a word
    heads.build("nested", source=source, classes=labels)                   spans inside spans
    heads.build("classes", source=source, classes=names, problem="…")      classes of a text, or a number
    heads.build("windows", source=source, classes=names, pool="…", at_once=16)   the same of a long text
    heads.build("choices", source=source)                                  right answers to a question

`save(folder)` writes a folder; `EncoderSource(folder, with_head=True)` loads encoder and head from it, strictly.

A head that can be exported has two parts: `graph` is a function of named tensors alone, and `through` does what comes
before and behind the graph. `forward` is both, and so is a model whose graph another program runs (`onnx_model.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from bertinchamps.model.trained_rows import whole_embedding
from bertinchamps.registry import Registry


class WordSubwords(NamedTuple):
    """Where the words of some windows are among their subwords; [B, W], 0 beyond a window's last word.

    Attributes:
        first: index of each word's first subword.
        last: index of each word's last subword.
    """

    first: torch.Tensor
    last: torch.Tensor


Graph = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]


class DownstreamModel(nn.Module):
    """An encoder with a head.

    Attributes:
        model: of transformers: the encoder, with its head where the head is a stock one.
        output: the name of what `graph` computes, in an exported file.
    """

    model: Any
    output = "logits"

    def graph(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What is exported: a function of named tensors, without a loop over their content.

        Raises:
            NotImplementedError: this head cannot be exported.
        """
        raise NotImplementedError(f"{type(self).__name__} has no graph")

    @staticmethod
    def through(graph: Graph, *given: Any) -> torch.Tensor:
        """What `forward` returns for the arguments `given`, with this graph."""
        (tensors,) = given
        return graph(tensors)

    def save(self, folder: Path) -> None:
        """Write what the Auto class of `model` opens, and the head where that class has no place for it."""
        with whole_embedding(self.model):
            self.model.save_pretrained(folder)
        self.save_head(folder)

    def save_head(self, folder: Path) -> None:
        """Write the weights that `model` does not hold; nothing where the head is a stock one."""


heads: Registry[DownstreamModel] = Registry("head", "head", package="bertinchamps.model.heads")
