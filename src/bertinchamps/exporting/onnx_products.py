"""The products of an exported graph that can have weights of 8 bits, and what each changes when it alone has them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bertinchamps.exporting.onnx_graph import write_int8
from bertinchamps.exporting.onnx_subject import Answers
from bertinchamps.model.onnx_model import OnnxModel

SCOPES = "pkg.torch.onnx.name_scopes"  # where PyTorch's exporter writes from which modules a node is
ROOT = "_model."  # of the wrapper that is exported
WEIGHTS_AT = {"MatMul": 1, "Gather": 0}  # operator → which of its inputs the weights are


@dataclass(frozen=True)
class Product:
    """A product with weights, or the look-up of an embedding.

    Attributes:
        name: of the module in the model, such as `model.layers.0.attention.output`.
        node: in the graph.
        shape: of the weights.
    """

    name: str
    node: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Sensitivity:
    """What changes when one product alone has weights of 8 bits.

    Attributes:
        product: the product.
        mean: the mean difference of the graph's numbers, without its sign.
        largest: the largest one.
        score: of the labelled texts, less that of float32; None: not asked for.
    """

    product: Product
    mean: float
    largest: float
    score: float | None = None


class Numbers(nn.Module):
    """Calls a model, and keeps what it returns.

    Args:
        model: whose numbers are kept.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self.kept: list[Tensor] = []

    def forward(self, *given: Any) -> Tensor:
        numbers: Tensor = self._model(*given)
        self.kept.append(numbers)
        return numbers


def products_of(file: Path) -> list[Product]:
    """The products of a graph in float32, in its order."""
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    floats = {each.name: tuple(each.dims) for each in graph.initializer if each.data_type == 1}
    found, seen = [], Counter[str]()
    for node in graph.node:
        place = WEIGHTS_AT.get(node.op_type)
        shape = None if place is None else floats.get(node.input[place])
        if shape is None or len(shape) != 2:
            continue
        name = _module_of(node)
        seen[name] += 1
        found.append(Product(name if seen[name] == 1 else f"{name} ({seen[name]})", node.name, shape))
    return found


def _module_of(node: Any) -> str:
    """The innermost module that a node is from; the node's own name where the exporter did not say."""
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            modules = [scope for scope in ast.literal_eval(entry.value) if scope.startswith(ROOT)]
            if modules:
                return str(modules[-1].removeprefix(ROOT))
    return str(node.name)


def numbers_of(model: nn.Module, answers: Answers, texts: Sequence[str]) -> list[Tensor]:
    """What a model returns for each batch of some texts."""
    watched = Numbers(model)
    with torch.inference_mode():
        answers(watched, texts)
    return watched.kept


def difference(mine: Sequence[Tensor], theirs: Sequence[Tensor]) -> tuple[float, float]:
    """The mean and the largest difference, without its sign, of the numbers of two models for the same batches."""
    gaps = [(one - other).abs() for one, other in zip(mine, theirs, strict=True)]
    count = sum(gap.numel() for gap in gaps)
    return sum(float(gap.sum()) for gap in gaps) / count, max(float(gap.max()) for gap in gaps)


def sensitivities(
    file: Path,
    scratch: Path,
    opened: Callable[[Path], OnnxModel],
    answers: Answers,
    texts: Sequence[str],
    score: Callable[[nn.Module], float] | None = None,
) -> list[Sensitivity]:
    """What each product changes, the most sensitive first.

    Args:
        file: the graph in float32.
        scratch: a file that is written, once for each product.
        opened: opens a graph.
        answers: puts texts through a model.
        texts: to compare on.
        score: of a model on labelled texts, higher is better; None: differences alone.
    """
    whole = opened(file)
    mine = numbers_of(whole, answers, texts)
    before = None if score is None else score(whole)
    found = []
    for product in products_of(file):
        write_int8(file, scratch, only=[product.node])
        model = opened(scratch)
        mean, largest = difference(mine, numbers_of(model, answers, texts))
        change = None if score is None or before is None else score(model) - before
        found.append(Sensitivity(product, mean, largest, change))
    scratch.unlink(missing_ok=True)
    return sorted(found, key=lambda each: (-each.mean, each.product.name))


def fewest_kept(
    order: Sequence[Sensitivity], bound: float, gap_of: Callable[[Collection[str]], tuple[float, float]]
) -> list[Product]:
    """The most sensitive products, as few of them as keep the mean difference within a bound.

    Args:
        order: the most sensitive first.
        bound: of the mean difference.
        gap_of: nodes in float32 → mean and largest difference of the graph with 8 bits everywhere else.
    """
    kept: list[Product] = []
    for each in order:
        if gap_of([product.node for product in kept])[0] <= bound:
            break
        kept.append(each.product)
    return kept


def sensitivity_lines(order: Sequence[Sensitivity]) -> list[str]:
    """A table for people, the most sensitive product first."""
    width = max(len(each.product.name) for each in order)
    scored = any(each.score is not None for each in order)
    lines = [
        f"{'alone in 8 bits':<{width}}    mean  largest  weights" + ("  score" if scored else ""),
    ]
    for each in order:
        size = " × ".join(f"{side:,}" for side in each.product.shape)
        score = f"  {100 * each.score:+.2f}" if each.score is not None else ""
        lines.append(f"{each.product.name:<{width}}  {each.mean:6.4f}  {each.largest:7.3f}  {size}{score}")
    return lines
