"""Writes the graph of a model as an ONNX file, and that file with weights of 8 bits."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bertinchamps.model.heads import DownstreamModel

OPSET = 18
# Names of dimensions; those of one name have one size. A tensor that is not here has dimensions of its own.
AXES = {
    **dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), ("batch", "sequence")),
    **dict.fromkeys(("first_subwords", "last_subwords"), ("batch", "words")),
    "rows": ("texts", "rows_of_a_text"),
}
LARGEST_FILE = 1_900_000_000  # bytes; protobuf holds 2 GiB, and larger weights go into a file beside it


class _Positional(nn.Module):
    """The graph of a model, with its tensors as arguments."""

    def __init__(self, model: DownstreamModel, names: Sequence[str]) -> None:
        super().__init__()
        self._model, self._names = model, tuple(names)

    def forward(self, *tensors: Tensor) -> Tensor:
        return self._model.graph(dict(zip(self._names, tensors, strict=True)))


def write_graph(model: DownstreamModel, example: Mapping[str, Tensor], file: Path) -> None:
    """Export the graph of a model.

    Args:
        model: in evaluation mode, on the processor.
        example: the tensors of a batch; each dimension is larger than 1, because PyTorch keeps a 1 as a constant.
        file: to write.
    """
    shapes = tuple(dict(enumerate(_axes(name, tensor))) for name, tensor in example.items())
    size = sum(weights.numel() * weights.element_size() for weights in model.parameters())
    from onnxscript.optimizer import fold_constants

    with _quietly(), torch.no_grad():
        program = torch.onnx.export(
            _Positional(model, list(example)),
            tuple(example.values()),
            input_names=list(example),
            output_names=[model.output],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(shapes,),
            verbose=False,
        )
        assert program is not None  # as without `dynamo`
        # Weights that are used in another shape get that shape here, so that 8 bits can hold them.
        fold_constants(
            program.model,
            onnx_shape_inference=False,
            input_size_limit=LARGEST_FILE,
            output_size_limit=LARGEST_FILE,
            should_fold=lambda node: node.op_type == "Reshape" or None,
        )
        program.save(file, external_data=size > LARGEST_FILE)


def write_int8(
    file: Path, quantised: Path, kept: Sequence[str] = (), only: Sequence[str] | None = None
) -> None:
    """The graph with the weights of matrix products and embeddings as 8-bit integers, a scale a column.

    Activations are quantised as they come (dynamic quantisation), so that no texts are needed. Weights have 7 bits,
    because processors without VNNI add products of 8 bits with saturation.

    Args:
        file: the graph in float32.
        quantised: to write.
        kept: nodes that stay in float32.
        only: nodes that are changed; None: all that can be.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quietly():
        quantize_dynamic(
            file,
            quantised,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_quantize=list(only or []),
            nodes_to_exclude=list(kept),
        )


def _axes(name: str, tensor: Tensor) -> tuple[str, ...]:
    return AXES.get(name, tuple(f"{name}_{axis}" for axis in range(tensor.dim())))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the advice that exporters give to their developers."""
    names: tuple[Any, ...] = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "root")
    loggers = [logging.getLogger(None if name == "root" else name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
